package harness

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// upgraded is an Upgrader that only says what it was.
type upgraded struct {
	mesh observations.Mesh
	err  error
}

func (u upgraded) Upgrade(context.Context) (observations.Mesh, error) { return u.mesh, u.err }

// TestUpgrade: the log says what the mesh is from then on, and nothing of an upgrade that
// did not come about.
func TestUpgrade(t *testing.T) {
	var events []observations.Event
	a := &actor{record: func(r observations.Record) error {
		events = append(events, *r.Event)
		return nil
	}}
	do := func() error { return a.do(t.Context(), &scenarios.Upgrade{Istio: "1.23.2"}) }

	g := NewWithT(t)
	g.Expect(do()).To(MatchError(ContainSubstring("upgrade Istio to 1.23.2: this mesh was installed by somebody else")))
	a.upgrader = func(to *scenarios.Upgrade) (Upgrader, error) {
		return upgraded{mesh: observations.Mesh{Istio: to.Istio, XDS: "delta"}, err: errors.New("no istiod")}, nil
	}
	g.Expect(do()).To(MatchError("upgrade Istio to 1.23.2: no istiod"))
	g.Expect(events).To(BeEmpty())
	a.upgrader = func(to *scenarios.Upgrade) (Upgrader, error) {
		return upgraded{mesh: observations.Mesh{Istio: to.Istio, XDS: "delta"}}, nil
	}
	g.Expect(do()).To(Succeed())
	g.Expect(events).To(ConsistOf(And(HaveField("Kind", "upgrade"), HaveField("Level", "info"),
		HaveField("Message", HavePrefix("Istio is 1.23.2 from here on (xDS of new sidecars: delta)")))))
}
