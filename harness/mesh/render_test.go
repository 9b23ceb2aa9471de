package mesh

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/releaseutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/internal/skip"
)

// istioVersions are the pinned releases with the version of Istio's module, which holds
// the charts.
func istioVersions(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../components/modules/istio-*.mod")
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(text), "\nrequire istio.io/istio ")
		version, _, end := strings.Cut(rest, "\n")
		if !ok || !end {
			t.Fatalf("%s does not require Istio's module", file)
		}
		versions[strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "istio-"), ".mod")] = version
	}
	if len(versions) < 2 {
		t.Fatalf("pinned are %v", versions)
	}
	return versions
}

// downloaded is the folder with the charts of a version of Istio's module, downloaded once
// unless the environment says otherwise.
func downloaded(version string, env ...string) (string, error) {
	download := exec.Command("go", "mod", "download", "-json", "istio.io/istio@"+version)
	download.Dir = os.TempDir() // outside this module
	download.Env = append(append(os.Environ(), "GONOSUMDB=istio.io/istio", "GOFLAGS="), env...)
	out, err := download.Output()
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	return filepath.Join(module.Dir, "manifests", "charts"), nil
}

// defaultIstio is the release whose charts are downloaded for these tests.
const defaultIstio = "1.23.2"

func realCharts(t *testing.T) Charts {
	t.Helper()
	dir, err := downloaded(istioVersions(t)[defaultIstio])
	if err != nil {
		t.Fatalf("downloading the module of Istio %s, whose charts are rendered here: %v", defaultIstio, err)
	}
	return Charts{Dir: dir}
}

// eachCharts runs a test with the charts of every pinned release that is on this machine;
// where nothing may be missing the others are downloaded.
func eachCharts(t *testing.T, test func(t *testing.T, version string, charts Charts)) {
	for version, module := range istioVersions(t) {
		t.Run(version, func(t *testing.T) {
			if version == defaultIstio {
				test(t, version, realCharts(t))
				return
			}
			var offline []string
			if !skip.Required() {
				offline = []string{"GOPROXY=off"}
			}
			dir, err := downloaded(module, offline...)
			if err != nil {
				skip.Missing(t, "the module of Istio %s is not on this machine: meshbench components --istio %s downloads it", version, version)
			}
			test(t, version, Charts{Dir: dir})
		})
	}
}

// render makes a chart's objects as Install would send them, by kind/name.
func render(t *testing.T, m *Mesh, name string) map[string]string {
	t.Helper()
	c, err := m.chart(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	install := newInstall(&action.Configuration{Log: t.Logf}, m.release(name), m.namespace, time.Second)
	install.ClientOnly, install.DryRun = true, true
	values := m.values
	if name == baseChart {
		values = baseChartValues(values)
	}
	release, err := install.RunWithContext(t.Context(), c, values)
	if err != nil {
		t.Fatalf("rendering chart %s: %v", name, err)
	}
	objects := map[string]string{}
	for _, document := range releaseutil.SplitManifests(release.Manifest) {
		var head struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		objects[head.Kind+"/"+head.Metadata.Name] = document
	}
	return objects
}

func object[T any](t *testing.T, objects map[string]string, name string) *T {
	t.Helper()
	document, ok := objects[name]
	if !ok {
		t.Fatalf("no %s among %v", name, slices.Sorted(maps.Keys(objects)))
	}
	var o T
	if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
		t.Fatal(err)
	}
	return &o
}

func newMesh(t *testing.T, options Options) *Mesh {
	t.Helper()
	if options.Version == "" {
		options.Version = "1.23.2"
	}
	m, err := New(&rest.Config{Host: "127.0.0.1:1"}, options)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func environment(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env
}

func TestRenderedIstiod(t *testing.T) { eachCharts(t, testRenderedIstiod) }

func testRenderedIstiod(t *testing.T, version string, charts Charts) {
	m := newMesh(t, Options{Version: version, Charts: charts, Values: []Layer{UpstreamEnvoyValues()}})
	objects := render(t, m, istiodChart)
	deployment := object[appsv1.Deployment](t, objects, "Deployment/istiod")
	container := deployment.Spec.Template.Spec.Containers[0]

	if want := "docker.io/istio/pilot:" + version; container.Image != want {
		t.Errorf("image %s, want %s", container.Image, want)
	}
	env := environment(container)
	for _, name := range []string{"PILOT_ENABLE_ALPN_FILTER", "PILOT_ENABLE_METADATA_EXCHANGE"} {
		if env[name] != "false" {
			t.Errorf("%s=%q, want false", name, env[name])
		}
	}
	if deployment.Spec.Replicas == nil || *deployment.Spec.Replicas != 1 {
		t.Errorf("replicas %v, want 1", deployment.Spec.Replicas)
	}
	if deployment.Namespace != DefaultNamespace {
		t.Errorf("namespace %q", deployment.Namespace)
	}
	if got := maxConnectionAge(deployment); got != 30*time.Minute {
		t.Errorf("connections live %s, want 30m", got)
	}
	if deployment.Labels["app"] != "istiod" || deployment.Spec.Template.Labels["app"] != "istiod" {
		t.Error("the Deployment or its pods have no label app=istiod: readiness looks for it")
	}
	// A release's charts have its version. Before 1.24 they did not label with it.
	if v, labelled := deployment.Spec.Template.Labels["app.kubernetes.io/version"]; labelled && v != version {
		t.Errorf("istiod's pods are labelled with version %s, want %s", v, version)
	}
	if _, ok := objects["HorizontalPodAutoscaler/istiod"]; ok {
		t.Error("an autoscaler could start a second istiod inside a run")
	}
	mesh := object[corev1.ConfigMap](t, objects, "ConfigMap/istio").Data["mesh"]
	if strings.Contains(mesh, "prometheus") && strings.Contains(mesh, "defaultProviders") {
		t.Errorf("telemetry is on:\n%s", mesh)
	}
	injector := objects["MutatingWebhookConfiguration/istio-sidecar-injector"]
	if !strings.Contains(injector, "app: sidecar-injector") {
		t.Errorf("readiness looks for label app=sidecar-injector:\n%s", injector)
	}
	images := object[corev1.ConfigMap](t, objects, "ConfigMap/istio-sidecar-injector").Data["values"]
	var injected struct {
		Global struct{ Hub, Tag string }
	}
	if err := json.Unmarshal([]byte(images), &injected); err != nil {
		t.Fatal(err)
	}
	if injected.Global.Hub != "docker.io/istio" || injected.Global.Tag != version {
		t.Errorf("sidecars' images come from %+v", injected.Global)
	}
}

// Istio's own Envoy keeps the chart's telemetry.
func TestRenderedTelemetryDefault(t *testing.T) {
	m := newMesh(t, Options{Charts: realCharts(t)})
	objects := render(t, m, istiodChart)
	if mesh := object[corev1.ConfigMap](t, objects, "ConfigMap/istio").Data["mesh"]; !strings.Contains(mesh, "defaultProviders") {
		t.Errorf("no default telemetry provider:\n%s", mesh)
	}
	env := environment(object[appsv1.Deployment](t, objects, "Deployment/istiod").Spec.Template.Spec.Containers[0])
	if _, set := env["PILOT_ENABLE_ALPN_FILTER"]; set {
		t.Error("PILOT_ENABLE_ALPN_FILTER is set without the layer for upstream Envoy")
	}
}

func TestRenderedLayers(t *testing.T) {
	commandLine, err := CommandLine(nil, []string{"pilot.env.FROM=command-line", "pilot.env.PILOT_ENABLE_ALPN_FILTER=true", "pilot.autoscaleEnabled=true"})
	if err != nil {
		t.Fatal(err)
	}
	scenario := Layer{Name: "scenario", Values: map[string]any{
		"pilot": map[string]any{"env": map[string]any{"FROM": "scenario", "SCENARIO": "yes"}},
		"meshConfig": map[string]any{"defaultConfig": map[string]any{
			"proxyMetadata": map[string]any{"ISTIO_DELTA_XDS": "false"}}},
	}}
	m := newMesh(t, Options{Charts: realCharts(t), Hub: "here", Values: append([]Layer{UpstreamEnvoyValues(), scenario}, commandLine...)})
	objects := render(t, m, istiodChart)
	env := environment(object[appsv1.Deployment](t, objects, "Deployment/istiod").Spec.Template.Spec.Containers[0])
	for name, want := range map[string]string{
		"FROM": "command-line", "SCENARIO": "yes",
		"PILOT_ENABLE_ALPN_FILTER": "true", "PILOT_ENABLE_METADATA_EXCHANGE": "false",
	} {
		if env[name] != want {
			t.Errorf("%s=%q, want %q", name, env[name], want)
		}
	}
	if mesh := object[corev1.ConfigMap](t, objects, "ConfigMap/istio").Data["mesh"]; !strings.Contains(mesh, "ISTIO_DELTA_XDS") {
		t.Errorf("the scenario's proxyMetadata is missing:\n%s", mesh)
	}
	if _, ok := objects["HorizontalPodAutoscaler/istiod"]; !ok {
		t.Error("the command line cannot turn the autoscaler on")
	}
}

func TestRenderedBase(t *testing.T) { eachCharts(t, testRenderedBase) }

func testRenderedBase(t *testing.T, version string, charts Charts) {
	m := newMesh(t, Options{Version: version, Charts: charts, Values: []Layer{UpstreamEnvoyValues()}})
	objects := render(t, m, baseChart)
	if _, ok := objects["ServiceAccount/istio-reader-service-account"]; !ok {
		t.Errorf("objects: %v", slices.Sorted(maps.Keys(objects)))
	}
	c, err := m.options.Charts.load(t.Context(), baseChart)
	if err != nil {
		t.Fatal(err)
	}
	manifest, templated := crds(c)
	if n := bytes.Count(manifest, []byte("\nkind: CustomResourceDefinition\n")); n < 14 {
		t.Errorf("%d resource definitions", n)
	}
	if _, ok := objects["CustomResourceDefinition/sidecars.networking.istio.io"]; ok != templated {
		t.Errorf("templated: %v, among the objects: %v", templated, ok)
	}
}
