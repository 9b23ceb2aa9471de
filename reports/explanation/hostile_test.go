package explanation

import (
	"io"
	"slices"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/hostiletest"
)

// calibrated is a calibration with a text in every field, a new one each time.
func calibrated() *costmodel.Calibration {
	return &costmodel.Calibration{
		Runs: []costmodel.Source{{Run: observations.Run{ID: "mine"}}}, Points: 1, Factor: 1, NoFactor: "too few workloads", Differences: []string{"Envoy"}, LeftOut: []string{"a/a: alone"},
	}
}

func measuredAtOne() *Measured {
	return &Measured{Step: "one", Sidecars: 9, Median: 31 << 20, Min: 30 << 20, Max: 33 << 20}
}

// outputs are the forms of an explanation, and of a difference.
func outputs[T interface {
	Text(io.Writer, int) error
	Markdown(io.Writer, int) error
}](html func(io.Writer, T) error) []hostiletest.Output[T] {
	return []hostiletest.Output[T]{
		{Name: "text", Write: func(w io.Writer, v T) error { return v.Text(w, 5) }, Problems: hostiletest.Folded},
		{Name: "markdown", Write: func(w io.Writer, v T) error { return v.Markdown(w, 5) }, Problems: hostiletest.MarkdownLike},
		{Name: "html", Write: html, Problems: hostiletest.Page, Slow: true},
		hostiletest.Encoded[T](),
	}
}

// TestHostileExplanation: whatever a configuration names its parts, the names are text.
func TestHostileExplanation(t *testing.T) {
	m, a := model(t), attributed(t, "draining", true)
	build := func() *Explanation {
		e := Explain(a, m, Options{Of: "test in step one", Scope: egress(t, "./*"), Measured: measuredAtOne()})
		e.Calibration, e.Proxy.Pod, e.Proxy.Workload = calibrated(), "test-1", "test"
		e.Unknown, e.Warnings = append(e.Unknown, "the namespaces of 2 hosts"), append(e.Warnings, "endpoints: 1 is outside")
		for i := range e.Shared { // the lists are the configuration's
			e.Shared[i].Users, e.Shared[i].Names = slices.Clone(e.Shared[i].Users), slices.Clone(e.Shared[i].Names)
		}
		return e
	}
	// Helm values are made of two numbers.
	hostiletest.Run(t, build, hostiletest.Below(".Recommendation.Values", ".Scoped.Recommendation.Values"),
		outputs(func(w io.Writer, e *Explanation) error { return HTML(w, e.Of, e) })...)
}

// TestHostileDiff: so they are in what two configurations differ in.
func TestHostileDiff(t *testing.T) {
	m, a, b := model(t), attributed(t, "one-pod", true), attributed(t, "draining", true)
	build := func() *Diff {
		d := Compare(a, b, m, [2]Options{{Of: "a", Measured: measuredAtOne()}, {Of: "b"}})
		d.Calibration, d.Unknown, d.Memory[1].Warnings = calibrated(), append(d.Unknown, "rows of endpoints"), []string{"endpoints: 1 is outside"}
		return d
	}
	// What tells changes is a word of ours.
	own := hostiletest.Below(".Recommend.Values", ".Total.What", ".Own.What", ".Shared.What", ".Namespaces[].What", ".Services[].What", ".Kinds[].What")
	hostiletest.Run(t, build, own, outputs(func(w io.Writer, d *Diff) error { return d.HTML(w) })...)
}
