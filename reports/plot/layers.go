package plot

import (
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// layers draws what lies inside the axes, from the back to the front: bands, grid,
// series in their order.
type layers struct{ f *Figure }

// Plot implements plot.Plotter.
func (l layers) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	box := func(x0, x1, y0, y1 vg.Length, colour Colour) {
		c.FillPolygon(colour.rgb(), []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
	}
	for i, b := range l.f.Bands {
		x0, x1 := x(b.From), x(b.To)
		if i%2 == 0 {
			box(x0, x1, c.Min.Y, c.Max.Y, Shade)
		}
		style := textStyle(Ink)
		if style.Width(b.Label)+2 <= x1-x0 {
			style.XAlign = draw.XCenter
			c.FillText(style, vg.Point{X: (x0 + x1) / 2, Y: c.Max.Y - lineHeight + pad}, b.Label)
		}
	}
	for row := 1; row < len(l.f.Rows); row += 2 {
		box(c.Min.X, c.Max.X, y(float64(row)-0.5), y(float64(row)+0.5), Shade)
	}
	grid := stroke(Grid, 1)
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if len(l.f.Bands) == 0 {
			c.StrokeLine2(grid, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if len(l.f.Rows) > 0 {
			break
		}
		if len(l.f.Bands) > 0 && y(t.Value) > c.Max.Y-lineHeight {
			continue // it would strike the labels of the bands out
		}
		c.StrokeLine2(grid, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
	}
	foot := c.Min.Y + glyphSize + 2 // of moments: those of one time stand above one another
	for _, s := range l.f.Series {
		if s.Shape == Line || s.Shape == Dashes {
			style := stroke(s.Colour, 1.2)
			if s.Shape == Dashes {
				style = dashed(s.Colour, 1.2)
			}
			for _, run := range s.runs() {
				points := make([]vg.Point, len(run))
				for i, p := range run {
					points[i] = vg.Point{X: x(p.X), Y: y(p.Y)}
				}
				c.StrokeLines(style, points)
			}
			continue
		}
		for _, p := range s.finite() {
			at := vg.Point{X: x(p.X), Y: y(p.Y)}
			switch s.Shape {
			case Tick:
				c.StrokeLine2(stroke(s.Colour, 2), at.X, at.Y-10, at.X, at.Y+10)
			case Span:
				// A range of one value is seen too.
				box(min(at.X, x(p.To)-2), max(x(p.To), at.X+2), at.Y-9, at.Y+9, s.Colour)
			case Bar:
				box(at.X, x(p.To), at.Y-6, at.Y+6, s.Colour)
			case Whisker:
				c.StrokeLine2(stroke(s.Colour, 1.2), at.X, at.Y, at.X, y(p.To))
			case Moment:
				c.StrokeLine2(dashed(s.Colour, 1), at.X, c.Min.Y, at.X, c.Max.Y-lineHeight)
				c.DrawGlyphNoClip(s.Glyph.glyph(s.Colour), vg.Point{X: at.X, Y: foot})
			case Level:
				c.StrokeLine2(dashed(s.Colour, 1), c.Min.X, at.Y, c.Max.X, at.Y)
			case Zone:
				box(at.X, x(p.To), c.Min.Y, c.Max.Y, s.Colour)
			default:
				c.DrawGlyphNoClip(s.Shape.glyph(s.Colour), at)
			}
		}
		if s.Shape == Moment {
			foot += 3 * glyphSize
		}
	}
}

// runs are the series' points, cut where one is not finite.
func (s *Series) runs() [][]Point {
	var runs [][]Point
	open := false
	for _, p := range s.Points {
		if !finite(p.X) || !finite(p.Y) {
			open = false
			continue
		}
		if !open {
			runs = append(runs, nil)
			open = true
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], p)
	}
	return runs
}

func stroke(c Colour, width vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: c.rgb(), Width: width}
}

func dashed(c Colour, width vg.Length) draw.LineStyle {
	style := stroke(c, width)
	style.Dashes = []vg.Length{3, 3}
	return style
}

// glyph is the shape as a glyph.
func (s Shape) glyph(c Colour) draw.GlyphStyle {
	style := draw.GlyphStyle{Color: c.rgb(), Radius: glyphSize}
	switch s {
	case Triangle:
		style.Shape, style.Radius = draw.PyramidGlyph{}, glyphSize+1
	case Square:
		style.Shape = draw.BoxGlyph{}
	case Diamond:
		style.Shape, style.Radius = diamond{}, glyphSize+1
	case Cross:
		style.Shape = cross{}
	case Ring:
		style.Shape, style.Radius = ring{}, glyphSize+3
	default:
		style.Shape = draw.CircleGlyph{}
	}
	return style
}

// diamond is a filled square that stands on a corner.
type diamond struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (diamond) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	r := style.Radius
	c.FillPolygon(style.Color, []vg.Point{{X: at.X - r, Y: at.Y}, {X: at.X, Y: at.Y + r}, {X: at.X + r, Y: at.Y}, {X: at.X, Y: at.Y - r}})
}

// cross and ring are as gonum's, drawn with a stroke that can be seen.
type (
	cross struct{}
	ring  struct{}
)

const outline = 1.4 // pixels

// DrawGlyph implements draw.GlyphDrawer.
func (cross) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	r := style.Radius
	line := draw.LineStyle{Color: style.Color, Width: outline}
	c.StrokeLine2(line, at.X-r, at.Y-r, at.X+r, at.Y+r)
	c.StrokeLine2(line, at.X-r, at.Y+r, at.X+r, at.Y-r)
}

// DrawGlyph implements draw.GlyphDrawer.
func (ring) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	c.SetLineStyle(draw.LineStyle{Color: style.Color, Width: outline})
	var p vg.Path
	p.Move(vg.Point{X: at.X + style.Radius, Y: at.Y})
	p.Arc(at, style.Radius, 0, 2*math.Pi)
	p.Close()
	c.Stroke(p)
}

// item is an entry of the legend at its place in a line.
type item struct {
	x      vg.Length
	series *Series // nil for words alone
	words  string
}

// sampleWidth is the room of a legend's sample, in pixels.
const sampleWidth = 22

// legend lays the names of the series out in lines that fit the width.
func (f *Figure) legend(width vg.Length) [][]item {
	style := textStyle(Ink)
	var lines [][]item
	x := width
	place := func(s *Series, words string, indent vg.Length) {
		need := indent + style.Width(words)
		if len(lines) == 0 || x+need > width-pad {
			lines = append(lines, nil)
			x = pad
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], item{x: x, series: s, words: words})
		x += need + 3*pad
	}
	for i := range f.Series {
		if s := &f.Series[i]; s.Name != "" && len(s.finite()) > 0 {
			place(s, s.Name, sampleWidth)
		}
	}
	x = width // the note has lines of its own
	for _, line := range wrap(f.Note, style, width-2*pad) {
		place(nil, line, 0)
		x = width
	}
	return lines
}

// wrap cuts words into lines of at most width; a word that is longer stays whole.
func wrap(words string, style draw.TextStyle, width vg.Length) []string {
	var lines []string
	for _, word := range strings.Fields(words) {
		if n := len(lines) - 1; n >= 0 && style.Width(lines[n]+" "+word) <= width {
			lines[n] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// draw draws the item; y is the line's lower end.
func (i item) draw(c *draw.Canvas, y vg.Length) {
	words := vg.Point{X: i.x, Y: y + pad}
	if s := i.series; s != nil {
		words.X += sampleWidth
		at := vg.Point{X: i.x + 9, Y: y + lineHeight/2}
		switch s.Shape {
		case Line:
			c.StrokeLine2(stroke(s.Colour, 2), at.X-8, at.Y, at.X+8, at.Y)
		case Dashes, Level:
			c.StrokeLine2(dashed(s.Colour, 1.5), at.X-9, at.Y, at.X+9, at.Y)
		case Tick, Whisker:
			c.StrokeLine2(stroke(s.Colour, 2), at.X, at.Y-7, at.X, at.Y+7)
		case Span, Bar, Zone:
			c.FillPolygon(s.Colour.rgb(), []vg.Point{{X: at.X - 8, Y: at.Y - 5}, {X: at.X + 8, Y: at.Y - 5}, {X: at.X + 8, Y: at.Y + 5}, {X: at.X - 8, Y: at.Y + 5}})
		case Moment:
			c.DrawGlyphNoClip(s.Glyph.glyph(s.Colour), at)
		default:
			c.DrawGlyphNoClip(s.Shape.glyph(s.Colour), at)
		}
	}
	c.FillText(textStyle(Ink), words, i.words)
}
