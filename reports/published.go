package reports

import (
	"fmt"

	"github.com/meshbench/meshbench/reports/words"
)

// PublishedTolerance is how far a median may lie outside the published range of
// memory, as a share of its ends, and still count as a match.
const PublishedTolerance = 0.25

// Units of published figures.
const (
	UnitLines = "lines" // what istioctl printed, header line included
	UnitRows  = "rows"  // the same without the header line
	UnitMi    = "Mi"
)

// PublishedFigure is a published figure beside the run's own. Counts match when they
// are equal. Memory, which is noisy, matches within 25 % of the published range and is
// information only.
type PublishedFigure struct {
	// What is nodes, pods, services, cluster, listener, route, endpoint, memory or
	// witnessMemory.
	What      string  `json:"what"`
	Published float64 `json:"published"`
	// PublishedHigh is the upper end where a range was published; 0 otherwise.
	PublishedHigh float64 `json:"publishedHigh,omitempty"`
	// Got is in the unit of the published figure: where that is lines, the header
	// line was added to the run's rows. It is nil when it was not read.
	Got *float64 `json:"got" jsonschema:"nullable"`
	// Unit is lines, rows or Mi; "" for objects.
	Unit string `json:"unit,omitempty"`
	// Change says that both are changes against the first step: the publisher's cluster held
	// objects that are not known.
	Change bool `json:"change,omitempty"`
	Match  bool `json:"match"`
}

// IsCount tells an exact quantity from memory.
func (f PublishedFigure) IsCount() bool { return f.Unit != UnitMi }

// Range is the published figure as it was printed.
func (f PublishedFigure) Range() string {
	if f.PublishedHigh != 0 {
		return fmt.Sprintf("%g-%g", f.Published, f.PublishedHigh)
	}
	if f.Change {
		return fmt.Sprintf("%+g", f.Published)
	}
	return fmt.Sprintf("%g", f.Published)
}

// comparePublished sets the step's figures beside the published ones. Changes are against
// the first step; nil if it was not read.
func (s *Step) comparePublished(first *Step) {
	p := s.figures
	if p == nil {
		return
	}
	unit, header := UnitRows, 0
	if p.CountsIncludeHeader && !p.Relative {
		unit, header = UnitLines, 1
	}
	for _, c := range []struct {
		what   string
		value  *int
		unit   string
		header int
	}{
		{"nodes", p.Nodes, "", 0},
		{"pods", p.Pods, "", 0},
		{"services", p.Services, "", 0},
		{"cluster", p.Cluster, unit, header},
		{"listener", p.Listener, unit, header},
		{"route", p.Route, unit, header},
		{"endpoint", p.Endpoint, unit, header},
	} {
		if c.value == nil {
			continue
		}
		f := PublishedFigure{What: c.what, Published: float64(*c.value), Unit: c.unit, Change: p.Relative && c.unit != ""}
		n, ok := s.Count(c.what)
		if f.Change {
			was, known := 0, false
			if first != nil {
				was, known = first.Count(c.what)
			}
			n, ok = n-was, ok && known
		}
		if ok {
			got := float64(n + c.header)
			f.Got, f.Match = &got, got == f.Published
		}
		s.Published = append(s.Published, f)
	}
	if low, high := p.MemoryMi[0], p.MemoryMi[1]; high > 0 {
		s.Published = append(s.Published, publishedMemory("memory", low, high, s.Memory))
	}
	if p.WitnessMi != nil {
		s.Published = append(s.Published, publishedMemory("witnessMemory", *p.WitnessMi, *p.WitnessMi, s.WitnessMemory))
	}
}

func publishedMemory(what string, low, high float64, m Memory) PublishedFigure {
	f := PublishedFigure{What: what, Published: low, Unit: UnitMi}
	if high != low {
		f.PublishedHigh = high
	}
	if m.Samples > 0 {
		got := float64(m.MedianBytes) / words.Mi
		f.Got = &got
		f.Match = got >= low*(1-PublishedTolerance) && got <= high*(1+PublishedTolerance)
	}
	return f
}

// PublishedOf is the step's published figure of that name; ok is false for none.
func (s *Step) PublishedOf(what string) (f PublishedFigure, ok bool) {
	for _, f := range s.Published {
		if f.What == what {
			return f, true
		}
	}
	return PublishedFigure{}, false
}

// CountsInLines says whether people see counts as lines, header line included, as they
// were published, rather than as rows.
func (r *Report) CountsInLines() bool {
	for _, s := range r.Steps {
		for _, f := range s.Published {
			if f.Unit == UnitLines {
				return true
			}
		}
	}
	return false
}
