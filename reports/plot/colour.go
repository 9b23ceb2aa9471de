package plot

import (
	_ "embed"
	"fmt"
	"html"
	"image/color"
	"regexp"
	"strconv"
	"strings"
)

// Colour is a colour that the reader's scheme decides. Those of series are of Okabe and
// Ito's palette (Color Universal Design, 2008), which people of every colour vision can
// tell apart; the dark scheme takes its lighter members.
type Colour int

// Colours. Ink is for text, Faint for axes, Grid and Shade for the background, Mute
// for what others found, Page is the background itself.
const (
	Ink Colour = iota
	Faint
	Grid
	Shade
	Mute
	Page
	Blue
	Vermillion
	Green
	Purple
)

// palette holds each colour's variable in style sheets and its light and dark values.
// The light values are different from one another: they tell which colour is meant.
var palette = [...]struct{ name, light, dark string }{
	Ink:        {"ink", "#1B1F24", "#E6EAEF"},
	Faint:      {"faint", "#626B75", "#8B949E"},
	Grid:       {"grid", "#E3E7EB", "#2C333B"},
	Shade:      {"shade", "#EEF1F4", "#20262D"},
	Mute:       {"mute", "#C3CBD3", "#4A545F"},
	Page:       {"page", "#FFFFFF", "#14181D"},
	Blue:       {"blue", "#0072B2", "#56B4E9"},
	Vermillion: {"vermillion", "#D55E00", "#E69F00"},
	Green:      {"green", "#009E73", "#00B98A"},
	Purple:     {"purple", "#A8528A", "#CC79A7"},
}

// rgb is the light value, for the canvas.
func (c Colour) rgb() color.Color {
	v, err := strconv.ParseUint(palette[c].light[1:], 16, 32)
	if err != nil {
		panic(err) // palette is written by hand
	}
	return color.RGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 255}
}

// Style is the style sheet that gives the colours their values: light, and dark on a
// screen whose reader asks for it. A page uses them as var(--ink) and so on.
func Style() string {
	var light, dark strings.Builder
	for _, c := range palette {
		fmt.Fprintf(&light, "--%s:%s;", c.name, c.light)
		fmt.Fprintf(&dark, "--%s:%s;", c.name, c.dark)
	}
	return ":root{" + light.String() + "}\n@media screen and (prefers-color-scheme:dark){:root{" + dark.String() + "}}\n"
}

//go:embed page.css
var pageStyle string

// PageStyle is the style sheet of pages with figures: [Style], and what tables, lists and
// figures look like in all of them, on a screen, on a telephone and on paper.
func PageStyle() string { return Style() + pageStyle }

// Family are fonts of the same widths: the one that text was measured in, then those
// that other systems have.
const Family = `"Liberation Sans",Arimo,Arial,Helvetica,sans-serif`

var hexColour = regexp.MustCompile(`#[0-9A-F]{6}`)

// withoutFonts leaves out what vgsvg says of the font of every text, which is said once for
// all instead. It looks for plain words: a pattern that begins with spaces was a quarter of
// the CPU time of a report.
func withoutFonts(svg string) string {
	const style, begin, end = `style="`, `style="font-family:`, `font-style:normal;`
	var b strings.Builder
	b.Grow(len(svg))
	for {
		before, rest, found := strings.Cut(svg, begin)
		if !found {
			b.WriteString(svg)
			return b.String()
		}
		font, after, closed := strings.Cut(rest, end)
		if !closed || strings.Contains(font, `"`) {
			b.WriteString(before + begin)
			svg = rest
			continue
		}
		b.WriteString(strings.TrimRight(before, " \n\t") + " " + style)
		svg = after
	}
}

// finish makes of what the canvas wrote an element for a page or a document: colours
// become variables, and the size that of the reader's page. What lies over it is drawn last.
func (f *Figure) finish(svg, over string, width, height int, file bool) []byte {
	svg = svg[strings.Index(svg, "<svg"):]
	svg = svg[strings.Index(svg, ">")+1:]
	svg = withoutFonts(svg)
	variables := map[string]string{}
	for _, c := range palette {
		variables[c.light] = "var(--" + c.name + "," + c.light + ")"
	}
	svg = hexColour.ReplaceAllStringFunc(svg, func(hex string) string {
		if v, ok := variables[hex]; ok {
			return v
		}
		return hex
	})
	var b strings.Builder
	if file {
		fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s" style="font-family:%s">`,
		width, height, width, height, html.EscapeString(f.Title), html.EscapeString(Family))
	if file {
		fmt.Fprintf(&b, "\n<style>%s</style>\n<rect width=\"100%%\" height=\"100%%\" style=\"fill:var(--page,#FFFFFF)\"/>", Style())
	}
	end := strings.LastIndex(svg, "</svg>")
	b.WriteString(svg[:end] + over + svg[end:])
	return []byte(b.String())
}

// number prints a value of an axis.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
