package configdiff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Diff is what differs between two runs' configurations.
type Diff struct {
	// Compared counts the places, a witness at a step, that both runs have.
	Compared int
	// Objects counts, by kind, the objects that were compared, over all places.
	Objects map[Kind]int
	Changes []Change // by kind; what is on one side only first
	// Apart names the places that only one of the runs has.
	Apart []string
}

// How something differs.
type How string

// The ways in which objects differ.
const (
	OnlyA   How = "only in A"
	OnlyB   How = "only in B"
	Changed How = "changed"
)

// Change is a group of objects that differ in the same way.
type Change struct {
	Kind   Kind
	How    How
	Names  []Name   // each with how many there are at most
	Fields []string // of Changed: the fields and how they differ
	// Count is the number of objects at a place.
	Count Range
	// Bytes are how much more configuration that is in B at a place, as JSON.
	Bytes Range
	// Places are where: the names of the steps, with the witness where there are several;
	// nil for everywhere.
	Places []string
}

// Name is the name of objects and how many have it.
type Name struct {
	Name  string
	Count int
}

// Range is from the lowest to the highest number over places.
type Range struct{ Low, High int }

func (r Range) with(o Range) Range { return Range{min(r.Low, o.Low), max(r.High, o.High)} }

// Compare compares the second run with the first, step by step.
func Compare(a, b *Run) *Diff {
	d := &Diff{Objects: map[Kind]int{}}
	several := len(workloads(a, b)) > 1
	place := func(s Step) string {
		if several {
			return s.Name + " (" + s.Workload + ")"
		}
		return s.Name
	}
	for _, s := range a.Steps {
		other := b.step(s.Name, s.Workload)
		if other == nil {
			d.Apart = append(d.Apart, place(s)+" is only in A")
			continue
		}
		d.Compared++
		for _, kind := range kinds {
			if n := max(s.config.count(kind), other.config.count(kind)); n > 0 {
				d.Objects[kind] += n
			}
		}
		for _, change := range compare(s.config, other.config) {
			d.add(change, place(s))
		}
	}
	for _, s := range b.Steps {
		if a.step(s.Name, s.Workload) == nil {
			d.Apart = append(d.Apart, place(s)+" is only in B")
		}
	}
	slices.SortStableFunc(d.Changes, func(x, y Change) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, x.Kind), slices.Index(kinds, y.Kind)),
			cmp.Compare(slices.Index(hows, x.How), slices.Index(hows, y.How)))
	})
	for i := range d.Changes {
		if len(d.Changes[i].Places) == d.Compared {
			d.Changes[i].Places = nil
		}
	}
	return d
}

var hows = []How{OnlyA, OnlyB, Changed}

func workloads(runs ...*Run) map[string]bool {
	all := map[string]bool{}
	for _, r := range runs {
		for _, s := range r.Steps {
			all[s.Workload] = true
		}
	}
	return all
}

// At is the run as if it had that step only, for comparisons of steps with one another.
func (r *Run) At(step string) *Run {
	one := &Run{Dir: r.Dir, Missing: r.Missing}
	for _, s := range r.Steps {
		if s.Name == step {
			s.Name = ""
			one.Steps = append(one.Steps, s)
		}
	}
	return one
}

func (r *Run) step(name, workload string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Name == name && r.Steps[i].Workload == workload {
			return &r.Steps[i]
		}
	}
	return nil
}

// add takes in a change at a place: another place of one that is there already, or a new
// one. The same change of fields is one, whatever objects are there to have it; what came
// or went is told apart by its names.
func (d *Diff) add(c Change, place string) {
	for i := range d.Changes {
		known := &d.Changes[i]
		if known.Kind != c.Kind || known.How != c.How || !slices.Equal(known.Fields, c.Fields) {
			continue
		}
		if c.How != Changed && !slices.Equal(known.Names, c.Names) {
			continue
		}
		for _, n := range c.Names {
			if j := slices.IndexFunc(known.Names, func(k Name) bool { return k.Name == n.Name }); j >= 0 {
				known.Names[j].Count = max(known.Names[j].Count, n.Count)
			} else {
				known.Names = append(known.Names, n)
			}
		}
		known.Count, known.Bytes = known.Count.with(c.Count), known.Bytes.with(c.Bytes)
		known.Places = append(known.Places, place)
		return
	}
	c.Places = []string{place}
	d.Changes = append(d.Changes, c)
}

// groups collects what differs at one place.
type groups struct {
	order []*group
	byKey map[string]*group
}

// group is objects that differ in the same way.
type group struct {
	kind   Kind
	how    How
	names  map[string]int
	fields []field
	// mixed says that the same fields have different values in the objects.
	mixed bool
	bytes int
}

// note adds n objects that differ in the same way.
func (g *groups) note(kind Kind, how How, name string, fields []field, bytes, n int) {
	key := fmt.Sprint(kind, how, describe(fields, true))
	one := g.byKey[key]
	if one == nil {
		one = &group{kind: kind, how: how, names: map[string]int{}, fields: fields}
		g.byKey[key] = one
		g.order = append(g.order, one)
	}
	one.mixed = one.mixed || encodeFields(one.fields) != encodeFields(fields)
	one.names[name] += n
	one.bytes += n * bytes
}

func encodeFields(list []field) string {
	var b strings.Builder
	for _, f := range list {
		b.WriteString(encode(f.old) + "\x00" + encode(f.new) + "\x00")
	}
	return b.String()
}

// compare is what differs at one place.
func compare(a, b config) []Change {
	g := &groups{byKey: map[string]*group{}}
	for _, kind := range kinds {
		names := slices.Collect(maps.Keys(a[kind]))
		for name := range b[kind] {
			if a[kind][name] == nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			g.compare(kind, name, a[kind][name], b[kind][name])
		}
	}
	var out []Change
	for _, one := range g.order {
		c := Change{Kind: one.kind, How: one.how, Bytes: Range{one.bytes, one.bytes}, Fields: describe(one.fields, one.mixed)}
		n := 0
		for _, name := range slices.Sorted(maps.Keys(one.names)) {
			c.Names = append(c.Names, Name{name, one.names[name]})
			n += one.names[name]
		}
		c.Count = Range{n, n}
		out = append(out, c)
	}
	return out
}

// same are objects that equal one another.
type same struct {
	object
	n int
}

func classes(list []object) []same {
	var out []same
	for _, o := range list {
		i := slices.IndexFunc(out, func(s same) bool { return s.object == o })
		if i < 0 {
			out = append(out, same{o, 1})
		} else {
			out[i].n++
		}
	}
	return out
}

// compare compares the objects of one name.
func (g *groups) compare(kind Kind, name string, a, b []object) {
	onlyA, onlyB := cancel(a, b)
	as, bs := classes(onlyA), classes(onlyB)
	for len(as) > 0 && len(bs) > 0 {
		i, j, differing := closest(objects(as), objects(bs))
		n := min(as[i].n, bs[j].n)
		g.change(kind, name, differing, n)
		if as[i].n -= n; as[i].n == 0 {
			as = slices.Delete(as, i, i+1)
		}
		if bs[j].n -= n; bs[j].n == 0 {
			bs = slices.Delete(bs, j, j+1)
		}
	}
	for _, s := range as {
		g.note(kind, OnlyA, name, nil, -len(s.object), s.n)
	}
	for _, s := range bs {
		g.note(kind, OnlyB, name, nil, len(s.object), s.n)
	}
}

func objects(list []same) []object {
	out := make([]object, len(list))
	for i, s := range list {
		out[i] = s.object
	}
	return out
}

// parts are the lists whose elements are reported as a kind of their own.
var parts = map[Kind]struct {
	lists []string
	kind  Kind
}{
	Listener: {[]string{"filter_chains", "default_filter_chain"}, FilterChain},
	Route:    {[]string{"virtual_hosts"}, VirtualHost},
}

// change notes n pairs of objects that differ in fields.
func (g *groups) change(kind Kind, name string, differing []field, n int) {
	var own []field
	ofPart := map[string][]field{}
	var order []string
	for _, f := range differing {
		list, element := "", ""
		if len(f.path) > 0 { // else all of it differs
			list, element, _ = strings.Cut(strings.TrimSuffix(f.path[0], "]"), "[")
		}
		if !slices.Contains(parts[kind].lists, list) {
			own = append(own, f)
			continue
		}
		switch {
		case list == "default_filter_chain":
			element = "default"
		case element == "":
			element = "unnamed"
		}
		part := name + " / " + element
		switch {
		case len(f.path) == 1 && f.new == nil:
			g.note(parts[kind].kind, OnlyA, part, nil, -size(f.old), n)
		case len(f.path) == 1 && f.old == nil:
			g.note(parts[kind].kind, OnlyB, part, nil, size(f.new), n)
		default:
			if ofPart[part] == nil {
				order = append(order, part)
			}
			f.path = f.path[min(1, len(f.path)-1):]
			ofPart[part] = append(ofPart[part], f)
		}
	}
	for _, part := range order {
		g.note(parts[kind].kind, Changed, part, ofPart[part], growth(ofPart[part]), n)
	}
	if len(own) > 0 {
		g.note(kind, Changed, name, own, growth(own), n)
	}
}

// growth is how much larger fields are in B.
func growth(list []field) int {
	n := 0
	for _, f := range list {
		n += size(f.new) - size(f.old)
	}
	return n
}
