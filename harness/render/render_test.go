package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/scenarios"
)

// tree writes files into a folder of their own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// objects are those of a manifest, in its order.
func objects(t *testing.T, text []byte) string {
	t.Helper()
	m, err := manifests.Load(manifests.Text(string(text)), manifests.Options{Raw: true})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var names []string
	for _, o := range m.Objects {
		names = append(names, o.String())
	}
	return strings.Join(names, ", ")
}

const chartFile = "apiVersion: v2\nname: web\nversion: 1.0.0\n"

func TestChart(t *testing.T) {
	root := tree(t, map[string]string{
		"web/Chart.yaml":  chartFile + "kubeVersion: '>=1.30'\ndependencies: [{name: sub, version: 1.0.0, condition: sub.enabled}]\n",
		"web/values.yaml": "replicas: 1\nsub: {enabled: false}\n",
		"web/templates/deployment.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: '{{ .Release.Name }}'}\nspec: {replicas: {{ .Values.replicas }}}\n" +
			"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Namespace }}-{{ .Capabilities.KubeVersion.Version }}'}\n",
		"web/templates/NOTES.txt":            "Thank you\n",
		"web/templates/test.yaml":            "apiVersion: v1\nkind: Pod\nmetadata: {name: test, annotations: {helm.sh/hook: test}}\n",
		"web/templates/job.yaml":             "apiVersion: batch/v1\nkind: Job\nmetadata: {name: before, annotations: {helm.sh/hook: 'pre-install,pre-upgrade'}}\n",
		"web/crds/crd.yaml":                  "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.com}\n",
		"web/charts/sub/Chart.yaml":          "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"web/charts/sub/templates/part.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}\n",
	})
	for name, tt := range map[string]struct {
		values map[string]any
		want   string
	}{
		"defaults":          {nil, "CustomResourceDefinition as.example.com, ConfigMap ns1-v1.31.4, Deployment mine, Job before"},
		"with a dependency": {map[string]any{"sub": map[string]any{"enabled": true}}, "CustomResourceDefinition as.example.com, ConfigMap sub, ConfigMap ns1-v1.31.4, Deployment mine, Job before"},
	} {
		text, err := Local{"1.31.4"}.Chart(filepath.Join(root, "web"), scenarios.ChartOptions{Release: "mine", Namespace: "ns1", Values: tt.values})
		if err != nil {
			t.Fatal(err)
		}
		if got := objects(t, text); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func TestChartRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no chart":                 {map[string]string{"web/a": ""}, "read the chart: Chart.yaml file is missing"},
		"a dependency that lacks":  {map[string]string{"web/Chart.yaml": chartFile + "dependencies: [{name: sub, version: 1.0.0, repository: 'https://example.com'}]\n"}, "sub; fetch them with helm dependency build"},
		"a library":                {map[string]string{"web/Chart.yaml": chartFile + "type: library\n"}, "a library chart"},
		"another Kubernetes":       {map[string]string{"web/Chart.yaml": chartFile + "kubeVersion: '>=1.99'\n"}, "the chart is for Kubernetes >=1.99, not v1.31.4"},
		"a value that is required": {map[string]string{"web/Chart.yaml": chartFile, "web/templates/a.yaml": `{{ required "name a host" .Values.host }}`}, "name a host"},
		"values against a schema":  {map[string]string{"web/Chart.yaml": chartFile, "web/values.schema.json": `{"required": ["host"]}`}, "take the values: "},
	} {
		root := tree(t, tt.files)
		if _, err := (Local{"1.31.4"}).Chart(filepath.Join(root, "web"), scenarios.ChartOptions{Release: "mine", Namespace: "ns1"}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKustomize(t *testing.T) {
	root := tree(t, map[string]string{
		"base/kustomization.yaml": "resources: [service.yaml]\n",
		"base/service.yaml":       "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n",
		"over/kustomization.yml": "resources: [../base]\nnamespace: ns1\nnamePrefix: my-\n" +
			"configMapGenerator: [{name: text, files: [key=file.txt], literals: ['url=https://example.com']}]\ngeneratorOptions: {disableNameSuffixHash: true}\n" +
			"patches: [{path: patch.yaml}]\n" +
			// Labels and annotations of these names are no files.
			"commonLabels: {env: prod}\nlabels: [{pairs: {path: x}}]\ncommonAnnotations: {files: z.txt}\n" +
			"secretGenerator: [{name: s, literals: [a=b], options: {labels: {env: prod}, annotations: {path: x}}}]\n",
		"over/file.txt":   "x",
		"over/patch.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web, labels: {a: b}}\n",
	})
	text, err := Local{}.Kustomize(root, filepath.Join(root, "over"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := objects(t, text), "ConfigMap ns1/my-text, Secret ns1/my-s, Service ns1/my-web"; got != want && got != "Service ns1/my-web, ConfigMap ns1/my-text, Secret ns1/my-s" {
		t.Errorf("got %s, want %s", got, want)
	}
	if !strings.Contains(string(text), "a: b") {
		t.Errorf("the patch is not in\n%s", text)
	}
}

func TestKustomizeRefuses(t *testing.T) {
	outside := tree(t, map[string]string{"kustomization.yaml": ""})
	for name, tt := range map[string]struct{ text, want string }{
		"a URL":              {"resources: [https://example.com/a.yaml]", "kustomization.yaml: resources: https://example.com/a.yaml is no local file or folder, and nothing is downloaded"},
		"a repository":       {"bases: ['github.com/example/a?ref=b']", "is no local file or folder"},
		"a URL in a patch":   {"patches: [{path: https://example.com/a.yaml}]", "is no local file or folder"},
		"a URL in capitals":  {"Resources: [https://example.com/a.yaml]", "is no local file or folder"},
		"a URL in a field":   {"patches: [{Path: https://example.com/a.yaml}]", "is no local file or folder"},
		"a chart, capitals":  {"HELMCHARTS: [{name: a, repo: 'https://example.com'}]", "charts inside a kustomization are not rendered"},
		"a URL in a map":     {"configMapGenerator: [{name: a, files: ['a=https://example.com/a']}]", "is no local file or folder"},
		"a URL below":        {"resources: [below]", "below/kustomization.yaml: resources: https://example.com/b is no local file or folder"},
		"outside":            {"resources: ['" + outside + "']", "is no local file or folder"},
		"outside, relative":  {"resources: ['../../" + filepath.Base(filepath.Dir(outside)) + "/" + filepath.Base(outside) + "']", "is "},
		"a chart":            {"helmCharts: [{name: a, repo: 'https://example.com'}]", "charts inside a kustomization are not rendered"},
		"no kustomization":   {"", ""},
		"what is no YAML":    {"a: [", "kustomization.yaml: "},
		"what is not there":  {"resources: [a.yaml]", "a.yaml is no local file or folder"},
		"what is no field":   {"resource: []", "kustomize: "},
		"a folder without":   {"resources: [empty]", "empty has no kustomization.yaml"},
		"what is no mapping": {"- a", "kustomization.yaml: "},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"a/kustomization.yaml": tt.text, "a/below/kustomization.yaml": "resources: [https://example.com/b]", "a/empty/x": ""}
			if tt.text == "" {
				delete(files, "a/kustomization.yaml")
				tt.want = "a has no kustomization.yaml"
			}
			root := tree(t, files)
			if _, err := (Local{}).Kustomize(root, filepath.Join(root, "a")); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
