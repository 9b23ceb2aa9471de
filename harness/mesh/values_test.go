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
