package manifests

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// exported is the metadata that a server adds.
const exported = `uid: 0b9a2c9e-0000-4000-8000-000000000001
    resourceVersion: "12"
    generation: 3
    creationTimestamp: "2026-01-01T00:00:00Z"
    selfLink: /x
    managedFields: [{manager: kubectl}]
    ownerReferences: [{apiVersion: example.com/v1, kind: App, name: a, uid: "1", controller: true}]
    finalizers: [example.com/x]
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: '{}'
      deployment.kubernetes.io/revision: "4"`

// TestClean compares what is left of an exported object with what is applied.
func TestClean(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
		notes      []string
	}{
		"a Service": {`
apiVersion: v1
kind: Service
metadata:
    name: a
    namespace: ns
    ` + exported + `
      mine: x
spec: {clusterIP: 172.20.1.1, ports: [{port: 80, nodePort: 30080}]}
status: {loadBalancer: {}}`, `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: ns, annotations: {mine: x}}
spec: {clusterIP: 172.20.1.1, ports: [{port: 80, nodePort: 30080}]}`,
			[]string{"left out the finalizers of 1 Service: the controllers that remove them are not here"}},
		"written by hand": {`
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: ns, finalizers: [example.com/x]}
status: null`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: ns, finalizers: [example.com/x]}`, nil},
		"a Deployment": {`
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: ns, creationTimestamp: null}
spec:
  template:
    metadata: {creationTimestamp: null, labels: {a: b}}
    spec: {nodeName: n1, priority: 0}`, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: ns}
spec:
  template:
    metadata: {labels: {a: b}}
    spec: {nodeName: n1, priority: 0}`, nil},
		"a Job": {`
apiVersion: batch/v1
kind: Job
metadata: {name: a, namespace: ns, labels: {job-name: a, controller-uid: x}}
spec:
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: x}}
  template: {metadata: {labels: {app: a, batch.kubernetes.io/controller-uid: x, controller-uid: x, job-name: a}}, spec: {}}`, `
apiVersion: batch/v1
kind: Job
metadata: {name: a, namespace: ns}
spec:
  template: {metadata: {labels: {app: a}}, spec: {}}`, nil},
		"a Job with its own selector": {`
apiVersion: batch/v1
kind: Job
metadata: {name: a, namespace: ns}
spec: {manualSelector: true, selector: {matchLabels: {controller-uid: x}}, template: {metadata: {labels: {controller-uid: x}}}}`, `
apiVersion: batch/v1
kind: Job
metadata: {name: a, namespace: ns}
spec: {manualSelector: true, selector: {matchLabels: {controller-uid: x}}, template: {metadata: {labels: {controller-uid: x}}}}`, nil},
		"a Pod": {`
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: ns, uid: x}
spec:
  nodeName: n1
  priority: 0
  preemptionPolicy: PreemptLowerPriority
  containers:
  - {name: c, image: nginx, volumeMounts: [{name: kube-api-access-abcde, mountPath: /x}]}
  - {name: d, image: nginx, volumeMounts: [{name: kube-api-access-abcde, mountPath: /x}, {name: mine, mountPath: /y}]}
  volumes: [{name: mine, emptyDir: {}}, {name: kube-api-access-abcde, projected: {sources: []}}]
status: {phase: Running}`, `
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: ns}
spec:
  containers:
  - {name: c, image: nginx}
  - {name: d, image: nginx, volumeMounts: [{name: mine, mountPath: /y}]}
  volumes: [{name: mine, emptyDir: {}}]`, nil},
		"an injected Pod": {`
apiVersion: v1
kind: Pod
metadata:
  name: a
  namespace: ns
  labels: {app: a, security.istio.io/tlsMode: istio, service.istio.io/canonical-name: a, service.istio.io/canonical-revision: latest}
  annotations:
    istio.io/rev: default
    prometheus.io/path: /stats/prometheus
    prometheus.io/port: "15020"
    prometheus.io/scrape: "true"
    kubectl.kubernetes.io/default-container: c
    sidecar.istio.io/status: '{"initContainers":["istio-init"],"containers":["istio-proxy"],"volumes":["istio-data"],"imagePullSecrets":["pull"],"revision":"default"}'
    traffic.sidecar.istio.io/excludeInboundPorts: "9"
spec:
  imagePullSecrets: [{name: pull}]
  initContainers: [{name: istio-init, image: x}, {name: mine, image: x}]
  containers:
  - name: c
    image: nginx
    readinessProbe: {periodSeconds: 5, httpGet: {path: /app-health/c/readyz, port: 15020, scheme: HTTP}}
    livenessProbe: {httpGet: {path: /own, port: 80}}
  - name: istio-proxy
    image: x
    env: [{name: ISTIO_KUBE_APP_PROBERS, value: '{"/app-health/c/readyz":{"tcpSocket":{"port":80},"timeoutSeconds":1}}'}]
  volumes: [{name: istio-data, emptyDir: {}}]`, `
apiVersion: v1
kind: Pod
metadata:
  name: a
  namespace: ns
  labels: {app: a}
  annotations: {traffic.sidecar.istio.io/excludeInboundPorts: "9"}
spec:
  initContainers: [{name: mine, image: x}]
  containers:
  - name: c
    image: nginx
    readinessProbe: {periodSeconds: 5, tcpSocket: {port: 80}}
    livenessProbe: {httpGet: {path: /own, port: 80}}`,
			[]string{"took the injected sidecars out of 1 Pod: this mesh injects its own"}},
		"a claim": {`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: a, namespace: ns, uid: x, annotations: {pv.kubernetes.io/bind-completed: "yes"}}
spec: {volumeName: pv-1, accessModes: [ReadWriteOnce]}`, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: a, namespace: ns}
spec: {accessModes: [ReadWriteOnce]}`, nil},
		"another group's Service": {`
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: a, namespace: ns}
spec: {template: {spec: {nodeName: x}}}`, `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: a, namespace: ns}
spec: {template: {spec: {nodeName: x}}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Load(Text(tt.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := yaml.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := yaml.Unmarshal(encode(m.Objects[0].Unstructured().Object), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !slices.Equal(m.Notes, tt.notes) {
				t.Errorf("notes %q, want %q", m.Notes, tt.notes)
			}
			raw, err := Load(Text(tt.text), Options{Raw: true})
			if err != nil {
				t.Fatal(err)
			}
			var written map[string]any
			if err := yaml.Unmarshal([]byte(tt.text), &written); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(len(written), len(raw.Objects[0].Unstructured().Object)); diff != "" {
				t.Errorf("raw is not as written: %s", diff)
			}
		})
	}
}

func TestCleanRefuses(t *testing.T) {
	pod := func(status, containers string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ns, annotations: {sidecar.istio.io/status: '" + status + "'}}\nspec: {containers: [" + containers + "]}"
	}
	for name, tt := range map[string]struct{ text, want string }{
		"a status that says nothing": {pod("yes", "{name: c}"), "does not say what was injected"},
		"a gateway":                  {pod(`{"containers":["istio-proxy"]}`, "{name: istio-proxy}"), "all its containers were injected (a gateway); apply the workload that makes it instead"},
		"a probe that is lost": {pod(`{"containers":["istio-proxy"]}`, "{name: c, livenessProbe: {httpGet: {path: /app-health/c/livez, port: 15020}}}"),
			"the livenessProbe of container c asks the injected sidecar"},
		"probes that are no JSON": {pod(`{"containers":["istio-proxy"]}`, "{name: c}, {name: istio-proxy, env: [{name: ISTIO_KUBE_APP_PROBERS, value: x}]}"), "ISTIO_KUBE_APP_PROBERS is not JSON"},
	} {
		if _, err := Load(Text(tt.text), Options{}); err == nil || !strings.Contains(err.Error(), "line 1: Pod ns/a: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLeaveOut holds that what controllers make is left out where they are there, and stays
// where they are not.
func TestLeaveOut(t *testing.T) {
	object := func(apiVersion, kind, name, more string) string {
		return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata:\n  name: " + name + "\n  namespace: ns\n" + more + "\n---\n"
	}
	owned := func(apiVersion, kind, name, uid string) string {
		return "  ownerReferences: [{apiVersion: " + apiVersion + ", kind: " + kind + ", name: " + name + ", uid: " + uid + ", controller: true}]"
	}
	deployment := object("apps/v1", "Deployment", "web", "  uid: d1")
	replicaSet := object("apps/v1", "ReplicaSet", "web-5d8f", "  uid: r1\n"+owned("apps/v1", "Deployment", "web", "d1"))
	pod := object("v1", "Pod", "web-5d8f-x", "  uid: p1\n"+owned("apps/v1", "ReplicaSet", "web-5d8f", "r1"))
	service := object("v1", "Service", "s", "spec: {selector: {app: web}}")
	slice := func(by string) string {
		return object("discovery.k8s.io/v1", "EndpointSlice", "s-1", "  labels: {kubernetes.io/service-name: s, endpointslice.kubernetes.io/managed-by: "+by+"}")
	}
	for name, tt := range map[string]struct {
		text, want string
		notes      []string
	}{
		"all of a Deployment": {pod + replicaSet + deployment, "Deployment ns/web",
			[]string{"left out 1 Pod, 1 ReplicaSet: their controllers in the manifest make them"}},
		"without the ReplicaSet":     {deployment + pod, "Deployment ns/web", []string{"left out 1 Pod: their controllers in the manifest make them"}},
		"without the Deployment":     {replicaSet + pod, "ReplicaSet ns/web-5d8f", []string{"left out 1 Pod: their controllers in the manifest make them"}},
		"the Pod alone":              {pod, "Pod ns/web-5d8f-x", nil},
		"another Deployment":         {object("apps/v1", "Deployment", "other", "") + pod, "Deployment ns/other, Pod ns/web-5d8f-x", nil},
		"an owner that runs nowhere": {object("example.com/v1", "App", "a", "  uid: a1") + object("apps/v1", "Deployment", "a", owned("example.com/v1", "App", "a", "a1")), "App ns/a, Deployment ns/a", nil},
		"a Gateway's Service": {object("gateway.networking.k8s.io/v1", "Gateway", "g", "  uid: g1") +
			object("v1", "Service", "g-istio", strings.Replace(owned("gateway.networking.k8s.io/v1", "Gateway", "g", "g1"), ", controller: true", "", 1)), "Gateway ns/g", []string{"left out 1 Service: their controllers in the manifest make them"}},
		"a Gateway's Deployment":         {object("gateway.networking.k8s.io/v1", "Gateway", "g", "  uid: g1") + object("apps/v1", "Deployment", "g-istio", owned("gateway.networking.k8s.io/v1", "Gateway", "g", "g1")), "Gateway ns/g", []string{"left out 1 Deployment: their controllers in the manifest make them"}},
		"a static Pod":                   {object("v1", "Pod", "etcd", owned("v1", "Node", "n1", "n1")), "", []string{"left out 1 Pod: each node makes them itself"}},
		"Pods that ended":                {object("v1", "Pod", "a", "status: {phase: Succeeded}") + object("v1", "Pod", "b", "status: {phase: Failed}") + object("v1", "Pod", "c", "status: {phase: Running}"), "Pod ns/c", []string{"left out 2 Pods that had ended: applied, they would run again"}},
		"a Job of a CronJob":             {object("batch/v1", "CronJob", "c", "  uid: c1") + object("batch/v1", "Job", "c-1", owned("batch/v1", "CronJob", "c", "c1")), "CronJob ns/c", []string{"left out 1 Job: their controllers in the manifest make them"}},
		"slices of a controller":         {service + slice("endpointslice-controller.k8s.io"), "Service ns/s", []string{"left out 1 EndpointSlice: the cluster makes them of their Service's pods"}},
		"slices of Endpoints":            {object("v1", "Service", "s", "") + object("v1", "Endpoints", "s", "") + slice("endpointslicemirroring-controller.k8s.io"), "Service ns/s, Endpoints ns/s", []string{"left out 1 EndpointSlice: the cluster makes them of their Service's Endpoints"}},
		"slices by hand":                 {object("v1", "Service", "s", "") + slice("somebody"), "Service ns/s, EndpointSlice ns/s-1", nil},
		"slices of a Service's selector": {service + slice("somebody"), "Service ns/s", []string{"left out 1 EndpointSlice of Services with a selector: the cluster makes them of the Services' pods"}},
		"Endpoints by a selector":        {service + object("v1", "Endpoints", "s", ""), "Service ns/s", []string{"left out 1 Endpoints of Services with a selector: the cluster makes them of the Services' pods"}},
		"Endpoints of the controller":    {object("v1", "Endpoints", "s", "  annotations: {endpoints.kubernetes.io/last-change-trigger-time: \"2026\"}"), "", []string{"left out 1 Endpoints: the cluster makes them of their Service's pods"}},
		"what every namespace has": {object("v1", "ConfigMap", "kube-root-ca.crt", "") + object("v1", "ConfigMap", "istio-ca-root-cert", "") + object("v1", "ServiceAccount", "default", "") +
			object("v1", "Secret", "t", "type: kubernetes.io/service-account-token") + object("v1", "Event", "e", "") + object("coordination.k8s.io/v1", "Lease", "l", "") +
			object("v1", "ConfigMap", "mine", "") + object("example.com/v1", "Event", "e", ""),
			"ConfigMap ns/mine, Event ns/e", []string{"left out 2 ConfigMaps, 1 Event, 1 Lease, 1 Secret, 1 ServiceAccount: the cluster makes them itself"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Load(Text(tt.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range m.Objects {
				got = append(got, o.String())
			}
			if strings.Join(got, ", ") != tt.want || !slices.Equal(m.Notes, tt.notes) {
				t.Errorf("got %v, %q, want %s, %q", got, m.Notes, tt.want, tt.notes)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	const text = `
kind: ValidatingWebhookConfiguration
apiVersion: admissionregistration.k8s.io/v1
metadata: {name: w, namespace: none}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default}}
---
{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: k}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}}
---
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: other}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: r}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r}}
---
{apiVersion: example.com/v1, kind: Root, metadata: {name: c}}
---
{apiVersion: example.com/v1, kind: Inner, metadata: {name: i}}
---
{apiVersion: example.org/v1, kind: Unknown, metadata: {name: u}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: roots.example.com}
spec: {group: example.com, scope: Cluster, names: {kind: Root}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: inners.example.com}
spec: {group: example.com, scope: Namespaced, names: {kind: Inner}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: ns}}
`
	m, err := Load(Text(text), Options{Namespace: "ns"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range m.Objects {
		got = append(got, o.String())
	}
	want := []string{
		"Namespace ns", "CustomResourceDefinition roots.example.com", "CustomResourceDefinition inners.example.com",
		"ConfigMap ns/c", "RoleBinding ns/r", "ClusterRole r", "Service ns/b", "Service other/a", "Sidecar ns/default",
		"Service ns/k", "Root c", "Inner ns/i", "Unknown ns/u", "Deployment ns/d", "ValidatingWebhookConfiguration w",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if counts := "3 Services, 2 CustomResourceDefinitions, 1 ClusterRole"; !strings.HasPrefix(m.Counts(), counts) {
		t.Errorf("%s does not begin with %s", m.Counts(), counts)
	}
	if _, err := Load(Text("{apiVersion: example.org/v1, kind: Unknown, metadata: {name: u}}"), Options{}); err != nil {
		t.Errorf("of an unknown kind the cluster decides: %v", err)
	}
}
