package costmodel

import (
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// Over is by how much sidecars were higher on the way than what they settled on, as shares of
// that: the highest of each workload in each step.
type Over struct {
	// Steps is how many workloads and steps it is of.
	Steps  int     `json:"steps"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Peaks are how far sidecars go over what they settle on.
type Peaks struct {
	// Pushed is of sidecars that ran before their step and were sent its changes, Started of
	// those that started in it; nil where no run recorded them.
	Pushed  *Over `json:"pushed,omitempty"`
	Started *Over `json:"started,omitempty"`
}

// takePeaks takes in those of a step.
func (d *data) takePeaks(peaks []observations.Peak) {
	type group struct {
		workload string
		started  bool
	}
	highest := map[group]float64{}
	var order []group
	for _, p := range peaks {
		g := group{p.Workload, p.Started}
		over, seen := highest[g]
		if !seen {
			order = append(order, g)
		}
		highest[g] = max(over, float64(p.MemoryBytes)/float64(p.SettledBytes)-1)
	}
	for _, g := range order {
		if g.started {
			d.started = append(d.started, highest[g])
		} else {
			d.pushed = append(d.pushed, highest[g])
		}
	}
}

// peaks are those of all runs; nil for none.
func (d *data) peaks() *Peaks {
	p := Peaks{Pushed: over(d.pushed), Started: over(d.started)}
	if p == (Peaks{}) {
		return nil
	}
	return &p
}

func over(shares []float64) *Over {
	if len(shares) == 0 {
		return nil
	}
	return &Over{Steps: len(shares), Median: median(shares), Max: slices.Max(shares)}
}

func (m *Peaks) print(p *printer) {
	if m == nil {
		p.line("  How far a sidecar goes over what it settles on is unknown: no run has recorded it.")
		return
	}
	for _, x := range []struct {
		who string
		o   *Over
	}{{"that was sent changes", m.Pushed}, {"that started", m.Started}} {
		if x.o != nil {
			p.line("  The highest sidecar %s was %.1f %% over what it settled on (median of %d steps), at most %.1f %%.", x.who, 100*x.o.Median, x.o.Steps, 100*x.o.Max)
		} else {
			p.line("  How high a sidecar %s goes is unknown: no run has recorded it.", x.who)
		}
	}
}
