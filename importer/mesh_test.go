package importer

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/manifests"
)

// podsOf are live pods of an owner, ready or not, with a proxy or without.
func podsOf(namespace, owner, labels string, ready ...bool) string {
	kind, name, _ := strings.Cut(owner, "/")
	var all []string
	for i, r := range ready {
		all = append(all, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: %s-%d
  namespace: %s
  labels: {%s}
  ownerReferences: [{apiVersion: %s, kind: %s, name: %s, controller: true}]
spec: {containers: [{name: app, image: x, ports: [{name: web, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.0.0.%d, conditions: [{type: Ready, status: %q}]}
`, name, i, namespace, labels, apiOf(kind), kind, name, i+1, map[bool]string{true: "True", false: "False"}[r]))
	}
	return strings.Join(all, "---")
}

func apiOf(kind string) string {
	switch kind {
	case "Rollout":
		return "argoproj.io/v1alpha1"
	case "Job":
		return "batch/v1"
	case "Node":
		return "v1"
	}
	return "apps/v1"
}

const namespaceShop = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"

// filesOf are the files of the mesh's folder by their names.
func filesOf(t *testing.T, m *Mesh) map[string]string {
	t.Helper()
	files, err := m.files(Target{Folder: "prod", Title: "A mesh"})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		all[f.name] = string(f.data)
	}
	return all
}

func madeBy(kind, name, labels string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: %s
metadata: {name: %s, namespace: shop}
spec:
  replicas: 9
  selector: {matchLabels: {%s}}
  template: {metadata: {labels: {%s}}, spec: {containers: [{name: app, image: x}], volumes: [{name: a, secret: {secretName: s}}]}}
`, kind, name, labels, labels)
}

func nodesOf(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("apiVersion: v1\nkind: Node\nmetadata: {name: n%d}\nstatus: {capacity: {cpu: '4', memory: 16Gi}, allocatable: {pods: '110'}}\n", i))
	}
	return strings.Join(all, "---\n")
}

// listed names the workloads with their numbers of pods.
func listed(m *Mesh) string {
	var words []string
	for _, w := range m.Workloads {
		words = append(words, fmt.Sprintf("%s %s/%s %d", w.Kind, w.Namespace, w.Name, w.Ready))
	}
	return strings.Join(words, "; ")
}

// Workloads have as many pods as were ready, whatever their owners ask for.
func TestWorkloads(t *testing.T) {
	set := "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: %s, namespace: shop%s}\n"
	for name, tt := range map[string]struct {
		texts []string
		want  string
		note  string
	}{
		"a Deployment by its ReplicaSet": {[]string{madeBy("Deployment", "web", "app: web"),
			fmt.Sprintf(set, "web-1", ", ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, controller: true}]"),
			podsOf("shop", "ReplicaSet/web-1", "app: web", true, true, false)}, "Deployment shop/web 2", "left out, for no proxy has them as endpoints: Deployment shop/web (1 of 3)"},
		"a Deployment whose ReplicaSet was not read": {[]string{madeBy("Deployment", "web", "app: web"),
			podsOf("shop", "ReplicaSet/web-5d8f", "app: web, pod-template-hash: 5d8f", true)}, "Deployment shop/web 1", ""},
		"no pods": {[]string{madeBy("Deployment", "web", "app: web") + "status: {readyReplicas: 4}\n"}, "Deployment shop/web 4", "no pods were read"},
		"scaled to nothing": {[]string{madeBy("Deployment", "web", "app: web"), podsOf("shop", "StatefulSet/db", "app: db", true), madeBy("StatefulSet", "db", "app: db")},
			"StatefulSet shop/db 1; Deployment shop/web 0", ""},
		"a kind of somebody's": {[]string{fmt.Sprintf(set, "api-1", ", ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: api, controller: true}]"),
			podsOf("shop", "ReplicaSet/api-1", "app: api, rollouts-pod-template-hash: '1'", true, true)}, "Deployment shop/api 2", "replayed as Deployments: Rollout shop/api"},
		"a Job":                     {[]string{podsOf("shop", "Job/import", "job-name: import", true)}, "Deployment shop/import 1", ""},
		"a static pod":              {[]string{podsOf("kube-system", "Node/n1", "component: etcd", true)}, "Pod kube-system/n1-0 1", ""},
		"a DaemonSet on every node": {[]string{nodesOf(2), madeBy("DaemonSet", "agent", "app: a"), podsOf("shop", "DaemonSet/agent", "app: a", true, true)}, "DaemonSet shop/agent 2", ""},
		"a DaemonSet on some nodes": {[]string{nodesOf(3), madeBy("DaemonSet", "agent", "app: a"), podsOf("shop", "DaemonSet/agent", "app: a", true, true)}, "Deployment shop/agent 2", "DaemonSet shop/agent"},
		"one name twice":            {[]string{madeBy("DaemonSet", "x", "app: a"), madeBy("Deployment", "x", "app: b"), podsOf("shop", "DaemonSet/x", "app: a", true)}, "Deployment shop/x 0; Deployment shop/x-daemonset 1", "got a longer one"},
		"pods that ended or are ending": {[]string{madeBy("Deployment", "web", "app: web"), strings.Replace(podsOf("shop", "Job/a", "", true), "phase: Running", "phase: Succeeded", 1)},
			"Deployment shop/web 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := meshOf(t, append(tt.texts, namespaceShop)...)
			if got := listed(m); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			if notes := strings.Join(m.Summary().Notes, "\n"); tt.note != "" && !strings.Contains(notes, tt.note) {
				t.Errorf("notes are\n%s", notes)
			}
			filesOf(t, m)
		})
	}
}

// Of pods nothing is replayed that would need what is not there.
func TestPodSpec(t *testing.T) {
	files := filesOf(t, meshOf(t, namespaceShop, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {sidecar.istio.io/userVolume: '[]', proxy.istio.io/config: 'concurrency: 1', meshbench.dev/real: "2", checksum/config: abc}
    spec:
      serviceAccountName: web
      nodeSelector: {disk: ssd}
      initContainers: [{name: init, image: y}]
      volumes: [{name: a, secret: {secretName: s}}]
      containers:
      - name: app
        image: x
        env: [{name: PASSWORD, value: hunter2}]
        envFrom: [{secretRef: {name: s}}]
        ports: [{name: web, containerPort: 80, hostPort: 80}]
        livenessProbe: {tcpSocket: {port: 80}}
status: {readyReplicas: 1}
`))
	want := `apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
  namespace: shop
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 1
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      annotations:
        checksum/config: abc
        proxy.istio.io/config: 'concurrency: 1'
      labels:
        app: web
    spec:
      containers:
      - image: x
        name: app
        ports:
        - containerPort: 80
          name: web
      serviceAccountName: web
`
	if got := files["objects/workloads.yaml"]; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Pods keep the proxies that they have, though labels have changed since.
func TestInjection(t *testing.T) {
	proxied := strings.ReplaceAll(podsOf("shop", "ReplicaSet/web-1", "app: web, pod-template-hash: '1'", true), "containers: [", "containers: [{name: istio-proxy, image: y}, ")
	injected := strings.Replace(namespaceShop, "name: shop", "name: shop, labels: {istio-injection: enabled}", 1)
	for name, tt := range map[string]struct{ namespace, pods, want, note string }{
		"as the label says":                    {injected, proxied, "", ""},
		"none by the label":                    {namespaceShop, proxied, `sidecar.istio.io/inject: "true"`, "would have no proxy"},
		"one by the label, and none in fact":   {injected, podsOf("shop", "ReplicaSet/web-1", "app: web, pod-template-hash: '1'", true), `sidecar.istio.io/inject: "false"`, "would have a proxy"},
		"none by the label, and none in fact":  {namespaceShop, podsOf("shop", "ReplicaSet/web-1", "app: web, pod-template-hash: '1'", true), "", ""},
		"a namespace that was not read, plain": {"", podsOf("shop", "ReplicaSet/web-1", "app: web, pod-template-hash: '1'", true), "", "labels are not known: Namespace shop"},
	} {
		texts := []string{madeBy("Deployment", "web", "app: web"), tt.pods}
		if tt.namespace != "" {
			texts = append(texts, tt.namespace)
		}
		m := meshOf(t, texts...)
		files := filesOf(t, m)
		text := files["objects/workloads.yaml"]
		if tt.want == "" && strings.Contains(text, "sidecar.istio.io/inject") || !strings.Contains(text, tt.want) {
			t.Errorf("%s:\n%s", name, text)
		}
		if notes := strings.Join(m.Summary().Notes, "\n"); !strings.Contains(notes, tt.note) {
			t.Errorf("%s: notes are\n%s", name, notes)
		}
	}
}

// A gateway that brings its own proxy becomes one that the replay injects.
func TestGateways(t *testing.T) {
	files := filesOf(t, meshOf(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  template:
    metadata: {labels: {istio: ingressgateway}}
    spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.18.0", args: [proxy, router], ports: [{containerPort: 8080}]}]}
status: {readyReplicas: 1}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system, annotations: {service.beta.kubernetes.io/aws-load-balancer-type: nlb}}
spec: {type: LoadBalancer, clusterIP: 10.0.0.7, externalTrafficPolicy: Local, healthCheckNodePort: 31000, selector: {istio: ingressgateway}, ports: [{name: http2, port: 80, nodePort: 30080, targetPort: 8080}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}
`))
	workloads := files["objects/workloads.yaml"]
	for _, want := range []string{"inject.istio.io/templates: gateway", "image: auto", `sidecar.istio.io/inject: "true"`} {
		if !strings.Contains(workloads, want) {
			t.Errorf("no %s in\n%s", want, workloads)
		}
	}
	want := `apiVersion: v1
kind: Service
metadata:
  name: istio-ingressgateway
  namespace: istio-system
spec:
  ports:
  - name: http2
    port: 80
    targetPort: 8080
  selector:
    istio: ingressgateway
`
	if got := files["objects/services.yaml"]; got != want {
		t.Errorf("got\n%s", got)
	}
}

// A gateway whose Secret is not read gets a made-up certificate where it runs.
func TestCertificates(t *testing.T) {
	m := meshOf(t, namespaceShop, madeBy("Deployment", "gate", "istio: gate")+"status: {readyReplicas: 1}\n", `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: other}
spec: {selector: {istio: gate}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: shop-cert}}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: h, namespace: shop}
spec: {gatewayClassName: istio, listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: other-cert, namespace: vault}]}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-cert, namespace: shop}
data: {tls.key: aHVudGVyMg==}
`)
	text := filesOf(t, m)["objects/certificates.yaml"]
	loaded, err := manifests.Load(manifests.Text(text), manifests.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range loaded.Objects {
		names = append(names, o.String())
	}
	if got := strings.Join(names, ", "); got != "Secret shop/shop-cert, Secret vault/other-cert" || strings.Contains(text, "aHVudGVyMg") {
		t.Errorf("%s\n%s", got, text)
	}
	var s struct {
		Data map[string][]byte `json:"data"`
	}
	loaded.Objects[0].Decode(&s)
	if _, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"]); err != nil {
		t.Error(err)
	}
}

// Endpoints without a selector come along at addresses that nobody has, from slices, or where
// there are none from Endpoints.
func TestEndpoints(t *testing.T) {
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\nspec: {ports: [{name: tcp, port: 5432}]}\n"
	slices := `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db, endpointslice.kubernetes.io/managed-by: somebody}}
addressType: IPv4
ports: [{name: tcp, port: 5432, protocol: TCP}]
endpoints: [{addresses: [10.1.2.3], nodeName: n1, zone: z}, {addresses: [10.1.2.4], conditions: {ready: false}}, {addresses: [10.1.2.5]}]
`
	old := `
apiVersion: v1
kind: Endpoints
metadata: {name: db, namespace: shop}
subsets: [{addresses: [{ip: 10.1.2.3}, {ip: 10.1.2.5}], notReadyAddresses: [{ip: 10.1.2.4}], ports: [{name: tcp, port: 5432, protocol: TCP}]}]
`
	for name, text := range map[string]string{"slices": slices, "Endpoints": old, "both": slices + "---" + old} {
		files := filesOf(t, meshOf(t, namespaceShop, service, text))
		got := files["objects/services.yaml"]
		if strings.Count(got, "198.18.0.") != 2 || strings.Contains(got, "10.1.2") || strings.Count(got, "kind: EndpointSlice") != 1 {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

// Where endpoints would be other than in the source, that is said.
func TestMissingEndpoints(t *testing.T) {
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n"
	slice := "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]\n"
	m := meshOf(t, namespaceShop, service, slice, podsOf("shop", "StatefulSet/web", "app: web", true), madeBy("StatefulSet", "web", "app: web"))
	if notes := strings.Join(m.Summary().Notes, "\n"); !strings.Contains(notes, "Service shop/web (2 there, 1 here)") {
		t.Errorf("notes are\n%s", notes)
	}
}

// Which Services lose addresses of IPv6 is said, and not of those that every API server calls
// dual-stack.
func TestDualStack(t *testing.T) {
	for spec, lost := range map[string]bool{
		"{ipFamilies: [IPv4, IPv6], selector: {app: db}, ports: [{port: 80}]}":                 true,
		"{ipFamilies: [IPv6], clusterIP: None, selector: {app: db}, ports: [{port: 80}]}":      true,
		"{ipFamilies: [IPv4], ports: [{port: 80}]}":                                            false,
		"{ipFamilies: [IPv4, IPv6], clusterIP: None, clusterIPs: [None], ports: [{port: 80}]}": false,
	} {
		m := meshOf(t, namespaceShop, "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\nspec: "+spec+"\n")
		if notes := strings.Join(m.Summary().Notes, "\n"); strings.Contains(notes, "addresses of IPv6") != lost {
			t.Errorf("%s: notes are\n%s", spec, notes)
		}
	}
}

// istiod is a control plane of the source.
func istiod(revision, image string, replicas int, env string) string {
	name, label := "istiod", "default"
	if revision != "" {
		name, label = "istiod-"+revision, revision
	}
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: istio-system, labels: {app: istiod, istio.io/rev: %s}}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec: {containers: [{name: discovery, image: %q, args: [discovery, "--monitoringAddr=:15014", --domain, corp.internal, --keepaliveMaxServerConnectionAge, 30m], env: [%s]}]}
status: {readyReplicas: %d}
`, name, label, image, env, replicas)
}

func configMap(name, field, text string) string {
	o, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "istio-system"}, "data": map[string]string{field: text}})
	if err != nil {
		panic(err)
	}
	return string(o)
}

// Two control planes come along with their versions, tags, numbers of pods and values.
func TestPlanes(t *testing.T) {
	m := meshOf(t, namespaceShop,
		istiod("", "docker.io/istio/pilot:1.23.2-distroless", 2, "{name: PILOT_ENABLE_X, value: 'y'}, {name: REVISION, value: default}, {name: CLUSTER_ID, value: east}, {name: S, valueFrom: {secretKeyRef: {name: a, key: b}}}"),
		istiod("1-22", "registry.corp/pilot:1.22.3", 1, ""),
		configMap("istio", "mesh", "trustDomain: corp\nrootNamespace: istio-system\ndefaultProviders: {metrics: []}\ndefaultConfig: {discoveryAddress: 'istiod.istio-system.svc:15012', concurrency: 3}\n"),
		configMap("istio-sidecar-injector", "values", `{"global":{"hub":"registry.corp","proxy":{"resources":{"limits":{"memory":"2Gi"}},"image":"proxyv2"},"network":""},"revision":""}`),
		configMap("values-1-22", "original-values", `{"env":{"A":"b"},"global":{"tag":"x"}}`),
		configMap("istio-1-22", "mesh", "trustDomain: corp\n"),
		"apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: istio-revision-tag-prod, labels: {istio.io/tag: prod, istio.io/rev: 1-22}}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: istiod, namespace: istio-system, labels: {app: istiod, istio: pilot}}\nspec: {ports: [{port: 15012}]}\n",
	)
	files := filesOf(t, m)
	want := `mesh:
  istio: 1.23.2
  values:
    global:
      multiCluster:
        clusterName: east
      proxy:
        clusterDomain: corp.internal
        resources:
          limits:
            memory: 2Gi
    meshConfig:
      defaultConfig:
        concurrency: 3
      defaultProviders:
        metrics: []
      trustDomain: corp
    pilot:
      autoscaleEnabled: false
      env:
        PILOT_ENABLE_X: "y"
      replicaCount: 2
  revisions:
    - name: 1-22
      istio: 1.22.3
      tags: [prod]
      values:
        global:
          proxy:
            clusterDomain: corp.internal
        meshConfig:
          trustDomain: corp
        pilot:
          autoscaleEnabled: false
          env:
            A: b
          replicaCount: 1
steps:
`
	if got := files["prod.yaml"]; !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if files["objects/services.yaml"] != "" {
		t.Error("istiod's own Service came along")
	}
}

// What the chart of the version does not read, or the replay cannot have, is left out and said.
func TestUnknownValues(t *testing.T) {
	m := meshOf(t, namespaceShop, istiod("", "pilot:1.23.2", 1, "{name: ISTIO_DUAL_STACK, value: 'true'}"),
		configMap("istio-sidecar-injector", "values", `{"global":{"nonsense":1,"proxy":{"clusterDomain":"corp.internal"}},"mine":{"a":1}}`),
		configMap("istio", "mesh", "extensionProviders: [{name: x, noneOfIstio: {}}]\ntrustDomain: corp\n"))
	text := filesOf(t, m)["prod.yaml"]
	for _, gone := range []string{"ISTIO_DUAL_STACK", "nonsense", "mine", "noneOfIstio"} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is in\n%s", gone, text)
		}
	}
	if !strings.Contains(text, "trustDomain: corp") || !strings.Contains(strings.Join(m.Summary().Notes, "\n"), "values are left out that the version") {
		t.Errorf("%s\n%q", text, m.Summary().Notes)
	}
}

// The system's namespace is the baseline, and the range of addresses is that of the source.
func TestSystem(t *testing.T) {
	m := meshOf(t, namespaceShop, nodesOf(1),
		"apiVersion: v1\nkind: Service\nmetadata: {name: kubernetes, namespace: default}\nspec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443}]}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: kube-dns, namespace: kube-system}\nspec: {clusterIP: 10.100.0.10, selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP}]}\n",
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}\naddressType: IPv4\nports: [{name: https, port: 6443}]\nendpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}]\n",
		podsOf("kube-system", "DaemonSet/dns", "k8s-app: kube-dns", true),
	)
	files := filesOf(t, m)
	if m.ServiceRange != "10.96.0.0/12" || strings.Count(files["system.yaml"], "198.18.0.") != 3 || !strings.Contains(files["system.yaml"], "clusterIP: 10.100.0.10") {
		t.Errorf("%s\n%s", m.ServiceRange, files["system.yaml"])
	}
	if len(m.Nodes) != 1 || m.Nodes[0].Count != 1 || m.Nodes[0].MaxPods != 110 {
		t.Errorf("nodes %v", m.Nodes)
	}
}

// Bad input is named, with its place.
func TestBadInput(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":                  {"", "there is no Service and no workload"},
		"a cut list":               {"apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n", "line 1: the list has no kind"},
		"cut JSON":                 {`{"apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Namespace"`, "the text ends in the middle of a value"},
		"a kind of an old Istio":   {"apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\nmetadata: {name: a, namespace: b}\n", "line 1: Policy b/a: no cluster of meshbench serves kind Policy.authentication.istio.io"},
		"values that are no JSON":  {istiod("", "x:1.23.2", 1, "") + "---\n" + configMap("istio-sidecar-injector", "values", "{"), "read values in ConfigMap istio-system/istio-sidecar-injector"},
		"a config that is no YAML": {istiod("", "x:1.23.2", 1, "") + "---\n" + configMap("istio", "mesh", "a: [\n"), "read mesh in ConfigMap istio-system/istio"},
	} {
		c := New(Options{})
		err := c.Add(manifests.Text(tt.text))
		if err == nil {
			_, err = c.Mesh()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	c := New(Options{Skip: []string{"Policy.authentication.istio.io"}})
	if err := c.Add(manifests.Text("apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\nmetadata: {name: a, namespace: b}\n")); err != nil {
		t.Errorf("skipped, and still: %v", err)
	}
}

// Nothing of a Secret is kept.
func TestSecrets(t *testing.T) {
	c := New(Options{})
	if err := c.Add(manifests.Text("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop, annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter2}}\ndata: {a: aHVudGVyMg==}\n")); err != nil {
		t.Fatal(err)
	}
	for _, o := range slices.Collect(maps.Values(c.objects)) {
		t.Errorf("%s was kept", o)
	}
	if c.left[reasonSecret][kindOf{"", "Secret"}] != 1 {
		t.Errorf("%v", c.left)
	}
}
