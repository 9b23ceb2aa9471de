// Package calls tells what became of single requests, and by which proofs that is known.
package calls

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
)

// Call is one request, and the step that sent it.
type Call struct {
	Step   string `json:"step"`
	Number int    `json:"number"` // the step's in the scenario
	observations.Call
}

// Build finds the calls of a log, of which steps are the scenario's, in the order in which they
// were sent.
func Build(records []observations.Record) []Call {
	var calls []Call
	var steps []string
	for _, r := range records {
		switch {
		case r.Run != nil:
			steps = r.Run.Steps
		case r.Begin != nil && r.Step != nil && *r.Step < len(steps):
			// A step that begins again starts over.
			calls = slices.DeleteFunc(calls, func(c Call) bool { return c.Number == *r.Step+1 })
		case r.Call != nil:
			c := Call{Call: *r.Call}
			if r.Step != nil && *r.Step < len(steps) {
				c.Step, c.Number = steps[*r.Step], *r.Step+1
			}
			calls = append(calls, c)
		}
	}
	return calls
}

// Expected says in words what was to be proved.
func (c *Call) Expected() string {
	if c.Proves == "blocked" {
		return fmt.Sprintf("the sidecar of %s should block what goes to %s (%s)", c.From, c.To, c.Protocol)
	}
	return fmt.Sprintf("%s should reach %s by mutual TLS", c.From, c.To)
}

// Seen are the proofs in words.
func (c *Call) Seen() string {
	var list []string
	for _, p := range c.Proofs {
		list = append(list, fmt.Sprintf("%s: %s (%s)", p.By, verdict(p), p.Says))
	}
	if len(list) == 0 {
		return "nothing was looked at"
	}
	return strings.Join(list, "; ")
}

func verdict(p observations.Proof) string {
	switch {
	case p.Holds == nil:
		return "not to be had"
	case *p.Holds:
		return "proved"
	}
	return "not so"
}

// Section is the calls' part of a report.
func Section(calls []Call) sections.Section {
	table := sections.Table{Title: "Calls, and how it is known what became of them", Header: []string{"step", "call", "proof", "holds", "seen"}}
	for i := range calls {
		c := &calls[i]
		if c.Graph != "" && c.Holds() {
			continue // one of many, which are counted where the graph is told of
		}
		what := fmt.Sprintf("%s to %s (%s), %s", c.From, c.To, c.Protocol, c.Proves)
		for _, p := range c.Proofs {
			table.Rows = append(table.Rows, []string{c.Step, what, p.By, verdict(p), p.Says})
		}
	}
	return sections.Section{Name: "calls", Summary: table}
}
