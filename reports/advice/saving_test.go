package advice

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/proxyconfig/proxyconfigtest"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// dumped is the configuration of a real sidecar, by its name in proxyconfig's test data: draining
// is of a mesh in which everyone sees everything, sidecar-resource of the same mesh, in a
// namespace that sees itself and istio-system.
func dumped(t *testing.T, name, namespace string) Dump {
	t.Helper()
	text := proxyconfigtest.Recorded(t, filepath.Join("..", "..", "proxyconfig", "testdata"), name, "config_dump")
	a, err := proxyconfig.Attribute(bytes.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return Dump{Namespace: namespace, Name: name, Configuration: a}
}

func model(t *testing.T) *costmodel.Model {
	t.Helper()
	m, err := costmodel.Default()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPrice(t *testing.T) {
	m := meshOf(t, plainMesh("ns1", "quiet", "other"))
	a := Advise(m, graphOf(t, m, "- {from: quiet, to: []}\n- {from: other, to: ns1/ns1}\n"), Options{})
	a.Price(model(t), []Dump{dumped(t, "draining", "other"), dumped(t, "sidecar-resource", "nowhere")})
	quiet, other := a.Scopes[1].Saving, a.Scopes[0].Saving
	if !quiet.Foreign || quiet.From != "draining" || other.Foreign {
		t.Errorf("priced by %+v and %+v", quiet, other)
	}
	// A real sidecar with that scope, in namespace ns2, holds the same hosts.
	left := dumped(t, "draining", "").Configuration.Scoped(func(namespace, host string) bool { return Sees(a.Scopes[1].List(), "ns2", namespace, host) })
	if diff := cmp.Diff(hostsOf(dumped(t, "sidecar-resource", "")), hostsOf(Dump{Configuration: left})); diff != "" {
		t.Error(diff)
	}
	for _, v := range []*Saving{quiet, other} {
		if !(v.Each.Bytes > 0 && v.Each.Lo < v.Each.Bytes && v.Each.Bytes < v.Each.Hi) || v.After.DumpBytes >= v.Before.DumpBytes || len(v.Why) == 0 {
			t.Errorf("%+v", v)
		}
	}
	if quiet.Each.Bytes <= other.Each.Bytes {
		t.Errorf("who sees less saves %.0f, who sees more %.0f", quiet.Each.Bytes, other.Each.Bytes)
	}
	if a.Total.Proxies != 2 || a.Total.Saved.Bytes != quiet.All.Bytes+other.All.Bytes {
		t.Errorf("%+v", a.Total)
	}
	var text, page bytes.Buffer
	if err := a.Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Scopes for 2 namespaces, by namespace", "Together, 2 sidecars:", "Requests and limits of a sidecar's memory", "that of draining"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("without %q:\n%s", want, text.String())
		}
	}
	if err := a.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "What scopes would save", "kind: Sidecar", "quiet"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page is without %q", want)
		}
	}

	// Without a configuration nothing is said to be saved.
	none := Advise(m, graphOf(t, m, "- {from: quiet, to: []}\n"), Options{})
	none.Price(model(t), nil)
	text.Reset()
	if err := none.Print(&text); err != nil || !strings.Contains(text.String(), "What the scopes save is unknown") || none.Scopes[0].Saving != nil {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestVerify(t *testing.T) {
	m := meshOf(t, plainMesh("a", "b"))
	g := graphOf(t, m, "- {from: a, to: b/b}\n- {from: b, to: a/a}\n")
	a := Advise(m, g, Options{})
	a.Price(model(t), []Dump{dumped(t, "draining", "x")})
	var log []observations.Record
	at := func(step int, r observations.Record) {
		r.Time, r.Step = time.Unix(0, 0), &step
		log = append(log, r)
	}
	usage := func(step int, workload, pod string, mi float64, witness bool) {
		namespace, _, _ := strings.Cut(workload, "/")
		at(step, observations.Record{Usage: &observations.Usage{Namespace: namespace, Pod: pod, Workload: workload, Container: observations.SidecarContainer, MemoryBytes: int64(mi * (1 << 20)), Witness: witness}})
	}
	call := func(step int, from, to string, works bool) {
		at(step, observations.Record{Call: &observations.Call{From: from, To: to, Proofs: []observations.Proof{{By: "the answer", Holds: &works, Says: "status"}}}})
	}
	for i, name := range []string{"open", "asked", "scoped", "scoped-ask", "restarted"} {
		at(i, observations.Record{Begin: &observations.Begin{Name: name}})
		usage(i, "a/a", "a-1", []float64{30, 30, 30, 30, 28}[i], false)
		usage(i, "a/a", "a-2", 90, true)
		usage(i, "b/b", "b-1", 30, true)
		usage(i, "c/c", "c-1", 30, false)
	}
	for i, step := range []int{1, 3} {
		call(step, "a/a", "b.b:80", true)
		call(step, "b/b", "a.a:80", i == 0)
		call(step, "b/b", "never.a:80", false)
	}
	v := Verify(a, log, Trial{Before: "open", Scoped: "scoped", Restarted: "restarted", Asked: []string{"asked", "scoped-ask"}})
	if len(v.Rows) != 1 || v.Rows[0].Measured() != 2<<20 || v.Measured != 2<<20 || v.Predicted != a.Scopes[0].Saving.Each.Bytes || v.Kept == nil || *v.Kept != 0 {
		t.Errorf("%+v", v)
	}
	cut, never := v.Broken()
	if len(cut) != 1 || cut[0].To != "a.a:80" || cut[0].Says != "the answer: status" || len(never) != 1 || never[0].To != "never.a:80" {
		t.Errorf("cut %+v, never %+v", cut, never)
	}
	v.Sources = []SourceScopes{
		Compare(a, g, "the same", g),
		Compare(a, g, "less", &callgraph.Graph{Calls: g.Calls[:1], Seen: []string{"a", "b"}}),
		Compare(a, g, "one namespace", &callgraph.Graph{Calls: g.Calls[:1], Seen: []string{"a"}}),
	}
	if diff := cmp.Diff([]SourceScopes{
		{Source: "the same", Same: 2}, {Source: "less", Same: 1, Differ: []string{"b: without a/*"}}, {Source: "one namespace", Same: 1},
	}, v.Sources); diff != "" {
		t.Error(diff)
	}
	var text bytes.Buffer
	if err := v.Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CUT: b/b to a.a:80: the answer: status", "gave none of it back", "Found from less: the same scopes in 1 namespace, others in 1.", "a/a"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("without %q:\n%s", want, text.String())
		}
	}
}

func hostsOf(d Dump) []string { return slices.Sorted(maps.Keys(d.Configuration.Services)) }
