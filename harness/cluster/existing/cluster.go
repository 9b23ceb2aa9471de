package existing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/kubeconfig"
	"github.com/meshbench/meshbench/harness/kube/patience"
	"github.com/meshbench/meshbench/observations"
)

// Create implements [cluster.Provider]. The cluster is there, so nothing is made on it: only
// this machine notes that a run is on its way.
func (p *provider) Create(ctx context.Context, _ cluster.Spec) (cluster.Cluster, error) {
	p.status("reaching the cluster")
	if _, err := p.reach(ctx); err != nil {
		return nil, err
	}
	s, err := p.claim()
	if err != nil {
		return nil, err
	}
	c, err := p.cluster(s)
	if err != nil {
		return nil, errors.Join(err, s.drop())
	}
	return c, nil
}

// Cluster is somebody's cluster during one run.
type Cluster struct {
	target *kubeconfig.Target
	client kubernetes.Interface
	visit  cluster.Visit
	// revision is that of the mesh that is measured as it is; "" for one that is installed.
	revision     string
	status, note func(string)
	// waiting lets the requests of client wait; those of impatient, which may be nil, do not.
	waiting   *patience.Patience
	impatient kubernetes.Interface

	mu    sync.Mutex
	state *state // nil once given up
}

var (
	_ cluster.Cluster = (*Cluster)(nil)
	_ cluster.Shared  = (*Cluster)(nil)
	_ cluster.Fixed   = (*Cluster)(nil)
	_ cluster.Patient = (*Cluster)(nil)
	_ cluster.Failer  = (*Cluster)(nil)
)

// Outages implements [cluster.Patient].
func (c *Cluster) Outages() []patience.Outage { return c.waiting.Outages() }

// Waits implements [cluster.Patient].
func (c *Cluster) Waits() bool { return c.waiting.Waits() }

// Failure implements [cluster.Failer]: the API server is away for good, or does not accept the
// credentials any more.
func (c *Cluster) Failure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kubeconfig.ReachLimit)
	defer cancel()
	if _, err := serverVersion(ctx, c.impatient); err != nil {
		return errors.Join(c.target.CheckCredentials(time.Now()), c.target.Explain(err, max(kubeconfig.ReachLimit, c.waiting.Away())))
	}
	return nil
}

// RESTConfig implements [cluster.Cluster].
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.target.Config) }

// Kubeconfig implements [cluster.Cluster]: the first of the kubeconfig's files; "" inside a
// pod.
func (c *Cluster) Kubeconfig() string {
	if len(c.target.Files) == 0 {
		return ""
	}
	return c.target.Files[0]
}

// SetNodes implements [cluster.Cluster]: the nodes are somebody else's.
func (c *Cluster) SetNodes(context.Context, []cluster.NodeGroup) error { return cluster.ErrFixedNodes }

// Revision implements [cluster.Shared].
func (c *Cluster) Revision() string { return c.revision }

// FixedNodes implements [cluster.Fixed].
func (c *Cluster) FixedNodes() string { return cluster.ErrFixedNodes.Error() }

// Facts implements [cluster.Cluster].
func (c *Cluster) Facts(ctx context.Context) (observations.Cluster, error) {
	version, err := serverVersion(ctx, c.client)
	if err != nil {
		return observations.Cluster{}, c.target.Explain(err, kubeconfig.ReachLimit)
	}
	found, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return observations.Cluster{}, fmt.Errorf("list the nodes: %w", err)
	}
	groups, err := apiGroups(ctx, c.client)
	if err != nil {
		return observations.Cluster{}, err
	}
	facts := observations.Cluster{
		Provider: sourceName, Kubernetes: version.GitVersion,
		MemorySource: "kubelet", LimitsEnforcedBy: "kubelet", RealPerDeployment: -1,
		NodeTypes: map[string]int{},
	}
	if service := detect(version.GitVersion, found.Items, groups); service != nil {
		facts.Service = service.name
	}
	if leftUp(found.Items) {
		facts.Simulated = []string{"machines and application containers: the cluster was left by meshbench up"}
	}
	for _, n := range kube.Machines(found.Items) {
		facts.NodeTypes[cmp.Or(n.Labels[cluster.InstanceTypeLabel], "unknown")]++
	}
	return facts, nil
}

// Costs implements [cluster.Cluster]. What the control plane costs is not known: its
// processes are somebody else's.
func (c *Cluster) Costs(context.Context) (cluster.Costs, error) { return cluster.Costs{}, nil }

// Delete implements [cluster.Cluster]: it deletes the run's namespaces, which have its label,
// and then the Istio that was installed for it, and returns when they are gone. When ctx ends
// before that, the cluster goes on, and the run's record stays for `meshbench down`.
func (c *Cluster) Delete(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil
	}
	err := deleteNamespaces(ctx, c.client, c.visit.ID, c.visit.Namespaces, c.status)
	if err == nil && !c.visit.UseInstalled {
		var kept []string
		kept, err = removeMesh(ctx, c.target.Config, c.status)
		for _, what := range kept {
			c.note(what)
		}
	}
	if err != nil {
		err = errors.Join(err, c.state.release())
		c.state = nil
		return fmt.Errorf("%w\nSee what is left with `kubectl get namespaces -l %s=%s`, and remove it with `meshbench down --name %s`", err, cluster.RunLabel, c.visit.ID, c.visit.ID)
	}
	err = c.state.drop()
	c.state = nil
	return err
}

// deleteNamespaces deletes those of the namespaces that have the run's label, and returns
// when they are gone. One of the name without the label is somebody else's and stays.
func deleteNamespaces(ctx context.Context, client kubernetes.Interface, id string, names []string, status func(string)) error {
	namespaces := client.CoreV1().Namespaces()
	var errs []error
	for _, name := range names {
		found, err := namespaces.Get(ctx, name, metav1.GetOptions{})
		if err == nil && found.Labels[cluster.RunLabel] == id && found.DeletionTimestamp == nil {
			// Of that very one: it may be replaced by somebody's meanwhile.
			err = namespaces.Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(found.UID))})
		}
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("delete namespace %s: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return kube.Until(ctx, kube.PollEvery, func(ctx context.Context) (bool, string, error) {
		var left []string
		for _, name := range names {
			found, err := namespaces.Get(ctx, name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
			case err != nil:
				return false, "", fmt.Errorf("look whether namespace %s is gone: %w", name, err)
			case found.Labels[cluster.RunLabel] == id:
				left = append(left, name)
			}
		}
		if len(left) == 0 {
			return true, "", nil
		}
		waiting := "namespaces to be gone: " + strings.Join(left, ", ")
		status(waiting)
		return false, waiting, nil
	})
}
