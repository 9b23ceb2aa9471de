package scenarios

import (
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// steps decodes a list of steps and expands repeated ones.
func (d *decoder) steps(n *yaml.Node, path string, v reflect.Value) {
	if !d.isA(n, path, yaml.SequenceNode, v.Type()) {
		return
	}
	steps := []Step{}
	for i, item := range n.Content {
		steps = append(steps, d.step(item, fmt.Sprintf("%s[%d]", path, i))...)
	}
	v.Set(reflect.ValueOf(steps))
}

// step decodes one item of a list of steps: a step, or with repeat several, or a list of
// steps to repeat.
func (d *decoder) step(n *yaml.Node, path string) []Step {
	d.at[path] = n
	node := n
	if n = d.enter(n, path); n == nil {
		return nil
	}
	defer d.leave()
	var repeat, group *entry
	if n.Kind == yaml.MappingNode {
		rest := *n
		rest.Content = nil
		for i := 0; i+1 < len(n.Content); i += 2 {
			e := entry{n.Content[i].Value, n.Content[i], n.Content[i+1]}
			switch {
			case e.name == "repeat" && repeat != nil, e.name == "steps" && group != nil:
				d.problem(e.key, join(path, e.name), "duplicate field")
			case e.name == "repeat":
				repeat = &e
			case e.name == "steps":
				group = &e
			default:
				rest.Content = append(rest.Content, e.key, e.value)
			}
		}
		node = &rest
	}
	var r *Repeat
	if repeat != nil {
		var ok bool
		if r, ok = d.repetition(repeat.value, join(path, "repeat")); !ok {
			return nil
		}
	}
	var steps []Step
	once := func() {
		var s Step
		d.stepOrigins = append(d.stepOrigins, path)
		d.decode(node, path, reflect.ValueOf(&s).Elem())
		steps = append(steps, s)
	}
	if group != nil {
		if d.group(node, path, group, r) {
			return nil
		}
		once = func() {
			var inner []Step
			d.decode(group.value, join(path, "steps"), reflect.ValueOf(&inner).Elem())
			steps = append(steps, inner...)
		}
	}
	if r == nil {
		once()
		return steps
	}
	d.repeated(r, once)
	return steps
}

// group checks an item with a list of steps, and reports whether it has a problem. What it
// has beside the list and the repetition is in rest.
func (d *decoder) group(rest *yaml.Node, path string, steps *entry, r *Repeat) (wrong bool) {
	if r == nil {
		d.problem(steps.key, join(path, "steps"), "is for repeat, which is missing; add repeat: {var: i, from: 1, to: 3}, or put the steps into the scenario's own list")
		return true
	}
	for _, e := range d.entries(rest, path) {
		known := slices.ContainsFunc(fields(reflect.TypeFor[Step]()), func(f field) bool { return f.name == e.name })
		if !known {
			d.unknown(e, path, []field{{name: "repeat"}, {name: "steps"}})
		} else {
			d.problem(e.key, join(path, e.name), "belongs to one step; put it into each of steps")
		}
		wrong = true
	}
	return wrong
}
