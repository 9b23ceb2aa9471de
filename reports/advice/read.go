package advice

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/manifests"
)

// scenarioVersion begins the apiVersion of a scenario.
const scenarioVersion = "meshbench.dev/"

// Read reads a mesh from files: exports of kubectl, and folders of them, such as the folder of
// an imported scenario, of which the mesh's values are read as well.
func Read(paths ...string) (*Mesh, error) {
	var items []Item
	var configs []map[string]any
	for _, path := range paths {
		files, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			config, scenario, err := scenarioOf(file)
			if err != nil {
				return nil, err
			}
			if scenario {
				if config != nil {
					configs = append(configs, config)
				}
				continue
			}
			found, err := load(file)
			if err != nil {
				return nil, err
			}
			items = append(items, found...)
		}
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("cannot find objects of a mesh in %s: give what kubectl get namespaces,services,pods,virtualservices,serviceentries,sidecars,envoyfilters -A -o yaml prints", strings.Join(paths, ", "))
	}
	m := MeshOf(items)
	for _, c := range configs {
		m.Configure(c, DefaultRoot)
	}
	return m, nil
}

// filesOf are a file itself, or the files of a folder that may hold objects, in order.
func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the mesh: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch ext := filepath.Ext(name); {
		case d.IsDir() || ext != ".yaml" && ext != ".yml" && ext != ".json":
		case d.Name() == "import.json": // what an import says of itself
		default:
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the mesh: %w", err)
	}
	slices.Sort(files)
	return files, nil
}

// scenarioOf tells whether a file is a scenario, and returns the mesh configuration that it
// sets.
func scenarioOf(file string) (config map[string]any, scenario bool, err error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, false, fmt.Errorf("read the mesh: %w", err)
	}
	defer in.Close()
	head := make([]byte, 4096)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, false, fmt.Errorf("read the mesh: %w", err)
	}
	if !strings.Contains(string(head[:n]), scenarioVersion) {
		return nil, false, nil
	}
	text, err := bounded.File(file, bounded.OwnFile)
	if err != nil {
		return nil, false, fmt.Errorf("read the mesh: %w", err)
	}
	var s struct {
		APIVersion string `yaml:"apiVersion"`
		Mesh       struct {
			Values struct {
				Config map[string]any `yaml:"meshConfig"`
			} `yaml:"values"`
		} `yaml:"mesh"`
	}
	if err := yaml.Unmarshal(text, &s); err != nil {
		return nil, false, fmt.Errorf("%s: invalid YAML: %w", file, err)
	}
	return s.Mesh.Values.Config, strings.HasPrefix(s.APIVersion, scenarioVersion), nil
}

// load reads the objects of a file as they stand there.
func load(file string) ([]Item, error) {
	m, err := manifests.Load(manifests.Source{Name: file, Open: func() (io.ReadCloser, error) { return os.Open(file) }}, manifests.Options{Raw: true})
	if err != nil {
		return nil, err
	}
	return Items(m), nil
}

// Items are a manifest's objects.
func Items(m *manifests.Manifest) []Item {
	items := make([]Item, len(m.Objects))
	for i, o := range m.Objects {
		items[i] = Item{Object: o, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
		if m.Name() != "" {
			items[i].Place = m.Place(o)
		}
	}
	return items
}
