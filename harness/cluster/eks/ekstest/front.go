package ekstest

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/cluster"
)

// Front is a door before a real API server, which takes tokens of EKS in place of what the
// server takes, and makes node groups nodes of the cluster behind. It implements Nodes.
type Front struct {
	Webhook
	server   *httptest.Server
	client   kubernetes.Interface
	setNodes func(context.Context, []cluster.NodeGroup) error

	mu     sync.Mutex
	groups map[string]group
	denied []string
}

// group is a node group as it was set last.
type group struct {
	instanceType string
	count        int
}

// NewFront starts a door before the API server that cfg leads to. setNodes makes the
// cluster's nodes be groups.
func NewFront(cfg *rest.Config, keys aws.Credentials, setNodes func(context.Context, []cluster.NodeGroup) error) (*Front, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster: %w", err)
	}
	inner := rest.CopyConfig(cfg)
	inner.NextProtos = []string{"http/1.1"} // which alone can be upgraded, for port-forward
	transport, err := rest.TransportFor(inner)
	if err != nil {
		return nil, fmt.Errorf("make a transport for the cluster: %w", err)
	}
	to, err := url.Parse(cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("read the address of the API server: %w", err)
	}
	f := &Front{Webhook: Webhook{Keys: keys}, client: client, setNodes: setNodes, groups: map[string]group{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Del("Authorization")
		},
		Transport: transport, FlushInterval: -1,
	}
	f.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f.Check(r.Header.Get("Authorization")); err != nil {
			f.mu.Lock()
			f.denied = append(f.denied, err.Error())
			f.mu.Unlock()
			status(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, err.Error())
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	return f, nil
}

// Close ends it.
func (f *Front) Close() { f.server.Close() }

// Denied says why tokens were not taken.
func (f *Front) Denied() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.denied
}

// Endpoint implements Nodes.
func (f *Front) Endpoint() string { return f.server.URL }

// Authority implements Nodes.
func (f *Front) Authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
}

// SetGroup implements Nodes. The last group leaves its nodes: the cluster behind is not the
// run's to end.
func (f *Front) SetGroup(ctx context.Context, name, instanceType string, count int, labels map[string]string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.groups[name] == (group{instanceType, count}) {
		return nil
	}
	before := maps.Clone(f.groups)
	f.groups[name] = group{instanceType, count}
	if count == 0 {
		delete(f.groups, name)
	}
	if len(f.groups) == 0 {
		return nil
	}
	counts := map[string]int{}
	for _, g := range f.groups {
		counts[g.instanceType] += g.count
	}
	var groups []cluster.NodeGroup
	for _, t := range slices.Sorted(maps.Keys(counts)) {
		groups = append(groups, cluster.NodeGroup{InstanceType: t, Count: counts[t]})
	}
	err := f.setNodes(ctx, groups)
	if err == nil && count > 0 {
		err = f.label(ctx, instanceType, labels)
	}
	if err != nil {
		f.groups = before
	}
	return err
}

// label gives the nodes of a type labels, as a kubelet of EKS's does with those of its group.
func (f *Front) label(ctx context.Context, instanceType string, labels map[string]string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		return err
	}
	nodes, err := f.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: corev1.LabelInstanceTypeStable + "=" + instanceType})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	for _, n := range nodes.Items {
		if _, err := f.client.CoreV1().Nodes().Patch(ctx, n.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("label node %s: %w", n.Name, err)
		}
	}
	return nil
}
