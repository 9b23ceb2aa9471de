package actions

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

// recorded is a Recorder that keeps what it is given.
type recorded []observations.Record

func (r *recorded) Append(record observations.Record) error {
	*r = append(*r, record)
	return nil
}

// TestUpgrade: the log says what the mesh is from then on, and nothing of an upgrade that
// did not come about.
func TestUpgrade(t *testing.T) {
	var log recorded
	on := &On{Recorder: &log}
	do := func() error { return Do(t.Context(), on, &scenarios.Upgrade{Istio: "1.23.2"}) }

	g := NewWithT(t)
	g.Expect(do()).To(MatchError(ContainSubstring("upgrade Istio to 1.23.2: cannot upgrade: meshbench did not install this mesh")))
	on.Upgrade = func(to *scenarios.Upgrade) (Upgrader, error) {
		return upgraded{mesh: observations.Mesh{Istio: to.Istio, XDS: "delta"}, err: errors.New("no istiod")}, nil
	}
	g.Expect(do()).To(MatchError("upgrade Istio to 1.23.2: no istiod"))
	g.Expect(log).To(BeEmpty())
	on.Upgrade = func(to *scenarios.Upgrade) (Upgrader, error) {
		return upgraded{mesh: observations.Mesh{Istio: to.Istio, XDS: "delta"}}, nil
	}
	g.Expect(do()).To(Succeed())
	g.Expect(log).To(ConsistOf(And(HaveField("Event.Kind", "upgrade"), HaveField("Event.Level", "info"),
		HaveField("Event.Message", HavePrefix("Istio is 1.23.2 from here on (xDS of new sidecars: delta)")))))
}
