package advice

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/hostiletest"
)

// outputs are the forms of an advice. A resource is what it should be, whatever its names are.
func outputs[T any](advice func(T) *Advice, text func(harmless, hostile string) []string) []hostiletest.Output[T] {
	write := func(print func(*Advice, io.Writer) error) func(io.Writer, T) error {
		return func(w io.Writer, v T) error { return print(advice(v), w) }
	}
	resources := func(a *Advice, w io.Writer) error {
		var out bytes.Buffer
		if err := a.WriteYAML(&out); err != nil {
			return err
		}
		var want []string
		for _, s := range a.Scopes {
			if s.Status != Same {
				want = append(want, fmt.Sprint(s.Object()))
			}
		}
		if diff := cmp.Diff(want, each(documents(out.String()), func(v any) string { return fmt.Sprint(v) })); diff != "" {
			return fmt.Errorf("other resources:\n%s", diff)
		}
		_, err := w.Write(out.Bytes())
		return err
	}
	return []hostiletest.Output[T]{
		{Name: "text", Write: write((*Advice).Print), Problems: text},
		{Name: "html", Write: write((*Advice).WriteHTML), Problems: hostiletest.Page},
		{Name: "yaml", Encoded: true, Write: write(resources), Problems: func(_, text string) []string { return hostiletest.Plain(text) }},
		{Name: "json", Write: func(w io.Writer, v T) error { return hostiletest.Encoded[*Advice]().Write(w, advice(v)) }, Problems: func(_, text string) []string { return hostiletest.JSON(text) }},
	}
}

// documents are those of YAML; what cannot be read is one that says why.
func documents(text string) []any {
	var all []any
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var one any
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			return append(all, err.Error())
		}
		all = append(all, one)
	}
}

// advised is an advice with something in every field.
func advised(t *testing.T, m *costmodel.Model, dump Dump) *Advice {
	t.Helper()
	mesh := meshOf(t, plainMesh("a", "b", "c", "lonely"))
	a := Advise(mesh, graphOf(t, mesh, "- {from: a, to: [b/b, gone/x, api.example.com]}\n- {from: b, to: []}\n- {from: c, to: a/a}\n"), Options{})
	a.Price(m, []Dump{dump})
	a.Unknown = []callgraph.Unknown{{Caller: "10.0.0.1", Callee: "b/b", Side: callgraph.Caller, Places: []string{"a.log:1"}}, {Caller: "10.0.0.2", Callee: "b/b", Side: callgraph.Caller}}
	a.Total.Unpriced = []string{"d"}
	for _, s := range a.Scopes {
		s.Own, s.Notes, s.Checked = []string{"single", "other"}, []string{"a note"}, "cluster"
		s.Saving.Unknown = append(s.Saving.Unknown, "what is unknown")
		s.Saving.Each.Warnings = []string{"a warning"}
		s.Saving.Why = append(s.Saving.Why, Gone{Namespace: "gone", Hosts: 1, Bytes: 1})
		s.Saving.Recommendation.Unknown, s.Saving.Recommendation.Warnings = []string{"what is unknown"}, []string{"what to mind"}
	}
	return a
}

// TestHostileAdvice: whatever names the mesh's objects have, they are text in an advice.
func TestHostileAdvice(t *testing.T) {
	m, dump := model(t), dumped(t, "draining", "x")
	// The states are words of ours, and so are the Helm values, which are made of two numbers.
	hostiletest.Run(t, func() *Advice { return advised(t, m, dump) }, hostiletest.Below(".Scopes[].Status", ".Scopes[].Saving.Recommendation.Values"), outputs(func(a *Advice) *Advice { return a }, hostiletest.Printed)...)
}

// meshAndCalls are what an advice is made of.
type meshAndCalls struct {
	Mesh  *Mesh
	Calls *callgraph.Graph
}

// TestHostileMesh: so they are where the names stand in the mesh and in the calls.
func TestHostileMesh(t *testing.T) {
	build := func() *meshAndCalls {
		mesh := meshOf(t, plainMesh("a", "b")+`
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: mine, namespace: a}, spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{port: {number: 3306}, hosts: [b/*]}, {captureMode: IPTABLES, hosts: ["*/*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: single, namespace: a}, spec: {workloadSelector: {labels: {app: a}}, egress: [{hosts: [b/*]}]}}
`)
		return &meshAndCalls{mesh, graphOf(t, mesh, "- {from: a/web, to: [b/b, gone/x, api.example.com]}\n- {from: b, to: []}\n")}
	}
	// A scope's hosts are read: what is no host is none.
	hostiletest.Run(t, build, hostiletest.Below(".Mesh.Sidecars[].Egress[].Hosts[]", ".Mesh.Root", ".Mesh.Domain"), outputs(func(v *meshAndCalls) *Advice { return Advise(v.Mesh, v.Calls, Options{}) }, hostiletest.Folded)...)
}

// TestHostileReasons: why a host is in a scope is a comment of the resource, and no more.
func TestHostileReasons(t *testing.T) {
	for _, end := range []string{"\n", "\r", "\r\n", "\u0085", "\u2028", "\u2029"} {
		s := &Scope{Namespace: "a", Name: "default", Hosts: []Host{{"./*", []string{"its own" + end + "injected:" + end + "- b/*"}}, {"b/*", []string{hostiletest.Text}}}}
		var out bytes.Buffer
		if err := s.WriteYAML(&out); err != nil {
			t.Fatal(err)
		}
		for _, problem := range hostiletest.Plain(out.String()) {
			t.Errorf("%q: %s", end, problem)
		}
		want := fmt.Sprint(s.Object())
		if diff := cmp.Diff([]string{want}, each(documents(out.String()), func(v any) string { return fmt.Sprint(v) })); diff != "" {
			t.Errorf("%q: %s", end, diff)
		}
	}
}

// TestHostileVerification: neither names nor answers of servers are more than text.
func TestHostileVerification(t *testing.T) {
	build := func() *Verification {
		kept := 0.5
		return &Verification{
			Rows:      []Verified{{Workload: "a/a", Before: 3 << 20, Restarted: 2 << 20, Sidecars: 1, Saving: &Saving{}}, {Workload: "b/b"}},
			Predicted: 1, Measured: 1, Kept: &kept, Unmeasured: []string{"c/c: no sidecar of it was read"},
			Calls:    []VerifiedCall{{From: "a/a", To: "b.b:80", Works: []bool{true, false}, Says: "the answer: 502"}, {From: "a/a", To: "never.b:80", Works: []bool{false, false}, Says: "no answer"}},
			NotAsked: []NotAsked{{"a/a to api.example.com", "it is outside"}}, Sources: []SourceScopes{{Source: "access logs", Same: 1, Differ: []string{"b: without a/*"}}},
		}
	}
	hostiletest.Run(t, build, hostiletest.Nothing, hostiletest.Output[*Verification]{
		Name: "text", Write: func(w io.Writer, v *Verification) error { return v.Print(w) }, Problems: hostiletest.Printed,
	}, hostiletest.Encoded[*Verification]())
}
