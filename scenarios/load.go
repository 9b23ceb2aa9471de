package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/internal/redact"
	"github.com/meshbench/meshbench/internal/yamlerror"
)

const (
	// maxFile is the maximal size of a scenario file in bytes.
	maxFile = 4 << 20
	// maxInline is the maximal size of a manifest that becomes part of a rendered scenario,
	// and maxInlined that of all of them, so that maxFile is kept.
	maxInline, maxInlined = 1 << 20, 3 << 20
)

// Loader loads scenarios. The zero value leaves parameters as they are in the files, uses
// [IstioRules], and reads the operating system's files.
type Loader struct {
	// Set holds new values of parameters by name, as typed (--set replicas=30).
	Set map[string]string
	// Mesh holds the rules of the mesh that the scenarios will run on.
	Mesh MeshRules
	// Values are Helm values from elsewhere, a command line's, that win over those of
	// scenarios. They decide [Scenario.Waits].
	Values map[string]any
	// Render renders what actions apply besides manifests; nil if that is refused.
	Render Renderer
	// Files holds the scenario files and the manifests that they apply; nil for the
	// operating system's files.
	Files fs.FS

	placement *placement // see [Scenario.InNamespaces]
	unchecked bool       // see [Listed]
}

// read returns the text of a file.
func (l Loader) read(name string) ([]byte, error) {
	if l.Files == nil {
		return bounded.File(name, bounded.OwnFile)
	}
	file, err := l.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return bounded.All(file, bounded.OwnFile)
}

// open opens a file.
func (l Loader) open(name string) (io.ReadCloser, error) {
	if l.Files == nil {
		return os.Open(name)
	}
	return l.Files.Open(path.Clean(filepath.ToSlash(name)))
}

// stat describes a file.
func (l Loader) stat(name string) (fs.FileInfo, error) {
	if l.Files == nil {
		return os.Stat(name)
	}
	return fs.Stat(l.Files, path.Clean(filepath.ToSlash(name)))
}

// Load decodes a scenario file strictly, checks it and returns it rendered. path is used in
// messages, and files that the scenario applies are relative to its folder. The error is
// [Problems].
func (l Loader) Load(path string, data []byte) (*Scenario, error) {
	s, problems := l.load(path, data)
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	if len(l.Set) > 0 {
		unset := l
		unset.Set = nil
		if original, problems := unset.load(path, data); len(problems) == 0 {
			dropPublished(s, original)
		}
	}
	s.again = func(p *placement) (*Scenario, error) {
		placed := l
		placed.placement = p
		return placed.Load(path, data)
	}
	return s, nil
}

// Load loads a scenario file as [Loader.Load] does, for a mesh with [IstioRules]. overrides
// are the Loader's Set.
func Load(path string, data []byte, overrides map[string]string) (*Scenario, error) {
	return Loader{Set: overrides}.Load(path, data)
}

// dropPublished removes the published step from every step that overrides change, and from
// all steps after it.
func dropPublished(s, original *Scenario) {
	same := reflect.DeepEqual(s.Cluster, original.Cluster) && reflect.DeepEqual(s.Mesh, original.Mesh)
	for i := range s.Steps {
		if same = same && reflect.DeepEqual(s.Steps[i].Actions, original.Steps[i].Actions); !same {
			s.Steps[i].Published = 0
		}
	}
}

func (l Loader) load(path string, data []byte) (*Scenario, Problems) {
	d := &decoder{loader: l, file: path, at: map[string]*yaml.Node{}, bad: map[string]bool{}, origins: map[Change]string{}}
	root := d.parse(data)
	if root == nil {
		return nil, d.problems
	}
	s := &Scenario{APIVersion: d.apiVersion(root)}
	if s.APIVersion == "" {
		return nil, d.problems
	}
	s.Parameters = d.parameters(root, l.Set)
	d.decode(root, "", reflect.ValueOf(s).Elem())
	for _, name := range slices.Sorted(maps.Keys(l.Set)) {
		if _, known := d.names.values[name]; known && !d.names.used[name] {
			d.override(name, l.Set[name], "no expression in %s uses this parameter, so setting it changes nothing", path)
		}
	}
	if l.placement != nil {
		s.place(l.placement)
	}
	if !d.tooLarge && !l.unchecked { // a file that is too large was not read to its end
		newChecker(d, l.Mesh).check(s)
	}
	return s, d.problems
}

// parse returns the top-level mapping of the file, or nil after noting a problem.
func (d *decoder) parse(data []byte) *yaml.Node {
	at := func(line int) *yaml.Node { return &yaml.Node{Line: line, Column: 1} }
	if len(data) > maxFile {
		d.problem(at(1), "", "%d bytes are too many for a scenario; want at most %d", len(data), maxFile)
		return nil
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			d.problem(at(i+1), "", "invalid UTF-8")
			return nil
		}
		if bytes.Contains(line, []byte(redact.Mark)) { // see [Hide]
			d.problem(at(i+1), "", "a secret was taken out here when the run was over: write it in again, or use the scenario that the run was made of")
			return nil
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, next yaml.Node
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		d.problem(at(1), "", "the file is empty; a scenario needs at least name, title, cluster and steps")
		return nil
	case err == nil:
		if err = decoder.Decode(&next); err == nil {
			d.problem(&next, "", "a second document starts here; put each scenario in its own file")
			return nil
		}
	}
	if !errors.Is(err, io.EOF) {
		line, message := yamlerror.Split(err, data)
		d.problem(at(line), "", "invalid YAML: %s", message)
		return nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		d.problem(root, "", "a scenario must be a mapping with at least name, title, cluster and steps, not %s", got(root))
		return nil
	}
	return root
}

// parameters decodes the parameters before everything else, because any field may use them
// in an expression, removes them from the node, and applies the overrides.
func (d *decoder) parameters(root *yaml.Node, overrides map[string]string) map[string]Parameter {
	var parameters map[string]Parameter
	var rest []*yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch key, value := root.Content[i], root.Content[i+1]; {
		case key.Value != "parameters":
			rest = append(rest, key, value)
		case d.at["parameters"] != nil:
			d.problem(key, "parameters", "duplicate field")
		default:
			d.decode(value, "parameters", reflect.ValueOf(&parameters).Elem())
		}
	}
	root.Content = rest
	d.names = &names{values: map[string]any{}, used: map[string]bool{}}
	for name, p := range parameters {
		path := join("parameters", name)
		d.checkName(name, d.at[path], path)
		d.checkParameter(p, path)
		d.names.values[name] = p.get()
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		text := overrides[name]
		p, known := parameters[name]
		value, err := strconv.Atoi(text)
		switch {
		case known && p.Choices != nil && !slices.Contains(p.Choices, text):
			d.override(name, text, "unknown choice%s", suggest(text, p.Choices))
		case known && p.Choices != nil:
			p.Choice = text
			parameters[name] = p
			d.names.values[name] = text
		case !known && len(parameters) == 0:
			d.override(name, text, "the scenario has no parameters")
		case !known:
			d.override(name, text, "unknown parameter%s", suggest(name, slices.Collect(maps.Keys(parameters))))
		case err != nil || max(value, -value) > maxNumber:
			d.override(name, text, "want a whole number below %d", maxNumber)
		case p.outside(value) != "":
			d.override(name, text, "%s", p.outside(value))
		default:
			p.Value = value
			parameters[name] = p
			d.names.values[name] = value
		}
	}
	return parameters
}

// get returns the parameter's value in expressions: an int, or a string for a choice.
func (p Parameter) get() any {
	if p.Choices != nil {
		return p.Choice
	}
	return p.Value
}

// checkParameter checks the parameter at the path.
func (d *decoder) checkParameter(p Parameter, path string) {
	sized := false
	for _, field := range []string{"value", "min", "max"} {
		sized = sized || d.at[join(path, field)] != nil
	}
	chosen := d.at[path+".choice"] != nil || d.at[path+".choices"] != nil
	switch {
	case d.bad[path] || d.bad[path+".value"] || d.bad[path+".choice"] || d.bad[path+".choices"]:
	case sized && chosen:
		d.problem(d.at[path], path, "must be either a size (value, min, max) or a choice (choice, choices)")
	case chosen && !slices.Contains(p.Choices, p.Choice):
		d.problem(d.at[path], path+".choice", "%q is not one of the choices%s", p.Choice, suggest(p.Choice, p.Choices))
	case chosen:
	case d.at[path+".value"] == nil:
		d.problem(d.at[path], path+".value", "is required; want a whole number, or choice and choices")
	case p.Max != nil && *p.Max < p.Min:
		d.problem(d.at[path+".max"], path+".max", "%d is less than min (%d)", *p.Max, p.Min)
	default:
		if message := p.outside(p.Value); message != "" {
			d.problem(d.at[path], path+".value", "%s", message)
		}
	}
}

// outside returns a message if a value is outside of the parameter's bounds, or "".
func (p Parameter) outside(value int) string {
	switch {
	case value < p.Min:
		return fmt.Sprintf("%d is less than the parameter's minimum, %d", value, p.Min)
	case p.Max != nil && value > *p.Max:
		return fmt.Sprintf("%d is more than the parameter's maximum, %d", value, *p.Max)
	}
	return ""
}

// override notes a problem with an override.
func (d *decoder) override(name, value, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: fmt.Sprintf("--set %s=%s", name, value), Message: fmt.Sprintf(format, args...)})
}

// findFile finds a file or folder in the scenario's folder or below it.
func (d *decoder) findFile(name string) (path string, info fs.FileInfo, err error) {
	if !filepath.IsLocal(name) {
		return "", nil, fmt.Errorf("%q is outside the scenario's folder; put the file next to the scenario", name)
	}
	path = filepath.Join(filepath.Dir(d.file), name)
	if info, err = d.loader.stat(path); err != nil {
		return "", nil, fmt.Errorf("cannot read file: %w", err)
	}
	return path, info, nil
}

// readFile returns the text of a file.
func (d *decoder) readFile(path string) (string, error) {
	data, err := d.loader.read(path)
	if err != nil {
		return "", fmt.Errorf("cannot read file: %w", err)
	}
	if !utf8.Valid(data) {
		return "", fmt.Errorf("%s must be UTF-8 text", path)
	}
	return string(data), nil
}

// Render returns the scenario as a file that [Load] reads as the same scenario: with the
// version of the format, all defaults filled in, expressions evaluated and repetitions
// expanded. Manifests of more than 1 MiB must lie beside it ([Scenario.Keep]).
func (s *Scenario) Render() ([]byte, error) {
	if s.original != nil {
		return s.original.Render()
	}
	versioned := *s
	versioned.APIVersion = APIVersion
	if s.system.Replaces() {
		versioned.Cluster.Baseline = s.system.file.kept()
	}
	var n yaml.Node
	if err := n.Encode(&versioned); err != nil {
		return nil, fmt.Errorf("render scenario %s: %w", s.Name, err)
	}
	escape(&n)
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(&n); err != nil {
		return nil, fmt.Errorf("render scenario %s: %w", s.Name, err)
	}
	return b.Bytes(), nil
}

// escape escapes texts that look like expressions in a rendered scenario.
func escape(n *yaml.Node) {
	n.Value = strings.ReplaceAll(n.Value, "${", "$${")
	for i, child := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 { // keys are never expressions
			escape(child)
		}
	}
}
