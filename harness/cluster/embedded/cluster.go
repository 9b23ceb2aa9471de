package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/baseline"
	"github.com/meshbench/meshbench/harness/cluster/embedded/controlplane"
	"github.com/meshbench/meshbench/harness/cluster/embedded/pulse"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/observations"
)

// Cluster is a running embedded cluster. It implements cluster.Cluster.
type Cluster struct {
	record Record
	dir    string // state folder
	client *sandbox.Client
	config *rest.Config
	pods   int // of its baseline in kube-system, with the nodes that it was made with

	// kill ends the sandbox's first process, and so all, hard.
	kill func() error
	// exited is closed when the sandbox has ended.
	exited <-chan struct{}
	// deleting is set by Delete: an end is no failure from then on.
	deleting atomic.Bool

	// Only with the cluster's maker:
	lifeline *os.File      // ends the sandbox when closed; nil once it was let go
	locked   *os.File      // the state folder
	heard    chan struct{} // closed when the sandbox can say no more
	failing  sync.Once
	failed   chan struct{} // closed when the cluster fails by itself; nil with an attached one
	cause    error         // why, once failed
}

// Attach returns a living cluster of the calling user that was made by another
// command. The error is [cluster.ErrNoCluster] when nobody made it; it says so when the
// cluster is being made right now.
func Attach(name string) (*Cluster, error) {
	root, err := stateRoot()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, name)
	if !alive(dir) {
		records, err := List()
		names := []string{}
		for _, record := range records {
			names = append(names, record.Name)
		}
		return nil, errors.Join(fmt.Errorf("%w named %s; there are %q", cluster.ErrNoCluster, name, names), err)
	}
	record, err := readRecord(dir)
	if err != nil {
		return nil, fmt.Errorf("cluster %s is being made or removed right now: %w", name, err)
	}
	c := &Cluster{record: record, dir: dir, client: sandbox.NewClient(dir)}
	if err := c.find(); err != nil {
		return nil, fmt.Errorf("find the process of cluster %s: %w", name, err)
	}
	// A cluster that is not ready can be deleted all the same.
	_ = c.connect()
	return c, nil
}

// find finds the sandbox's first process, surely that and no later one of its number:
// a descriptor stays with the process that it was opened on.
func (c *Cluster) find() error {
	fd, err := unix.PidfdOpen(c.record.PID, 0)
	if err != nil {
		return err
	}
	if start, err := startTime(c.record.PID); err != nil || start != c.record.Start {
		unix.Close(fd)
		return errors.Join(os.ErrProcessDone, err)
	}
	c.kill = func() error { return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) }
	exited := make(chan struct{})
	c.exited = exited
	go func() {
		defer close(exited)
		// Readable once the process has ended (pidfd_open(2)).
		for {
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return nil
}

// connect reads the kubeconfig.
func (c *Cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.record.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	if c.record.Socket {
		if config, err = overSocket(config, c.dir); err != nil {
			return err
		}
		// Nobody else has a use for the keys.
		if err := os.Remove(c.record.Kubeconfig); err != nil {
			return fmt.Errorf("remove the cluster's kubeconfig: %w", err)
		}
	}
	c.config = config
	return nil
}

// Record is what is known about the cluster from outside.
func (c *Cluster) Record() Record { return c.record }

// RESTConfig implements cluster.Cluster.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig implements cluster.Cluster.
func (c *Cluster) Kubeconfig() string { return c.record.Kubeconfig }

// baselineTimeout bounds the wait for the system pods and the metrics API.
const baselineTimeout = 3 * time.Minute

// Finish implements cluster.Finisher: metrics-server takes some five seconds to start and to
// be found available.
func (c *Cluster) Finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, baselineTimeout,
		fmt.Errorf("not ready after %v; see the logs in %s", baselineTimeout, c.record.Logs))
	defer cancel()
	return c.explain(baseline.Wait(ctx, c.config, c.pods))
}

// SetNodes implements cluster.Cluster.
func (c *Cluster) SetNodes(ctx context.Context, groups []cluster.NodeGroup) error {
	return c.explain(c.client.SetNodes(ctx, groups))
}

// Facts implements cluster.Cluster.
func (c *Cluster) Facts(ctx context.Context) (observations.Cluster, error) {
	facts, err := c.client.Facts(ctx)
	return facts, c.explain(err)
}

// Costs implements cluster.Cluster. The nodes are the sandbox's own process.
func (c *Cluster) Costs(ctx context.Context) (cluster.Costs, error) {
	costs, err := c.client.Costs(ctx)
	if err != nil {
		return cluster.Costs{}, c.explain(err)
	}
	return cluster.Costs{ControlPlane: costs.ControlPlane, Nodes: &costs.Sandbox}, nil
}

// Whole implements cluster.Wholer.
func (c *Cluster) Whole(ctx context.Context) error { return c.explain(c.client.Whole(ctx)) }

// guard fails the cluster when the sandbox's first process is stopped, which is in it all that
// would notice anything. It returns at the sandbox's end.
func (c *Cluster) guard() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-c.exited
		cancel()
	}()
	watch := &pulse.Watch{
		PIDs: func() []int { return []int{c.record.PID} },
		Owner: func(int) (name, log string, ok bool) {
			return "the sandbox of cluster " + c.record.Name, filepath.Join(c.record.Logs, sandboxLog), true
		},
		Tail: controlplane.Tail,
	}
	if err := watch.Run(ctx); err != nil {
		c.fail(err)
	}
}

// explain gives an error of a dead sandbox its cause.
func (c *Cluster) explain(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-c.exited:
		return errors.Join(err, c.failure())
	default:
		return err
	}
}

// fail notes why the cluster fails; the first reason counts, and none does after Delete.
func (c *Cluster) fail(err error) {
	if c.deleting.Load() {
		return
	}
	c.failing.Do(func() {
		c.cause = err
		close(c.failed)
	})
}

// failure is why the cluster failed by itself, as far as that is known by now.
func (c *Cluster) failure() error {
	select {
	case <-c.failed:
		return c.cause
	default:
		return nil
	}
}

// Bounds of Failure.
const (
	readyTimeout = 2 * time.Second // for the API server's answer
	failureGrace = 5 * time.Second // for word from the sandbox when there is none
)

// Failure implements cluster.Failer. When the API server does not answer it waits a few
// seconds for the sandbox's word on why.
func (c *Cluster) Failure(ctx context.Context) error {
	if err := c.failure(); err != nil || c.failed == nil || c.serves(ctx) {
		return err
	}
	select {
	case <-c.failed:
	case <-ctx.Done():
	case <-time.After(failureGrace):
	}
	return c.failure()
}

// serves reports whether the API server calls itself ready.
func (c *Cluster) serves(ctx context.Context) bool {
	config := c.RESTConfig()
	config.Timeout = readyTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return false
	}
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
}

// endTimeout is how long a sandbox gets to clear away before it is killed.
const endTimeout = 15 * time.Second

// Delete implements cluster.Cluster. The sandbox clears away by itself; when it has not
// after 15 seconds, or when ctx is done, it is killed and what it left is removed from
// here. So a ctx that is done makes the hard end.
func (c *Cluster) Delete(ctx context.Context) error {
	c.deleting.Store(true)
	soft, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if c.lifeline != nil {
		c.lifeline.Close()
	} else if err := c.client.Shutdown(soft); err != nil {
		cancel() // it does not listen
	}
	select {
	case <-c.exited:
	case <-soft.Done():
		if err := c.kill(); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill the sandbox of cluster %s: %w", c.record.Name, err)
		}
		<-c.exited
	}
	return c.clear()
}

// clear removes what a sandbox leaves that was killed.
func (c *Cluster) clear() error {
	locked := c.locked
	if locked == nil {
		var err error
		if locked, err = lock(c.dir); err != nil {
			locked = nil // removed, or already another cluster's
		}
	}
	var errs []error
	if locked != nil {
		errs = append(errs, removeState(c.dir, locked))
		c.locked = nil
	}
	errs = append(errs, runtime.SweepCgroups())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what cluster %s left: %w", c.record.Name, err)
	}
	return nil
}
