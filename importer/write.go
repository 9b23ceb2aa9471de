package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	kubeyaml "sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/scenarios"
)

// Target is where a mesh is written to.
type Target struct {
	// Folder is made; its last part is the scenario's name.
	Folder string
	// Title and Description are the scenario's.
	Title, Description string
	// Loader checks what was written.
	Loader scenarios.Loader
	// Commit is called before the folder is moved to its place, nil for nothing. Its error leaves
	// nothing behind.
	Commit func() error
}

// Name is the scenario's name.
func (t Target) Name() string { return filepath.Base(t.Folder) }

// Scenario is the scenario's file.
func (t Target) Scenario() string { return filepath.Join(t.Folder, t.Name()+".yaml") }

// mostYAML is the size in bytes up to which objects are written as YAML, one document each. A
// longer file is JSON, which is read ten times as fast.
const mostYAML = 1 << 20

// Write writes the folder: the scenario NAME.yaml, what it applies in objects/, what takes the
// place of the baseline in system.yaml, and import.json. The folder must not exist. It is written
// beside its place, loaded as `meshbench run` loads it, and moved there: whatever fails leaves
// nothing behind. The scenario is returned as it was loaded.
func (m *Mesh) Write(t Target) (s *scenarios.Scenario, err error) {
	if _, err := os.Lstat(t.Folder); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = errors.New("it exists; remove it, or give another with --out")
		}
		return nil, fmt.Errorf("cannot write %s: %w", t.Folder, err)
	}
	above := filepath.Dir(t.Folder)
	if err := os.MkdirAll(above, 0o777); err != nil {
		return nil, fmt.Errorf("cannot make the folder for %s: %w", t.Folder, err)
	}
	// Messages have the path of a file that somebody can look at only once it is in its place,
	// so the folder beside has the same name.
	beside, err := os.MkdirTemp(above, ".meshbench-import-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder beside %s: %w", t.Folder, err)
	}
	defer func() {
		if e := os.RemoveAll(beside); e != nil && err == nil {
			err = fmt.Errorf("cannot remove %s: %w", beside, e)
		}
	}()
	made := t
	made.Folder = filepath.Join(beside, t.Name())
	files, err := m.files(t)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(made.Folder, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, fmt.Errorf("cannot write %s: %w", path, err)
		}
		if err := os.WriteFile(path, f.data, 0o666); err != nil {
			return nil, fmt.Errorf("cannot write %s: %w", path, err)
		}
	}
	text, err := os.ReadFile(made.Scenario())
	if err != nil {
		return nil, fmt.Errorf("cannot read what was written: %w", err)
	}
	if s, err = t.Loader.Load(made.Scenario(), text); err != nil {
		// The folder is gone when this is read.
		return nil, fmt.Errorf("cannot make a scenario of what was read:\n%s", strings.ReplaceAll(err.Error(), beside+string(filepath.Separator), ""))
	}
	if t.Commit != nil {
		if err := t.Commit(); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(made.Folder, t.Folder); err != nil {
		return nil, fmt.Errorf("cannot move the folder to %s: %w", t.Folder, err)
	}
	return s, nil
}

// certificatesFile begins the name of the file with what is made up.
const certificatesFile = "objects/certificates"

// file is one file of the folder.
type file struct {
	name string
	data []byte
}

// files are the folder's files, in order.
func (m *Mesh) files(t Target) ([]file, error) {
	var files []file
	var applied []string
	add := func(name string, objects []map[string]any) (string, error) {
		if len(objects) == 0 {
			return "", nil
		}
		f, err := written(name, objects)
		if err != nil {
			return "", err
		}
		files = append(files, f)
		return f.name, nil
	}
	system, err := add("system", m.system)
	if err != nil {
		return nil, err
	}
	secrets, err := madeUp(m.secrets)
	if err != nil {
		return nil, err
	}
	for _, list := range []struct {
		name    string
		objects []map[string]any
	}{{"namespaces", m.namespaces}, {certificatesFile[len("objects/"):], secrets}, {"services", m.services}, {"config", m.config}, {"workloads", m.workloads}} {
		name, err := add("objects/"+list.name, list.objects)
		if err != nil {
			return nil, err
		}
		if name != "" {
			applied = append(applied, name)
		}
	}
	scenario, err := m.scenario(t, system, applied)
	if err != nil {
		return nil, err
	}
	summary, err := json.MarshalIndent(m.Summary(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write import.json: %w", err)
	}
	files = append(files, file{t.Name() + ".yaml", scenario}, file{"import.json", append(summary, '\n')})
	return files, m.leaks(files)
}

// written is a file of objects.
func written(name string, objects []map[string]any) (file, error) {
	var b bytes.Buffer
	for i, o := range objects {
		data, err := kubeyaml.Marshal(o)
		if err != nil {
			return file{}, fmt.Errorf("write %s: %w", name, err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		if b.Write(data); b.Len() > mostYAML {
			return writtenJSON(name, objects)
		}
	}
	return file{name + ".yaml", b.Bytes()}, nil
}

func writtenJSON(name string, objects []map[string]any) (file, error) {
	var b bytes.Buffer
	b.WriteString(`{"apiVersion":"v1","kind":"List","items":[` + "\n")
	for i, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			return file{}, fmt.Errorf("write %s: %w", name, err)
		}
		if b.Write(data); i < len(objects)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]}\n")
	return file{name + ".json", b.Bytes()}, nil
}

// fields is a mapping in the order in which it is written.
type fields []field

type field struct {
	key   string
	value any
}

// MarshalYAML writes the fields that are not empty in their order.
func (f fields) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, entry := range f {
		var value yaml.Node
		if err := value.Encode(entry.value); err != nil {
			return nil, err
		}
		switch entry.value.(type) {
		case flow:
			value.Style = yaml.FlowStyle
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: entry.key}, &value)
	}
	return n, nil
}

// flow is a list that is written on one line.
type flow []string

// with adds a field that is not empty.
func (f fields) with(key string, value any, empty bool) fields {
	if empty {
		return f
	}
	return append(f, field{key, value})
}

// scenario is the scenario's file.
func (m *Mesh) scenario(t Target, system string, applied []string) ([]byte, error) {
	var nodes []any
	for _, n := range m.Nodes {
		nodes = append(nodes, fields{{"type", n.Type}, {"count", n.Count}}.with("maxPods", n.MaxPods, n.MaxPods == 0))
	}
	cluster := fields{}.with("baseline", system, system == "").with("serviceRange", m.ServiceRange, m.ServiceRange == "").with("nodes", nodes, false)
	mesh := fields{}
	if len(m.Planes) > 0 {
		own := m.Planes[0]
		mesh = mesh.with("istio", own.Istio, own.Istio == "").with("tags", flow(own.Tags), len(own.Tags) == 0).with("values", own.Values, len(own.Values) == 0)
		var revisions []any
		for _, p := range m.Planes[1:] {
			values := without(p.Values, "revision")
			revisions = append(revisions, fields{{"name", p.Revision}}.with("istio", p.Istio, p.Istio == "").
				with("tags", flow(p.Tags), len(p.Tags) == 0).with("values", values, len(values) == 0))
		}
		mesh = mesh.with("revisions", revisions, len(revisions) == 0)
	}
	var proxies []any
	for _, p := range m.Proxies {
		proxy := fields{{"namespace", p.Namespace}}
		if p.Kind == "Deployment" {
			proxy = proxy.with("deployment", p.Name, false)
		} else {
			proxy = append(proxy, field{"kind", p.Kind}, field{"name", p.Name})
		}
		counts := fields{}
		for _, w := range words() {
			if n, known := p.Counts[w]; known {
				counts = append(counts, field{w, n})
			}
		}
		proxies = append(proxies, append(proxy, field{"pod", p.Pod}, field{"counts", counts}))
	}
	var actions []any
	for _, name := range applied {
		actions = append(actions, map[string]any{"apply": map[string]any{"file": name}})
	}
	if m.names != nil {
		t.Title = anonymousTitle
		m.names.Keep(t.Name()) // whoever imports has chosen it
	}
	scenario := fields{{"apiVersion", scenarios.APIVersion}, {"name", t.Name()}, {"title", t.Title}}.
		with("description", t.Description, t.Description == "").with("cluster", cluster, false).with("mesh", mesh, len(mesh) == 0).
		with("source", fields{{"proxies", proxies}}, len(proxies) == 0).
		with("steps", []any{fields{{"name", "mesh"}, {"do", "All that was read of the source"}, {"actions", actions}}}, false)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(escaped(scenario)); err != nil {
		return nil, fmt.Errorf("write the scenario: %w", err)
	}
	return b.Bytes(), nil
}

// escaped is the scenario with texts that look like expressions as texts.
func escaped(f fields) *yaml.Node {
	var n yaml.Node
	if err := n.Encode(f); err != nil {
		panic(err) // of plain values
	}
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				continue // keys are never expressions
			}
			if child.Kind == yaml.ScalarNode {
				child.Value = string(bytes.ReplaceAll([]byte(child.Value), []byte("${"), []byte("$${")))
			}
			walk(child)
		}
	}
	walk(&n)
	return &n
}

// without is a table without a key.
func without(values map[string]any, name string) map[string]any {
	kept := map[string]any{}
	for k, v := range values {
		if k != name {
			kept[k] = v
		}
	}
	return kept
}
