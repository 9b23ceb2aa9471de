package mesh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type table = map[string]any

func TestMerge(t *testing.T) {
	for name, test := range map[string]struct {
		layers []table
		want   table
	}{
		"none":                   {nil, table{}},
		"one":                    {[]table{{"a": 1}}, table{"a": 1}},
		"later wins":             {[]table{{"a": 1}, {"a": 2}}, table{"a": 2}},
		"tables are merged":      {[]table{{"a": table{"b": 1, "c": 1}}, {"a": table{"c": 2, "d": 2}}}, table{"a": table{"b": 1, "c": 2, "d": 2}}},
		"lists are replaced":     {[]table{{"a": []any{1, 2}}, {"a": []any{3}}}, table{"a": []any{3}}},
		"a value over a table":   {[]table{{"a": table{"b": 1}}, {"a": "x"}}, table{"a": "x"}},
		"a table over a value":   {[]table{{"a": "x"}, {"a": table{"b": 1}}}, table{"a": table{"b": 1}}},
		"an empty table changes": {[]table{{"a": table{"b": 1}}, {"a": table{}}}, table{"a": table{"b": 1}}},
		"null stays":             {[]table{{"a": 1}, {"a": nil}}, table{"a": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			var layers []Layer
			for _, values := range test.layers {
				layers = append(layers, Layer{Values: values})
			}
			if diff := cmp.Diff(test.want, Merge(layers)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestMergeLeavesLayersAlone(t *testing.T) {
	first, second := UpstreamEnvoyValues(), Layer{Values: table{"pilot": table{"env": table{"X": "y"}}}}
	merged := Merge([]Layer{first, second})
	merged["pilot"].(table)["env"].(table)["Z"] = "z"
	if diff := cmp.Diff(UpstreamEnvoyValues().Values, first.Values); diff != "" {
		t.Errorf("first layer (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(table{"pilot": table{"env": table{"X": "y"}}}, second.Values); diff != "" {
		t.Errorf("second layer (-want +got)\n%s", diff)
	}
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "values.yaml")
	if err := os.WriteFile(file, []byte("pilot:\n  traceSampling: 5\n  env: {A: file, B: file}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	layers, err := CommandLine([]string{file}, []string{"pilot.env.A=first", "pilot.env.A=second", "global.proxy.logLevel=debug,x={1,2}"})
	if err != nil {
		t.Fatal(err)
	}
	want := table{
		"pilot":  table{"traceSampling": 5.0, "env": table{"A": "second", "B": "file"}},
		"global": table{"proxy": table{"logLevel": "debug"}},
		"x":      []any{int64(1), int64(2)},
	}
	if diff := cmp.Diff(want, Merge(layers)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCommandLineProblems(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("a: [\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := CommandLine([]string{"missing.yaml", bad}, []string{"no-equals", "a[=1"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"missing.yaml", bad, `"no-equals"`, `"a[=1"`, "pilot.env.NAME=value"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestMetadataAsText(t *testing.T) {
	layers, err := CommandLine(nil, []string{"meshConfig.defaultConfig.proxyMetadata.ISTIO_DELTA_XDS=false,meshConfig.defaultConfig.proxyMetadata.N=3,meshConfig.accessLogFile=/dev/stdout"})
	if err != nil {
		t.Fatal(err)
	}
	layers = append(layers, Layer{Values: table{"meshConfig": table{"defaultConfig": table{"concurrency": 4, "proxyMetadata": table{"F": 2000000.0, "S": "x"}}}}})
	values := Merge(layers)
	metadataAsText(values)
	want := table{"meshConfig": table{"accessLogFile": "/dev/stdout", "defaultConfig": table{"concurrency": 4,
		"proxyMetadata": table{"ISTIO_DELTA_XDS": "false", "N": "3", "F": "2000000", "S": "x"}}}}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	metadataAsText(table{"meshConfig": nil})
}

// The chart gateway's schema is read as it was meant: nothing counts beside a $ref.
func TestGatewaySchema(t *testing.T) {
	chart := t.TempDir()
	for name, text := range map[string]string{
		"gateway/Chart.yaml":  "apiVersion: v2\nname: gateway\nversion: 1.0.0\n",
		"gateway/values.yaml": "defaults: {service: {type: LoadBalancer}}\n",
		"gateway/values.schema.json": `{"$schema": "http://json-schema.org/schema#", "type": "object", "additionalProperties": false,
			"$defs": {"values": {"type": "object", "properties": {"service": {"type": "object", "properties": {"type": {"type": "string"}}}}}},
			"defaults": {"$ref": "#/$defs/values"}, "$ref": "#/$defs/values"}`,
	} {
		path := filepath.Join(chart, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	charts := Charts{Dir: chart}
	for _, test := range []struct {
		name    string
		values  map[string]any
		unknown bool
		want    string
	}{
		{"good", map[string]any{"service": map[string]any{"type": "ClusterIP"}}, true, ""},
		{"of another type", map[string]any{"service": map[string]any{"type": 3}}, false, "values that the chart gateway of Istio 1.0.0 refuses"},
		{"misspelt", map[string]any{"servise": map[string]any{}}, true, `did you mean "service"`},
		{"misspelt, of a version that is known", map[string]any{"servise": map[string]any{}}, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			problems, err := charts.CheckGateway(t.Context(), "1.0.0", test.values, test.unknown)
			text := ""
			if err != nil {
				text = err.Error()
			}
			for _, p := range problems {
				text += p.Message
			}
			if test.want == "" && text != "" || !strings.Contains(text, test.want) {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
	if _, err := (Charts{Dir: t.TempDir()}).CheckGateway(t.Context(), "1.0.0", nil, false); err == nil || !strings.Contains(err.Error(), "no chart gateway in") {
		t.Errorf("a folder without the chart: %v", err)
	}
}
