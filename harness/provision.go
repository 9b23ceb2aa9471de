package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
)

// Mesh installs a mesh on a cluster.
type Mesh interface {
	Install(ctx context.Context) (observations.Mesh, error)
}

// Knative installs Knative Serving on a cluster, or finds it there.
type Knative interface {
	Install(ctx context.Context) (observations.Knative, error)
}

// Provisioning is what a cluster with a mesh is made with.
type Provisioning struct {
	Provider cluster.Provider
	// Mesh makes the installer for the cluster that cfg leads to; nil for clusters without.
	Mesh func(cfg *rest.Config) (Mesh, error)
	// Knative makes the installer of Knative Serving; nil for clusters without.
	Knative  func(cfg *rest.Config) (Knative, error)
	Progress Progress
	// Stopwatch has timed the phases that Progress is told, and what providers and
	// installers say of themselves; nil where nobody has.
	Stopwatch *Stopwatch
}

// Provisioned is a cluster with a mesh.
type Provisioned struct {
	Cluster cluster.Cluster
	Mesh    observations.Mesh
	// Knative is nil on clusters without.
	Knative *observations.Knative
	// Injection is the label, key and value, of namespaces whose pods a mesh that was there
	// before gives sidecars; empty for one that was installed.
	Injection [2]string
	// Differences say in what such a mesh differs from what was asked for.
	Differences []string

	adopted bool // it stood already, with what an interrupted run had made on it
}

// found is a Mesh that was there before.
type found interface {
	Mesh
	// InjectionLabel is the label of namespaces whose pods get sidecars from it.
	InjectionLabel() (key, value string)
	// Differences says in what it differs from what was asked for, a sentence each.
	Differences() []string
}

// Provision makes a cluster with a mesh on it, and Knative Serving where it is asked for.
// On error what was made is taken down again. The caller takes down what is returned
// ([Provisioning.TakeDown]), unless it is to stay.
func (p Provisioning) Provision(ctx context.Context, spec cluster.Spec) (*Provisioned, error) {
	p.Progress.Phase("cluster")
	c, err := p.Provider.Create(ctx, spec)
	if err != nil {
		return nil, err // it names the cluster
	}
	made := &Provisioned{Cluster: c}
	if err := p.install(ctx, made); err != nil {
		return nil, p.TakeDown(ctx, c, err)
	}
	return made, nil
}

// install puts onto the cluster what runs there before the first step.
func (p Provisioning) install(ctx context.Context, on *Provisioned) error {
	if err := p.installMesh(ctx, on); err != nil {
		return err
	}
	if err := p.installKnative(ctx, on); err != nil {
		return err
	}
	if starting, ok := on.Cluster.(cluster.Finisher); ok {
		p.Progress.Status("waiting for the rest of the cluster")
		if err := starting.Finish(ctx); err != nil {
			return fmt.Errorf("finish the cluster: %w", err)
		}
	}
	return nil
}

// installMesh installs the mesh where it is asked for.
func (p Provisioning) installMesh(ctx context.Context, on *Provisioned) error {
	if p.Mesh == nil {
		return nil
	}
	p.Progress.Phase("mesh")
	mesh, err := p.Mesh(on.Cluster.RESTConfig())
	if err != nil {
		return fmt.Errorf("prepare the mesh: %w", err)
	}
	if on.Mesh, err = mesh.Install(ctx); err != nil {
		return fmt.Errorf("install the mesh: %w", err)
	}
	if there, ok := mesh.(found); ok {
		on.Injection[0], on.Injection[1] = there.InjectionLabel()
		on.Differences = there.Differences()
		for _, text := range on.Differences {
			p.Progress.Note("%s", text)
		}
	}
	return nil
}

// installKnative installs Knative Serving where it is asked for.
func (p Provisioning) installKnative(ctx context.Context, on *Provisioned) error {
	if p.Knative == nil {
		return nil
	}
	p.Progress.Phase("knative")
	serving, err := p.Knative(on.Cluster.RESTConfig())
	if err != nil {
		return fmt.Errorf("prepare Knative Serving: %w", err)
	}
	installed, err := serving.Install(ctx)
	if err != nil {
		return fmt.Errorf("install Knative Serving: %w", err)
	}
	on.Knative = &installed
	return nil
}

// takeDownLimit is for each part of it. On somebody's cluster a whole mesh is removed, and
// namespaces go as fast as their pods end.
const takeDownLimit = 5 * time.Minute

// TakeDown deletes a cluster and returns err, why that is done, with its cause where the
// cluster failed by itself, and with what went wrong in taking down; nil is a good end.
// After a failure the cluster's logs are saved first. It works with a ctx that is done.
func (p Provisioning) TakeDown(ctx context.Context, c cluster.Cluster, err error) error {
	err = cluster.Explain(ctx, c, err)
	p.Progress.Phase("clean-up")
	// Taking down must not be cut short by what ended the work.
	after := func(limit time.Duration) (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.WithoutCancel(ctx), limit)
	}
	// What failed may be looked into afterwards; what somebody stopped is not.
	if exporter, ok := c.(cluster.LogExporter); ok && err != nil && !errors.Is(context.Cause(ctx), ErrInterrupted) {
		ctx, cancel := after(takeDownLimit)
		defer cancel()
		err = errors.Join(err, exporter.ExportLogs(ctx))
	}
	limit := takeDownLimit
	if slow, ok := c.(cluster.SlowToDelete); ok {
		limit = slow.DeleteLimit()
	}
	ctx, cancel := after(limit)
	defer cancel()
	if e := c.Delete(ctx); e != nil {
		err = errors.Join(err, fmt.Errorf("delete the cluster: %w", e))
	}
	return err
}
