package baseline

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
)

// theirs is the baseline of another cluster.
const theirs = `apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  replicas: 3
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns, tier: dns}}
    spec:
      serviceAccountName: absent
      priorityClassName: absent
      volumes: [{name: config, configMap: {name: absent}}]
      containers: [{name: coredns, image: registry.k8s.io/coredns/coredns:v1, ports: [{name: dns-udp, containerPort: 53, hostPort: 53, protocol: UDP}], volumeMounts: [{name: config, mountPath: /x}]}]
---
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {selector: {k8s-app: metrics-server}, ports: [{port: 443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: metrics-server, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: metrics-server}}
  template:
    metadata: {labels: {k8s-app: metrics-server}}
    spec: {containers: [{name: metrics-server, image: registry.k8s.io/metrics-server/metrics-server:v0.7.2}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kindnet, namespace: kube-system}
spec:
  selector: {matchLabels: {app: kindnet}}
  template: {metadata: {labels: {app: kindnet}}, spec: {hostNetwork: true, containers: [{name: kindnet, image: kindnet}]}}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns, tier: dns}, ports: [{name: dns, port: 53, targetPort: dns-udp, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: istiod, namespace: istio-system, labels: {istio: pilot}}
spec: {ports: [{port: 15012}]}
---
apiVersion: v1
kind: Service
metadata: {name: kiali, namespace: istio-system}
spec: {ports: [{port: 20001}]}
`

func systemOf(t *testing.T, text string) *cluster.System {
	t.Helper()
	list, err := kube.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var objects []any
	for _, o := range list {
		objects = append(objects, o.Object)
	}
	encoded, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster.System{Objects: encoded, ServiceRange: "10.96.0.0/12", Domain: "corp.internal"}
}

// byIdentity are objects by their identities, each once.
func byIdentity(t *testing.T, all []*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	for _, o := range all {
		if found[identity(o)] != nil {
			t.Errorf("%s is there twice", identity(o))
		}
		found[identity(o)] = o
	}
	return found
}

// Another baseline is what it holds, without what the mesh's chart makes, and beside it only what
// this program needs, which no proxy sees.
func TestForeign(t *testing.T) {
	o := Options{System: systemOf(t, theirs), Resolution: time.Second}
	all, err := o.objects()
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{identity(all[0]), identity(all[1])}; got[0] != "Namespace /istio-system" || got[1] != "Service kube-system/kube-dns" {
		t.Errorf("first come %v", got)
	}
	found := byIdentity(t, all)
	var names []string
	for name, object := range found {
		names = append(names, name)
		if object.GetKind() == "Deployment" && object.GetName() == ownMetricsServer {
			if err := resolve(object, o.Resolution); err != nil {
				t.Error(err)
			}
			containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
			if args := containers[0].(map[string]any)["args"].([]any); !slices.Contains(args, "--metric-resolution=1s") {
				t.Errorf("arguments %v", args)
			}
		}
	}
	slices.Sort(names)
	want := []string{
		"APIService /v1beta1.metrics.k8s.io",
		"ClusterRole /system:aggregated-metrics-reader", "ClusterRole /system:meshbench-metrics-server",
		"ClusterRoleBinding /meshbench-metrics-server:system:auth-delegator", "ClusterRoleBinding /system:meshbench-metrics-server",
		"DaemonSet kube-system/kindnet",
		"Deployment kube-system/coredns", "Deployment kube-system/meshbench-metrics-server", "Deployment kube-system/metrics-server",
		"EndpointSlice default/kubernetes", "Endpoints default/kubernetes",
		"Namespace /istio-system",
		"RoleBinding kube-system/meshbench-metrics-server-auth-reader",
		"Service istio-system/kiali", "Service kube-system/kube-dns", "Service kube-system/meshbench-metrics-server", "Service kube-system/metrics-server",
		"ServiceAccount kube-system/meshbench-metrics-server",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	for name, text := range map[string]string{
		"Deployment kube-system/coredns":        "{containers: [{name: coredns, image: meshbench.dev/simulated, ports: [{name: dns-udp, containerPort: 53, protocol: UDP}]}], tolerations: [{operator: Exists}]}",
		"DaemonSet kube-system/kindnet":         "{containers: [{name: kindnet, image: meshbench.dev/simulated}], tolerations: [{operator: Exists}]}",
		"Deployment kube-system/metrics-server": "{containers: [{name: metrics-server, image: meshbench.dev/simulated}], tolerations: [{operator: Exists}]}",
	} {
		spec, _, _ := unstructured.NestedMap(found[name].Object, "spec", "template", "spec")
		got, err := yaml.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := yaml.Unmarshal(got, &a); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(text), &b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, a); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := found["Service kube-system/meshbench-metrics-server"].GetAnnotations()[exportTo]; got != "~" {
		t.Errorf("exported to %q", got)
	}
	// Three of coredns, one of their metrics-server, one of ours, and kindnet on each node.
	if n, err := o.Expected(4); err != nil || n != 9 {
		t.Errorf("%d pods, %v", n, err)
	}
}

// Where applications run, the program's own coredns stands behind their Service, as often as
// theirs did, and answers for their domain.
func TestForeignNames(t *testing.T) {
	const bare = `
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-1, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
endpoints: [{addresses: [10.1.1.1]}, {addresses: [10.1.1.2]}]
`
	const none = `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: kube-system}}`
	for name, tt := range map[string]struct {
		text, service, address string
		replicas               int64
		pods                   int
	}{
		"selected":  {theirs, "kube-dns", "10.96.0.10", 3, 6},
		"endpoints": {bare, "kube-dns", "10.96.0.10", 2, 3},
		"none":      {none, "meshbench-dns", "10.96.0.10", 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{System: systemOf(t, tt.text), Names: true}
			all, err := o.objects()
			if err != nil {
				t.Fatal(err)
			}
			found := byIdentity(t, all)
			service, dns := found["Service kube-system/"+tt.service], found["Deployment kube-system/coredns"]
			if service == nil || dns == nil || found["EndpointSlice kube-system/kube-dns-1"] != nil {
				t.Fatalf("%v", found)
			}
			selector, _, _ := unstructured.NestedStringMap(service.Object, "spec", "selector")
			labels, _, _ := unstructured.NestedStringMap(dns.Object, "spec", "template", "metadata", "labels")
			if len(selector) == 0 {
				t.Error("no selector")
			}
			for key, value := range selector {
				if labels[key] != value {
					t.Errorf("%s: %q, want %q", key, labels[key], value)
				}
			}
			address, _, _ := unstructured.NestedString(service.Object, "spec", "clusterIP")
			if address != tt.address || replicas(dns) != tt.replicas {
				t.Errorf("%s, %d replicas", address, replicas(dns))
			}
			corefile, _, _ := unstructured.NestedString(found["ConfigMap kube-system/coredns"].Object, "data", "Corefile")
			if want := "corp.internal:53 in-addr.arpa:53"; len(corefile) < len(want) || corefile[:len(want)] != want {
				t.Errorf("%s", corefile)
			}
			if n, err := o.Expected(1); err != nil || n != tt.pods {
				t.Errorf("%d pods, %v", n, err)
			}
		})
	}
}
