package components

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzManifest reads the manifest of a cache folder, which may have been altered: one that is
// taken lists files of the folder alone, all there with their sizes.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"files":[{"path":"prog","size":4}]}`))
	f.Add([]byte(`{"files":[{"path":"../prog","size":4}]}`))
	f.Add([]byte(`{"files":[{"path":"link","size":4}]}`))
	f.Add([]byte(`{"files":[{"path":"","size":0}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := filepath.Join(t.TempDir(), "c")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"c/prog": "four", "outside": "four", "c/" + manifestName: string(text)} {
			if err := os.WriteFile(filepath.Join(dir, "..", name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("../outside", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		m, err := readManifest(dir)
		if err != nil {
			return
		}
		for _, f := range m.Files {
			if clean := filepath.Clean(f.Path); clean != "prog" && clean != manifestName || clean == "prog" && f.Size != 4 {
				t.Errorf("it lists %q of %d bytes", f.Path, f.Size)
			}
		}
	})
}

// FuzzOrigin reads what a registry once answered: it has a digest, or is no answer.
func FuzzOrigin(f *testing.F) {
	f.Add([]byte(`{"reference":"docker.io/istio/pilot:1","digest":"sha256:00"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "origin.json")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if o, err := readOrigin(path); err == nil && o.Digest == "" {
			t.Errorf("%+v", o)
		}
	})
}
