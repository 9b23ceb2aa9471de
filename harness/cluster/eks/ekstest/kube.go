package ekstest

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Kube is as little of a Kubernetes API server as the provider looks at: nodes, namespaces,
// what a fresh EKS cluster holds, and whether there is a metrics API. It takes tokens of EKS
// alone. It implements Nodes.
type Kube struct {
	Webhook
	// Metrics says whether there is a metrics API.
	Metrics func() bool

	server *httptest.Server
	mu     sync.Mutex
	groups map[string][]corev1.Node
	denied []string // why tokens were not taken
	made   int
	// objects are what was applied, by path.
	objects map[string][]byte
}

// NewKube starts one.
func NewKube(keys aws.Credentials) *Kube {
	k := &Kube{Webhook: Webhook{Keys: keys}, groups: map[string][]corev1.Node{}, objects: map[string][]byte{}, Metrics: func() bool { return true }}
	k.server = httptest.NewTLSServer(k)
	return k
}

// Close ends it.
func (k *Kube) Close() { k.server.Close() }

// Endpoint implements Nodes.
func (k *Kube) Endpoint() string { return k.server.URL }

// Authority implements Nodes.
func (k *Kube) Authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.server.Certificate().Raw})
}

// SetGroup implements Nodes. The youngest nodes go first.
func (k *Kube) SetGroup(_ context.Context, group, instanceType string, count int, tags map[string]string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	nodes := k.groups[group]
	for len(nodes) > count {
		nodes = nodes[:len(nodes)-1]
	}
	for len(nodes) < count {
		k.made++
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("node-%d", k.made), Labels: map[string]string{"node.kubernetes.io/instance-type": instanceType},
			CreationTimestamp: metav1.NewTime(time.Unix(int64(k.made), 0)),
		}}
		n.Spec.ProviderID = fmt.Sprintf("aws:///us-east-1a/i-%d", k.made)
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		for key, value := range tags {
			n.Labels[key] = value
		}
		nodes = append(nodes, n)
	}
	k.groups[group] = nodes
	if count == 0 {
		delete(k.groups, group)
	}
	return nil
}

// Cordon marks a node as unschedulable.
func (k *Kube) Cordon(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, nodes := range k.groups {
		for i := range nodes {
			if nodes[i].Name == name {
				nodes[i].Spec.Unschedulable = true
			}
		}
	}
}

// All are the nodes.
func (k *Kube) All() []corev1.Node {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []corev1.Node
	for _, nodes := range k.groups {
		all = append(all, nodes...)
	}
	return all
}

// Denied says why tokens were not taken.
func (k *Kube) Denied() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.denied
}

// ServeHTTP answers requests of an API client.
func (k *Kube) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := k.Check(r.Header.Get("Authorization")); err != nil {
		k.mu.Lock()
		k.denied = append(k.denied, err.Error())
		k.mu.Unlock()
		status(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, err.Error())
		return
	}
	if k.serveObjects(w, r) {
		return
	}
	switch p := r.URL.Path; {
	case p == "/version":
		answer(w, map[string]string{"gitVersion": "v1.30.4-eks-a737599", "major": "1", "minor": "30+"})
	case p == "/api/v1/namespaces":
		var list corev1.NamespaceList
		for _, n := range []string{"default", "kube-system"} {
			list.Items = append(list.Items, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n}})
		}
		list.Kind, list.APIVersion = "NamespaceList", "v1"
		answer(w, list)
	case p == "/api/v1/nodes":
		selected, err := labels.Parse(r.URL.Query().Get("labelSelector"))
		if err != nil {
			status(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
			return
		}
		var list corev1.NodeList
		for _, n := range k.All() {
			if selected.Matches(labels.Set(n.Labels)) {
				list.Items = append(list.Items, n)
			}
		}
		list.Kind, list.APIVersion = "NodeList", "v1"
		answer(w, list)
	case p == "/api/v1/services":
		answer(w, services())
	case p == "/api/v1/pods":
		answer(w, corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}})
	case strings.HasPrefix(p, "/api/v1/namespaces/") && strings.Contains(p, "/endpoints/"):
		answer(w, endpoints(p[strings.LastIndexByte(p, '/')+1:]))
	case p == "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io" && (k.Metrics() || slices.Contains(k.Objects(), p)):
		answer(w, map[string]any{
			"kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1", "metadata": map[string]string{"name": "v1beta1.metrics.k8s.io"},
			"status": map[string]any{"conditions": []any{map[string]string{"type": "Available", "status": "True"}}},
		})
	default:
		status(w, http.StatusNotFound, metav1.StatusReasonNotFound, r.Method+" "+p+" is not there")
	}
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	answer(w, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(code), Reason: reason, Message: message}) //nolint:gosec // a status code
}

// services are those of a fresh cluster with metrics-server.
func services() corev1.ServiceList {
	list := corev1.ServiceList{TypeMeta: metav1.TypeMeta{Kind: "ServiceList", APIVersion: "v1"}}
	for _, s := range []struct {
		namespace, name string
		ports           int
	}{{"default", "kubernetes", 1}, {"kube-system", "kube-dns", 3}, {"kube-system", "metrics-server", 1}, {"istio-system", "istiod", 4}} {
		list.Items = append(list.Items, corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name},
			Spec:       corev1.ServiceSpec{Ports: make([]corev1.ServicePort, s.ports)},
		})
	}
	return list
}

func endpoints(name string) corev1.Endpoints {
	shape := map[string][2]int{"kubernetes": {2, 1}, "kube-dns": {2, 3}, "metrics-server": {1, 1}}[name]
	return corev1.Endpoints{
		TypeMeta: metav1.TypeMeta{Kind: "Endpoints", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: name},
		Subsets: []corev1.EndpointSubset{{Addresses: make([]corev1.EndpointAddress, shape[0]), Ports: make([]corev1.EndpointPort, shape[1])}},
	}
}
