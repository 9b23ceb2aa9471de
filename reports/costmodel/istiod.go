package costmodel

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/breaks"
)

// States of a mesh in which istiod's memory is modelled, each by itself: what it needs in one
// says little of another.
const (
	// Rest is a mesh in which nothing changes: istiod's memory at the end of a step that did
	// nothing but wait. It is churn of 0 %.
	Rest = "rest"
	// Storm is of all proxies that connect to an istiod which has just started, as after its
	// restart: the highest of the step.
	Storm = "storm"
	// Churn25 and Churn50 are of that share of the proxies' pods made again, in rounds, as in
	// AKS's published tests: the highest of the step.
	Churn25 = "churn of 25 %"
	Churn50 = "churn of 50 %"
)

// States lists them all.
func States() []string { return []string{Rest, Storm, Churn25, Churn50} }

// istiodColumns are what istiod's memory is a function of, in every state. Services are in none:
// each is a cluster and endpoints, too, and what it costs beside those cannot be told from
// nothing (-50 to +50 KiB).
var istiodColumns = []string{"pods", "proxies", "endpoints", "filterChainsAtOnce", "clustersAtOnce"}

// atOnce is the power of the number of proxies to which what istiod holds of the configuration
// on its way to them grows: less than in line, since not all are served at once. Of tenths
// from 0.4 to 1 fits up to 303 proxies cannot tell 0.7 to 1 apart (residuals of 24 to 25 % in a
// storm); of a storm of 1,000 proxies with 1,000 unnamed Services 0.8 says from those fits what
// was measured within 21 %, where 1 says nearly twice as much.
const atOnce = 0.8

// istiodValues are those of istiod's columns, where all proxies have the configuration o. Filter
// chains are the bulk of listeners, clusters stand for routes and endpoints as well.
func istiodValues(pods, proxies int, o observations.ConfigObjects) []float64 {
	served := math.Pow(float64(proxies), atOnce)
	return []float64{float64(pods), float64(proxies), float64(o.Endpoints), served * float64(o.FilterChains), served * float64(o.Clusters)}
}

// IstiodState is the model of istiod's memory in one state.
type IstiodState struct {
	State string `json:"state"`
	// Memory is nil, and Unknown says why, where the runs are too few for it.
	Memory  *Linear `json:"memory,omitempty"`
	Unknown string  `json:"unknown,omitempty"`
}

// fitIstiod fits each state.
func (m *Model) fitIstiod(points map[string][]Point) {
	for _, state := range States() {
		s := IstiodState{State: state}
		l, err := fitProportional(istiodColumns, points[state])
		if s.Memory = l; err != nil {
			s.Memory, s.Unknown = nil, err.Error()+"; the scenario istiod-cost is made for it"
		}
		m.Istiod = append(m.Istiod, s)
	}
}

// IstiodIn is the model of a state; nil where there is none.
func (m *Model) IstiodIn(state string) *Linear {
	for _, s := range m.Istiod {
		if s.State == state {
			return s.Memory
		}
	}
	return nil
}

// validIstiod says whether models that were read can be computed with.
func (m *Model) validIstiod() bool {
	var states []string
	for _, s := range m.Istiod {
		states = append(states, s.State)
		if s.Memory == nil && s.Unknown == "" || s.Memory != nil && !s.Memory.valid(istiodColumns) {
			return false
		}
	}
	return slices.Equal(states, States())
}

// printIstiod says what the fits of istiod found, for people.
func (m *Model) printIstiod(p *printer) {
	for _, s := range m.Istiod {
		p.line("")
		what := "at its highest, "
		if s.State == Rest {
			what = ""
		}
		if s.Memory == nil {
			p.line("There is no model of istiod, %s%s: %s.", what, inState(s.State), s.Unknown)
			continue
		}
		p.line("istiod's memory %s%s, from %d steps", what, inState(s.State), s.Memory.Points)
		s.Memory.print(p)
		if s.State == Storm {
			m.IstiodHistory.print(p, "An istiod that lived through other changes")
		}
	}
}

// inState is a state in a sentence.
func inState(state string) string {
	switch state {
	case Rest:
		return "at rest"
	case Storm:
		return "as all proxies connect to it"
	}
	return "in a " + state
}

// state is the one that a step is of, for an istiod that started in it or did not; "" for
// none.
func (s *step) state(started bool) string {
	switch {
	case len(s.churned) > 0:
		state := s.churned[0]
		for _, other := range s.churned {
			if other != state {
				return ""
			}
		}
		if started || !slices.Contains(States(), state) {
			return ""
		}
		return state
	case started:
		return Storm
	case s.paused && !s.acted:
		return Rest
	}
	return ""
}

// churnState is the state of a round of churn; "" for none that is modelled.
func churnState(c *observations.Churn) string {
	share, err := strconv.ParseFloat(strings.TrimSuffix(c.Share, "%"), 64)
	if err != nil || strings.HasPrefix(c.What, "namespaces") {
		return ""
	}
	return fmt.Sprintf("churn of %g %%", share)
}

// takeIstiod makes a settled step's point of istiod.
func (d *data) takeIstiod(run string, s *step, past *breaks.Breaks, istiodBefore string) {
	if len(s.istiod) != 1 || len(s.proxies) == 0 {
		return
	}
	for _, p := range s.proxies {
		// What is sent to all of them is not known from one, and routing is in no column.
		if p.Objects != s.proxies[0].Objects || p.Routing != nil && !unrouted(*p.Routing) {
			return
		}
	}
	for pod, i := range s.istiod {
		if i.MemoryBytes == 0 {
			continue
		}
		isGrown := pod == istiodBefore
		state := s.state(!isGrown)
		p := Point{run, s.name, istiodValues(s.objects.Pods, i.Proxies, s.proxies[0].Objects), float64(max(i.MemoryBytes, s.highest[pod]))}
		b := past.IstiodLived(pod, s.index)
		switch {
		case state == Rest && b == nil:
			p.Y = float64(i.MemoryBytes)
			d.istiod[state] = append(d.istiod[state], p)
		case state == Churn25 || state == Churn50: // what is deleted is made again
			d.istiod[state] = append(d.istiod[state], p)
		case len(s.churned) > 0 || state == Rest:
			d.leave(isGrown, fmt.Sprintf("%s, step %s: istiod in a state that is not modelled", run, s.name))
		case b != nil:
			d.deletedIstiod = append(d.deletedIstiod, p)
			d.leave(isGrown, fmt.Sprintf("%s, step %s: istiod lived through a deletion (step %s: %s)", run, s.name, b.Step, b.Why))
		case isGrown:
			d.grownIstiod = append(d.grownIstiod, p)
		default:
			d.istiod[Storm] = append(d.istiod[Storm], p)
		}
	}
}
