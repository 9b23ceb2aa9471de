package scenarios

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// actions decodes a list of actions and expands repeated ones.
func (d *decoder) actions(n *yaml.Node, path string, v reflect.Value) {
	if !d.isA(n, path, yaml.SequenceNode, v.Type()) {
		return
	}
	var actions []Action
	for i, item := range n.Content {
		actions = append(actions, d.action(item, fmt.Sprintf("%s[%d]", path, i))...)
	}
	v.Set(reflect.ValueOf(actions))
}

// action decodes one item of a list of actions: one action, or a list of them.
func (d *decoder) action(n *yaml.Node, path string) []Action {
	d.at[path] = n
	if n = d.enter(n, path); n == nil {
		return nil
	}
	defer d.leave()
	if !d.isA(n, path, yaml.MappingNode, reflect.TypeFor[Action]()) {
		return nil
	}
	known := []field{{name: "repeat"}, {name: "actions"}}
	kinds := map[string]Change{}
	for _, c := range changes() {
		kinds[c.Word()] = c
		known = append(known, field{name: c.Word()})
	}
	var body *entry
	var repeat *Repeat
	failed := false
	for _, e := range d.entries(n, path) {
		switch {
		case e.name == "repeat":
			var ok bool
			repeat, ok = d.repetition(e.value, join(path, e.name))
			failed = failed || !ok
		case kinds[e.name] == nil && e.name != "actions":
			d.unknown(e, path, known)
			failed = true
		case body != nil:
			d.problem(e.key, join(path, e.name), "an action has exactly one key, already %q; make this a separate action", body.name)
		default:
			body = &e
		}
	}
	switch {
	case body == nil && !failed:
		var words []string
		for w := range kinds {
			words = append(words, w)
		}
		slices.Sort(words)
		d.problem(n, path, "has no action; want one of %s", strings.Join(words, ", "))
	case body != nil && body.name == "actions" && repeat == nil && !failed:
		d.problem(body.key, join(path, "actions"), "is for repeat, which is missing; add repeat: {var: i, from: 1, to: 3}, or put the actions into the step's own list")
		failed = true
	}
	if body == nil || failed {
		return nil
	}
	once := func() []Action {
		if body.name == "actions" {
			var group []Action
			d.decode(body.value, join(path, body.name), reflect.ValueOf(&group).Elem())
			return group
		}
		c := reflect.New(reflect.TypeOf(kinds[body.name]).Elem())
		d.decode(body.value, join(path, body.name), c.Elem())
		action := Action{Change: c.Interface().(Change)}
		d.origins[action.Change] = join(path, body.name)
		return []Action{action}
	}
	if repeat == nil {
		return once()
	}
	var actions []Action
	d.repeated(repeat, func() { actions = append(actions, once()...) })
	return actions
}

// repetition decodes a repeat and checks it.
func (d *decoder) repetition(n *yaml.Node, path string) (r *Repeat, ok bool) {
	r = &Repeat{}
	before := len(d.problems)
	d.decode(n, path, reflect.ValueOf(r).Elem())
	d.checkRepeat(r, path, len(d.problems) == before)
	return r, len(d.problems) == before
}

// repeated calls once for each value of the repetition's variable. Problems that an earlier
// copy has as well are noted once.
func (d *decoder) repeated(r *Repeat, once func()) {
	outer := d.names
	defer func() { d.names = outer }()
	before := len(d.problems)
	for i := r.From; i <= r.To && !d.tooLarge; i++ {
		d.names = outer.with(r.Var, i)
		problems := len(d.problems)
		once()
		if problems > before {
			d.problems = d.problems[:problems] // an earlier copy has the same
		}
	}
}

// checkRepeat checks a repetition; ok is set if it was decoded without problems.
func (d *decoder) checkRepeat(r *Repeat, path string, ok bool) {
	if r.Var != "" {
		d.checkName(r.Var, d.at[join(path, "var")], join(path, "var"))
		if _, taken := d.names.values[r.Var]; taken {
			d.problem(d.at[join(path, "var")], join(path, "var"), "%q is already a parameter or the variable of an outer repeat; use another name", r.Var)
		}
	}
	if ok && r.To < r.From-1 {
		d.problem(d.at[join(path, "to")], join(path, "to"), "%d is less than from (%d)", r.To, r.From)
	}
}

// checkName checks the name of a parameter or of a repetition's variable.
func (d *decoder) checkName(name string, n *yaml.Node, path string) {
	switch {
	case !identifier.MatchString(name):
		d.problem(n, path, "%q is not a valid name in expressions; use letters, digits and _, and do not start with a digit", name)
	case slices.Contains(reserved, name):
		d.problem(n, path, "%q is reserved in expressions; use another name", name)
	}
}
