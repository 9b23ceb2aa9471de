package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
)

var _ cluster.Adopter = (*provider)(nil)

// Stands implements [cluster.Adopter]. Of clusters that are not kept nothing stands: the next
// one that is made sweeps them away.
func (p *provider) Stands(ctx context.Context, spec cluster.Spec, id string) (bool, error) {
	if !p.Keep || id == "" {
		return false, nil
	}
	root, err := stateRoot()
	if err != nil {
		return false, err
	}
	before, err := readRecord(filepath.Join(root, KeptName+recordSuffix))
	if errors.Is(err, os.ErrNotExist) || err == nil && !before.Kept {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "meshbench-kind-")
	if err != nil {
		return false, fmt.Errorf("make a folder for a kubeconfig: %w", err)
	}
	defer os.RemoveAll(dir)
	c, err := p.attached(ctx, before, filepath.Join(dir, kubeconfigName))
	if err != nil {
		return false, nil // its containers are gone; making it again says why they cannot be made
	}
	system, err := c.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	return err == nil && string(system.UID) == id, nil
}

// attached is the cluster of a record, with a kubeconfig of its own.
func (p *provider) attached(ctx context.Context, r Record, kubeconfig string) (*Cluster, error) {
	e, err := findEngine(ctx, p.machine)
	if err != nil {
		return nil, err
	}
	r.Kubeconfig = kubeconfig
	c := &Cluster{kinds: p.kinds(e), engine: e, keep: true, progress: p.Progress, record: r}
	if err := inBackground(ctx, func() error { return c.kinds.ExportKubeConfig(r.Name, kubeconfig, false) }); err != nil {
		return nil, fmt.Errorf("reach kind cluster %s: %w", r.Name, explain(err))
	}
	return c, c.connect()
}

// Adopt implements [cluster.Adopter].
func (p *provider) Adopt(ctx context.Context, spec cluster.Spec) (cluster.Cluster, func() error, error) {
	s, before, err := claim(KeptName)
	if err != nil {
		return nil, nil, err
	}
	if before == nil {
		return nil, nil, errors.Join(fmt.Errorf("kind cluster %s is gone", KeptName), s.drop())
	}
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make the folder for the cluster's logs: %w", err), s.release())
	}
	before.Logs = spec.Dir
	c, err := p.attached(ctx, *before, filepath.Join(spec.Dir, kubeconfigName))
	if err != nil {
		return nil, nil, errors.Join(err, s.release())
	}
	c.state = s
	release := func() error { return errors.Join(s.release(), os.RemoveAll(spec.Dir)) }
	return c, release, nil
}

// Remove implements [cluster.Adopter].
func (p *provider) Remove(cluster.Spec) string { return "meshbench down --name " + KeptName }
