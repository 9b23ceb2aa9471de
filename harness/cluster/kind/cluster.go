package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/patience"
	"github.com/meshbench/meshbench/observations"
)

// Cluster is a kind cluster of ours.
type Cluster struct {
	kinds    kinds
	engine   engine
	record   Record
	progress func(string)
	// metricsServer is the image of a metrics-server that is to be installed.
	metricsServer string
	// keep makes Delete leave the cluster standing.
	keep bool

	config  *rest.Config
	client  kubernetes.Interface
	objects dynamic.Interface
	waiting *patience.Patience // of a run's requests, not of those that make the cluster

	mu    sync.Mutex
	state *state // nil once given up
}

var (
	_ cluster.Cluster = (*Cluster)(nil)
	_ cluster.Patient = (*Cluster)(nil)
)

// connect reads the kubeconfig that kind has written.
func (c *Cluster) connect() (err error) {
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.record.Kubeconfig); err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		return fmt.Errorf("make a client for the cluster: %w", err)
	}
	if c.objects, err = dynamic.NewForConfig(c.config); err != nil {
		return fmt.Errorf("make a client for the cluster: %w", err)
	}
	c.waiting = patience.New(patience.Limit, c.progress)
	return nil
}

// RESTConfig implements cluster.Cluster.
func (c *Cluster) RESTConfig() *rest.Config {
	config := rest.CopyConfig(c.config)
	if c.waiting != nil {
		config.Wrap(c.waiting.Wrap)
	}
	return config
}

// Outages implements [cluster.Patient].
func (c *Cluster) Outages() []patience.Outage { return c.waiting.Outages() }

// Waits implements [cluster.Patient].
func (c *Cluster) Waits() bool { return c.waiting.Waits() }

// Kubeconfig implements cluster.Cluster. The file is in the folder of logs; the user's own
// is not touched.
func (c *Cluster) Kubeconfig() string { return c.record.Kubeconfig }

// Delete implements cluster.Cluster. A cluster that is kept is only let go of. kind goes on
// deleting when ctx ends first; the record then stays, for `meshbench down`.
func (c *Cluster) Delete(ctx context.Context) error {
	if !c.keep {
		return c.remove(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil
	}
	err := c.state.release()
	c.state = nil
	return err
}

// remove deletes the cluster and its record.
func (c *Cluster) remove(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil
	}
	if err := c.deleteNodes(ctx); err != nil {
		return errors.Join(err, c.state.release())
	}
	err := c.state.drop()
	c.state = nil
	if e := os.Remove(c.record.Kubeconfig); !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, e) // it is worth nothing any more, and looks like a secret
	}
	return err
}

// deleteNodes deletes the containers. Twice, because a container that was being made when
// its maker was killed may come after the list of them.
func (c *Cluster) deleteNodes(ctx context.Context) error {
	for range 2 {
		err := inBackground(ctx, func() error { return c.kinds.Delete(c.record.Name, c.record.Kubeconfig) })
		if err != nil {
			return fmt.Errorf("delete the nodes of kind cluster %s: %w", c.record.Name, explain(err))
		}
	}
	return nil
}

// ExportLogs collects the nodes' logs in the folder of logs: what a run that has failed is
// to be looked at with.
func (c *Cluster) ExportLogs(ctx context.Context) error {
	c.progress("exporting the nodes' logs")
	dir := filepath.Join(c.record.Logs, logsName)
	if err := inBackground(ctx, func() error { return c.kinds.CollectLogs(c.record.Name, dir) }); err != nil {
		return fmt.Errorf("export the logs of kind cluster %s: %w", c.record.Name, err)
	}
	return nil
}

// settleRecord notes, of a finished cluster, whether it outlives its maker.
func (c *Cluster) settleRecord(ctx context.Context) error {
	if c.record.Namespaces == nil {
		found, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list the namespaces: %w", err)
		}
		for _, n := range found.Items {
			c.record.Namespaces = append(c.record.Namespaces, n.Name)
		}
	}
	c.record.Kept = c.keep
	return c.state.write(c.record)
}

// Facts implements cluster.Cluster.
func (c *Cluster) Facts(ctx context.Context) (observations.Cluster, error) {
	version, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return observations.Cluster{}, fmt.Errorf("ask for the cluster's version: %w", err)
	}
	found, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return observations.Cluster{}, fmt.Errorf("list the nodes: %w", err)
	}
	e, err := c.engine.facts(ctx)
	if err != nil {
		return observations.Cluster{}, err
	}
	// It is why absolute counts are others than on EKS.
	held, err := kube.Holdings(ctx, c.client, c.record.Namespaces)
	if err != nil {
		return observations.Cluster{}, err
	}
	return observations.Cluster{
		Provider:          sourceName,
		Kubernetes:        version.GitVersion,
		MemorySource:      "kubelet",
		LimitsEnforcedBy:  "kubelet",
		RealPerDeployment: -1,
		Simulated:         c.simulated(found.Items, e),
		Objects:           held,
	}, nil
}

// simulated says in words what the nodes are, and how they come and go.
func (c *Cluster) simulated(all []corev1.Node, e engineFacts) []string {
	pods := int64(0)
	for _, n := range machines(all) {
		pods = n.Status.Capacity.Pods().Value()
	}
	return []string{
		fmt.Sprintf("machines: each node is a container of %s %s (cgroup v%s) on this one, which all share (%d CPUs, %.1f Gi), with room for %d pods, whatever its instance type says",
			c.engine.binary, e.version, e.cgroups, e.cpus, float64(e.memory)/(1<<30), pods),
		fmt.Sprintf("nodes that are added: kind cannot, so all %d workers were made at the start; one that is not in use has no kubelet running and no Node", c.record.Workers),
	}
}

// controlPlane are the programs of the control plane, by their containers' names.
var controlPlane = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// Costs implements cluster.Cluster: the control plane's are read from its kubelet. The
// nodes run no part of this program.
func (c *Cluster) Costs(ctx context.Context) (cluster.Costs, error) {
	found, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: controlPlaneLabel})
	if err != nil {
		return cluster.Costs{}, fmt.Errorf("list the control plane's nodes: %w", err)
	}
	costs := map[string]observations.Cost{}
	for _, n := range found.Items {
		text, err := c.client.CoreV1().RESTClient().Get().
			Resource("nodes").Name(n.Name).SubResource("proxy").Suffix("metrics/resource").
			SetHeader("Accept", "text/plain").DoRaw(ctx)
		if err != nil {
			return cluster.Costs{}, fmt.Errorf("read what the control plane costs: %w", err)
		}
		if err := addCosts(costs, text); err != nil {
			return cluster.Costs{}, fmt.Errorf("read what the control plane costs: %w", err)
		}
	}
	return cluster.Costs{ControlPlane: costs}, nil
}

// addCosts adds the control plane's containers of a kubelet's /metrics/resource.
func addCosts(costs map[string]observations.Cost, text []byte) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return err
	}
	var wrong []error
	each := func(family string, add func(*observations.Cost, float64)) {
		for _, m := range families[family].GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["namespace"] != metav1.NamespaceSystem || !slices.Contains(controlPlane, labels["container"]) {
				continue
			}
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			if !(0 <= v && v < 1e18) {
				wrong = append(wrong, fmt.Errorf("%s of container %s is %g", family, labels["container"], v))
				continue
			}
			cost := costs[labels["container"]]
			add(&cost, v)
			costs[labels["container"]] = cost
		}
	}
	each("container_memory_working_set_bytes", func(c *observations.Cost, v float64) { c.MemoryBytes += int64(v) })
	each("container_cpu_usage_seconds_total", func(c *observations.Cost, v float64) { c.CPUSeconds += v })
	return errors.Join(wrong...)
}
