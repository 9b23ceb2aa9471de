package advice

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadImported reads a folder as an import writes it: workloads in place of pods, the mesh's
// values in the scenario.
func TestReadImported(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"shop.yaml":   "apiVersion: meshbench.dev/v1\nname: shop\nmesh:\n  values:\n    meshConfig:\n      outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n",
		"import.json": "{}",
		"notes.txt":   "nothing",
		"objects/a.yaml": `
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {istio.io/rev: canary}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: plain}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: a}, spec: {replicas: 3, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: fortio/fortio}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: none, namespace: a}, spec: {template: {metadata: {labels: {sidecar.istio.io/inject: "false"}}, spec: {containers: [{name: app}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: gw, namespace: a}, spec: {template: {metadata: {annotations: {inject.istio.io/templates: gateway}}, spec: {containers: [{name: istio-proxy, image: auto}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: plain}, spec: {template: {spec: {containers: [{name: app}]}}}}
`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !m.RegistryOnly || !m.Listed || m.Root != "istio-system" {
		t.Errorf("%+v", m)
	}
	if p := m.Proxies(); p["a"] != 3 || p["plain"] != 0 {
		t.Errorf("proxies %v", p)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):                "no such file",
		filepath.Join(dir, "notes.txt"):           "want an object with apiVersion and kind",
		filepath.Join(dir, "import.json"):         "cannot find objects of a mesh",
		filepath.Join(dir, "objects", "none.yml"): "no such file",
	} {
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}
