package advice

import (
	"fmt"
	"io"
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/internal/plain"
)

// APIVersion is that of the Sidecar resources that are proposed; Istio serves it since 1.22.
const APIVersion = "networking.istio.io/v1"

// Object is the Sidecar resource: new, or the one that is there with other hosts.
func (s *Scope) Object() map[string]any {
	hosts := []any{}
	for _, h := range s.Hosts {
		hosts = append(hosts, h.Host)
	}
	spec := map[string]any{}
	if s.replaces != nil {
		spec = maps.Clone(s.replaces.Spec)
	}
	if spec == nil {
		spec = map[string]any{}
	}
	catchAll := map[string]any{"hosts": hosts}
	egress, _ := spec["egress"].([]any)
	replaced, list := false, []any{}
	for _, e := range egress {
		listener, _ := e.(map[string]any)
		if port, _ := listener["port"].(map[string]any); len(port) == 0 && !replaced {
			kept := maps.Clone(listener) // bind and captureMode stay
			if kept == nil {
				kept = map[string]any{}
			}
			kept["hosts"] = hosts
			e, replaced = kept, true
		}
		list = append(list, e)
	}
	if !replaced {
		list = append(list, catchAll)
	}
	spec["egress"] = list
	return map[string]any{
		"apiVersion": APIVersion, "kind": "Sidecar",
		"metadata": map[string]any{"name": s.Name, "namespace": s.Namespace},
		"spec":     spec,
	}
}

// WriteYAML writes the Sidecar resources that differ from what is there, a document each, with
// why each host is in it.
func (a *Advice) WriteYAML(w io.Writer) error {
	first := true
	for _, s := range a.Scopes {
		if s.Status == Same {
			continue
		}
		if !first {
			if _, err := io.WriteString(w, "---\n"); err != nil {
				return err
			}
		}
		first = false
		if err := s.WriteYAML(w); err != nil {
			return err
		}
	}
	return nil
}

// WriteYAML writes the Sidecar resource with why each host is in it.
func (s *Scope) WriteYAML(w io.Writer) error {
	var document yaml.Node
	if err := document.Encode(s.Object()); err != nil {
		return fmt.Errorf("write the Sidecar resource of namespace %s: %w", s.Namespace, err)
	}
	order(&document, "apiVersion", "kind", "metadata", "spec")
	order(child(&document, "metadata"), "name", "namespace")
	why := map[string]string{}
	for _, h := range s.Hosts {
		why[h.Host] = reasons(h.Why)
	}
	if egress := child(child(&document, "spec"), "egress"); egress != nil {
		for _, listener := range egress.Content {
			hosts := child(listener, "hosts")
			if child(listener, "port") != nil || hosts == nil { // a second one without a port may lack them
				continue
			}
			for _, h := range hosts.Content {
				h.LineComment = why[h.Value]
			}
		}
	}
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	if err := out.Encode(&document); err != nil {
		return fmt.Errorf("write the Sidecar resource of namespace %s: %w", s.Namespace, err)
	}
	return out.Close()
}

// mostReasons is how many reasons for a host are written beside it.
const mostReasons = 2

// reasons are a comment: what YAML takes for the end of a line, as a carriage return, would end it.
func reasons(all []string) string {
	text := strings.Join(all[:min(len(all), mostReasons)], "; ")
	if more := len(all) - mostReasons; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return plain.Line(text)
}

// child is the value of a field; nil for none.
func child(n *yaml.Node, field string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == field {
			return n.Content[i+1]
		}
	}
	return nil
}

// order puts fields first, in their order.
func order(n *yaml.Node, fields ...string) {
	if n == nil {
		return
	}
	var first, rest []*yaml.Node
	for _, f := range fields {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == f {
				first = append(first, n.Content[i], n.Content[i+1])
			}
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		known := false
		for _, f := range fields {
			known = known || n.Content[i].Value == f
		}
		if !known {
			rest = append(rest, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = append(first, rest...)
}
