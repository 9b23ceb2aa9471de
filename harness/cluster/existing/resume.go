package existing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/patience"
)

var _ cluster.Adopter = (*provider)(nil)

// stands reports whether anything that the run has made is on the cluster: a namespace with its
// label, or the Istio that it installed, of which this machine's record tells.
func (p *provider) stands(ctx context.Context) (bool, error) {
	for _, name := range p.visit.Namespaces {
		found, err := p.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return false, fmt.Errorf("look for namespace %s: %w", name, err)
		case found.Labels[cluster.RunLabel] == p.visit.ID:
			return true, nil
		}
	}
	if p.visit.UseInstalled {
		return false, nil
	}
	path, err := recordPath(p.visit.ID)
	if err != nil {
		return false, err
	}
	if _, err := os.Stat(path); err != nil {
		return false, nil
	}
	planes, err := p.findMeshes(ctx)
	return len(planes) > 0, err
}

// recordPath is the file of a run's record.
func recordPath(id string) (string, error) {
	root, err := stateRoot()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, id+recordSuffix), nil
}

// Stands implements [cluster.Adopter].
func (p *provider) Stands(ctx context.Context, _ cluster.Spec, id string) (bool, error) {
	if _, err := p.reach(ctx); err != nil {
		return false, err
	}
	system, err := p.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err == nil && id != "" && string(system.UID) != id {
		return false, fmt.Errorf("context %s: %w", p.target, cluster.ErrOtherCluster)
	}
	return p.stands(ctx)
}

// Adopt implements [cluster.Adopter].
func (p *provider) Adopt(_ context.Context, _ cluster.Spec) (cluster.Cluster, func() error, error) {
	s, err := p.claim()
	if err != nil {
		return nil, nil, err
	}
	c, err := p.cluster(s)
	if err != nil {
		return nil, nil, errors.Join(err, s.release())
	}
	return c, s.release, nil
}

// claim takes the record of the run: a new one, or, where the run goes on, the one that it left.
func (p *provider) claim() (*state, error) {
	if !p.visit.Resumes {
		return claim(p.record())
	}
	path, err := recordPath(p.visit.ID)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return claim(p.record()) // it was removed, or lies on another machine
	}
	s, free, err := lock(path)
	if err == nil && !free {
		err = fmt.Errorf("run %s is on its way in another process", p.visit.ID)
	}
	return s, err
}

// Remove implements [cluster.Adopter].
func (p *provider) Remove(cluster.Spec) string { return "meshbench down --name " + p.visit.ID }

// record is that of the run.
func (p *provider) record() record {
	return record{
		ID: p.visit.ID, Created: time.Now(), Files: p.target.Files, Context: p.target.Context,
		Server: p.target.Config.Host, Namespaces: p.visit.Namespaces,
		InstallsMesh: !p.visit.UseInstalled,
	}
}

// cluster is the cluster during the run.
func (p *provider) cluster(s *state) (*Cluster, error) {
	// From here on the API server may be away for a while.
	waiting := patience.New(patience.Limit, p.note)
	target := *p.target
	target.Config = rest.CopyConfig(p.target.Config)
	target.Config.Wrap(waiting.Wrap)
	client, err := kube.New(target.Config)
	if err != nil {
		return nil, err
	}
	return &Cluster{
		target: &target, impatient: p.client, waiting: waiting, client: client,
		visit: p.visit, revision: p.chosen, status: p.status, note: p.note, state: s,
	}, nil
}
