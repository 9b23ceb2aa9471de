package manifests

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// metadataName is the label by which selectors name a namespace: every one has it.
const metadataName = "kubernetes.io/metadata.name"

// Names are new names of namespaces, by those that a manifest has.
type Names map[string]string

// InNamespaces gives namespaces other names, wherever an object refers to one: as its own
// namespace or name, in the fields that Kubernetes, Istio and the Gateway API have for it,
// in Istio's hosts (ns1/host) and identities (/ns/ns1/), in DNS names (web.ns1.svc) and in
// names of accounts (system:serviceaccount:ns1:). The namespaces among the objects that are
// renamed or kept by names get labels. It returns, as OBJECT: FIELD, where an old name stands
// that is none of these: in a short DNS name (web.ns1), an argument, an annotation. Secrets
// are not looked into.
func (m *Manifest) InNamespaces(names Names, labels map[string]string) (left []string) {
	r := newRenamer(names)
	for _, o := range m.Objects {
		u := o.Unstructured()
		if o.Kind == "Namespace" && o.Group() == "" {
			to, own := names[o.Name]
			if !own {
				continue
			}
			u.SetName(to)
			o.Name = to
			all := u.GetLabels()
			if all == nil {
				all = map[string]string{}
			}
			maps.Copy(all, labels)
			u.SetLabels(all)
		}
		r.left = nil
		u.Object = r.value("", "", u.Object).(map[string]any)
		o.Namespace = u.GetNamespace()
		o.data = encode(u.Object)
		for _, field := range r.left {
			left = append(left, o.String()+": "+field)
		}
	}
	return left
}

// Values gives namespaces other names in a chart's values as [Manifest.InNamespaces] does in
// objects. The values are copied.
func (n Names) Values(values map[string]any) map[string]any {
	if values == nil {
		return nil
	}
	return newRenamer(n).value("", "", values).(map[string]any)
}

// renamer renames in decoded values.
type renamer struct {
	names Names
	// text matches references in any text, and word an old name anywhere; nil for no names.
	text, word *regexp.Regexp
	left       []string
}

func newRenamer(names Names) *renamer {
	r := &renamer{names: names}
	var old []string
	for from, to := range names {
		if from != to {
			old = append(old, regexp.QuoteMeta(from))
		}
	}
	if len(old) == 0 {
		return r
	}
	slices.Sort(old)
	one := "(" + strings.Join(old, "|") + ")"
	r.text = regexp.MustCompile(`(\.)` + one + `(\.svc(?:$|[^a-zA-Z0-9-]))|(/ns/)` + one + `(/)|(system:serviceaccounts?:)` + one + `(:|$)`)
	r.word = regexp.MustCompile(`(?:^|[^a-zA-Z0-9_-])` + one + `(?:$|[^a-zA-Z0-9_-])`)
	return r
}

// exact are fields whose whole value, or whose list's items, are names of namespaces.
var exact = map[string]bool{
	"namespace": true, "namespaces": true, "notNamespaces": true, "sourceNamespace": true, "exportTo": true, metadataName: true,
}

// prefixed are Istio's fields with NAMESPACE/NAME: hosts of Gateways and Sidecars, gateways
// of VirtualServices.
var prefixed = map[string]bool{"hosts": true, "gateways": true}

// exportTo is the annotation of Services that Istio reads as a list with commas.
const exportTo = "networking.istio.io/exportTo"

// plain are fields whose words are no references to namespaces, whatever they are called.
var plain = map[string]bool{"name": true, "image": true, "kind": true, "apiVersion": true, "labels": true, "matchLabels": true, "selector": true, "workloadSelector": true}

// value renames in a value that stands in the field key, at path.
func (r *renamer) value(key, path string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		renamed := make(map[string]any, len(v))
		for _, k := range sortedKeys(v) {
			as := k
			if k == "values" && v["key"] == metadataName {
				as = metadataName // {key: kubernetes.io/metadata.name, operator: In, values: [ns1]}
			}
			renamed[k] = r.value(as, join(path, k), v[k])
		}
		return renamed
	case []any:
		renamed := make([]any, len(v))
		for i, e := range v {
			renamed[i] = r.value(key, fmt.Sprintf("%s[%d]", path, i), e)
		}
		return renamed
	case string:
		return r.string(key, path, v)
	}
	return v
}

func (r *renamer) string(key, path, s string) string {
	if r.text == nil {
		return s
	}
	switch to, own := r.names[s]; {
	case exact[key] && own:
		return to
	case key == exportTo:
		parts := strings.Split(s, ",")
		for i, part := range parts {
			if to, own := r.names[strings.TrimSpace(part)]; own {
				parts[i] = to
			}
		}
		return strings.Join(parts, ",")
	case prefixed[key]:
		if namespace, host, split := strings.Cut(s, "/"); split {
			excluded := ""
			if name, is := strings.CutPrefix(namespace, "~"); is { // of a Sidecar, since Istio 1.31
				excluded, namespace = "~", name
			}
			if to, own := r.names[namespace]; own {
				s = excluded + to + "/" + host
			}
		}
	}
	s = r.text.ReplaceAllStringFunc(s, func(found string) string {
		parts := r.text.FindStringSubmatch(found)
		for i := 2; i < len(parts); i += 3 {
			if to, own := r.names[parts[i]]; own {
				return parts[i-1] + to + parts[i+1]
			}
		}
		return found
	})
	if !r.plain(key, path) && r.word.MatchString(s) {
		r.left = append(r.left, path)
	}
	return s
}

// plain reports whether words in a field are no references to namespaces.
func (r *renamer) plain(key, path string) bool {
	if plain[key] {
		return true
	}
	for _, part := range strings.Split(path, ".") {
		if part == "labels" || part == "matchLabels" || part == "selector" || part == "workloadSelector" {
			return true
		}
	}
	return false
}
