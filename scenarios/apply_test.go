package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// export is a list of services as kubectl prints it, of at least size bytes.
func export(size int) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nitems:\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "- apiVersion: v1\n  kind: Service\n  metadata:\n    name: s%d\n    namespace: ns1\n    annotations: {text: %s}\n", i, strings.Repeat("x", 1000))
	}
	b.WriteString("kind: List\n")
	return b.String()
}

// TestLongManifest holds that a manifest over 1 MiB stays a file, that the rendered scenario
// can be loaded with what is kept beside it, and that a changed file is noticed.
func TestLongManifest(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("long.yaml", export(maxInline+1))
	write("short.yaml", export(maxInline-2000))
	s, err := Load(filepath.Join(folder, "test.yaml"), frame("", "{apply: {file: long.yaml}}, {delete: {kind: Service, namespace: ns1, name: s7}}, {apply: {file: long.yaml}}, {apply: {file: short.yaml}}, {delete: {kind: Service, namespace: ns1, name: s7}}, {apply: {file: short.yaml}}, {apply: {file: short.yaml}}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	long, short := s.Steps[1].Actions[0].Change.(*Apply), s.Steps[1].Actions[3].Change.(*Apply)
	third := s.Steps[1].Actions[6].Change.(*Apply) // with which the scenario would become too long
	if long.Manifest != "" || long.File != "long.yaml" || short.File != "" || third.File != "short.yaml" {
		t.Errorf("long %q, short %q, third %q", long.File, short.File, third.File)
	}
	if got := long.String(); !strings.HasPrefix(got, "apply 9") || !strings.Contains(got, " Services (sha256:") || len(got) > 60 {
		t.Errorf("described as %q", got)
	}
	rendered, err := s.Render()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(rendered), "file: manifests/"); n != 3 {
		t.Errorf("%d files in\n%.2000s", n, rendered)
	}
	kept := t.TempDir()
	if err := s.Keep(kept); err != nil {
		t.Fatal(err)
	}
	again, err := Load(filepath.Join(kept, "scenario.yaml"), rendered, nil)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := again.Render()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rendered, twice) {
		t.Errorf("rendered again it has %d bytes, before %d", len(twice), len(rendered))
	}
	if a, b := long.String(), again.Steps[1].Actions[0].Change.String(); a != b {
		t.Errorf("%q is %q", a, b)
	}

	write("long.yaml", export(maxInline+3000))
	if err := s.Keep(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has changed since the scenario was checked") {
		t.Errorf("kept: %v", err)
	}
	if _, err := long.Load(); err == nil || !strings.Contains(err.Error(), "has changed since the scenario was checked") {
		t.Errorf("loaded: %v", err)
	}
}

// TestApplyProblems holds where the problems with manifests are said to be.
func TestApplyProblems(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "list.json"), []byte(`{"kind": "List", "items": [
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "ns1"}},
{"apiVersion": "v1", "kind": "Service", "metadata": {
"name": "b",
"namespace": "nn1"}}
]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	text := string(frame("", `{apply: {file: list.json}}`)) + `
      - apply:
          manifest: |
            # a comment
            apiVersion: v1
            kind: Service
            metadata: {name: c}
            ---
            apiVersion: v1
            kind: Service
            metadata:
              name: 5
              namespace: ns1
      - apply: {manifest: "apiVersion: v1\nkind: Service\nmetadata:\n  name: yes\n"}
      - apply: {namespace: nn1, manifest: "{apiVersion: v1, kind: Service, metadata: {name: d}}"}
      - apply: {namespace: ns1, manifest: "{apiVersion: v1, kind: Service, metadata: {name: d}}"}
      - apply: {namespace: ns7, manifest: "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Service, metadata: {name: d}}, {apiVersion: v1, kind: Namespace, metadata: {name: ns7}}]}"}
      - apply: {manifest: "{apiVersion: v1, kind: Event, metadata: {name: d, namespace: ns1}}"}
      - delete: {kind: Service, namespace: ns7, name: d}
      - delete: {kind: Service, namespace: ns1, name: d}
`
	text = strings.Replace(text, "actions: [{apply: {file: list.json}}]", "actions:\n      - apply: {file: list.json}", 1)
	_, err := Load(filepath.Join(folder, "test.yaml"), []byte(text), nil)
	if err == nil {
		t.Fatal("no problems")
	}
	got := strings.ReplaceAll(err.Error(), folder+"/", "")
	const at = "test.yaml:%d:%d: steps[1].actions[%d].apply.%s: %s\n"
	want := fmt.Sprintf(at, 13, 23, 0, "file", `list.json:5: items[1] (Service nn1/b): metadata.namespace: no earlier step creates namespace "nn1", nor does the manifest; did you mean "ns1"?`) +
		fmt.Sprintf(at, 18, 1, 1, "manifest", "Service c: metadata.namespace: is missing; name a namespace, or add namespace: to the action apply for all objects that name none") +
		fmt.Sprintf(at, 25, 1, 1, "manifest", "Service: metadata.name: want a string, got the number 5; quote it") +
		fmt.Sprintf(at, 27, 27, 2, "manifest", "line 4: Service: metadata.name: want a string, got true (YAML takes y, n, yes, no, on and off for true and false); quote it") +
		fmt.Sprintf(at, 28, 28, 3, "namespace", `no earlier step creates namespace "nn1"; did you mean "ns1"?`) +
		strings.TrimSuffix(fmt.Sprintf(at, 31, 27, 6, "manifest", "the manifest has no objects to apply; left out 1 Event: the cluster makes them itself"), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestUnknownKinds holds that a kind which no step defines is a warning, once.
func TestUnknownKinds(t *testing.T) {
	const definition = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: as.example.com}, spec: {group: example.com, scope: Namespaced, names: {kind: A}}}"
	const list = "{kind: List, items: [{apiVersion: example.com/v1, kind: A, metadata: {name: a}}, {apiVersion: example.com/v1, kind: B, metadata: {name: b}}, {apiVersion: example.com/v1, kind: B, metadata: {name: c}}, {apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s}}]}"
	s, err := Load("test.yaml", frame("", `{apply: {manifest: "`+definition+`"}}, {apply: {namespace: ns1, manifest: "`+list+`"}}, {apply: {namespace: ns1, manifest: "`+list+`"}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := s.Warnings(); len(w) != 1 || w[0].Path != "steps[1].actions[1].apply.manifest" || !strings.HasPrefix(w[0].Message, "B ns1/b: no step defines kind B of example.com/v1; ") {
		t.Errorf("warnings %v", w)
	}
}

// TestLeftOut holds that what is not applied is a warning, once for all copies.
func TestLeftOut(t *testing.T) {
	s, err := Load("test.yaml", frame("", `{repeat: {var: i, from: 1, to: 3}, apply: {namespace: ns1, manifest: "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Event, metadata: {name: e}}, {apiVersion: v1, kind: Pod, metadata: {name: p}}]}"}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range s.Warnings() {
		got = append(got, w.String())
	}
	want := []string{"test.yaml:12:84: steps[1].actions[0].apply.manifest: left out 1 Event: the cluster makes them itself"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// renderer renders to a Service by the name of what it is given.
type renderer struct {
	size int // of the text
	got  ChartOptions
}

func (r *renderer) text(name string) []byte {
	return []byte("apiVersion: v1\nkind: Service\nmetadata:\n  name: " + filepath.Base(name) + "\n  annotations: {a: " + strings.Repeat("x", r.size) + "}\n")
}

func (r *renderer) Kustomize(_, folder string) ([]byte, error) { return r.text(folder), nil }

func (r *renderer) Chart(path string, o ChartOptions) ([]byte, error) {
	if o.Values["bad"] != nil {
		return nil, errors.New("bad values")
	}
	r.got = o
	return r.text(path), nil
}

// TestRendered holds that charts and Kustomize folders become manifests.
func TestRendered(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"web", "over"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(folder, "test.yaml")
	text := frame("n: {value: 3}", `{apply: {chart: web, namespace: ns1, values: {a: "${n}"}}}, {apply: {kustomize: over, namespace: ns1}}, {apply: {chart: web, release: mine}}`)
	for _, size := range []int{10, maxInline} {
		r := &renderer{size: size}
		s, err := Loader{Render: r}.Load(file, text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range s.Steps[1].Actions {
			got = append(got, a.Change.String())
		}
		if diff := cmp.Diff([]string{"apply Service ns1/web", "apply Service ns1/over", "apply Service default/web"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(ChartOptions{Release: "mine", Namespace: "default"}, r.got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		rendered, err := s.Render()
		if err != nil {
			t.Fatal(err)
		}
		kept := t.TempDir()
		if err := s.Keep(kept); err != nil {
			t.Fatal(err)
		}
		again, err := Load(filepath.Join(kept, "scenario.yaml"), rendered, nil)
		if err != nil {
			t.Fatalf("%d: %v", size, err)
		}
		if a, b := s.Steps[1].Actions[2].Change.String(), again.Steps[1].Actions[2].Change.String(); a != b {
			t.Errorf("%q is %q when it is run again", a, b)
		}
	}

	_, err := Loader{Render: &renderer{}}.Load(file, frame("", `{apply: {chart: web, values: {bad: 1}}}, {apply: {chart: none}}, {apply: {kustomize: ../x}}, {apply: {kustomize: over, chart: web}}, {apply: {file: test.yaml, release: a}}, {apply: {chart: web, release: A_b}}`))
	const want = `test.yaml:12:31: steps[1].actions[0].apply.chart: bad values
test.yaml:12:72: steps[1].actions[1].apply.chart: cannot read file: stat none: no such file or directory
test.yaml:12:100: steps[1].actions[2].apply.kustomize: "../x" is outside the scenario's folder; put the file next to the scenario
test.yaml:12:116: steps[1].actions[3].apply.manifest: exactly one of manifest, file, kustomize and chart must be set
test.yaml:12:163: steps[1].actions[4].apply.file: release and values are for a chart
test.yaml:12:204: steps[1].actions[5].apply.chart: `
	if got := strings.ReplaceAll(fmt.Sprint(err), folder+"/", ""); !strings.HasPrefix(got, want) {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
	if _, err := Load(file, text, nil); err == nil || !strings.Contains(err.Error(), "apply.chart: cannot be rendered here; render it to a file") {
		t.Errorf("without a renderer: %v", err)
	}
}
