package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/skip"
)

// TestBundle carries the smallest components from this machine's cache into an empty one.
func TestBundle(t *testing.T) {
	small := []string{string(components.BootstrapTemplate), string(components.Charts)}
	store, err := components.New(components.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !store.Complete(components.BootstrapTemplate, components.Charts) {
		skip.Missing(t, "needs components: make components")
	}
	file := filepath.Join(t.TempDir(), "bundle.tar.zst")
	meshbench := func(args ...string) (stdout, stderr string, code int) {
		var out, errs bytes.Buffer
		code = run(append([]string{"components"}, args...), &out, &errs)
		return out.String(), errs.String(), code
	}
	out, errs, code := meshbench(append([]string{"export", file}, small...)...)
	if code != exitOK || !strings.HasPrefix(out, file+": 2 components, ") {
		t.Fatalf("export: %d\n%s%s", code, out, errs)
	}
	cache := t.TempDir()
	t.Setenv(components.RootEnv, cache)
	out, errs, code = meshbench("import", file)
	if code != exitOK || strings.Count(out, "\n") != 2 || strings.Count(out, cache) != 2 {
		t.Fatalf("import: %d\n%s%s", code, out, errs)
	}
	for _, what := range [][]string{small, {"--verify"}} {
		if out, errs, code := meshbench(what...); code != exitOK {
			t.Errorf("%v: %d\n%s%s", what, code, out, errs)
		}
	}
	if out, errs, code = meshbench("import", file); code != exitOK || out != "" || !strings.Contains(errs, "2 in the cache already") {
		t.Errorf("again: %d\n%s%s", code, out, errs)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "components", "work", "*")); err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
	if err := os.Truncate(file, 1000); err != nil {
		t.Fatal(err)
	}
	if out, errs, code = meshbench("import", file); code != exitFailure || !strings.Contains(errs, "it is cut") {
		t.Errorf("cut: %d\n%s%s", code, out, errs)
	}
}

func TestPrintImported(t *testing.T) {
	var out, notes bytes.Buffer
	printImported(&out, &notes, &components.Imported{
		Meshbench: "v9", Added: []components.Status{{Name: "etcd", Version: "3.5", Path: "/c"}},
		Unused: []string{"etcd 3.4", "envoy 1.0"}, Differ: []string{"envoy 1.0"},
	})
	if out.String() != "etcd 3.5 /c\n" {
		t.Errorf("%q", out.String())
	}
	for _, want := range []string{"made by meshbench v9", "etcd 3.4, envoy 1.0\n", "envoy 1.0 differ and will be built"} {
		if !strings.Contains(notes.String(), want) {
			t.Errorf("no %q in %q", want, notes.String())
		}
	}
}
