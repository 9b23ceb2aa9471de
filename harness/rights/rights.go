// Package rights says what a run needs leave for on somebody else's cluster: each verb on
// each resource, why, which of it is missing, and the manifest that grants it.
package rights

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Right is leave to do something with one kind of object.
type Right struct {
	// Group is the API group, "" for the core, and Resource the plural with its subresource,
	// deployments or pods/portforward. Both may be "*" for all.
	Group, Resource string
	// Verbs are those of the API: get, list, watch, create, update, patch, delete.
	Verbs []string
	// Namespace is the one namespace that it is needed in; "" for all, since those of a run
	// are named when it begins, and for objects without a namespace.
	Namespace string
	// For says what it is needed for, as in "read the pods".
	For string
}

// String is the right in words: create deployments.apps.
func (r Right) String() string {
	what := r.Resource
	if r.Group != "" {
		resource, sub, split := strings.Cut(r.Resource, "/")
		what = resource + "." + r.Group
		if split {
			what += "/" + sub
		}
	}
	text := strings.Join(r.Verbs, ", ") + " " + what
	if r.Namespace != "" {
		text += " in namespace " + r.Namespace
	}
	return text
}

// verbs are all verbs in the order of this package's lists.
func verbs() []string {
	return []string{"get", "list", "watch", "create", "update", "patch", "delete", "escalate", "bind"}
}

// Merge joins rights to the same resource in the same namespace, sorted; what is needed in
// all namespaces is not repeated for one. The reasons are joined, too.
func Merge(lists ...[]Right) []Right {
	type key struct{ group, resource, namespace string }
	merged := map[key]Right{}
	for _, r := range slices.Concat(lists...) {
		k := key{r.Group, r.Resource, r.Namespace}
		m := merged[k]
		if m.For != "" && r.For != "" && !slices.Contains(strings.Split(m.For, "; "), r.For) {
			r.For = m.For + "; " + r.For
		} else {
			r.For = cmp.Or(m.For, r.For)
		}
		r.Verbs = slices.Concat(m.Verbs, r.Verbs)
		merged[k] = r
	}
	var all []Right
	for k, r := range merged {
		have := merged[key{k.group, k.resource, ""}].Verbs
		r.Verbs = slices.DeleteFunc(verbs(), func(v string) bool {
			return !slices.Contains(r.Verbs, v) || k.namespace != "" && slices.Contains(have, v)
		})
		if len(r.Verbs) > 0 {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Right) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource))
	})
	return all
}

// resources makes a right of one list of verbs for each of several resources.
func resources(purpose, group string, verbs []string, names ...string) []Right {
	var all []Right
	for _, name := range names {
		all = append(all, Right{Group: group, Resource: name, Verbs: verbs, For: purpose})
	}
	return all
}

// in limits rights to a namespace.
func in(namespace string, all []Right) []Right {
	for i := range all {
		all[i].Namespace = namespace
	}
	return all
}

// Resource is the plural of a kind, as the API has it in paths, for kinds that no cluster
// can be asked about: services of Service, gateways of Gateway, policies of Policy.
func Resource(kind string) string {
	name := strings.ToLower(kind)
	switch {
	case name == "endpoints":
		return name
	case strings.HasSuffix(name, "y") && !strings.ContainsAny(name[max(0, len(name)-2):len(name)-1], "aeiou"):
		return strings.TrimSuffix(name, "y") + "ies"
	case strings.HasSuffix(name, "s"), strings.HasSuffix(name, "x"), strings.HasSuffix(name, "ch"), strings.HasSuffix(name, "sh"):
		return name + "es"
	}
	return name + "s"
}

// Sentence names missing rights, at most so many.
func Sentence(missing []Right, most int) string {
	var words []string
	for _, r := range missing[:min(most, len(missing))] {
		words = append(words, r.String())
	}
	if more := len(missing) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "; ")
}
