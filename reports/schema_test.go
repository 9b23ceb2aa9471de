package reports

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/meshbench/meshbench/reports/growth"
	"github.com/meshbench/meshbench/reports/reportstest"
)

var update = flag.Bool("update", false, "rewrite the schema")

const schemaFile = "report.schema.json"

//go:generate go test . -run ^TestSchemaIsCurrent$ -update

// TestSchemaIsCurrent: the schema that is checked in is that of the types, with their
// comments as descriptions.
func TestSchemaIsCurrent(t *testing.T) {
	// Later versions may add fields: a reader with this schema accepts them.
	r := &jsonschema.Reflector{ExpandedStruct: true, AllowAdditionalProperties: true, Anonymous: true}
	// Types of two packages may have one name.
	r.Namer = func(t reflect.Type) string {
		if t.PkgPath() == reflect.TypeFor[growth.Growth]().PkgPath() && t != reflect.TypeFor[growth.Growth]() {
			return "Growth" + t.Name()
		}
		return ""
	}
	base := reflect.TypeFor[Report]().PkgPath()
	for _, dir := range []string{".", "../observations"} {
		if err := r.AddGoComments(base, dir, jsonschema.WithFullComment()); err != nil {
			t.Fatal(err)
		}
	}
	s := r.Reflect(&Report{})
	s.ID, s.Title = schemaFile, "report.json of meshbench"
	want, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
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
		t.Errorf("%s does not fit the types any more; run: go generate ./reports", schemaFile)
	}
}

func TestReportsFitTheSchema(t *testing.T) {
	file, err := os.Open(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	document, err := validator.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(schemaFile, document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	instance := func(text string) map[string]any {
		x, err := validator.UnmarshalJSON(bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		return x.(map[string]any)
	}
	all := reportstest.Logs()
	maps.Copy(all, reportstest.RevisionLogs())
	for name, records := range all {
		if err := schema.Validate(instance(marshalled(t, build(t, records)))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// It is no schema that accepts everything.
	for name, spoil := range map[string]func(r, step map[string]any){
		"no verdict":              func(r, _ map[string]any) { delete(r, "finished") },
		"a number as the name":    func(r, _ map[string]any) { r["scenario"] = 7 },
		"half a count":            func(_, s map[string]any) { s["rows"].(map[string]any)["cluster"] = 1.5 },
		"a count that is missing": func(_, s map[string]any) { delete(s["rows"].(map[string]any), "route") },
		"a start that is no time": func(r, _ map[string]any) { r["started"] = "this morning" },
	} {
		r := instance(marshalled(t, build(t, reportstest.Log())))
		spoil(r, r["steps"].([]any)[1].(map[string]any))
		if schema.Validate(r) == nil {
			t.Errorf("accepted: %s", name)
		}
	}
}

// marshalled is a report as report.json holds it.
func marshalled(t *testing.T, r *Report) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
