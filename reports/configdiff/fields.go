package configdiff

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// field is a place in an object at which two objects differ.
type field struct {
	path []string // filters[tcp_proxy], stat_prefix
	// old and new are the values on the two sides; nil where the side has none.
	old, new any
}

// unordered are lists whose order means nothing. Envoy picks a filter chain by its match
// and a virtual host by its domains.
var unordered = map[string]bool{"filter_chains": true, "virtual_hosts": true, "domains": true, "lb_endpoints": true}

// fields are the places at which two normalised trees differ, the deepest that tell.
func fields(path []string, a, b any) []field {
	if encode(a) == encode(b) {
		return nil
	}
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return mapFields(path, a, b)
		}
	case []any:
		if b, ok := b.([]any); ok {
			return listFields(path, a, b)
		}
	}
	return []field{{path, a, b}}
}

func mapFields(path []string, a, b map[string]any) []field {
	var out []field
	for _, key := range union(a, b) {
		out = append(out, fields(below(path, key), a[key], b[key])...)
	}
	return out
}

// listFields takes lists for sets: equal elements cancel, those with the same label are
// looked into, the others came or went.
func listFields(path []string, a, b []any) []field {
	name := ""
	if len(path) > 0 {
		name = path[len(path)-1]
		path = path[:len(path)-1]
	}
	labelsA, restA := elements(a)
	labelsB, restB := elements(b)
	var out []field
	for _, label := range union(labelsA, labelsB) {
		as, bs := cancel(restA[label], restB[label])
		element := below(path, name+"["+label+"]")
		for len(as) > 0 && len(bs) > 0 {
			i, j, differing := closest(as, bs)
			for _, f := range differing {
				out = append(out, field{slices.Concat(element, f.path), f.old, f.new})
			}
			as, bs = slices.Delete(as, i, i+1), slices.Delete(bs, j, j+1)
		}
		for _, o := range as {
			out = append(out, field{element, o.tree(), nil})
		}
		for _, o := range bs {
			out = append(out, field{element, nil, o.tree()})
		}
	}
	if len(out) == 0 && !unordered[name] {
		out = append(out, field{below(path, name+" (order)"), a, b})
	}
	return out
}

// closest are the two objects, of two lists, that differ at the fewest places.
func closest(as, bs []object) (i, j int, differing []field) {
	// Looking at all pairs is for short lists; in long ones the order is as good.
	if len(as)*len(bs) > 100 {
		return 0, 0, fields(nil, as[0].tree(), bs[0].tree())
	}
	best := -1
	for x := range as {
		for y := range bs {
			if f := fields(nil, as[x].tree(), bs[y].tree()); best < 0 || len(f) < best {
				best, i, j, differing = len(f), x, y, f
			}
		}
	}
	return i, j, differing
}

// elements sorts a list's elements by their labels.
func elements(list []any) (labels map[string]any, byLabel map[string][]object) {
	labels, byLabel = map[string]any{}, map[string][]object{}
	for _, e := range list {
		l := label(e)
		labels[l] = nil
		byLabel[l] = append(byLabel[l], object(encode(e)))
	}
	return labels, byLabel
}

// label names an element of a list: its name, else what it matches; "" for neither. A
// text or a number is its own label.
func label(e any) string {
	fields, ok := e.(map[string]any)
	if !ok {
		return fmt.Sprint(e)
	}
	for _, key := range []string{"name", "cluster_name", "tag", "key", "stat_name"} {
		if s, ok := fields[key].(string); ok {
			return short(s)
		}
	}
	if m, ok := fields["filter_chain_match"].(map[string]any); ok {
		var parts []string
		for _, key := range union(m, nil) {
			parts = append(parts, strings.Trim(encode(m[key]), `"`))
		}
		return strings.NewReplacer(`"`, "", "[", "", "]", "").Replace(strings.Join(parts, " "))
	}
	return ""
}

// short leaves out what all of Envoy's own names begin with.
func short(name string) string {
	for _, prefix := range []string{"envoy.filters.network.", "envoy.filters.http.", "envoy.filters.listener.", "envoy.extensions."} {
		if s, ok := strings.CutPrefix(name, prefix); ok {
			return s
		}
	}
	return name
}

// cancel leaves out what is in both lists.
func cancel(a, b []object) (onlyA, onlyB []object) {
	left := map[object]int{}
	for _, o := range b {
		left[o]++
	}
	for _, o := range a {
		if left[o] > 0 {
			left[o]--
		} else {
			onlyA = append(onlyA, o)
		}
	}
	for _, o := range b {
		if left[o] > 0 {
			left[o]--
			onlyB = append(onlyB, o)
		}
	}
	return onlyA, onlyB
}

// union are the keys of both maps, sorted.
func union(a, b map[string]any) []string {
	var keys []string
	for key := range a {
		keys = append(keys, key)
	}
	for key := range b {
		if _, both := a[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// below is the path of a part. What only wraps the part is left out.
func below(path []string, part string) []string {
	if part == "typed_config" {
		return path
	}
	return append(slices.Clone(path), part)
}

// encode is JSON with sorted keys; of a tree that was decoded, so it cannot fail.
func encode(tree any) string {
	text, err := json.Marshal(tree)
	if err != nil {
		return ""
	}
	return string(text)
}

// size is what a value takes as JSON, in bytes.
func size(v any) int {
	if v == nil {
		return 0
	}
	return len(encode(v))
}
