package scenarios

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// maxValues bounds the number of values read from a file, with aliases and repetitions
	// expanded, and maxDepth their nesting: a file of a few lines can expand to any number.
	maxValues = 100_000
	maxDepth  = 60
)

// decoder decodes YAML nodes strictly into the scenario's types. It notes every problem
// and continues after it.
type decoder struct {
	loader   Loader
	file     string
	problems Problems
	names    *names // in expressions; nil where none are allowed
	// at holds the node of every field by its path.
	at map[string]*yaml.Node
	// bad holds the paths that have problems.
	bad map[string]bool
	// origins holds the path in the file of every action.
	origins map[Change]string
	// stepOrigins holds the path in the file of every step, in order.
	stepOrigins []string
	values      int
	depth       int
	tooLarge    bool
}

// problem notes a problem at a node.
func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	d.bad[path] = true
	d.problems = append(d.problems, Problem{d.file, max(n.Line, 1), max(n.Column, 1), path, fmt.Sprintf(format, args...)})
}

// defaulter is a type with fields whose defaults are not zero.
type defaulter interface{ setDefaults() }

var durationType = reflect.TypeFor[time.Duration]()

// decode decodes node n, the field at path, into v.
func (d *decoder) decode(n *yaml.Node, path string, v reflect.Value) {
	d.at[path] = n
	if n = d.enter(n, path); n == nil {
		return
	}
	defer d.leave()
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		d.problem(n, path, "has no value; want %s, or omit the field", want(v.Type()))
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case v.Type() == durationType:
		d.duration(n, path, v)
	case v.Type() == realType:
		d.real(n, path, v)
	case v.Type() == reflect.TypeFor[Sources]() && n.Kind == yaml.ScalarNode:
		if text, ok := d.text(n, path, reflect.TypeFor[string]()); ok {
			v.Set(reflect.ValueOf(Sources{text}))
		}
	case v.Type() == reflect.TypeFor[[]Action]():
		d.actions(n, path, v)
	case v.Type() == reflect.TypeFor[[]Step]():
		d.steps(n, path, v)
	case v.Kind() == reflect.Struct:
		d.object(n, path, v)
	case v.Kind() == reflect.Slice:
		d.list(n, path, v)
	case v.Kind() == reflect.Map && v.Type().Elem().Kind() == reflect.Interface:
		if d.isA(n, path, yaml.MappingNode, v.Type()) {
			v.Set(reflect.ValueOf(d.any(n, path)))
		}
	case v.Kind() == reflect.Map:
		d.mapping(n, path, v)
	case v.Kind() == reflect.String:
		if text, ok := d.text(n, path, v.Type()); ok {
			v.SetString(text)
		}
	case v.Kind() == reflect.Int:
		d.number(n, path, v)
	case v.Kind() == reflect.Bool:
		var b bool
		if n.ShortTag() != "!!bool" || n.Decode(&b) != nil {
			d.mismatch(n, path, v.Type())
			return
		}
		v.SetBool(b)
	default:
		panic("no decoding of " + v.Type().String()) // a field type that no test covers
	}
}

// enter resolves aliases and counts values. It returns nil if the value must not be read;
// otherwise the caller must call leave.
func (d *decoder) enter(n *yaml.Node, path string) *yaml.Node {
	if d.tooLarge {
		return nil
	}
	d.values++
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.values > maxValues || d.depth >= maxDepth {
		d.problem(n, path, "too large: a scenario can have at most %d values, with aliases and repetitions expanded, and %d levels", maxValues, maxDepth)
		d.tooLarge = true
		return nil
	}
	d.depth++
	return n
}

func (d *decoder) leave() { d.depth-- }

// want describes how a value of a type is written.
func want(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType:
		return "a duration like 90s or 5m"
	case t == realType:
		return "a whole number or all"
	case t == reflect.TypeFor[Parameter]():
		return "a mapping like {value: 100}"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "a mapping"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "true or false"
	default:
		return "a whole number"
	}
}

// got describes a node.
func got(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "null"
	case "!!str":
		return fmt.Sprintf("the string %q", n.Value)
	case "!!int", "!!float":
		return "the number " + n.Value
	default:
		return n.Value
	}
}

func (d *decoder) mismatch(n *yaml.Node, path string, t reflect.Type) {
	hint := ""
	if t.Kind() == reflect.String && n.Kind == yaml.ScalarNode {
		hint = "; quote it"
	}
	d.problem(n, path, "want %s, got %s%s", want(t), got(n), hint)
}

func (d *decoder) isA(n *yaml.Node, path string, kind yaml.Kind, t reflect.Type) bool {
	if n.Kind != kind {
		d.mismatch(n, path, t)
	}
	return n.Kind == kind
}

// entry is one key of a mapping and its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries returns the entries of a mapping, each key once.
func (d *decoder) entries(n *yaml.Node, path string) []entry {
	var list []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.problem(key, path, "a key must be a string, not %s", got(key))
		case key.ShortTag() == "!!merge":
			d.problem(key, path, "merge keys (<<) are not supported; write the fields out")
		case slices.ContainsFunc(list, func(e entry) bool { return e.name == key.Value }):
			d.problem(key, join(path, key.Value), "duplicate field")
		default:
			list = append(list, entry{key.Value, key, value})
		}
	}
	return list
}

func join(path, field string) string { return strings.TrimPrefix(path+"."+field, ".") }

// field is a field of a struct under its name in files.
type field struct {
	name     string
	index    []int
	required bool
}

// fields lists the fields of a struct, those of embedded structs among them.
func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		if f.Anonymous {
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				list = append(list, inner)
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		options := strings.Split(f.Tag.Get("jsonschema"), ",")
		list = append(list, field{name, f.Index, slices.Contains(options, "required")})
	}
	return list
}

func (d *decoder) object(n *yaml.Node, path string, v reflect.Value) {
	if !d.isA(n, path, yaml.MappingNode, v.Type()) {
		return
	}
	if x, ok := v.Addr().Interface().(defaulter); ok {
		x.setDefaults()
	}
	entries := d.entries(n, path)
	known := fields(v.Type())
	for _, e := range entries {
		i := slices.IndexFunc(known, func(f field) bool { return f.name == e.name })
		if i < 0 {
			d.unknown(e, path, known)
			continue
		}
		d.decode(e.value, join(path, e.name), v.FieldByIndex(known[i].index))
	}
	for _, f := range known {
		if f.required && !d.bad[path] && !slices.ContainsFunc(entries, func(e entry) bool { return e.name == f.name }) {
			d.problem(n, join(path, f.name), "is required; want %s", want(v.FieldByIndex(f.index).Type()))
		}
	}
}

func (d *decoder) unknown(e entry, path string, known []field) {
	var names []string
	for _, f := range known {
		names = append(names, f.name)
	}
	d.problem(e.key, join(path, e.name), "unknown field%s", suggest(e.name, names))
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value) {
	if !d.isA(n, path, yaml.SequenceNode, v.Type()) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.decode(item, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	if !d.isA(n, path, yaml.MappingNode, v.Type()) {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range d.entries(n, path) {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(e.value, join(path, e.name), value)
		v.SetMapIndex(reflect.ValueOf(e.name), value)
	}
}

// any returns a value of any type, for Helm values: maps, lists and scalars. A plain scalar
// with one expression and nothing else becomes a number.
func (d *decoder) any(n *yaml.Node, path string) any {
	d.at[path] = n
	if n = d.enter(n, path); n == nil {
		return nil
	}
	defer d.leave()
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for _, e := range d.entries(n, path) {
			m[e.name] = d.any(e.value, join(path, e.name))
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.any(item, fmt.Sprintf("%s[%d]", path, i))
		}
		return list
	}
	switch tag := n.ShortTag(); tag {
	case "!!str":
		text, ok := d.text(n, path, reflect.TypeFor[string]())
		if ok && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 && isExpression(n.Value) {
			if number, err := strconv.Atoi(text); err == nil {
				return number
			}
		}
		return text
	case "!!int", "!!float", "!!bool", "!!null":
		var x any
		if err := n.Decode(&x); err != nil {
			d.problem(n, path, "cannot parse as %s: %v", strings.TrimPrefix(tag, "!!"), err)
		}
		if f, ok := x.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			d.problem(n, path, "Helm values cannot hold the number %s", n.Value)
		}
		return x
	default:
		d.problem(n, path, "want a string, number, true, false, list or mapping, got %s (%s); quote it if it is a string", n.Value, tag)
		return nil
	}
}

// isExpression reports whether a text is one expression and nothing else.
func isExpression(text string) bool {
	return strings.HasPrefix(text, "${") && strings.Index(text, "}") == len(text)-1
}

// text returns a string with its expressions evaluated.
func (d *decoder) text(n *yaml.Node, path string, t reflect.Type) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		d.mismatch(n, path, t)
		return "", false
	}
	if d.names == nil {
		return n.Value, true
	}
	text, err := d.names.expand(n.Value)
	if err != nil {
		d.problem(n, path, "%v", err)
		return "", false
	}
	return text, true
}

func (d *decoder) number(n *yaml.Node, path string, v reflect.Value) {
	var i int
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" && n.Decode(&i) == nil:
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && d.names != nil && strings.HasPrefix(n.Value, "${"):
		text, ok := d.text(n, path, v.Type())
		if !ok {
			return
		}
		var err error
		if i, err = strconv.Atoi(text); err != nil {
			d.problem(n, path, "%q is not a whole number; put the whole calculation into one ${expression}", text)
			return
		}
	default:
		d.mismatch(n, path, v.Type())
		return
	}
	if i > maxNumber || i < -maxNumber {
		d.problem(n, path, "%d is out of range; sizes must be below %d", i, maxNumber)
		return
	}
	v.SetInt(int64(i))
}

func (d *decoder) duration(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" {
		d.problem(n, path, "%s has no unit; want %s", n.Value, want(v.Type()))
		return
	}
	text, ok := d.text(n, path, v.Type())
	if !ok {
		return
	}
	duration, err := time.ParseDuration(text)
	if err != nil || duration < 0 {
		d.problem(n, path, "want %s, got %q", want(v.Type()), text)
		return
	}
	v.SetInt(int64(duration))
}
