package history

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/plot"
)

// levelFigure is a noisy metric over runs, with the levels between its changes.
func (s *Section) levelFigure(series Series, links []plot.Link, by Order) *plot.Figure {
	m := series.Metric
	f := s.figure(by)
	f.Title = strings.ToUpper(m.Title[:1]) + m.Title[1:]
	f.YName = string(m.Shown)
	runs := plot.Series{Name: "a run", Colour: plot.Blue, Shape: plot.Circle, Links: links}
	if m.Repeated {
		runs.Name = "a run, the median of its pods"
	}
	level := plot.Series{Name: "level", Colour: plot.Ink, Shape: plot.Line}
	change := plot.Series{Name: "change", Colour: plot.Vermillion, Shape: plot.Moment, Glyph: plot.Diamond}
	runs.Links = make([]plot.Link, len(links))
	var largest float64
	for i, v := range series.Values {
		shown := v / m.Shown.Raw(1)
		runs.Points = append(runs.Points, plot.Point{X: float64(i + 1), Y: shown})
		runs.Links[i] = links[i]
		runs.Links[i].Title += fmt.Sprintf(": %s %s", m.Shown.Format(v), m.Shown)
		if !math.IsNaN(v) {
			largest = max(largest, shown)
		}
	}
	from := 0
	part := func(to int, value float64) {
		// Half a run beyond both ends, and a gap to the next.
		level.Points = append(level.Points, plot.Point{X: float64(from) + 0.6, Y: value / m.Shown.Raw(1)},
			plot.Point{X: float64(to) + 0.4, Y: value / m.Shown.Raw(1)}, plot.Point{X: float64(to), Y: math.NaN()})
		from = to
	}
	for i, c := range series.Changes {
		change.Points = append(change.Points, plot.Point{X: float64(c.At) + 0.5})
		part(c.At, c.Before)
		if i+1 == len(series.Changes) {
			part(len(series.Values), c.After)
		}
	}
	f.Series = []plot.Series{runs, level, change}
	// What repeats differ by anyway takes a quarter of the height at most.
	f.LeastSpan = min(1, 4*m.Floor) * largest
	return f
}

// marks are a series' changes in words.
func (s *Section) marks(series Series) []string {
	var all []string
	for _, c := range series.Changes {
		all = append(all, s.Sentence(c)+".")
	}
	return all
}

// countFigure is how the counts of a step that changed differ from the first run that has them;
// nil where none did. The counts that did not change are in words.
func (s *Section) countFigure(step Step, links []plot.Link, by Order) (*plot.Figure, string) {
	f := s.figure(by)
	f.Title, f.YName, f.LeastSpan = "Counts that changed, against the first run", "rows", 4
	styles := []plot.Series{
		{Colour: plot.Blue, Shape: plot.Circle}, {Colour: plot.Vermillion, Shape: plot.Triangle},
		{Colour: plot.Green, Shape: plot.Square}, {Colour: plot.Purple, Shape: plot.Diamond},
	}
	var same []string
	for _, series := range step.Series {
		if !series.Metric.Exact || !series.Metric.Trend {
			continue
		}
		at := slices.IndexFunc(series.Values, func(v float64) bool { return !math.IsNaN(v) })
		first := series.Values[at] // a series has a value
		if len(series.Changes) == 0 {
			same = append(same, metrics.Plain.Format(first)+" "+series.Metric.Title)
			continue
		}
		points := styles[len(f.Series)/2%len(styles)]
		points.Name = series.Metric.Title
		line := plot.Series{Colour: points.Colour, Shape: plot.Line}
		for i, v := range series.Values {
			points.Points = append(points.Points, plot.Point{X: float64(i + 1), Y: v - first})
			link := links[i]
			link.Title += fmt.Sprintf(": %s %s", metrics.Plain.Format(v), series.Metric.Title)
			points.Links = append(points.Links, link)
			// A step is upright and between two runs.
			line.Points = append(line.Points, plot.Point{X: float64(i) + 0.5, Y: v - first}, plot.Point{X: float64(i) + 1.5, Y: v - first})
		}
		f.Series = append(f.Series, line, points)
	}
	text := ""
	if len(same) > 0 {
		text = "The same in all runs: " + strings.Join(same, ", ") + "."
	}
	if len(f.Series) == 0 {
		return nil, text
	}
	return f, text
}

// figure is one without series, whose x axis is the runs with the blocks' names.
func (s *Section) figure(by Order) *plot.Figure {
	f := &plot.Figure{XName: "run"}
	months := by == ByDate && len(s.Blocks) > bands
	for _, b := range s.Blocks {
		label := b.Label
		if months {
			label = label[:len("2006-01")]
		}
		band := plot.Band{From: float64(b.From) + 0.5, To: float64(b.To) + 0.5, Label: label}
		if n := len(f.Bands) - 1; months && n >= 0 && f.Bands[n].Label == label {
			f.Bands[n].To = band.To
			continue
		}
		f.Bands = append(f.Bands, band)
	}
	return f
}

// draw draws a figure in its widths.
func draw(f *plot.Figure, wide int, changes []string) (pageFigure, error) {
	p := pageFigure{Title: f.Title, Changes: changes}
	for _, size := range []struct {
		to    *template.HTML
		width int
	}{{&p.Wide, wide}, {&p.Narrow, narrowWidth}} {
		svg, err := f.SVG(size.width, false)
		if err != nil {
			return p, fmt.Errorf("draw %s: %w", f.Title, err)
		}
		*size.to = template.HTML(svg)
	}
	return p, nil
}
