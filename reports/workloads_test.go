package reports

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// twoWorkloads is a log of two steps with the workloads ns/live, whose pod stays, and
// ns/probe, whose pods start anew. The second step has policies and, of the probe, a cluster
// too many.
func twoWorkloads() []observations.Record {
	const mi = 1 << 20
	records := []observations.Record{{Run: &observations.Run{Schema: observations.Schema, Scenario: "s", Steps: []string{"none", "all"},
		Cluster: observations.Cluster{Baseline: observations.BaselineEKS}}}}
	for step, name := range []string{"none", "all"} {
		add := func(r observations.Record) {
			n := step
			r.Step = &n
			records = append(records, r)
		}
		change, published := step, 22*step
		add(observations.Record{Begin: &observations.Begin{Name: name, Published: step + 1,
			PublishedFigures: &observations.Published{Cluster: &published, Relative: true, Note: "The note."},
			Expect:           []observations.Expectation{{What: "cluster", Change: change}, {What: "cluster", Of: "ns/probe", Change: 0}, {What: "route", Of: "ns/gone"}}}})
		add(observations.Record{Settle: &observations.Settle{Settled: true}})
		add(observations.Record{Objects: &observations.Objects{Pods: 5}})
		for workload, pod := range map[string]string{"live": "live", "probe": "probe-" + name} {
			memory := int64(30 + 5*step)
			if workload == "live" {
				memory += int64(10 * step)
			}
			add(observations.Record{Usage: &observations.Usage{Namespace: "ns", Pod: pod, Workload: "ns/" + workload, Container: observations.SidecarContainer, MemoryBytes: memory * mi}})
		}
		for _, workload := range []string{"live", "probe"} {
			add(observations.Record{Proxy: &observations.Proxy{Namespace: "ns", Pod: workload + "-witness", Workload: "ns/" + workload,
				Rows: observations.Counts{Cluster: 15 + step}, Objects: observations.ConfigObjects{Clusters: 15 + step},
				Routing: &observations.RoutingObjects{Policies: 20 * step}}})
		}
		add(observations.Record{Measure: &observations.Measure{}})
	}
	return append(records, observations.Record{End: &observations.End{Outcome: "ok"}})
}

func TestWorkloadCosts(t *testing.T) {
	r, err := Build(twoWorkloads(), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Sections) != 1 {
		t.Fatalf("%d sections, want one", len(r.Sections))
	}
	s := r.Sections[0]
	want := [][]string{
		{"none", "ns/live", "+0", "+0", "+0", "+0", "30.0", "+0.0", "-"},
		{"none", "ns/probe", "+0", "+0", "+0", "+0", "30.0", "+0.0", "-"},
		{"all", "ns/live", "+1", "+0", "+0", "+0", "45.0", "+15.0", "+20 policies"},
		{"all", "ns/probe", "+1", "+0", "+0", "+0", "35.0", "+5.0", "+20 policies"},
	}
	if diff := cmp.Diff(want, s.Summary.Rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !s.Mixed || len(s.Findings) != 1 || !strings.Contains(s.Findings[0].Text, "sidecars of ns/live, which lived through all changes, hold 45.0 Mi, and those of ns/probe, which started afterwards, 35.0 Mi; in the first step the former held 30.0 Mi") {
		t.Errorf("findings: %+v", s.Findings)
	}

	// What is expected of one witness is judged by it alone; of one that was not read it is missed.
	var missed []string
	for _, m := range r.Missed() {
		missed = append(missed, m.String())
	}
	if diff := cmp.Diff([]string{
		"none: route of ns/gone should change by +0 against the first step, which is unknown: it could not be read",
		"all: cluster of ns/probe should change by +0 against the first step, got +1",
		"all: route of ns/gone should change by +0 against the first step, which is unknown: it could not be read",
	}, missed); diff != "" {
		t.Errorf("missed (-want +got):\n%s", diff)
	}
	// The policies are no change of objects, but they are one of the configuration.
	if text := configGrowth(&r.Steps[0], &r.Steps[1], false); text != "clusters +1 (15 to 16), +20 policies" {
		t.Errorf("what changed: %q", text)
	}
	if same(&r.Steps[0], &r.Steps[1]) {
		t.Error("steps with other policies are taken to be the same")
	}

	// Without expectations of single witnesses there is no such section.
	plain := twoWorkloads()
	for i := range plain {
		if plain[i].Begin != nil {
			plain[i].Begin.Expect = nil
		}
	}
	if r, err := Build(plain, false); err != nil || len(r.Sections) != 0 {
		t.Errorf("%d sections, %v; want none", len(r.Sections), err)
	}
}

// TestRelativePublished compares changes where the publisher's cluster is not known, and
// says why where they differ.
func TestRelativePublished(t *testing.T) {
	r, err := Build(twoWorkloads(), false)
	if err != nil {
		t.Fatal(err)
	}
	zero, one := 0.0, 1.0
	want := [][]PublishedFigure{
		{{What: "cluster", Published: 0, Got: &zero, Unit: UnitRows, Change: true, Match: true}},
		{{What: "cluster", Published: 22, Got: &one, Unit: UnitRows, Change: true}},
	}
	for i, s := range r.Steps {
		if diff := cmp.Diff(want[i], s.Published); diff != "" {
			t.Errorf("step %s (-want +got):\n%s", s.Name, diff)
		}
	}
	if got := r.Steps[1].Published[0].Range(); got != "+22" {
		t.Errorf("printed as %q", got)
	}
	var texts []string
	for _, f := range r.Findings {
		texts = append(texts, f.String())
	}
	for _, want := range []string{"all: cluster: +22 published, +1 here", "The note."} {
		if !strings.Contains(strings.Join(texts, "\n"), want) {
			t.Errorf("no finding %q in:\n%s", want, strings.Join(texts, "\n"))
		}
	}
}
