// Package treemap draws treemaps: groups of rectangles whose areas are what their parts take.
// They are SVG for a page with the style sheet of package plot, and follow its light and its dark
// scheme.
//
// The layout is a page of code; what libraries have of it draws one colour scheme and does not
// measure text.
package treemap

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/words"
)

// Tone is what a node's colour says.
type Tone int

// Tones of nodes.
const (
	Kept   Tone = iota // a Service that stays
	Gone               // one that a scope would take away
	Shared             // what several use together
	Own                // what no scope takes away
)

var tones = [...]struct {
	colour  string
	opacity float64
}{
	Kept:   {"blue", 0.22},
	Gone:   {"vermillion", 0.32},
	Shared: {"purple", 0.26},
	Own:    {"mute", 0.45},
}

// Node is a part of a map. A group's value is the sum of its children's.
type Node struct {
	Name string
	// Value is what the area stands for; of less than nothing, none is shown.
	Value float64
	// Text says the value, and More what else is shown when the node is pointed at.
	Text, More string
	Tone       Tone
	Children   []Node
}

func (n Node) sum() float64 {
	if len(n.Children) == 0 {
		return max(0, n.Value)
	}
	var sum float64
	for _, c := range n.Children {
		sum += c.sum()
	}
	return sum
}

// Map is a treemap of groups and their parts.
type Map struct {
	Title string // for those who do not see it
	Nodes []Node
	// Text writes a sum of values, for groups and for the rest of the small ones; nil writes
	// numbers.
	Text func(float64) string
}

// Sum is what the whole map stands for.
func (m *Map) Sum() float64 {
	var sum float64
	for _, n := range m.Nodes {
		sum += n.sum()
	}
	return sum
}

// Sizes in pixels.
const (
	gap       = 1.5
	padding   = 4
	header    = 18 // of a group, with its name
	lineStep  = 15
	baseline  = 12 // of a text, from its top
	leastArea = 36 // of a node that is drawn by itself
)

// SVG draws the map in an element of that size, in pixels. The same map gives the same bytes.
// Texts are escaped, cut short or left out to fit. What is too small to be seen is drawn
// together, and says how many it is.
func (m *Map) SVG(width, height int) []byte {
	d := &drawing{text: m.Text}
	if d.text == nil {
		d.text = words.Number
	}
	d.begin(m.Title, width, height)
	area := rect{0, 0, float64(width), float64(height)}
	groups := d.together(sorted(m.Nodes), area, "more groups")
	for i, r := range squarify(values(groups), area) {
		d.group(groups[i], r)
	}
	d.out.WriteString("</svg>")
	return []byte(d.out.String())
}

type drawing struct {
	out  strings.Builder
	text func(float64) string
}

func (d *drawing) begin(title string, width, height int) {
	fmt.Fprintf(&d.out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s" style="font:12px %s">`,
		width, height, width, height, html.EscapeString(title), html.EscapeString(plot.Family))
	d.out.WriteByte('\n')
}

// together makes one node of all nodes that would be too small in an area.
func (d *drawing) together(nodes []Node, area rect, what string) []Node {
	var sum float64
	for _, n := range nodes {
		sum += n.sum()
	}
	if sum <= 0 {
		return nil
	}
	for i, n := range nodes {
		if n.sum()/sum*area.w*area.h >= leastArea || i == len(nodes)-1 {
			continue
		}
		rest := Node{Name: fmt.Sprintf("%d %s", len(nodes)-i, what), Tone: n.Tone}
		for _, small := range nodes[i:] {
			rest.Value += small.sum()
			if small.Tone != rest.Tone || len(small.Children) > 0 {
				rest.Tone = Kept
			}
		}
		rest.Text = d.text(rest.Value)
		return append(nodes[:i:i], rest)
	}
	return nodes
}

// group draws a group with its name above its parts, or a node without parts.
func (d *drawing) group(n Node, r rect) {
	if len(n.Children) == 0 {
		d.leaf(n, inset(r, gap))
		return
	}
	r = inset(r, gap)
	text := d.text(n.sum())
	fmt.Fprintf(&d.out, `<g><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" style="fill:var(--shade);stroke:var(--grid)"/>`,
		html.EscapeString(join(n.Name, text, n.More)), r.x, r.y, r.w, r.h)
	inner := inset(r, gap)
	if r.h > 2*header && r.w > 3*padding {
		if label := fit(n.Name, text, r.w-2*padding); label != "" {
			fmt.Fprintf(&d.out, `<text x="%.1f" y="%.1f" style="fill:var(--ink);font-weight:600">%s</text>`, r.x+padding, r.y+baseline+1, html.EscapeString(label))
			inner.y, inner.h = inner.y+header, max(0, inner.h-header)
		}
	}
	d.out.WriteString("</g>\n")
	nodes := d.together(sorted(n.Children), inner, "more")
	for i, part := range squarify(values(nodes), inner) {
		d.leaf(nodes[i], inset(part, gap/2))
	}
}

// leaf draws a node without parts.
func (d *drawing) leaf(n Node, r rect) {
	if r.w < 0.5 || r.h < 0.5 {
		return
	}
	tone := tones[n.Tone]
	fmt.Fprintf(&d.out, `<g><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" style="fill:var(--%s);fill-opacity:%g"/>`,
		html.EscapeString(join(n.Name, n.Text, n.More)), r.x, r.y, r.w, r.h, tone.colour, tone.opacity)
	y := r.y + padding
	for _, line := range []string{cut(n.Name, r.w-2*padding), n.Text} {
		// A value is never cut: it would be another one.
		if line == "" || y+lineStep > r.y+r.h || measured(line) > r.w-2*padding {
			break
		}
		fmt.Fprintf(&d.out, `<text x="%.1f" y="%.1f" style="fill:var(--ink)">%s</text>`, r.x+padding, y+baseline-1, html.EscapeString(line))
		y += lineStep
	}
	d.out.WriteString("</g>\n")
}

func join(parts ...string) string {
	var list []string
	for _, p := range parts {
		if p != "" {
			list = append(list, p)
		}
	}
	return strings.Join(list, "\n")
}

func inset(r rect, by float64) rect {
	return rect{r.x + by, r.y + by, max(0, r.w-2*by), max(0, r.h-2*by)}
}

// fit is a name and a value in so many pixels: the value goes first, then the name's end.
func fit(name, value string, width float64) string {
	if both := name + "  " + value; measured(both) <= width {
		return both
	}
	return cut(name, width)
}

// cut is as much of a text as fits in so many pixels, "" where that is less than three letters.
// Names of one kind often begin alike, so that their ends stay too.
func cut(text string, width float64) string {
	if measured(text) <= width {
		return text
	}
	runes := []rune(text)
	// A letter is 3 pixels wide at the least: more need not be tried.
	for n := min(len(runes)-1, int(width/3)); n >= 3; n-- {
		tail := n / 3
		if short := string(runes[:n-tail]) + "…" + string(runes[len(runes)-tail:]); measured(short) <= width {
			return short
		}
	}
	return ""
}

// bold is how much wider the widest text is than plot measures: names of groups are bold, and a
// reader's font may differ.
const bold = 1.12

func measured(text string) float64 { return math.Ceil(plot.TextWidth(text) * bold) }

// Row draws nodes beside one another, in their order, in one row of that size in pixels: what the
// whole is made of.
func Row(title string, nodes []Node, width, height int) []byte {
	d := &drawing{}
	d.begin(title, width, height)
	var sum float64
	for _, n := range nodes {
		sum += n.sum()
	}
	x := 0.0
	for _, n := range nodes {
		if v := n.sum(); v > 0 {
			w := v / sum * float64(width)
			d.leaf(n, inset(rect{x, 0, w, float64(height)}, gap/2))
			x += w
		}
	}
	d.out.WriteString("</svg>")
	return []byte(d.out.String())
}
