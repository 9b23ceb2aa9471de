package reports

import (
	"fmt"
	"slices"
	"strings"
)

// Expectation is a change against the scenario's first step that had to hold, of a gateway
// against the first step at which its configuration was read.
type Expectation struct {
	What string `json:"what"`
	Kind string `json:"kind,omitempty"` // gateway; "" for the sidecar's counts and the cluster's
	Want int    `json:"want"`
	Got  *int   `json:"got" jsonschema:"nullable"` // nil for unknown, which is not 0: the counts were not read
	OK   bool   `json:"ok"`
}

// String is the expectation with what came of it, for people.
func (e Expectation) String() string {
	got := "which is unknown: it could not be read"
	if e.Got != nil {
		got = fmt.Sprintf("got %+d", *e.Got)
	}
	if e.Kind != "" {
		return fmt.Sprintf("%s should change by %+d against the first step with one, %s", e.Name(), e.Want, got)
	}
	return fmt.Sprintf("%s should change by %+d against the first step, %s", e.What, e.Want, got)
}

// Name is what is expected, with the kind of proxy where it is no sidecar: gateway cluster.
func (e Expectation) Name() string { return strings.TrimSpace(e.Kind + " " + e.What) }

// Miss is an expectation that does not hold.
type Miss struct {
	Step string
	Expectation
}

// String says what was missed, for people.
func (m Miss) String() string { return m.Step + ": " + m.Expectation.String() }

// expect judges the step's expectations, which hold Want only, against the first step, and
// those of another kind of proxy against the first at which one was read.
func (s *Step) expect(first *Step, steps []Step) {
	for i := range s.Expectations {
		e := &s.Expectations[i]
		from := first
		if e.Kind != "" {
			from = nil
			if at := slices.IndexFunc(steps, func(s Step) bool { _, ok := s.Count(e.Name()); return ok }); at >= 0 {
				from = &steps[at]
			}
		}
		if from == nil {
			continue
		}
		was, ok := from.Count(e.Name())
		is, ok2 := s.Count(e.Name())
		if ok && ok2 {
			change := is - was
			e.Got, e.OK = &change, change == e.Want
		}
	}
}
