package scenarios

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite scenario.schema.json and testdata/bad/*.txt")

const schemaFile = "scenario.schema.json"

// newSchema returns the JSON schema of scenario files, for editors.
func newSchema(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		ExpandedStruct:             true,
		Anonymous:                  true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
					{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}, {Type: "string", Pattern: `\$\{[^}]*\}`},
				}}
			case reflect.TypeFor[Sources]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "array", Items: &jsonschema.Schema{Type: "string"}}}}
			case reflect.TypeFor[Real]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer"}, {Type: "string", Pattern: `^(all|\$\{[^}]*\})$`}}}
			}
			return nil
		},
		// An action is its word with its fields, or a list, and optionally a repetition; a step
		// can have a repetition, too.
		AdditionalFields: func(t reflect.Type) []reflect.StructField {
			if t == reflect.TypeFor[Step]() {
				return []reflect.StructField{actionField(&Repeat{}, "repeat"), listField([]Step{}, "steps")}
			}
			if t != reflect.TypeFor[Action]() {
				return nil
			}
			list := []reflect.StructField{actionField(&Repeat{}, "repeat"), listField([]Action{}, "actions")}
			for _, c := range changes() {
				list = append(list, actionField(c, c.Word()))
			}
			return list
		},
	}
	if err := r.AddGoComments(reflect.TypeFor[Scenario]().PkgPath(), ".", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	s := r.Reflect(&Scenario{})
	s.Title = "meshbench scenario"
	action := s.Definitions["Action"]
	action.OneOf = append(action.OneOf, &jsonschema.Schema{Required: []string{"actions", "repeat"}})
	for _, c := range changes() {
		action.OneOf = append(action.OneOf, &jsonschema.Schema{Required: []string{c.Word()}})
	}
	// A step has a name, or is a list of steps with a repetition and nothing else.
	step := s.Definitions["Step"]
	step.Required = nil
	var own []*jsonschema.Schema
	for p := step.Properties.Oldest(); p != nil; p = p.Next() {
		if p.Key != "repeat" && p.Key != "steps" {
			own = append(own, &jsonschema.Schema{Required: []string{p.Key}})
		}
	}
	step.OneOf = []*jsonschema.Schema{
		{Required: []string{"name"}, Not: &jsonschema.Schema{Required: []string{"steps"}}},
		{Required: []string{"repeat", "steps"}, Not: &jsonschema.Schema{AnyOf: own}},
	}
	for name, definition := range s.Definitions {
		if name != "Parameter" { // parameters are numbers, not expressions
			allowExpressions(definition)
		}
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func actionField(v any, word string) reflect.StructField {
	t := reflect.TypeOf(v)
	return reflect.StructField{Name: t.Elem().Name(), Type: t, Tag: reflect.StructTag(`yaml:"` + word + `,omitempty"`)}
}

func listField(v any, word string) reflect.StructField {
	t := reflect.TypeOf(v)
	return reflect.StructField{Name: t.Elem().Name() + "s", Type: t, Tag: reflect.StructTag(`yaml:"` + word + `,omitempty"`)}
}

// allowExpressions lets every whole number and every word of an object be an expression.
func allowExpressions(object *jsonschema.Schema) {
	for p := object.Properties.Oldest(); p != nil; p = p.Next() {
		if p.Value.Type == "integer" {
			p.Value.Type = ""
			p.Value.AnyOf = []*jsonschema.Schema{{Type: "integer"}, {Type: "string", Pattern: `^\$\{[^}]*\}$`}}
		}
		if p.Value.Enum != nil { // a choice
			p.Value.AnyOf = []*jsonschema.Schema{{Enum: p.Value.Enum}, {Type: "string", Pattern: `^\$\{[^}]*\}$`}}
			p.Value.Enum = nil
		}
	}
}

//go:generate go test . -run ^TestSchemaIsCurrent$ -update

func TestSchemaIsCurrent(t *testing.T) {
	want := newSchema(t)
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not match the types; run: go generate ./scenarios", schemaFile)
	}
}

func compileSchema(t *testing.T) *validator.Schema {
	t.Helper()
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	document, err := validator.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource(schemaFile, document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance reads YAML as the schema's validator wants it.
func instance(t *testing.T, data []byte) any {
	t.Helper()
	var x any
	if err := yaml.Unmarshal(data, &x); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	x, err = validator.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestSchemaAcceptsScenarios(t *testing.T) {
	schema := compileSchema(t)
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios found: %v", err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(string(data), "\n"); first != "# yaml-language-server: $schema="+schemaFile {
				t.Errorf("the first line does not point editors to the schema: %q", first)
			}
			if err := schema.Validate(instance(t, data)); err != nil {
				t.Error(err)
			}
			s, err := Load(file, data, nil)
			if err != nil {
				t.Fatal(err)
			}
			rendered, err := s.Render()
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(instance(t, rendered)); err != nil {
				t.Errorf("rendered: %v", err)
			}
		})
	}
}

// TestSchemaRefuses shows that the schema is strict where the decoder is.
func TestSchemaRefuses(t *testing.T) {
	schema := compileSchema(t)
	const frame = "{name: a, title: b, cluster: {nodes: [{type: m6i.large, count: 1}]}, steps: [{name: s, actions: [%]}]}"
	for action, ok := range map[string]bool{
		"{scale: {namespace: a, deployment: b, replicas: 1}}":             true,
		`{scale: {namespace: a, deployment: b, replicas: "${n}"}}`:        true,
		`{scale: {namespace: a, deployment: b, replicas: many}}`:          false,
		"{scale: {namespace: a, deployment: b}}":                          false,
		"{scale: {namespace: a, deployment: b, replicas: 1, wait: true}}": false,
		"{repeat: {var: i, from: 1, to: 2}}":                              false,
		"{repeat: {var: i, from: 1, to: 2}, actions: [{namespace: {name: \"ns${i}\"}}, {repeat: {var: j, from: 1, to: 2}, actions: []}]}": true,
		"{actions: [{namespace: {name: ns1}}]}":                                      false,
		"{repeat: {var: i, from: 1, to: 2}, actions: [], namespace: {name: a}}":      false,
		"{scale: {namespace: a, statefulset: b, replicas: 1}}":                       true,
		"{scale: {namespace: a, deployment: b, statefulset: b, replicas: 1}}":        false,
		"{scale: {namespace: a, replicas: 1}}":                                       false,
		"{restart: {namespace: a, daemonset: b}}":                                    true,
		"{expose: {namespace: a, name: b, selector: {app: b}, ports: [{port: 80}]}}": true,
		"{expose: {namespace: a, name: b, endpoints: [], ports: [{port: 80}]}}":      true,
		"{expose: {namespace: a, name: b, ports: [{port: 80}]}}":                     false,
		"{deployment: {namespace: a, name: b, image: c, sidecars: {real: all}}}":     true,
		"{deployment: {namespace: a, name: b, image: c, sidecars: {real: 2}}}":       true,
		"{deployment: {namespace: a, name: b, image: c, sidecars: {real: many}}}":    false,
		"{job: {namespace: a, name: b, image: c, lasts: 5s, exitCode: 1}}":           true,
		"{job: {namespace: a, name: b, image: c, lasts: soon}}":                      false,
		"{pause: {for: 30s}}":                 true,
		"{pause: {}}":                         false,
		"{churn: {namespace: a, share: 25%}}": true,
		"{churn: {namespaces: [a], share: 25%, rounds: 2, seed: 7}}": true,
		"{churn: {namespaces: [a], namespace: b, share: 25%}}":       false,
		"{churn: {namespaces: [a], share: some}}":                    false,
		"{squeeze: {}}": false,
		"{restart: {namespace: a, deployment: b}, delete: {kind: Service, namespace: a, name: b}}": false,
	} {
		err := schema.Validate(instance(t, []byte(strings.Replace(frame, "%", action, 1))))
		if (err == nil) != ok {
			t.Errorf("%s: %v", action, err)
		}
	}
}

// TestSchemaVersion shows that the schema takes the versions that the decoder takes.
func TestSchemaVersion(t *testing.T) {
	schema := compileSchema(t)
	const rest = "name: a\ntitle: b\ncluster: {nodes: [{type: m6i.large, count: 1}]}\nsteps: [{name: s}]\n"
	for version, ok := range map[string]bool{
		"": true, "apiVersion: meshbench.dev/v1\n": true,
		"apiVersion: meshbench.dev/v2\n": false, "apiVersion: v1\n": false, "apiVersion: 1\n": false,
	} {
		err := schema.Validate(instance(t, []byte(version+rest)))
		if (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		}
	}
}

// TestSchemaDescribes shows that editors get the doc comments.
func TestSchemaDescribes(t *testing.T) {
	var s jsonschema.Schema
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Definitions)) {
		if s.Definitions[name].Description == "" {
			t.Errorf("%s has no description", name)
		}
	}
}
