package gate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/reports/compare"
)

// Class is what was measured on one class of machine: those that agree in all that memory
// depends on besides what the mesh is asked to do (how memory is read, CPUs, the build of
// Envoy, …).
type Class struct {
	Environment compare.Environment `json:"environment"`
	Steps       []Step              `json:"steps"`
	History     []Entry             `json:"history"` // oldest first; the last one made the class
}

// String names the class for people.
func (c *Class) String() string {
	e := c.Environment
	return fmt.Sprintf("%s cluster, memory by %s, %d CPUs, %s, Envoy %s", cmp.Or(e.Cluster, "unknown"), cmp.Or(e.MemorySource, "unknown means"), e.HostCPUs, cmp.Or(e.HostOS, "unknown system"), cmp.Or(e.Envoy, "unknown"))
}

// same says whether runs of an environment are of the class. What counts depend on too, and
// Istio's version, is the experiment's and not the machine's, and so is whether garbage was
// collected by force.
func (c *Class) same(e compare.Environment) bool {
	return !slices.ContainsFunc(c.Environment.Differences(e), func(d compare.Difference) bool { return !d.Subject && !d.Counts && !d.Collected })
}

// Latest is the class that was accepted last.
func (b *Baseline) Latest() *Class { return &b.Classes[len(b.Classes)-1] }

// of is the class of an environment. With none it is the one accepted last, whose counts hold
// on every machine, and ok is false.
func (b *Baseline) of(e compare.Environment) (class *Class, ok bool) {
	for i := range b.Classes {
		if b.Classes[i].same(e) {
			return &b.Classes[i], true
		}
	}
	return b.Latest(), false
}

// check says the first thing of the class that makes no sense.
func (c *Class) check() error {
	if len(c.Steps) == 0 {
		return errors.New("it has no steps")
	}
	if len(c.History) == 0 {
		return errors.New("it has no history: expected the date of its making, and why")
	}
	for i, e := range c.History {
		if _, err := time.Parse(time.DateOnly, e.Date); err != nil || strings.TrimSpace(e.Why) == "" {
			return fmt.Errorf("entry %d of its history: expected a date like 2026-11-24 and why", i+1)
		}
	}
	seen, known := map[string]bool{}, compare.MetricsByName()
	for i, s := range c.Steps {
		if s.Name == "" || seen[s.Name] {
			return fmt.Errorf("step %d: expected a name that no other step has, got %q", i+1, s.Name)
		}
		seen[s.Name] = true
		if err := s.check(known); err != nil {
			return fmt.Errorf("step %s: %w", s.Name, err)
		}
	}
	return nil
}

// check says the first thing of the step that makes no sense.
func (s *Step) check(known compare.Named) error {
	for name := range s.Counts {
		if m, err := known.Metric(name); err != nil || !m.Exact {
			return fmt.Errorf("there is no count %q", name)
		}
	}
	for name, runs := range s.Readings {
		if m, err := known.Metric(name); err != nil || m.Exact {
			return fmt.Errorf("there is no metric %q with readings", name)
		}
		if len(runs) == 0 {
			return fmt.Errorf("%s has no readings", name)
		}
		for _, readings := range runs {
			if len(readings) == 0 || slices.ContainsFunc(readings, func(v float64) bool { return v <= 0 }) {
				return fmt.Errorf("expected readings of %s that are more than 0", name)
			}
		}
	}
	return nil
}
