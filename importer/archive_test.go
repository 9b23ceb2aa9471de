package importer

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/importer/bugreport"
	"github.com/meshbench/meshbench/importer/bugreport/bugreporttest"
	"github.com/meshbench/meshbench/manifests"
)

const dump = `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamic_active_clusters":[{"cluster":{"name":"a"}},{"cluster":{"name":"b"}}]},
{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamic_listeners":[{"active_state":{"listener":{"filter_chains":[{}]}}}]}]}`

const clusters = "a::observability_name::a\na::10.0.0.1:80::cx_active::0\na::10.0.0.1:80::health_flags::healthy\nb::10.0.0.2:80::health_flags::/failed_eds_health\n"

func reported() []string {
	list := func(items string) string { return "apiVersion: v1\nitems:\n" + items + "kind: List\n" }
	item := func(text string) string {
		return "- " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
	}
	return []string{
		"bug-report/cluster/crs", list(item("apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: shop}\nspec: {egress: [{hosts: ['./*']}]}")),
		"bug-report/cluster/k8s-cluster-resources", list(item(namespaceShop)),
		"bug-report/cluster/k8s-resources", list(item(madeBy("Deployment", "web", "app: web")) + item(strings.ReplaceAll(podsOf("shop", "ReplicaSet/web-1", "app: web, pod-template-hash: '1'", true), "containers: [", "containers: [{name: istio-proxy, image: y}, "))),
		"bug-report/cluster/secrets", "apiVersion: v1\nitems: hunter2 {{{{",
		"bug-report/proxies/shop/web-1-0/clusters", clusters,
		"bug-report/proxies/shop/web-1-0/config_dump?include_eds", dump,
		"bug-report/proxies/shop/other/config_dump?include_eds", `{"ztunnel": 1}`,
	}
}

// An archive of bug-report has the objects, and the counts of its proxies.
func TestArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bug-report.tar.gz")
	if err := os.WriteFile(path, bugreporttest.Pack(t, reported()...), 0o666); err != nil {
		t.Fatal(err)
	}
	c := New(Options{})
	if err := c.AddFile(path); err != nil {
		t.Fatal(err)
	}
	m, err := c.Mesh()
	if err != nil {
		t.Fatal(err)
	}
	_, files := writtenTo(t, m)
	want := `source:
  proxies:
    - namespace: shop
      deployment: web
      pod: web-1-0
      counts:
        cluster: 2
        listener: 1
        route: 0
        endpoint: 2
        clusterObjects: 2
        listenerObjects: 1
        filterChainObjects: 1
        routeObjects: 0
        virtualHostObjects: 0
`
	if got := files["prod.yaml"]; !strings.Contains(got, want) {
		t.Errorf("got\n%s", got)
	}
	if !strings.Contains(files["objects/config.yaml"], "kind: Sidecar") {
		t.Error("the objects of crs are missing")
	}
	if notes := strings.Join(m.Summary().Notes, "\n"); !strings.Contains(notes, "bug-report/proxies/shop/other/config_dump") {
		t.Errorf("notes are\n%s", notes)
	}
}

// What is wrong with an archive is said with the file in it.
func TestBadArchive(t *testing.T) {
	add := func(data []byte, within bugreport.Limits) error {
		return New(Options{}).AddArchive("/tmp/report.tar.gz", func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, within)
	}
	whole := bugreporttest.Pack(t, reported()...)
	small := bugreport.DefaultLimits()
	small.All = 1 << 12
	for name, tt := range map[string]struct {
		data   []byte
		within bugreport.Limits
		want   string
	}{
		"an object without a name": {bugreporttest.Pack(t, "bug-report/cluster/crs", "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\nkind: List\n"), bugreport.DefaultLimits(),
			"report.tar.gz:bug-report/cluster/crs:3: items[0] (Service): metadata.name: is missing"},
		"a cut list":       {bugreporttest.Pack(t, "bug-report/cluster/crs", "apiVersion: v1\nitems:\n- apiVersion: v1\n"), bugreport.DefaultLimits(), "report.tar.gz:bug-report/cluster/crs"},
		"a cut archive":    {whole[:len(whole)-20], bugreport.DefaultLimits(), "the archive ends in the middle"},
		"a long archive":   {whole, small, "too long for its archive"},
		"nothing of use":   {bugreporttest.Pack(t, "bug-report/versions", "x"), bugreport.DefaultLimits(), "it holds no objects"},
		"cut in an object": {bugreporttest.Pack(t, "bug-report/cluster/crs", strings.Repeat("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n", 500))[:200], bugreport.DefaultLimits(), "the archive ends in the middle"},
	} {
		if err := add(tt.data, tt.within); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is in an export, importing ends with a folder's files or an error.
func FuzzMesh(f *testing.F) {
	f.Add(namespaceShop + "---" + madeBy("Deployment", "web", "app: web") + "---" + podsOf("shop", "ReplicaSet/web-1", "app: web", true))
	f.Add(istiod("", "pilot:1.23.2", 1, "") + "---\n" + configMap("istio", "mesh", "a: b") + "---\n" + configMap("istio-sidecar-injector", "values", `{"global":1,"pilot":[],"env":{}}`))
	f.Add("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {ports: [1, {name: 2}], selector: [a]}\n")
	f.Add("apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {capacity: {cpu: x}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := New(Options{})
		if c.Add(manifests.Text(text)) != nil {
			return
		}
		m, err := c.Mesh()
		if err != nil {
			return
		}
		if _, err := m.files(Target{Folder: "prod"}); err != nil {
			t.Error(err)
		}
	})
}
