package scoping

import (
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
)

// Probes are the changes of one kind in one step, and how long they took to the proxies: from the
// API server's answer to each proxy's acknowledgement.
type Probes struct {
	Step   string
	Number int    // the step's in the scenario
	Kind   string // of [observations.Probe]
	Rounds int
	// Expected is how many acknowledgements there were to be, over all rounds, and Seconds how
	// long those took that came, the shortest first.
	Expected int
	Seconds  []float64
	// Limit is how long was waited for one, in seconds.
	Limit float64
}

// Missing is how many acknowledgements did not come.
func (p *Probes) Missing() int { return p.Expected - len(p.Seconds) }

// Quantile is of all that were to come: the smallest time within which that share had. A
// missing one takes longer than any; then above is true.
func (p *Probes) Quantile(q float64) (seconds float64, above bool) {
	rank := int(math.Ceil(q*float64(p.Expected))) - 1
	if rank < 0 || rank >= len(p.Seconds) {
		return 0, p.Expected > 0
	}
	return p.Seconds[rank], false
}

// probes are those of a log, in the order of the first of each.
func probes(records []observations.Record, graph string) []Probes {
	var list []Probes
	eachOfSteps(records, func(number int) {
		list = slices.DeleteFunc(list, func(p Probes) bool { return p.Number == number })
	}, func(step string, number int, r observations.Record) {
		if r.Probe == nil || r.Probe.Graph != graph {
			return
		}
		i := slices.IndexFunc(list, func(p Probes) bool { return p.Number == number && p.Kind == r.Probe.Kind })
		if i < 0 {
			i = len(list)
			list = append(list, Probes{Step: step, Number: number, Kind: r.Probe.Kind})
		}
		p := &list[i]
		p.Rounds++
		p.Expected += r.Probe.Expected
		p.Seconds = append(p.Seconds, r.Probe.Seconds...)
		p.Limit = max(p.Limit, r.Probe.LimitSeconds)
	})
	for i := range list {
		slices.Sort(list[i].Seconds)
	}
	return list
}

// arrivals has a row for each step and kind of change.
func (s *Scoping) arrivals() sections.Table {
	t := sections.Table{
		Title:  "Changes on their way to the proxies, s",
		Header: []string{"step", "change", "rounds", "acknowledgements", "missing", "median", "90 %", "99 %", "last"},
	}
	for i := range s.Probes {
		p := &s.Probes[i]
		row := []string{p.Step, p.Kind, fmt.Sprint(p.Rounds), fmt.Sprint(p.Expected), fmt.Sprint(p.Missing())}
		for _, q := range []float64{0.5, 0.9, 0.99, 1} {
			switch seconds, above := p.Quantile(q); {
			case p.Expected == 0:
				row = append(row, "none")
			case above:
				row = append(row, fmt.Sprintf("above %g", p.Limit))
			default:
				row = append(row, fmt.Sprintf("%.3f", seconds))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
