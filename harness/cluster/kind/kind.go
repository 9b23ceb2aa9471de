// Package kind is the provider of clusters of real nodes, each a container on this
// machine, through the packages of sigs.k8s.io/kind: with docker, nerdctl or podman, as
// kind finds them. The program kind is not needed.
//
// kind's packages know no context.Context, and kind keeps no record of who made a
// cluster. So each of its long calls runs in a goroutine of its own, which is left behind
// when the context ends first; and each cluster of ours has a [Record], written before its
// first container exists and locked while its maker lives. A record that nobody holds, of
// a cluster that nobody kept, is what a crash left: [Sweep] deletes it and the cluster.
package kind

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"

	"github.com/meshbench/meshbench/harness/cluster"
)

// KeptName is the name of the one cluster that all runs with Options.Keep share.
const KeptName = "meshbench-kept"

// Options are what all clusters of a provider have in common.
type Options struct {
	// Config is the text of a kind configuration file; the module's kind-config.yaml when
	// nil.
	Config []byte
	// NodeImage replaces the configuration's node images; "" keeps them.
	NodeImage string
	// Archives are files with images, as `docker save` writes them, that every node is
	// given before anything is installed.
	Archives []string
	// Load names images of the container engine that every node is given likewise.
	Load []string
	// Moved, if set, says where an image is that is published elsewhere, both without tag.
	Moved func(image string) string
	// Images are the mesh's images, for Preflight, which adds those of the nodes, of
	// metrics-server and of Spec.Images.
	Images []string
	// Keep leaves a cluster standing that is deleted, under the name KeptName, and takes
	// the one that was left so, where it fits.
	Keep bool
	// Progress, if set, is told what is being done; each line replaces the one before.
	Progress func(line string)
	// Note, if set, is told what a reader should see.
	Note func(line string)
}

// New returns the provider. It looks for a container engine when it is used.
func New(options Options) cluster.Provider {
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	if options.Note == nil {
		options.Note = func(string) {}
	}
	if options.Moved == nil {
		options.Moved = func(image string) string { return image }
	}
	return &provider{Options: options, machine: host{}, registry: remotes{}, kinds: func(e engine) kinds {
		return newKinds(e, options.Progress)
	}}
}

type provider struct {
	Options
	machine  machine
	registry registry
	kinds    func(engine) kinds
}

// kinds is what is used of kind's *cluster.Provider.
type kinds interface {
	Create(name string, options ...kindcluster.CreateOption) error
	Delete(name, explicitKubeconfigPath string) error
	List() ([]string, error)
	ListInternalNodes(name string) ([]nodes.Node, error)
	ExportKubeConfig(name, explicitPath string, internal bool) error
	CollectLogs(name, dir string) error
}

func newKinds(e engine, progress func(string)) kinds {
	return kindcluster.NewProvider(kindcluster.ProviderWithLogger(logger{progress}), e.option())
}

// What lies in the folder of logs.
const (
	kubeconfigName = "kubeconfig"
	logsName       = "kind-logs"
)

// Create implements cluster.Provider. When it fails, the nodes' logs are in Spec.Dir.
func (p *provider) Create(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	if p.Keep {
		spec.Name = KeptName
	}
	c, err := p.create(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("make kind cluster %s: %w", spec.Name, err)
	}
	return c, nil
}

func (p *provider) create(ctx context.Context, spec cluster.Spec) (*Cluster, error) {
	config, err := p.config(spec)
	if err != nil {
		return nil, err
	}
	e, err := findEngine(ctx, p.machine)
	if err != nil {
		return nil, err
	}
	k := p.kinds(e)
	if err := sweep(ctx, func(engine) kinds { return k }); err != nil {
		return nil, err
	}
	state, before, err := claim(spec.Name)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		state: state, kinds: k, engine: e, keep: p.Keep || spec.Detached, progress: p.Progress,
		metricsServer: p.metricsServer(),
		record: Record{
			Name: spec.Name, Engine: e.binary, Created: time.Now(), Logs: spec.Dir,
			Kubeconfig: filepath.Join(spec.Dir, kubeconfigName),
			Shape:      shape(config), Workers: workers(config),
		},
	}
	if before == nil {
		err = p.make(ctx, c, config)
	} else {
		err = p.take(ctx, c, *before, config)
	}
	if err != nil {
		return nil, err
	}
	if err := p.finish(ctx, c, spec); err != nil {
		return nil, c.failed(ctx, err)
	}
	return c, nil
}

// take makes the cluster out of a kept one, or of new nodes where that does not fit.
func (p *provider) take(ctx context.Context, c *Cluster, before Record, config *config) error {
	if !p.Keep {
		return errors.Join(fmt.Errorf("there is already a cluster named %s: delete it with `meshbench down --name %[1]s`, or choose another name",
			before.Name), c.state.release())
	}
	why := "it has fewer workers than this run needs, or another configuration"
	if before.Shape == c.record.Shape && before.Workers >= c.record.Workers {
		p.Progress("cleaning the kept cluster")
		c.record.Created, c.record.Workers, c.record.Namespaces = before.Created, before.Workers, before.Namespaces
		err := inBackground(ctx, func() error { return c.kinds.ExportKubeConfig(before.Name, c.record.Kubeconfig, false) })
		if err == nil {
			err = c.connect()
		}
		if err == nil {
			err = c.reset(ctx)
		}
		if err == nil {
			p.Note(fmt.Sprintf("reusing kept cluster %s", before.Name))
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), c.state.release())
		}
		why = err.Error()
	}
	p.Note(fmt.Sprintf("recreating kept cluster %s: %s", before.Name, why))
	if err := c.deleteNodes(ctx); err != nil {
		return errors.Join(err, c.state.release())
	}
	return p.make(ctx, c, config)
}

// make makes the nodes, with Kubernetes on them. What is half made is removed on error.
func (p *provider) make(ctx context.Context, c *Cluster, config *config) error {
	name := c.record.Name
	there, err := c.kinds.List()
	if err != nil {
		return errors.Join(fmt.Errorf("list kind's clusters: %w", explain(err)), c.state.drop())
	}
	if slices.Contains(there, name) {
		return errors.Join(foreign(name), c.state.drop())
	}
	if err := c.state.write(c.record); err != nil {
		return errors.Join(err, c.state.drop())
	}
	done := make(chan error, 1)
	go func() {
		done <- c.kinds.Create(name,
			kindcluster.CreateWithV1Alpha4Config(config),
			kindcluster.CreateWithKubeconfigPath(c.record.Kubeconfig),
			// What failed is kept for its logs, and deleted from here.
			kindcluster.CreateWithRetain(true),
		)
	}()
	select {
	case err := <-done:
		if err != nil {
			return c.failed(ctx, explain(err))
		}
		return nil
	case <-ctx.Done():
		return c.abandon(ctx, done)
	}
}

// deleteLimit is how long the deletion of half a cluster may take. A whole one takes a few
// seconds.
const deleteLimit = time.Minute

// abandon ends kind's work on a cluster, of which done tells the end: nodes that are taken
// away under its hands make it fail soon, and what it makes meanwhile is taken away, too.
func (c *Cluster) abandon(ctx context.Context, done <-chan error) error {
	cause := context.Cause(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteLimit)
	defer cancel()
	for {
		err := c.deleteNodes(ctx)
		select {
		case <-done:
			return errors.Join(cause, c.remove(ctx))
		case <-ctx.Done():
			return errors.Join(cause, err, c.state.release(), fmt.Errorf(
				"cluster %s is still being made by kind: remove it with `meshbench down` in a minute", c.record.Name))
		case <-time.After(time.Second):
		}
	}
}

// failed exports the nodes' logs, unless the failure is that ctx is over, and removes the
// cluster.
func (c *Cluster) failed(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		err = errors.Join(err, c.ExportLogs(ctx))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteLimit)
	defer cancel()
	return errors.Join(err, c.remove(ctx))
}

const (
	nodesLimit = 3 * time.Minute
	// metrics-server takes two of its intervals for a first reading.
	metricsLimit = 3 * time.Minute
)

// finish gives nodes with Kubernetes what a run needs: images, node groups, metrics.
func (p *provider) finish(ctx context.Context, c *Cluster, spec cluster.Spec) error {
	if err := c.connect(); err != nil {
		return err
	}
	if err := p.load(ctx, c); err != nil {
		return err
	}
	if err := c.SetNodes(ctx, spec.Nodes); err != nil {
		return err
	}
	p.Progress("waiting for the metrics API")
	if err := c.installMetrics(ctx); err != nil {
		return err
	}
	if err := until(ctx, metricsLimit, c.metricsServe); err != nil {
		return err
	}
	return c.settleRecord(ctx)
}

// foreign refuses a cluster that somebody else made.
func foreign(name string) error {
	return fmt.Errorf("there is a kind cluster named %s that meshbench did not make: take another name, or delete it with `kind delete cluster --name %[1]s`", name)
}

// inBackground calls f, which knows no context, and waits for it no longer than ctx.
func inBackground(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// until asks check every half second until it returns nil; when that takes longer than
// limit, the error is check's last.
func until(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; {
		err := check(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Now().After(deadline):
			return fmt.Errorf("%w, after %s", err, limit)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// explain adds the last lines of what a command of kind's said to its error, which has only
// the exit code.
func explain(err error) error {
	failed := exec.RunErrorForError(err)
	if failed == nil || len(failed.Output) == 0 {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(failed.Output)), "\n")
	return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-10):], "\n"))
}
