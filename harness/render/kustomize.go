package render

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Kustomize renders a folder as kustomize build does. All that it refers to must lie below
// root: nothing is downloaded, no plugin is run.
func (Local) Kustomize(root, folder string) ([]byte, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	folder, err = filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	if err := (&check{root, map[string]bool{}}).folder(folder); err != nil {
		return nil, err
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, fmt.Errorf("kustomize: %w", err)
	}
	return resources.AsYaml()
}

// check holds that what Kustomize will read are files. It would download what is not.
type check struct {
	root string
	seen map[string]bool
}

// folder checks a folder with a kustomization.
func (c *check) folder(dir string) error {
	if c.seen[dir] {
		return nil // a cycle is for Kustomize to refuse
	}
	c.seen[dir] = true
	var text []byte
	var name string
	for _, name = range konfig.RecognizedKustomizationFileNames() {
		var err error
		if text, err = os.ReadFile(filepath.Join(dir, name)); err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if text == nil {
		return fmt.Errorf("%s has no kustomization.yaml", c.relative(dir))
	}
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("%s: %w", c.relative(filepath.Join(dir, name)), err)
	}
	for key, value := range fields {
		place := c.relative(filepath.Join(dir, name)) + ": " + key
		switch strings.ToLower(key) { // Kustomize takes any case
		case "helmcharts", "helmchartinflationgenerator", "helmglobals":
			return fmt.Errorf("%s: charts inside a kustomization are not rendered; name the chart in an action of its own", place)
		case "resources", "bases", "components", "crds", "configurations", "generators", "transformers", "validators", "patchesstrategicmerge":
			list, _ := value.([]any)
			for _, item := range list {
				if err := c.entry(dir, place, item); err != nil {
					return err
				}
			}
		case "configmapgenerator", "secretgenerator", "patches", "patchesjson6902", "replacements", "openapi":
			if err := c.within(dir, place, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// within checks the files that the fields below name.
func (c *check) within(dir, place string, value any) error {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			if err := c.within(dir, place, item); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, value := range v {
			var items []any
			switch key = strings.ToLower(key); key {
			case "path", "env":
				items = []any{value}
			case "files", "envs":
				items, _ = value.([]any)
			case "options": // labels and annotations, of any name
			default:
				if err := c.within(dir, place, value); err != nil {
					return err
				}
			}
			for _, item := range items {
				if s, isText := item.(string); isText && key == "files" {
					if _, file, named := strings.Cut(s, "="); named {
						item = file
					}
				}
				if err := c.entry(dir, place, item); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// entry checks a file or folder that a kustomization names.
func (c *check) entry(dir, place string, item any) error {
	name, ok := item.(string)
	if !ok || name == "" || strings.Contains(name, "\n") {
		return nil // written in place, or for Kustomize to refuse
	}
	at := filepath.Join(dir, name)
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %s is no local file or folder, and nothing is downloaded; put a copy next to the scenario", place, name)
	case !filepath.IsLocal(c.relative(at)):
		return fmt.Errorf("%s: %s is outside the scenario's folder; put a copy next to the scenario", place, name)
	case info.IsDir():
		return c.folder(at)
	}
	return nil
}

// relative is a path from the root.
func (c *check) relative(at string) string {
	if rel, err := filepath.Rel(c.root, at); err == nil {
		return rel
	}
	return at
}
