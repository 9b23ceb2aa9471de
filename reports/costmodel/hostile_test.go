package costmodel

import (
	"io"
	"testing"

	"github.com/meshbench/meshbench/instances"
	"github.com/meshbench/meshbench/reports/hostiletest"
)

// TestHostileModel: a model may be a file of somebody's. Its names are text, and so are those in
// what it answers. Words that are looked up are lost where they are made hostile, with their lines.
func TestHostileModel(t *testing.T) {
	model := func() *Model {
		m, err := Default()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	hostiletest.Run(t, model, hostiletest.Nothing, hostiletest.Output[*Model]{
		Name: "text", Write: func(w io.Writer, m *Model) error { return m.Print(w) }, Problems: hostiletest.Folded,
	})
	answer := func() *Answer {
		a, err := model().Predict(Question{Mesh: Mesh{Own: port(80, Detected)}, Proxies: 28, Pods: 40, Services: 10, Machines: []instances.Type{{Name: "m6i.large", CPUs: 2, Memory: 8 << 30}}})
		if err != nil {
			t.Fatal(err)
		}
		a.Sidecar.Warnings = []string{"endpoints: 1 is outside"}
		return &a
	}
	// Helm values are made of two numbers.
	hostiletest.Run(t, answer, hostiletest.Below(".Recommendation.Values"), hostiletest.Output[*Answer]{
		Name: "text", Write: func(w io.Writer, a *Answer) error { return a.Print(w) }, Problems: hostiletest.Folded,
	}, hostiletest.Encoded[*Answer]())
}
