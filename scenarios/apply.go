package scenarios

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Apply creates or updates the objects of a manifest by server-side apply, in order. It
// has taken effect when all pods of the Deployments in it are Ready; pods of other kinds
// are not checked against the nodes' pod limit. Exactly one of Manifest and File is given.
type Apply struct {
	// Manifest is YAML, several documents allowed.
	Manifest string `yaml:"manifest,omitempty"`
	// File is the path of such a manifest, relative to the scenario file and below its
	// folder. A rendered scenario has its text in Manifest and no File. Expressions in the
	// file are not evaluated.
	File string `yaml:"file,omitempty"`
}

// Word returns apply.
func (*Apply) Word() string { return "apply" }

// String tells the change in a few words.
func (a *Apply) String() string {
	objects, err := a.objects()
	if err != nil {
		return "apply a manifest"
	}
	words := make([]string, len(objects))
	for i, o := range objects {
		words[i] = o.Kind + " " + strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/")
	}
	return "apply " + strings.Join(words, ", ")
}

// manifestObject is what the checks need of an object in a manifest.
type manifestObject struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name      string            `yaml:"name"`
		Namespace string            `yaml:"namespace"`
		Labels    map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
	Spec struct {
		Replicas *int `yaml:"replicas"`
		Template struct {
			Metadata struct {
				Labels map[string]string `yaml:"labels"`
			} `yaml:"metadata"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

// objects reads the manifest.
func (a *Apply) objects() ([]manifestObject, error) {
	var list []manifestObject
	for decoder := yaml.NewDecoder(strings.NewReader(a.Manifest)); ; {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the manifest: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(n.Content) == 1 && n.Content[0].ShortTag() == "!!null" {
			continue // an empty document
		}
		// Only the outline is read here. Fields of other kinds that happen to have the same
		// names and other types are none of the checks' business.
		var o manifestObject
		var mismatch *yaml.TypeError
		if err := n.Decode(&o); err != nil && !errors.As(err, &mismatch) {
			return nil, fmt.Errorf("the manifest: line %d: %w", n.Line, err)
		}
		for _, x := range []struct{ field, value string }{
			{"apiVersion", o.APIVersion}, {"kind", o.Kind}, {"metadata.name", o.Metadata.Name},
		} {
			if x.value == "" {
				return nil, fmt.Errorf("the manifest: the object at line %d has no %s", n.Line, x.field)
			}
		}
		list = append(list, o)
	}
}

// check also replaces File by the file's text.
func (a *Apply) check(c *checker) {
	field := "manifest"
	switch {
	case (a.Manifest != "") == (a.File != ""):
		c.wrong(field, "give either a manifest or a file")
		return
	case a.File != "":
		field = "file"
		text, err := c.readFile(a.File)
		if err != nil {
			c.wrong(field, "%v", err)
			return
		}
		a.Manifest, a.File = text, ""
	}
	objects, err := a.objects()
	if err != nil {
		c.wrong(field, "%v", err)
		return
	}
	if len(objects) == 0 {
		c.wrong(field, "there is no object in the manifest")
	}
	for _, m := range objects {
		o := object{m.Kind, m.Metadata.Namespace, m.Metadata.Name}
		if o.namespace == "" && (o.kind == "Deployment" || o.kind == "Service") {
			c.wrong(field, "%s %q has no metadata.namespace; name one", o.kind, o.name)
			continue
		}
		if o.namespace != "" && !c.namespace(field, o.namespace) {
			continue
		}
		c.objects[o] = m.APIVersion
		switch o.kind {
		case "Namespace":
			c.injecting[o.name] = injects(m.Metadata.Labels)
		case "Deployment":
			replicas := 1
			if m.Spec.Replicas != nil {
				replicas = *m.Spec.Replicas
			}
			if replicas < 0 || replicas > maxNumber {
				c.wrong(field, "Deployment %q has %d replicas", o.name, replicas)
				continue
			}
			c.run(field, o, workload{replicas, c.injects(o.namespace, m.Spec.Template.Metadata.Labels)})
		}
	}
}
