// Package trial makes of a scenario one that tries scopes out: it goes through the scenario's
// steps, sends a request for each call of a graph, applies Sidecar resources that are made on the
// way, sends the same requests again, restarts all workloads, since a running proxy gives no
// memory back, and sends them once more.
package trial

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/scenarios"
)

// Names of the steps that a trial adds.
const (
	StepAsked      = "asked"       // the calls, unscoped
	StepScoped     = "scoped"      // the Sidecar resources are applied to running proxies
	StepScopedAsk  = "scoped-ask"  // the calls, scoped
	StepRestarted  = "restarted"   // all proxies are new
	StepAskedAgain = "asked-again" // the calls, scoped, of new proxies
)

// mostWitnesses bounds the proxies that are dumped in each step.
const mostWitnesses = 40

// Ask is a call that a trial makes.
type Ask struct {
	Call callgraph.Call
	// From is the workload that asks, NAMESPACE/NAME, and To what it asks, SERVICE.NAMESPACE:PORT.
	From, To string
}

// Skipped is a call that a trial cannot make, and why.
type Skipped struct {
	Call callgraph.Call
	Why  string
}

// Trial is a scenario that tries scopes out.
type Trial struct {
	// Path is the scenario's file.
	Path string
	// Before is the last step of the scenario that it was made of.
	Before  string
	Asks    []Ask
	Skipped []Skipped
}

// Make writes the scenario of a trial into a folder. open loads it again, with the same rules as
// the one that it is made of.
func Make(base *scenarios.Scenario, g *callgraph.Graph, dir string, open func(path string) (*scenarios.Scenario, error)) (*Trial, *scenarios.Scenario, error) {
	t := &Trial{Path: filepath.Join(dir, base.Name+"-scopes.yaml"), Before: base.Steps[len(base.Steps)-1].Name}
	parts, err := partsOf(base)
	if err != nil {
		return nil, nil, err
	}
	for _, step := range base.Steps {
		if slices.Contains([]string{StepAsked, StepScoped, StepScopedAsk, StepRestarted, StepAskedAgain}, step.Name) {
			return nil, nil, fmt.Errorf("cannot try scopes out with scenario %s: it has a step %s of its own, which a trial adds; rename it", base.Name, step.Name)
		}
	}
	for _, c := range g.Calls {
		ask, why := parts.ask(c)
		if why != "" {
			t.Skipped = append(t.Skipped, Skipped{c, why})
			continue
		}
		t.Asks = append(t.Asks, ask)
	}
	if err := base.Keep(dir); err != nil {
		return nil, nil, err
	}
	for {
		if err := t.write(base, parts); err != nil {
			return nil, nil, err
		}
		s, err := open(t.Path)
		if err == nil {
			return t, s, nil
		}
		// What the checker knows of a call that cannot be made is why it is not made.
		if !t.leaveOut(err) {
			return nil, nil, err
		}
	}
}

// place is the path of a call's problem: steps[4].actions[2].call.
var place = regexp.MustCompile(`^steps\[\d+\]\.actions\[(\d+)\]\.call`)

// leaveOut leaves out the calls that a scenario's problems are about, if all are about calls.
func (t *Trial) leaveOut(err error) bool {
	var problems scenarios.Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		return false
	}
	why := map[int]string{}
	for _, p := range problems {
		m := place.FindStringSubmatch(p.Path)
		if m == nil {
			return false
		}
		i, err := strconv.Atoi(m[1])
		if err != nil || i >= len(t.Asks) {
			return false
		}
		if why[i] == "" {
			why[i] = p.Message
		}
	}
	var left []Ask
	for i, a := range t.Asks {
		if text, bad := why[i]; bad {
			t.Skipped = append(t.Skipped, Skipped{a.Call, text})
			continue
		}
		left = append(left, a)
	}
	t.Asks = left
	return true
}

// write writes the scenario.
func (t *Trial) write(base *scenarios.Scenario, p *parts) error {
	text, err := base.Render()
	if err != nil {
		return err
	}
	var root map[string]any
	if err := yaml.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("read the rendered scenario: %w", err)
	}
	var asks, restarts, witnesses []any
	for _, a := range t.Asks {
		asks = append(asks, map[string]any{"call": map[string]any{"from": a.From, "to": a.To, "path": "/debug", "proves": scenarios.MutualTLS}})
	}
	for _, r := range p.restarts() {
		restarts = append(restarts, map[string]any{"restart": r})
	}
	step := func(name, do string, actions []any) map[string]any {
		s := map[string]any{"name": name, "do": do}
		if len(actions) > 0 {
			s["actions"] = actions
		}
		return s
	}
	steps, _ := root["steps"].([]any)
	root["steps"] = append(steps,
		step(StepAsked, "each call is made, unscoped", asks),
		step(StepScoped, "the proposed Sidecar resources are applied, and proxies go on running", nil),
		step(StepScopedAsk, "each call is made again, scoped", asks),
		step(StepRestarted, "all workloads are restarted", restarts),
		step(StepAskedAgain, "each call is made once more, by new proxies", asks))
	named, _ := root["witnesses"].([]any)
	for _, w := range p.witnesses(base.Witnesses, t.Asks) {
		witnesses = append(witnesses, w)
	}
	root["witnesses"] = append(named, witnesses...)
	logged(root)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return fmt.Errorf("write the scenario of the trial: %w", err)
	}
	if err := atomicfile.Write(t.Path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the scenario of the trial: %w", err)
	}
	return nil
}

// logged lets proxies write access logs, which calls are found in, unless the scenario says
// something of them.
func logged(root map[string]any) {
	below := func(of map[string]any, field string) map[string]any {
		m, ok := of[field].(map[string]any)
		if !ok {
			m = map[string]any{}
			of[field] = m
		}
		return m
	}
	config := below(below(below(root, "mesh"), "values"), "meshConfig")
	if _, said := config["accessLogFile"]; !said {
		config["accessLogFile"] = "/dev/stdout"
	}
}

// Made is the graph of the calls that the trial makes.
func (t *Trial) Made() *callgraph.Graph {
	g := &callgraph.Graph{}
	for _, a := range t.Asks {
		g.Calls = append(g.Calls, a.Call)
		if !slices.Contains(g.Seen, a.Call.From.Namespace) {
			g.Seen = append(g.Seen, a.Call.From.Namespace)
		}
	}
	return g
}
