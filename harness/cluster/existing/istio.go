package existing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/mesh"
)

// Of a control plane without a name of its own.
const (
	revisionLabel   = "istio.io/rev"
	defaultRevision = "default"
)

// found is a control plane of Istio on the cluster.
type found struct {
	// Revision is its name, default for one without; Version is that which istiod runs, "" where
	// nothing tells; Namespace is where istiod is.
	Revision, Version, Namespace string
	// tags are its further names, separated by spaces.
	tags string
}

func (f found) String() string {
	return fmt.Sprintf("Istio %s (revision %s, namespace %s)", cmp.Or(f.Version, "of unknown version"), f.Revision, f.Namespace)
}

// named tells whether a revision or a tag is this one's.
func (f found) named(name string) bool {
	return f.Revision == name || slices.Contains(strings.Fields(f.tags), name)
}

// findMeshes lists the control planes on the cluster, as [mesh.Installed] finds them.
func (p *provider) findMeshes(ctx context.Context) ([]found, error) {
	planes, err := mesh.Installed(ctx, p.target.Config)
	if err != nil {
		return nil, err
	}
	var all []found
	for _, c := range planes {
		all = append(all, found{c.Revision, strings.Join(c.Versions, " and "), c.Namespace, strings.Join(c.Tags, " ")})
	}
	return all, nil
}

// checkMesh holds what Istio is there against what was asked for: one that is to be measured
// must be, and one that is to be installed must not. It returns the former.
func (p *provider) checkMesh(ctx context.Context) (*found, error) {
	all, err := p.findMeshes(ctx)
	if err != nil {
		if denied(err) {
			return nil, nil // whether there is one is not known; the missing right is said
		}
		return nil, err
	}
	chosen, err := chooseMesh(all, p.visit, p.revision)
	if chosen != nil {
		p.visit.MeshNamespace = chosen.Namespace
	}
	return chosen, err
}

// chooseMesh is checkMesh for the control planes that are there.
func chooseMesh(all []found, visit cluster.Visit, revision string) (*found, error) {
	var names, revisions []string
	for _, f := range all {
		names = append(names, f.String())
		revisions = append(revisions, f.Revision)
	}
	switch {
	case !visit.UseInstalled && len(all) == 0:
		return nil, nil
	case visit.ReadOnly && len(all) == 0:
		return nil, errors.New("no Istio is installed, so there is no mesh to measure")
	case !visit.UseInstalled:
		return nil, fmt.Errorf("%s is installed already, and a second one would change it: measure it with --use-installed-istio, or take a cluster without", strings.Join(names, ", "))
	case len(all) == 0:
		return nil, errors.New("--use-installed-istio: no Istio is installed: leave the flag out to have one installed for the run, and removed")
	case revision == "" && len(all) > 1:
		return nil, fmt.Errorf("there are several control planes of Istio: choose one with --revision (%s)", strings.Join(revisions, ", "))
	}
	for i, f := range all {
		if revision == "" || f.named(revision) {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("--revision %s: there is no such control plane of Istio: choose one of %s", revision, strings.Join(revisions, ", "))
}
