package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/images"
)

// TestWriteImages: an archive is there whole or not at all, and one that was there before
// stays when the next cannot be made.
func TestWriteImages(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	set := components.Set{}
	for _, n := range images.Needed() {
		set[n] = components.Component{Version: "1.2.3", Path: filepath.Join(t.TempDir(), string(n))}
		if err := os.WriteFile(set.Path(n), []byte(n), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "images.tar")
	o := images.Options{Components: []components.Set{set}, RootFS: root}
	holds := func(want ...string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != len(want) {
			t.Errorf("%v, %v; want %q", entries, err, want)
		}
	}
	if _, err := writeImages(t.Context(), out, o); err == nil {
		t.Error("no error for a root file system without iptables")
	}
	holds()
	for _, program := range []string{"iptables-save", "iptables-restore"} {
		if err := os.WriteFile(filepath.Join(root, program), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	made, err := writeImages(t.Context(), out, o)
	if err != nil || len(made) != 3 || made[0].Name != "docker.io/istio/pilot:1.2.3" {
		t.Errorf("%v, %v", made, err)
	}
	holds("images.tar")
	before, err := os.Stat(out)
	if err != nil || before.Size() == 0 || before.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", before, err)
	}
	o.RootFS = t.TempDir()
	if _, err := writeImages(t.Context(), out, o); err == nil {
		t.Error("no error for an empty root file system")
	}
	holds("images.tar")
	if after, err := os.Stat(out); err != nil || !os.SameFile(before, after) {
		t.Errorf("the archive before is gone: %v", err)
	}
	if _, err := writeImages(t.Context(), filepath.Join(dir, "nowhere", "images.tar"), o); err == nil {
		t.Error("no error for a folder that is not there")
	}
}
