package manifests

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// span is the text of a value in its source.
type span struct {
	start, end int64 // in bytes
	// line is that of the text's first byte.
	line int
	// path leads from the text's value to the one that is meant; "" for itself.
	path string
}

// locator finds the lines of fields. It parses the text again, since lines are wanted of
// what is wrong alone.
type locator struct {
	source Source
	span   span
	// begin is the line of the text's value itself.
	begin int
	// text is that of the span; nil where it must be read again.
	text []byte

	parsed bool
	root   *yaml.Node // nil if the text cannot be parsed
}

// line returns the line of the value at a path, or of the nearest one around it.
func (l *locator) line(path string) int {
	if path == "" {
		return l.begin
	}
	if !l.parsed {
		l.parsed = true
		l.root = l.parse()
	}
	if l.root == nil {
		return l.begin
	}
	return l.span.line + find(l.root, path).Line - 1
}

// parse returns the value of the text; nil if it cannot be read.
func (l *locator) parse() *yaml.Node {
	text := l.text
	if text == nil {
		in, err := l.source.Open()
		if err != nil {
			return nil
		}
		defer in.Close()
		if _, err := io.CopyN(io.Discard, in, l.span.start); err != nil {
			return nil
		}
		text = make([]byte, l.span.end-l.span.start)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil
		}
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" ")) // JSON may be indented by tabs
	}
	var document yaml.Node
	if yaml.Unmarshal(text, &document) != nil || len(document.Content) == 0 {
		return nil
	}
	root := document.Content[0]
	if root.Kind == yaml.SequenceNode && len(root.Content) == 1 {
		root = root.Content[0] // an item that was cut out of its list, with its dash
	}
	return root
}

// find returns the node at a path, or the nearest one around it that exists. Of the keys
// that the path may begin with, the longest counts, since keys may have dots.
func find(n *yaml.Node, path string) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	path = strings.TrimPrefix(path, ".")
	if path == "" {
		return n
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if rest, ok := strings.CutPrefix(path, fmt.Sprintf("[%d]", i)); ok {
				return find(item, rest)
			}
		}
	case yaml.MappingNode:
		var key, value *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			rest, ok := strings.CutPrefix(path, name)
			if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && (key == nil || len(name) > len(key.Value)) {
				key, value = n.Content[i], n.Content[i+1]
			}
		}
		if key != nil {
			rest := strings.TrimPrefix(path, key.Value)
			if rest == "" {
				return &yaml.Node{Line: key.Line, Column: key.Column}
			}
			return find(value, rest)
		}
	}
	return n
}
