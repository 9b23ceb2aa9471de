package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"

	"helm.sh/helm/v3/pkg/chart"

	"github.com/meshbench/meshbench/meshfacts"
)

// chartDefaults are the keys below which charts of Istio keep their defaults, out of the
// user's values' way.
var chartDefaults = []string{"defaults", "_internal_defaults_do_not_set"}

// valuesOf are the chart's own values.
func valuesOf(c *chart.Chart) map[string]any {
	for _, key := range chartDefaults {
		if values, ok := c.Values[key].(map[string]any); ok {
			return values
		}
	}
	return c.Values
}

// keysOf are the values that the chart knows: those of its values.yaml, and those that its
// templates read.
func keysOf(c *chart.Chart) (meshfacts.Keys, error) {
	read, err := readBy(c)
	if err != nil {
		return meshfacts.Keys{}, err
	}
	keys := typed(valuesOf(c), read)
	for key := range keys.Below {
		// What the charts keep for themselves, by their own word.
		if strings.HasPrefix(key, "_") || slices.Contains(chartDefaults, key) {
			delete(keys.Below, key)
		}
	}
	return keys, nil
}

// reading says how templates use a value.
type reading struct {
	// whole is set if a template hands the value on as it is, so that any key may be in it.
	whole bool
	below map[string]*reading
}

func (r *reading) at(path []string) *reading {
	for _, key := range path {
		if r.below == nil {
			r.below = map[string]*reading{}
		}
		next := r.below[key]
		if next == nil {
			next = &reading{}
			r.below[key] = next
		}
		r = next
	}
	return r
}

// typed joins a chart's default with how its templates read it.
func typed(value any, read *reading) meshfacts.Keys {
	if read == nil {
		read = &reading{}
	}
	table, isTable := value.(map[string]any)
	switch {
	case read.whole && isTable:
		return meshfacts.Keys{Type: meshfacts.Table}
	case isTable && len(table) == 0 && len(read.below) == 0:
		return meshfacts.Keys{Type: meshfacts.Table}
	case isTable, value == nil && len(read.below) > 0 && !read.whole:
		keys := meshfacts.Keys{Below: map[string]meshfacts.Keys{}}
		for key := range table {
			keys.Below[key] = typed(table[key], read.below[key])
		}
		for key, below := range read.below {
			keys.Below[key] = typed(table[key], below)
		}
		return keys
	}
	switch value.(type) {
	case bool:
		return meshfacts.Keys{Type: meshfacts.Truth}
	case float64, int, int64:
		return meshfacts.Keys{Type: meshfacts.Number}
	case string:
		return meshfacts.Keys{Type: meshfacts.Text}
	case []any:
		return meshfacts.Keys{Type: meshfacts.List}
	}
	return meshfacts.Keys{Type: meshfacts.Any}
}

// readBy follows the chart's templates, those in its files too, which istiod executes with
// the same values.
func readBy(c *chart.Chart) (*reading, error) {
	root := &reading{}
	for _, f := range slices.Concat(c.Templates, c.Files) {
		if strings.HasPrefix(f.Name, "files/profile-") || f.Name == crdFile || !strings.Contains(string(f.Data), ".Values") {
			continue
		}
		tree := parse.New(f.Name)
		tree.Mode = parse.SkipFuncCheck
		set := map[string]*parse.Tree{}
		if _, err := tree.Parse(string(f.Data), "", "", set); err != nil {
			return nil, fmt.Errorf("read template %s of chart %s: %w", f.Name, c.Name(), err)
		}
		for _, name := range slices.Sorted(maps.Keys(set)) {
			follower := follower{root: root, vars: map[string][]string{"$": {}}}
			follower.node(set[name].Root, []string{})
		}
	}
	return root.at([]string{"Values"}), nil
}

// wholly are the functions that write a value as it is. Those that merge tables do not
// count: the charts merge all values before they read any.
var wholly = []string{"toYaml", "toJson", "toPrettyJson", "tpl", "include"}

// through are the functions that return one of their arguments, or a table of them.
var through = []string{"default", "coalesce", "or", "dict", "list", "ternary"}

// follower goes through one template. Paths start at the template's data: Values, global,
// proxy. A nil path is a value that is not of the data.
type follower struct {
	root *reading
	vars map[string][]string
}

// node follows a node; dot is what . is there.
func (f follower) node(n parse.Node, dot []string) {
	switch n := n.(type) {
	case nil:
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, child := range n.Nodes {
			f.node(child, dot)
		}
	case *parse.ActionNode:
		f.pipe(n.Pipe, dot, false)
	case *parse.IfNode:
		f.pipe(n.Pipe, dot, false)
		f.node(n.List, dot)
		f.node(n.ElseList, dot)
	case *parse.WithNode:
		f.node(n.List, f.pipe(n.Pipe, dot, false))
		f.node(n.ElseList, dot)
	case *parse.RangeNode:
		f.pipe(n.Pipe, dot, true)
		for _, v := range n.Pipe.Decl {
			f.vars[v.Ident[0]] = nil
		}
		f.node(n.List, nil)
		f.node(n.ElseList, dot)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			f.pipe(n.Pipe, dot, false)
		}
	}
}

// pipe follows a pipeline and returns the path of its value. whole is set if the value is
// used as it is.
func (f follower) pipe(n *parse.PipeNode, dot []string, whole bool) (path []string) {
	if n == nil {
		return nil
	}
	for i, command := range n.Cmds {
		handedOn := whole
		for _, later := range n.Cmds[i+1:] {
			handedOn = handedOn || slices.Contains(wholly, function(later))
		}
		got := f.command(command, dot, handedOn)
		switch name := function(command); {
		case i == 0:
			path = got
		case name != "default" && name != "deepCopy":
			path = nil
		}
	}
	for _, v := range n.Decl {
		f.vars[v.Ident[0]] = path
	}
	return path
}

// function is the name of the function that a command calls.
func function(n *parse.CommandNode) string {
	if name, ok := n.Args[0].(*parse.IdentifierNode); ok {
		return name.Ident
	}
	return ""
}

func (f follower) command(n *parse.CommandNode, dot []string, whole bool) (path []string) {
	name := function(n)
	if name == "" {
		return f.value(n.Args[0], dot, whole)
	}
	args := n.Args[1:]
	// index X "a" and pick X "a" "b" read what is below X.
	if (name == "index" || name == "pick" || name == "hasKey" || name == "get") && len(args) > 1 {
		if of := f.path(args[0], dot); of != nil {
			for _, arg := range args[1:] {
				if key, ok := arg.(*parse.StringNode); ok {
					path = append(slices.Clone(of), key.Text)
					f.root.at(path)
				}
			}
			if name == "index" || name == "get" {
				return path
			}
			return nil
		}
	}
	for i, arg := range args {
		got := f.value(arg, dot, whole && (i == len(args)-1 || slices.Contains(through, name)) || slices.Contains(wholly, name))
		if path == nil && (name == "default" && i == 1 || name == "deepCopy" || name == "coalesce" && i == 0) {
			path = got
		}
	}
	return path
}

// value follows an argument and notes that it is read.
func (f follower) value(n parse.Node, dot []string, whole bool) []string {
	if pipe, ok := n.(*parse.PipeNode); ok {
		return f.pipe(pipe, dot, whole)
	}
	if chain, ok := n.(*parse.ChainNode); ok {
		f.value(chain.Node, dot, false)
	}
	path := f.path(n, dot)
	if path != nil {
		at := f.root.at(path)
		// All values are handed on only to be put in order.
		at.whole = at.whole || whole && len(path) > 1
	}
	return path
}

// path is what an argument leads to.
func (f follower) path(n parse.Node, dot []string) []string {
	below := func(path, fields []string) []string {
		if path == nil {
			return nil
		}
		return append(slices.Clone(path), fields...)
	}
	switch n := n.(type) {
	case *parse.DotNode:
		return dot
	case *parse.FieldNode:
		return below(dot, n.Ident)
	case *parse.VariableNode:
		return below(f.vars[n.Ident[0]], n.Ident[1:])
	case *parse.ChainNode:
		if pipe, ok := n.Node.(*parse.PipeNode); ok {
			return below(f.pipe(pipe, dot, false), n.Field)
		}
		return below(f.path(n.Node, dot), n.Field)
	}
	return nil
}
