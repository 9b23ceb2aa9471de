package light

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// web is the pod whose Envoy had testdata/node.json, as its container was started.
func web() Proxy {
	return Proxy{
		ID: "1", Namespace: "ns1", Pod: "web-54466ccbf7-6r7lf", IP: "10.0.16.4", Version: "1.23.2",
		Args: []string{"proxy", "sidecar", "--domain", "ns1.svc.cluster.local", "--proxyLogLevel=warning"},
		Env: []string{
			"PILOT_CERT_PROVIDER=istiod", "CA_ADDR=istiod.istio-system.svc:15012", "POD_NAME=web-54466ccbf7-6r7lf", "POD_NAMESPACE=ns1",
			"INSTANCE_IP=10.0.16.4", "SERVICE_ACCOUNT=default", "HOST_IP=10.0.1.11", "ISTIO_CPU_LIMIT=2", "PROXY_CONFIG={}\n",
			"ISTIO_META_POD_PORTS=[\n]", "ISTIO_META_APP_CONTAINERS=nginx", "GOMEMLIMIT=1073741824", "GOMAXPROCS=2",
			"ISTIO_META_CLUSTER_ID=Kubernetes", "ISTIO_META_NODE_NAME=ip-10-0-1-11.ec2.internal", "ISTIO_META_INTERCEPTION_MODE=REDIRECT",
			"ISTIO_META_WORKLOAD_NAME=web", "ISTIO_META_OWNER=kubernetes://apis/apps/v1/namespaces/ns1/deployments/web",
			"ISTIO_META_MESH_ID=cluster.local", "TRUST_DOMAIN=cluster.local",
		},
		Labels: map[string]string{
			"app": "web", "pod-template-hash": "54466ccbf7", "security.istio.io/tlsMode": "istio",
			"service.istio.io/canonical-name": "web", "service.istio.io/canonical-revision": "latest",
		},
		Annotations: map[string]string{
			"controller.kubernetes.io/pod-deletion-cost": "100", "istio.io/rev": "default",
			"kubectl.kubernetes.io/default-container": "nginx", "kubectl.kubernetes.io/default-logs-container": "nginx",
			"prometheus.io/path": "/stats/prometheus", "prometheus.io/port": "15020", "prometheus.io/scrape": "true",
			"sidecar.istio.io/status": `{"initContainers":["istio-init"],"containers":["istio-proxy"],"volumes":["workload-socket","credential-socket","workload-certs","istio-envoy","istio-data","istio-podinfo","istio-token","istiod-ca-cert"],"imagePullSecrets":null,"revision":"default"}`,
		},
	}
}

func nodeOf(t *testing.T, p Proxy) map[string]any {
	t.Helper()
	s, err := p.read()
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.node(s)
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{}
	if err := proto.Unmarshal(b, node); err != nil {
		t.Fatal(err)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestNode holds the node against that of a real pod: what its pilot-agent, of Istio 1.23.2,
// wrote into its Envoy's bootstrap.
func TestNode(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "node.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, nodeOf(t, web())); diff != "" {
		t.Errorf("the agent's (-) and ours (+):\n%s", diff)
	}
}

// TestSettings: what of the pod changes the node, and what the process is told.
func TestSettings(t *testing.T) {
	p := web()
	p.Env = append(p.Env, `PROXY_CONFIG={"drainDuration":"5s","concurrency":3,"proxyMetadata":{"ISTIO_META_X":"y","ISTIO_META_DNS_CAPTURE":"true"}}`,
		`ISTIO_META_POD_PORTS=[
    {"name":"http","containerPort":80,"protocol":"TCP"}
    ]`, `ISTIO_METAJSON_LABELS={"static":"1"}`)
	p.Annotations["proxy.istio.io/config"] = "{drainDuration: 7s, proxyMetadata: {ISTIO_META_Z: z}}"
	p.Labels["istio-locality"] = "region1.zone2"
	delete(p.Labels, "app")
	got := nodeOf(t, p)
	meta := got["metadata"].(map[string]any)
	config := meta["PROXY_CONFIG"].(map[string]any)
	for what, pair := range map[string][2]any{
		"drain": {config["drainDuration"], "7s"}, "threads": {config["concurrency"], 3.0}, "x": {meta["X"], "y"}, "z": {meta["Z"], "z"},
		"ports":  {meta["POD_PORTS"], `[{"name":"http","containerPort":80,"protocol":"TCP"}]`},
		"static": {meta["LABELS"].(map[string]any)["static"], "1"}, "cluster": {got["cluster"], "web.ns1"},
		"zone": {got["locality"].(map[string]any)["zone"], "zone2"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	for env, want := range map[string]string{
		"PROXY_CONFIG={": "read the proxy's configuration", `PROXY_CONFIG={"discoveryAddress":"istiod"}`: "read the address of istiod",
	} {
		bad := web()
		bad.Env = append(bad.Env, env)
		if _, err := bad.read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", env, err, want)
		}
	}
}

// TestRefusedProxies: what cannot be spoken for is refused, and why.
func TestRefusedProxies(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*Proxy)
		want   string
	}{
		"the state of the world": {func(p *Proxy) { p.Env = append(p.Env, "ISTIO_DELTA_XDS=false") }, "ISTIO_DELTA_XDS=false"},
		"no root":                {func(p *Proxy) { p.Roots = []byte("x") }, "the mesh's root has no certificate"},
		"no Envoy":               {func(p *Proxy) { p.Envoy = "/no/envoy" }, "start Envoy to ask what it can do"},
	} {
		p := web()
		c.change(&p)
		if err := newServer(t.Context()).add(p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// TestDescription: what an Envoy says of itself stands in the node.
func TestDescription(t *testing.T) {
	var info serverInfo
	if err := json.Unmarshal([]byte(`{"node": {"user_agent_name": "envoy", "user_agent_build_version": {"version": {"major_number": 1, "minor_number": 40, "patch": 2}, "metadata": {"build.type": "RELEASE"}},
		"extensions": [{"name": "a", "category": "b", "disabled": true, "type_urls": ["c", "d"]}, {"name": "e", "category": "f"}], "client_features": ["x"]}}`), &info); err != nil {
		t.Fatal(err)
	}
	b, err := info.fields()
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{}
	if err := proto.Unmarshal(b, node); err != nil {
		t.Fatal(err)
	}
	version := node.GetUserAgentBuildVersion()
	if node.UserAgentName != "envoy" || version.GetVersion().GetMinorNumber() != 40 || version.GetVersion().GetPatch() != 2 || version.GetMetadata().AsMap()["build.type"] != "RELEASE" {
		t.Errorf("got %v", node)
	}
	if len(node.Extensions) != 2 || !node.Extensions[0].Disabled || len(node.Extensions[0].TypeUrls) != 2 || node.Extensions[1].Category != "f" || len(node.ClientFeatures) != 1 {
		t.Errorf("got %v", node)
	}
}
