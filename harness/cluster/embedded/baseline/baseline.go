// Package baseline gives a fresh cluster what an EKS cluster holds before anything is
// installed, so that counts published for EKS can be compared as they stand: the
// Services kubernetes (two endpoints), kube-dns and metrics-server; two coredns pods,
// one metrics-server pod, and one aws-node and one kube-proxy pod on each node.
package baseline

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
)

//go:embed manifests.yaml
var manifests []byte

// names are the objects with which CoreDNS runs.
//
//go:embed names.yaml
var names []byte

// Pods is the number of pods of the baseline on a cluster of that many nodes.
func Pods(nodes int) int { return 2*nodes + 3 }

// PublishedResolution is the shortest time from one reading of all nodes to the next that
// metrics-server takes as it is published (cmd/metrics-server/app/options of 0.7.2).
const PublishedResolution = 10 * time.Second

// Resolution is that time for a cluster of so many nodes at most, where metrics-server takes
// any: each step of a run waits for such a reading. metrics-server spreads its requests to
// the nodes over 8 ms a node, 4 s at most (pkg/scraper), which must fit in.
func Resolution(nodes int) time.Duration {
	if nodes > 100 {
		return PublishedResolution
	}
	return 3 * time.Second
}

// Lease is how long a node of a cluster of so many nodes at most is taken for alive after it has
// said so (kubelets say so each quarter of that). It is Kubernetes' own 40 s up to a hundred
// nodes. Of more, each saying it less often, the control plane hears no more in all: of a thousand
// with 40 s, these were 42 % of all requests while ten thousand pods were made.
func Lease(nodes int) time.Duration {
	const kubernetes, most = 40 * time.Second, 200 * time.Second
	return min(max(kubernetes, time.Duration(nodes)*kubernetes/100), most)
}

// Options say what of the baseline depends on the cluster.
type Options struct {
	// Resolution is how often metrics-server reads the nodes.
	Resolution time.Duration
	// Names says that the coredns pods answer for names, for which they need a configuration
	// and rights besides.
	Names bool
	// APIServers are the endpoints of Service kubernetes; nil for the usual two.
	APIServers []netip.Addr
	// System is what takes the place of the baseline's own objects; nil for nothing.
	System *cluster.System
}

// Apply writes all objects. It may be repeated.
func Apply(ctx context.Context, config *rest.Config, o Options) error {
	client, err := kube.New(config)
	if err != nil {
		return fmt.Errorf("make the baseline: %w", err)
	}
	all, err := o.objects()
	if err != nil {
		return err
	}
	for _, object := range all {
		if err := resolve(object, o.Resolution); err != nil {
			return fmt.Errorf("make the baseline: %w", err)
		}
		if err := client.Apply(ctx, object); err != nil {
			return fmt.Errorf("make the baseline: %w", err)
		}
	}
	return nil
}

// resolve gives metrics-server its resolution and the time that a node may take, which must
// be less than nine tenths of it. Other objects stay as they are.
func resolve(o *unstructured.Unstructured, resolution time.Duration) error {
	if o.GetKind() != "Deployment" || o.GetName() != metricsServer && o.GetName() != ownMetricsServer {
		return nil
	}
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return fmt.Errorf("read the containers of metrics-server: %w", err)
	}
	if len(containers) != 1 {
		return fmt.Errorf("metrics-server has %d containers, want 1", len(containers))
	}
	container, _ := containers[0].(map[string]any)
	args, _ := container["args"].([]any)
	container["args"] = append(args,
		"--metric-resolution="+resolution.String(), "--kubelet-request-timeout="+(resolution*4/5).String())
	return unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers")
}

// objects are those of the baseline in the order in which they are written.
func (o Options) objects() ([]*unstructured.Unstructured, error) {
	all, err := objects(o.Names)
	if err != nil {
		return nil, err
	}
	if o.System.Replaces() {
		if all, err = foreign(o.System, all, o.Names); err != nil {
			return nil, err
		}
	}
	addresses, err := AddressesOf(o.System)
	if err != nil {
		return nil, err
	}
	for _, object := range all {
		switch {
		case object.GetName() == kubernetesName:
			err = serve(object, o.APIServers)
		case !o.System.Replaces() && isDNS(object): // which the manifest has for the usual range
			err = unstructured.SetNestedField(object.Object, addresses.DNS.String(), "spec", "clusterIP")
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// serve gives the endpoints of Service kubernetes their addresses; none leaves the usual ones.
func serve(o *unstructured.Unstructured, addresses []netip.Addr) error {
	if len(addresses) == 0 {
		return nil
	}
	var subsets, endpoints []any
	for _, a := range addresses {
		subsets = append(subsets, map[string]any{"ip": a.String()})
		endpoints = append(endpoints, map[string]any{"addresses": []any{a.String()}, "conditions": map[string]any{"ready": true}})
	}
	if o.GetKind() == "EndpointSlice" {
		return unstructured.SetNestedSlice(o.Object, endpoints, "endpoints")
	}
	list, _, _ := unstructured.NestedSlice(o.Object, "subsets")
	list[0].(map[string]any)["addresses"] = subsets
	return unstructured.SetNestedSlice(o.Object, list, "subsets")
}

// Expected is the number of pods in kube-system on a cluster of that many nodes.
func (o Options) Expected(nodes int) (int, error) {
	all, err := o.objects()
	if err != nil {
		return 0, err
	}
	return pods(all, nodes), nil
}

// objects are the manifests, decoded, in the order in which they are written.
func objects(withNames bool) ([]*unstructured.Unstructured, error) {
	all, err := kube.Decode(manifests)
	if err != nil {
		return nil, fmt.Errorf("decode the baseline: %w", err)
	}
	if !withNames {
		return all, nil
	}
	more, err := kube.Decode(names)
	if err != nil {
		return nil, fmt.Errorf("decode the baseline's cluster DNS: %w", err)
	}
	all = slices.DeleteFunc(all, func(o *unstructured.Unstructured) bool {
		return slices.ContainsFunc(more, func(m *unstructured.Unstructured) bool { return identity(m) == identity(o) })
	})
	return append(all, more...), nil
}

// identity is what no two objects share.
func identity(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}

// pollEvery is short beside the second or two that the pods take.
const pollEvery = 100 * time.Millisecond

// Wait returns when the baseline stands: Service kubernetes exists, the metrics API
// serves, and that many pods in kube-system are Running. When ctx ends first the error says
// what was missing.
func Wait(ctx context.Context, config *rest.Config, pods int) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make client for the baseline: %w", err)
	}
	return kube.Until(ctx, pollEvery, func(ctx context.Context) (bool, string, error) {
		missing := check(ctx, client, pods)
		if missing == nil {
			return true, "", nil
		}
		if ctx.Err() != nil {
			return false, "", nil // cut off; what was missing before says more
		}
		return false, fmt.Sprintf("the baseline (%v)", missing), nil
	})
}

// ready reports whether a pod is Ready.
func ready(pod unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(condition any) bool {
		c, _ := condition.(map[string]any)
		return c["type"] == string(corev1.PodReady) && c["status"] == string(corev1.ConditionTrue)
	})
}

// check returns what is missing.
func check(ctx context.Context, client dynamic.Interface, want int) error {
	_, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).
		Namespace("default").Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return err
	}
	pods, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).
		Namespace("kube-system").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	running := 0
	for _, pod := range pods.Items {
		phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
		if phase == string(corev1.PodRunning) && (pod.GetLabels()["k8s-app"] != "kube-dns" || ready(pod)) {
			running++
		}
	}
	if running < want {
		return fmt.Errorf("%d of %d pods in kube-system are Running, those of kube-dns Ready", running, want)
	}
	api, err := client.Resource(schema.GroupVersionResource{
		Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices",
	}).Get(ctx, "v1beta1.metrics.k8s.io", metav1.GetOptions{})
	if err != nil {
		return err
	}
	conditions, _, _ := unstructured.NestedSlice(api.Object, "status", "conditions")
	for _, condition := range conditions {
		c, _ := condition.(map[string]any)
		if c["type"] == "Available" {
			if c["status"] == "True" {
				return nil
			}
			return fmt.Errorf("the metrics API is not available: %v", c["message"])
		}
	}
	return errors.New("the metrics API is not available yet")
}
