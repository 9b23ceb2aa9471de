package configdiff

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// What a line shows before it says "and 12 more".
const (
	maxFields   = 8
	maxNames    = 6
	maxElements = 4
	maxValue    = 48 // of a value, in characters
)

// Section is all that is to be said of one kind.
type Section struct {
	Title string
	Lines []string
}

// Sections are the differences for people: a section for each kind that has any, or one
// that says that there are none. a and b are the sides' names.
func (d *Diff) Sections(a, b string) []Section {
	title := fmt.Sprintf("Configuration of %s against %s", b, a)
	if d.Compared == 0 {
		return []Section{{title, append([]string{"not compared: the runs have no step in common of which both kept the configuration"}, d.Apart...)}}
	}
	var out []Section
	for _, kind := range kinds {
		var lines []string
		for _, c := range d.Changes {
			if c.Kind == kind {
				lines = append(lines, c.line(a, b, d.Compared))
			}
		}
		if lines != nil {
			out = append(out, Section{title + ": " + plural(kind), lines})
		}
	}
	if out == nil {
		var compared []string
		for _, kind := range kinds {
			if n := d.Objects[kind]; n > 0 {
				compared = append(compared, count(n, kind))
			}
		}
		out = []Section{{title, []string{fmt.Sprintf("no difference in %s (%s)", count(d.Compared, "dump"), strings.Join(compared, ", "))}}}
	}
	last := &out[len(out)-1]
	for _, text := range d.Apart {
		last.Lines = append(last.Lines, "not compared: "+text)
	}
	return out
}

// line says one change. Of a single place there is no need to say where.
func (c Change) line(a, b string, places int) string {
	how := map[How]string{OnlyA: "only in " + a, OnlyB: "only in " + b, Changed: "changed"}[c.How]
	text := how
	switch {
	case c.Places != nil:
		text += ", at " + strings.Join(c.Places, ", ")
	case places > 1:
		text += ", at all steps"
	}
	text += ": "
	if c.Count.Low < c.Count.High {
		text += fmt.Sprintf("%d to ", c.Count.Low)
	}
	if c.Count.High > 1 {
		text += count(c.Count.High, c.Kind) + ": "
	}
	text += collapse(c.Names)
	if len(c.Fields) > 0 {
		shown := c.Fields
		if len(shown) > maxFields {
			shown = append(slices.Clone(shown[:maxFields]), fmt.Sprintf("and %d more", len(c.Fields)-maxFields))
		}
		text += " (" + strings.Join(shown, "; ") + ")"
	}
	text += ", " + bytesText(c.Bytes.Low)
	if c.Bytes.Low < c.Bytes.High {
		text += " to " + bytesText(c.Bytes.High)
	}
	return text
}

// bytesText is a difference in bytes of JSON.
func bytesText(n int) string {
	if max(n, -n) < 10_000 {
		return fmt.Sprintf("%+d bytes", n)
	}
	return fmt.Sprintf("%+.0f kB", float64(n)/1000)
}

func plural(kind Kind) string {
	if kind == Bootstrap {
		return string(kind)
	}
	return string(kind) + "s"
}

func count[T ~string](n int, what T) string {
	if n == 1 {
		return "1 " + string(what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// numbers finds them in names, and what only looks like some.
var numbers = regexp.MustCompile(`0\.0\.0\.0|http/\d\.\d|h2c?\b|\d+`)

// collapse writes names in one line. Those that differ in their numbers only become one,
// app-#, when they are many.
func collapse(names []Name) string {
	if len(names) > maxNames {
		var merged []Name
		for _, n := range names {
			n.Name = numbers.ReplaceAllStringFunc(n.Name, func(s string) string {
				if strings.Trim(s, "0123456789") != "" {
					return s
				}
				return "#"
			})
			if i := slices.IndexFunc(merged, func(m Name) bool { return m.Name == n.Name }); i >= 0 {
				merged[i].Count += n.Count
			} else {
				merged = append(merged, n)
			}
		}
		if len(merged) < len(names) {
			names = merged
		}
	}
	var out []string
	for i, n := range names {
		if i == maxNames {
			out = append(out, fmt.Sprintf("and %d more", len(names)-i))
			break
		}
		text := n.Name
		if n.Count > 1 {
			text = fmt.Sprintf("%d of %s", n.Count, n.Name)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// describe says of each field how it differs: -field is only in A, +field only in B. With
// mixed, values are left out: they are not the same in all objects.
func describe(list []field, mixed bool) []string {
	var out []string
	elements := map[string][]string{} // of lists: those that came, those that went
	for _, f := range list {
		path := strings.Join(f.path, ".")
		sign := map[bool]string{f.old == nil: "+", f.new == nil: "-"}[true]
		if open := strings.LastIndex(path, "["); sign != "" && open >= 0 && strings.HasSuffix(path, "]") {
			of := sign + path[:open]
			if elements[of] == nil {
				out = append(out, of)
			}
			elements[of] = append(elements[of], path[open+1:len(path)-1])
			continue
		}
		was, short1 := value(f.old)
		is, short2 := value(f.new)
		switch {
		case mixed || !short1 || !short2:
		case sign == "":
			path += ": " + was + " → " + is
		default:
			path += ": " + was + is
		}
		out = append(out, sign+path)
	}
	for i, text := range out {
		labels := elements[text]
		if labels == nil {
			continue
		}
		labels = slices.Compact(labels) // several of one label
		if len(labels) > maxElements {
			labels = append(labels[:maxElements], fmt.Sprintf("and %d more", len(labels)-maxElements))
		}
		out[i] = text + "[" + strings.Join(labels, ", ") + "]"
	}
	// What is so in several parts of one name is said once.
	var once []string
	for _, text := range out {
		if !slices.Contains(once, text) {
			once = append(once, text)
		}
	}
	return once
}

// value writes a value that is short enough for a line; nothing for none.
func value(v any) (text string, short bool) {
	if v == nil {
		return "", true
	}
	text = encode(v)
	return text, utf8.RuneCountInString(text) <= maxValue
}
