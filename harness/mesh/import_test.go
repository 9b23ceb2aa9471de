package mesh

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/importer"
	"github.com/meshbench/meshbench/manifests"
)

// An imported mesh is set as its source: the chart, given the values that the import finds in
// what it made, makes the same mesh configuration and the same environment again, of every
// pinned version, with the config map of values that later ones have and without it.
func TestImportedValues(t *testing.T) { eachCharts(t, testImportedValues) }

func testImportedValues(t *testing.T, version string, charts Charts) {
	source := Layer{Name: "the source", Values: map[string]any{
		"global": map[string]any{
			"network": "east", "meshID": "corp", "multiCluster": map[string]any{"clusterName": "blue"}, "hub": "registry.corp/istio",
			"proxy": map[string]any{"clusterDomain": "corp.internal", "resources": map[string]any{"limits": map[string]any{"memory": "2Gi"}}},
		},
		"pilot": map[string]any{"env": map[string]any{"PILOT_ENABLE_ALPN_FILTER": "false"}, "traceSampling": 5.0},
		"meshConfig": map[string]any{
			"trustDomain": "corp", "outboundTrafficPolicy": map[string]any{"mode": "REGISTRY_ONLY"}, "accessLogFile": "/dev/stdout",
			"defaultConfig": map[string]any{"proxyMetadata": map[string]any{"ISTIO_META_DNS_CAPTURE": "true"}, "concurrency": 3},
		},
		"sidecarInjectorWebhook": map[string]any{"rewriteAppHTTPProbe": false},
	}}
	was := render(t, newMesh(t, Options{Version: version, Charts: charts, Values: []Layer{source}}), istiodChart)
	for name, without := range map[string]string{"all config maps": "", "without the config map values": "ConfigMap/values"} {
		c := importer.New(importer.Options{})
		if err := c.Add(manifests.Text("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\n")); err != nil {
			t.Fatal(err)
		}
		for _, key := range slices.Sorted(maps.Keys(was)) {
			text := was[key]
			if key == without {
				continue
			}
			// The API server adds the namespace that Helm leaves to it.
			if err := c.Add(manifests.Source{Name: key, Open: manifests.Text(text).Open}); err != nil {
				t.Fatal(err)
			}
		}
		m, err := c.Mesh()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Planes) != 1 || m.Planes[0].Istio != version {
			t.Fatalf("%s: planes %+v", name, m.Planes)
		}
		for _, note := range m.Summary().Notes {
			if strings.Contains(note, "values") && !strings.Contains(note, "no pods were read") {
				t.Errorf("%s: %s", name, note)
			}
		}
		is := render(t, newMesh(t, Options{Version: version, Charts: charts, Values: []Layer{{Name: "the import", Values: m.Planes[0].Values}}}), istiodChart)
		config := func(objects map[string]string) (mesh map[string]any) {
			if err := yaml.Unmarshal([]byte(object[corev1.ConfigMap](t, objects, "ConfigMap/istio").Data["mesh"]), &mesh); err != nil {
				t.Fatal(err)
			}
			return mesh
		}
		if a, b := config(was), config(is); !reflect.DeepEqual(a, b) {
			t.Errorf("%s: the mesh configuration was\n%v\nand is\n%v", name, a, b)
		}
		env := func(objects map[string]string) map[string]string {
			return environment(object[appsv1.Deployment](t, objects, "Deployment/istiod").Spec.Template.Spec.Containers[0])
		}
		if a, b := env(was), env(is); !maps.Equal(a, b) {
			t.Errorf("%s: istiod's environment was\n%v\nand is\n%v", name, a, b)
		}
		injected := func(objects map[string]string) (values struct {
			Global struct {
				Network, MeshID string
				Proxy           struct {
					ClusterDomain string
					Resources     map[string]any
				}
			}
			SidecarInjectorWebhook struct{ RewriteAppHTTPProbe bool }
		}) {
			if err := yaml.Unmarshal([]byte(object[corev1.ConfigMap](t, objects, "ConfigMap/istio-sidecar-injector").Data["values"]), &values); err != nil {
				t.Fatal(err)
			}
			return values
		}
		if a, b := injected(was), injected(is); !reflect.DeepEqual(a, b) || a.Global.Network != "east" {
			t.Errorf("%s: the injector's values were\n%+v\nand are\n%+v", name, a, b)
		}
	}
}
