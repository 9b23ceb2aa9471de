package importer

import (
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/importer/alias"
)

// Anonymize gives all names in the mesh aliases, everywhere the same ones.
func (m *Mesh) Anonymize(names *alias.Names) {
	m.names = names
	lists := []*[]map[string]any{&m.system, &m.namespaces, &m.services, &m.config, &m.workloads}
	// Some texts are only searched for names that are known, so all are known first.
	for _, list := range lists {
		for _, o := range *list {
			names.Name(text(o, "metadata", "name"))
			names.Name(text(o, "metadata", "namespace"))
			if o["kind"] == "StatefulSet" {
				names.Base(text(o, "metadata", "name"))
			}
		}
	}
	for _, list := range lists {
		for i, o := range *list {
			(*list)[i] = names.Object(o)
		}
	}
	for i := range m.Planes {
		p := &m.Planes[i]
		names.Keep(p.Revision)
		for _, tag := range p.Tags {
			names.Keep(tag)
		}
		p.Values = names.Object(p.Values)
		if p.Revision != "" {
			p.Values["revision"] = p.Revision
		}
	}
	for i := range m.Proxies {
		p := &m.Proxies[i]
		p.Namespace, p.Pod, p.Name = names.Name(p.Namespace), names.Name(p.Pod), names.Name(p.Name)
	}
	for i, s := range m.secrets {
		m.secrets[i] = secret{names.Name(s.namespace), names.Name(s.name)}
	}
	m.notes.rename(names.Name)
}

func text(value map[string]any, path ...string) string {
	s, _ := lookup(value, path...).(string)
	return s
}

// leaks says where a name still stands in a file that is to be shown.
func (m *Mesh) leaks(files []file) error {
	if m.names == nil {
		return nil
	}
	for form := range m.notes.of {
		m.names.Keep(form)
	}
	for reason, kinds := range m.summary.Left {
		m.names.Keep(reason)
		for k := range kinds {
			m.names.Keep(k)
		}
	}
	for k := range m.summary.Kept {
		m.names.Keep(k)
	}
	for _, n := range m.Nodes {
		m.names.Keep(n.Type)
	}
	var found []string
	for _, f := range files {
		if strings.HasPrefix(f.name, certificatesFile) {
			continue // made up, with names that were given above
		}
		own := string(f.data)
		for _, key := range ownWords(f.name) {
			m.names.Keep(key)
		}
		for _, l := range m.names.Leaks(own) {
			found = append(found, fmt.Sprintf("%s:%d: %s", f.name, l.Line, l.Name))
		}
	}
	if len(found) == 0 {
		return nil
	}
	if more := len(found) - mostProblems; more > 0 {
		found = append(found[:mostProblems], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("cannot anonymize: names would still stand in these places, so nothing was written; leave the objects out with --skip KIND:\n%s", strings.Join(found, "\n"))
}

// ownWords are the words that this package itself writes into a file.
func ownWords(name string) []string {
	if strings.HasPrefix(name, "objects/") || strings.HasPrefix(name, "system.") {
		return []string{"apiVersion v1 kind List items"}
	}
	return []string{
		"apiVersion name title description cluster baseline system serviceRange nodes type count maxPods mesh istio tags values revisions source proxies",
		"namespace deployment kind pod counts steps do actions apply file objects yaml json namespaces certificates services config workloads",
		"All that was read of the source", anonymousTitle,
		strings.Join(words(), " "), "bytes kept left pods notes dumped reason and more there here of as",
	}
}

// anonymousTitle is that of a scenario whose source is not to be known.
const anonymousTitle = "A mesh that was imported, with other names"
