// Package plot draws the figures of a report: SVG that follows its reader's light or
// dark scheme, tells its series apart by shape as well as by colour, and is drawn anew
// for each width, so that text keeps its size on a telephone.
//
// The plotting itself (axes, transforms, measured text) is gonum.org/v1/plot; this
// package adds rows with names, a legend above the plot that wraps, and colours that a
// style sheet decides. The same figure gives the same bytes.
package plot

import (
	"bytes"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes in pixels: a user unit of the SVG is one.
const (
	fontSize   = 12
	lineHeight = 18
	rowHeight  = 30 // of a figure with Rows
	height     = 280
	pad        = 4
	glyphSize  = 4
)

// narrow is the width under which names of rows are cut short, in pixels, and
// narrowName the runes that remain.
const (
	narrow     = 500
	narrowName = 14
	// wideName is the longest name of a row in a wide figure: a longer one would leave no room.
	wideName = 60
)

// Figure is one plot. Points that are not numbers (NaN, infinities) are left out, and
// break a line.
type Figure struct {
	Title string
	XName string // with the unit
	YName string // with the unit; not used with Rows
	// Rows names the rows of a figure whose y axis is a list: row i lies at y = i, from
	// the top down.
	Rows []string
	// Log makes the x axis logarithmic: the logarithm of 1+x, so that 0 has a place.
	Log bool
	// FromZero makes the x axis begin at 0.
	FromZero bool
	// LeastSpan is the least range of values that the y axis shows, so that noise does not look
	// like a change.
	LeastSpan float64
	// Bands shade parts of the x axis, every other one.
	Bands  []Band
	Series []Series
	// Note is printed under the legend.
	Note string
}

// Band is a part of the x axis with a label, which is left out where it does not fit.
type Band struct {
	From, To float64
	Label    string
}

// Series is one kind of thing in a figure.
type Series struct {
	Name   string // in the legend; "" for none
	Colour Colour
	Shape  Shape
	Glyph  Shape // of a Moment: one of the glyphs
	Points []Point
	// Links are those of the Points, by index; fewer for none.
	Links []Link
}

// Link is what a glyph leads to, where a page or a file is read by a browser.
type Link struct {
	Href  string // "" for a title alone, as are addresses that are neither files nor of the web
	Title string // shown when pointed at
}

// Point is a place in a figure. To is the other end for shapes that have two.
type Point struct{ X, Y, To float64 }

// Shape is how a series is drawn.
type Shape int

// Shapes. Those up to Ring are glyphs.
const (
	Circle   Shape = iota
	Triangle       // filled
	Square         // filled
	Diamond        // filled
	Cross
	Ring
	Tick    // a short upright stroke
	Line    // through all points
	Span    // a thick bar from X to To in the row Y
	Bar     // a filled bar from X to To in the row Y
	Whisker // an upright line from Y to To
	Moment  // a dashed line over the whole height, with the series' Glyph at its foot
	Dashes  // a dashed line through all points
	Level   // a dashed line over the whole width at Y
	Zone    // the whole height from X to To, filled
)

// Empty says whether the figure has no point to draw.
func (f *Figure) Empty() bool {
	for _, s := range f.Series {
		if len(s.finite()) > 0 {
			return false
		}
	}
	return true
}

// finite are the points of the series that can be drawn.
func (s *Series) finite() []Point {
	var points []Point
	for _, p := range s.Points {
		if finite(p.X) && finite(p.Y) && finite(p.To) {
			points = append(points, p)
		}
	}
	return points
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// SVG draws the figure width pixels wide. For a page, which has [Style] in its own
// style sheet and prints the title itself, it gives the svg element alone; for a file
// a whole document.
func (f *Figure) SVG(width int, file bool) ([]byte, error) {
	w := vg.Length(width)
	legend := f.legend(w)
	h := vg.Length(height)
	if len(f.Rows) > 0 {
		h = vg.Length(len(f.Rows)*rowHeight + 60)
	}
	top := vg.Length(len(legend)) * lineHeight
	if file {
		top += lineHeight + pad
	}
	h += top
	svg := vgsvg.NewWith(vgsvg.UseWH(w, h))
	c := draw.New(svg)
	y := h
	if file {
		y -= lineHeight
		c.FillText(textStyle(Ink), vg.Point{X: pad, Y: y}, f.Title)
		y -= pad
	}
	for _, line := range legend {
		y -= lineHeight
		for _, item := range line {
			item.draw(&c, y)
		}
	}
	// Not plot.Axis.Label, which the plot makes room for as if it stood at its middle on a
	// linear scale.
	name := textStyle(Ink)
	name.XAlign = draw.XRight
	c.FillText(name, vg.Point{X: w - 2*pad, Y: pad}, f.XName)
	p, area := f.plot(w), draw.Crop(c, pad, -2*pad, lineHeight, -top-pad)
	p.Draw(area)
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return nil, err
	}
	return f.finish(b.String(), f.links(p, p.DataCanvas(area), h), width, int(h), file), nil
}

// plot sets the axes.
func (f *Figure) plot(width vg.Length) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	low, high := f.limits()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = low.X, high.X, low.Y, high.Y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color = Faint.rgb()
		axis.Label.TextStyle = textStyle(Ink)
		axis.Label.TextStyle.XAlign, axis.Label.TextStyle.YAlign = draw.XCenter, draw.YBottom
		axis.Tick.Color = Faint.rgb()
		axis.Tick.Label = rotated(textStyle(Ink), axis.Tick.Label)
		axis.Tick.Length = pad
		axis.Padding = 0
		axis.Tick.Marker = plot.TickerFunc(ticks)
	}
	p.Y.Label.Text = f.YName
	if f.Log {
		p.X.Scale = log1p{}
		p.X.Tick.Marker = plot.TickerFunc(log1pTicks)
	}
	if len(f.Rows) > 0 {
		p.Y.Label.Text = ""
		p.Y.Scale = plot.InvertedScale{Normalizer: plot.LinearScale{}}
		p.Y.Tick.Length = 0
		var names plot.ConstantTicks
		for i, name := range f.Rows {
			most := wideName
			if width < narrow {
				most = narrowName
			}
			if r := []rune(name); len(r) > most {
				name = string(r[:most-1]) + "…"
			}
			names = append(names, plot.Tick{Value: float64(i), Label: name})
		}
		p.Y.Tick.Marker = names
	}
	p.Add(layers{f})
	return p
}

// limits are the ends of the axes: all points, with room at both ends.
func (f *Figure) limits() (low, high Point) {
	low = Point{X: math.Inf(1), Y: math.Inf(1)}
	high = Point{X: math.Inf(-1), Y: math.Inf(-1)}
	grow := func(x, y float64) {
		low.X, high.X = min(low.X, x), max(high.X, x)
		low.Y, high.Y = min(low.Y, y), max(high.Y, y)
	}
	for _, s := range f.Series {
		for _, p := range s.finite() {
			switch s.Shape {
			case Span, Bar:
				grow(p.To, p.Y)
				grow(p.X, p.Y)
			case Whisker:
				grow(p.X, p.To)
				grow(p.X, p.Y)
			case Moment: // says nothing of y
				low.X, high.X = min(low.X, p.X), max(high.X, p.X)
			case Zone:
				low.X, high.X = min(low.X, p.X, p.To), max(high.X, p.X, p.To)
			case Level: // says nothing of x
				low.Y, high.Y = min(low.Y, p.Y), max(high.Y, p.Y)
			default:
				grow(p.X, p.Y)
			}
		}
	}
	for _, b := range f.Bands {
		low.X, high.X = min(low.X, b.From), max(high.X, b.To)
	}
	if less := f.LeastSpan - (high.Y - low.Y); less > 0 && low.Y <= high.Y {
		low.Y, high.Y = low.Y-less/2, high.Y+less/2
	}
	if low.X > high.X {
		low.X, high.X = 0, 1
	}
	if low.Y > high.Y {
		low.Y, high.Y = 0, 1
	}
	room := func(low, high float64) float64 {
		if high > low {
			return (high - low) / 20
		}
		return max(1, math.Abs(high)/20)
	}
	x, y := room(low.X, high.X), room(low.Y, high.Y)
	switch {
	case f.FromZero || f.Log:
		low.X, high.X = 0, high.X+x
	case len(f.Bands) == 0:
		low.X, high.X = low.X-x, high.X+x
	}
	if low.Y >= 0 {
		low.Y = max(0, low.Y-y) // memory below nothing makes no sense
	} else {
		low.Y -= y
	}
	high.Y += 2 * y
	if len(f.Rows) > 0 {
		low.Y, high.Y = -0.6, float64(len(f.Rows))-0.4
	}
	return low, high
}

// log1p is the scale of a Log axis.
type log1p struct{}

func (log1p) Normalize(low, high, x float64) float64 {
	return (math.Log1p(x) - math.Log1p(low)) / (math.Log1p(high) - math.Log1p(low))
}

// log1pTicks are 0 and the powers of ten.
func log1pTicks(_, high float64) []plot.Tick {
	marks := []plot.Tick{{Value: 0, Label: "0"}}
	for v := 1.0; v <= high; v *= 10 {
		marks = append(marks, plot.Tick{Value: v, Label: number(v)})
	}
	return marks
}

// ticks are three to seven round numbers between low and high.
func ticks(low, high float64) []plot.Tick {
	if !(high > low) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/3)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(step*m) >= 3 {
			step *= m
			break
		}
	}
	var marks []plot.Tick
	for i := math.Ceil(low / step); i*step <= high && len(marks) < 20; i++ {
		marks = append(marks, plot.Tick{Value: i * step, Label: number(i*step + 0)}) // + 0: no -0
	}
	return marks
}

// textStyle is the figure's only kind of text, in a colour.
func textStyle(c Colour) text.Style {
	return text.Style{
		Color:   c.rgb(),
		Font:    font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, fontSize),
		Handler: plot.DefaultTextHandler,
	}
}

// rotated is style, placed and turned as like.
func rotated(style, like text.Style) text.Style {
	style.Rotation, style.XAlign, style.YAlign = like.Rotation, like.XAlign, like.YAlign
	return style
}

// TextWidth is how wide a text is in a figure, in pixels.
func TextWidth(text string) float64 { return textStyle(Ink).Width(text).Points() }
