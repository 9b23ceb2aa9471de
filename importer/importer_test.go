package importer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/scenarios"
)

// meshOf puts together the mesh of manifests.
func meshOf(t *testing.T, texts ...string) *Mesh {
	t.Helper()
	c := New(Options{})
	for _, text := range texts {
		if err := c.Add(manifests.Text(text)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := c.Mesh()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// written writes the mesh and returns its files by their names.
func writtenTo(t *testing.T, m *Mesh) (folder string, files map[string]string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "prod")
	if _, err := m.Write(Target{Folder: folder, Title: "A mesh"}); err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folder, files
}

// An export of a cluster that meshbench itself made becomes a folder that loads.
func TestExport(t *testing.T) {
	c := New(Options{})
	for _, name := range []string{"testdata/mesh.json", "testdata/crs.yaml"} {
		if err := c.AddFile(name); err != nil {
			t.Fatal(err)
		}
	}
	m, err := c.Mesh()
	if err != nil {
		t.Fatal(err)
	}
	folder, files := writtenTo(t, m)
	for _, name := range []string{"prod.yaml", "system.yaml", "import.json", "objects/namespaces.yaml", "objects/services.yaml", "objects/config.yaml", "objects/workloads.yaml"} {
		if files[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	s, err := scenarios.Loader{}.Open(filepath.Join(folder, "prod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Plan().MostPods; n != 6 {
		t.Errorf("%d pods", n)
	}
	for _, foreign := range []string{"uid:", "managedFields", "resourceVersion", "status:", "10.77.", "nodeName", "kubernetes.io/metadata.name"} {
		for name, text := range files {
			if strings.Contains(text, foreign) {
				t.Errorf("%s has %q", name, foreign)
			}
		}
	}
}
