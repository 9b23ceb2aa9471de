package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/internal/redact"
)

// Hide takes secrets out of a rendered scenario, the file at path, and of the manifests that are
// kept beside it ([Scenario.Keep]): the data of Secrets and what else package redact knows. It
// is for runs that are over. What is not over needs them to go on, so until then the files are
// readable by their owner alone. [Load] refuses a scenario from which something was taken out,
// at that line.
func Hide(path string) error {
	if err := hideFile(path); err != nil {
		return fmt.Errorf("take secrets out of the kept scenario: %w", err)
	}
	kept, err := filepath.Glob(filepath.Join(filepath.Dir(path), keptFolder, "*"))
	for _, file := range kept {
		err = errors.Join(err, hideFile(file))
	}
	if err != nil {
		return fmt.Errorf("take secrets out of the kept manifests: %w", err)
	}
	return nil
}

// hideFile replaces a file of YAML or JSON where it has secrets in it.
func hideFile(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(path), ".hiding-*") // which its owner alone can read
	if err != nil {
		return err
	}
	defer func() {
		out.Close()
		if err != nil {
			os.Remove(out.Name())
		}
	}()
	hidden, err := hideDocuments(out, in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := out.Close(); err != nil {
		return err
	}
	if !hidden {
		return os.Remove(out.Name())
	}
	return os.Rename(out.Name(), path)
}

// hideDocuments copies documents without secrets and tells whether there were any.
func hideDocuments(w io.Writer, r io.Reader) (hidden bool, err error) {
	decoder, encoder := yaml.NewDecoder(r), yaml.NewEncoder(w)
	encoder.SetIndent(2)
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return hidden, encoder.Close()
		} else if err != nil {
			return hidden, err
		}
		h := &hider{}
		h.node(&document, "", false)
		hidden = hidden || h.hidden
		if err := encoder.Encode(&document); err != nil {
			return hidden, err
		}
	}
}

// hider takes secrets out of one document.
type hider struct{ hidden bool }

// lastApplied is kubectl's annotation with the whole object in it.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// node hides what is below n, the value of a field with a name. all says that every text is a
// secret: those of a Secret's data.
func (h *hider) node(n *yaml.Node, name string, all bool) {
	h.comments(n)
	switch n.Kind {
	case yaml.ScalarNode:
		h.scalar(n, name, all)
	case yaml.MappingNode:
		h.mapping(n, all)
	case yaml.DocumentNode, yaml.SequenceNode:
		for _, child := range n.Content {
			h.node(child, name, all)
		}
	}
}

// comments hides what is in the comments at n.
func (h *hider) comments(n *yaml.Node) {
	for _, comment := range []*string{&n.HeadComment, &n.LineComment, &n.FootComment} {
		h.set(comment, redact.Text(*comment))
	}
}

func (h *hider) mapping(n *yaml.Node, all bool) {
	kind, named := "", ""
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "kind":
			kind = n.Content[i+1].Value
		case "name", "key":
			named = n.Content[i+1].Value
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		h.comments(n.Content[i])
		name, value := n.Content[i].Value, n.Content[i+1]
		switch {
		case kind == "Secret" && (name == "data" || name == "stringData"):
			h.node(value, name, true)
		case name == "value": // of a variable or a header
			h.node(value, named, all)
		default:
			h.node(value, name, all)
		}
	}
}

func (h *hider) scalar(n *yaml.Node, name string, all bool) {
	switch {
	case n.ShortTag() != "!!str" && !all || n.Value == "":
	case all:
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
		h.set(&n.Value, redact.Mark)
	case name == lastApplied && strings.Contains(n.Value, `"Secret"`):
		h.set(&n.Value, redact.Mark)
	case name == "manifest":
		h.manifest(n)
	default:
		h.set(&n.Value, redact.Named(name, n.Value))
	}
}

// manifest hides what is in a manifest that is a text of a scenario.
func (h *hider) manifest(n *yaml.Node) {
	var out bytes.Buffer
	// Expressions are escaped in a rendered scenario, which is nothing to YAML.
	hidden, err := hideDocuments(&out, strings.NewReader(n.Value))
	if err != nil { // no YAML: it was applied, so it cannot be
		h.set(&n.Value, redact.Text(n.Value))
		return
	}
	if hidden {
		h.set(&n.Value, out.String())
	}
}

// set sets a text, and notes whether that hides anything.
func (h *hider) set(to *string, text string) {
	h.hidden = h.hidden || *to != text
	*to = text
}
