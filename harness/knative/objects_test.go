package knative

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestVersions(t *testing.T) {
	for _, test := range []struct{ module, release string }{
		{"0.42.2", "1.15.2"},
		{"0.38.0", "1.11.0"},
		{"0.27.0", "1.0.0"},
	} {
		if got, err := release(test.module); err != nil || got != test.release {
			t.Errorf("module %s is release %q (%v), want %s", test.module, got, err, test.release)
		}
		if got := moduleVersion(test.release); got != test.module {
			t.Errorf("release %s is module %s, want %s", test.release, got, test.module)
		}
		if got := moduleVersion("v" + test.release); got != test.module {
			t.Errorf("release v%s is module %s, want %s", test.release, got, test.module)
		}
	}
	for _, label := range []string{"devel", "0.42.2", "20240917-a1b2c3d"} {
		if got := moduleVersion(label); got != label {
			t.Errorf("label %s is taken for %s", label, got)
		}
	}
	for _, module := range []string{"", "1.15.2", "0.26.0", "devel"} {
		if got, err := release(module); err == nil {
			t.Errorf("module %q is taken for release %s", module, got)
		}
	}
}

// manifest is a Knative Serving in little: its objects in the order of a released one.
func manifest(change func(name string, o map[string]any)) string {
	object := func(apiVersion, kind, name string, more map[string]any) map[string]any {
		o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{
			"name": name, "namespace": Namespace, "labels": map[string]any{"app.kubernetes.io/version": "1.15.2"},
		}}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	list := []map[string]any{
		object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "config.webhook.serving.knative.dev", nil),
		object("v1", "ConfigMap", "config-gc", map[string]any{"data": map[string]any{"_example": "min-non-active-revisions: 20", "max-non-active-revisions": "1000"}}),
		object("v1", "ConfigMap", "config-autoscaler", nil),
		object("v1", "ConfigMap", "config-deployment", map[string]any{"data": map[string]any{"queue-sidecar-image": "queue"}}),
		object("v1", "ConfigMap", "config-logging", nil),
		object("autoscaling/v2", "HorizontalPodAutoscaler", "webhook", nil),
		object("policy/v1", "PodDisruptionBudget", "webhook-pdb", nil),
		object("caching.internal.knative.dev/v1alpha1", "Image", "queue-proxy", nil),
		object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "services.serving.knative.dev", nil),
		object("rbac.authorization.k8s.io/v1", "ClusterRole", "knative-serving-admin", nil),
		object("v1", "Secret", "webhook-certs", nil),
		object("v1", "Namespace", Namespace, nil),
	}
	for _, name := range deployments {
		list = append(list, object("v1", "Service", name, nil), object("apps/v1", "Deployment", name, nil))
	}
	var text strings.Builder
	for _, o := range list {
		name := o["kind"].(string) + " " + o["metadata"].(map[string]any)["name"].(string)
		if o["kind"] == "Namespace" || o["kind"] == definition {
			delete(o["metadata"].(map[string]any), "namespace")
		}
		if change != nil {
			change(name, o)
		}
		json, err := (&unstructured.Unstructured{Object: o}).MarshalJSON()
		if err != nil {
			panic(err)
		}
		if o["kind"] != "" {
			fmt.Fprintf(&text, "---\n%s\n", json)
		}
	}
	return text.String()
}

func TestManifest(t *testing.T) {
	all, err := readManifest("m.yaml", []byte("# a comment alone\n---\n"+manifest(nil)))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range all {
		kinds = append(kinds, o.GetKind())
	}
	want := []string{"Namespace", "ClusterRole", definition, "ConfigMap", "Secret", "Service", "Deployment", "ValidatingWebhookConfiguration"}
	if got := slices.Compact(kinds); !slices.Equal(got, want) {
		t.Errorf("applied in the order %v, want %v", got, want)
	}
}

func TestBadManifest(t *testing.T) {
	without := func(what string) string {
		return manifest(func(name string, o map[string]any) {
			if name == what {
				o["kind"] = "Other"
			}
		})
	}
	for name, test := range map[string]struct{ text, want string }{
		"empty":               {"", "manifest m.yaml holds no Deployment activator of namespace knative-serving: name a manifest with all"},
		"a part":              {without("Deployment webhook"), "no Deployment webhook"},
		"without definitions": {without(definition + " services.serving.knative.dev"), "no definition of Knative Services"},
		"no YAML":             {"a: [", "manifest m.yaml: line 1: invalid YAML: "},
		"no kind":             {"a: b", "line 1: kind: is missing"},
		"a page":              {"<html>not found</html>", "manifest m.yaml: line 1: want an object"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readManifest("m.yaml", []byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestFolder reads the configuration as Knative's sources have it.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	text := manifest(func(name string, o map[string]any) {
		switch name {
		case "ConfigMap config-deployment":
			o["data"] = map[string]any{"queue-sidecar-image": "ko://knative.dev/serving/cmd/queue"}
		case "Deployment webhook":
			o["spec"] = map[string]any{"image": "ko://knative.dev/serving/cmd/webhook"}
		}
	})
	text = strings.ReplaceAll(text, `"app.kubernetes.io/version":"1.15.2"`, `app.kubernetes.io/version: devel`)
	for path, text := range map[string]string{
		"core/all.yaml":       text,
		"core/placeholder.go": "package core",
		"image.yaml":          `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: images.caching.internal.knative.dev}}`,
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := readFolder(dir, "0.42.2")
	if err != nil {
		t.Fatal(err)
	}
	if all.find(definition, "images.caching.internal.knative.dev") == nil {
		t.Error("the manifest beside folder core was not read")
	}
	webhook := all.find("Deployment", "webhook")
	if got, _, _ := unstructured.NestedString(webhook.Object, "spec", "image"); got != "gcr.io/knative-releases/knative.dev/serving/cmd/webhook:v1.15.2" {
		t.Errorf("the webhook's image is %s", got)
	}
	if got := webhook.GetLabels()[versionLabel]; got != "1.15.2" {
		t.Errorf("the webhook's version is %s", got)
	}
	queue, _, _ := unstructured.NestedString(all.find("ConfigMap", "config-deployment").Object, "data", "queue-sidecar-image")
	if queue != "gcr.io/knative-releases/knative.dev/serving/cmd/queue:v1.15.2" {
		t.Errorf("the queue proxy's image is %s", queue)
	}
	if _, err := readFolder(dir, "1.15.2"); err == nil {
		t.Error("release 1.15.2 was taken for a module's version")
	}
	if _, err := readFolder(filepath.Join(dir, "none"), "0.42.2"); err == nil {
		t.Error("a folder that is not there was read")
	}
}

func TestSettings(t *testing.T) {
	all, err := readManifest("m.yaml", []byte(manifest(nil)))
	if err != nil {
		t.Fatal(err)
	}
	err = all.set(DefaultSettings(), map[string]map[string]string{"config-gc": {"max-non-active-revisions": "10", "retain-since-create-time": "1s"}})
	if err != nil {
		t.Fatal(err)
	}
	gc, _, _ := unstructured.NestedStringMap(all.find("ConfigMap", "config-gc").Object, "data")
	for key, want := range map[string]string{
		"_example":                      "min-non-active-revisions: 20", // Knative's, with a checksum
		"max-non-active-revisions":      "10",
		"retain-since-create-time":      "1s",
		"retain-since-last-active-time": "disabled",
		"min-non-active-revisions":      "100000",
	} {
		if gc[key] != want {
			t.Errorf("config-gc has %s: %q, want %q", key, gc[key], want)
		}
	}
	zero, _, _ := unstructured.NestedString(all.find("ConfigMap", "config-autoscaler").Object, "data", "allow-zero-initial-scale")
	if zero != "true" {
		t.Errorf("allow-zero-initial-scale is %q", zero)
	}
	err = all.set(map[string]map[string]string{"config-gx": {"a": "b"}})
	if want := "Knative Serving has no config map config-gx: it has config-gc, config-autoscaler, config-deployment, config-logging"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestDownload(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/serving-core.yaml" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, manifest(nil))
	}))
	defer server.Close()
	all, err := download(t.Context(), server.URL+"/serving-core.yaml")
	if err != nil || all.find("Deployment", "controller") == nil {
		t.Errorf("%d objects, %v", len(all), err)
	}
	if _, err := download(t.Context(), server.URL+"/other.yaml"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := download(ctx, server.URL+"/serving-core.yaml"); err == nil {
		t.Error("downloaded after the end")
	}
}
