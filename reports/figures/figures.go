// Package figures draws a report: what every run has, in the order of the page, and the
// plots of its sections.
package figures

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// Of are all plots of a report, those of its sections last.
func Of(r *reports.Report) []sections.Plot {
	all := []sections.Plot{memoryByStep(r), countsByStep(r), memoryOverTime(r),
		memoryBySize(r, "memory-by-dump", "config_dump of the witness, MB", "MB of configuration", func(s *reports.Step) float64 { return float64(s.ConfigDumpBytes) / 1e6 }),
		memoryBySize(r, "memory-by-objects", "configuration objects of the witness, thousands", "thousand objects", func(s *reports.Step) float64 {
			n := 0
			for _, k := range s.Kinds {
				n += k.Count
			}
			return float64(n) / 1e3
		}),
	}
	all = append(all, istiodFigures(r)...)
	all = append(all, phaseBars(r))
	for _, s := range r.Sections {
		for _, p := range s.Parts {
			if p.Plot.Name != "" { // else it has tables alone
				all = append(all, p.Plot)
			}
		}
	}
	if !r.Finished {
		for i := range all {
			all[i].Note = strings.TrimSpace("INCOMPLETE: the run did not finish. " + all[i].Note)
		}
	}
	return all
}

// stepNames are the names of the steps, those marked that were not quiet; note says so.
func stepNames(r *reports.Report) (names []string, note string) {
	for _, s := range r.Steps {
		name := s.Name
		if !s.Settled {
			name += " *"
			note = "* not measured in a quiet mesh"
		}
		names = append(names, name)
	}
	return names, note
}

// spreadOut moves the i-th of the points in one row up or down, so that they do not
// hide one another: by the golden ratio's multiples, which never bunch.
func spreadOut(row, i int) float64 {
	const ratio = 0.6180339887498949
	return float64(row) + 0.5*(math.Mod(0.5+float64(i)*ratio, 1)-0.5)
}

func memoryByStep(r *reports.Report) sections.Plot {
	f := sections.Plot{Name: "memory-by-step", Caption: "Every point is a pod. Witnesses, whose configuration was dumped before the reading, are not part of the median."}
	f.Title, f.XName = "Memory of a sidecar at each step", "memory of a sidecar, Mi"
	f.Rows, f.Note = stepNames(r)
	published := plot.Series{Name: "published range", Colour: plot.Mute, Shape: plot.Span}
	pods := plot.Series{Name: "a sidecar never dumped", Colour: plot.Blue, Shape: plot.Circle}
	witnesses := plot.Series{Name: "a witness", Colour: plot.Vermillion, Shape: plot.Triangle}
	medians := plot.Series{Name: "median of those never dumped", Colour: plot.Ink, Shape: plot.Tick}
	others := plot.Series{Name: "a gateway, or another proxy that is no sidecar", Colour: plot.Green, Shape: plot.Square}
	for row, s := range r.Steps {
		if p, ok := s.PublishedOf("memory"); ok {
			published.Points = append(published.Points, plot.Point{X: p.Published, Y: float64(row), To: cmp.Or(p.PublishedHigh, p.Published)})
		}
		for i, pod := range s.Sidecars {
			point := plot.Point{X: float64(pod.MemoryBytes) / words.Mi, Y: spreadOut(row, i)}
			if pod.Witness {
				witnesses.Points = append(witnesses.Points, point)
			} else {
				pods.Points = append(pods.Points, point)
			}
		}
		for _, o := range s.Others {
			for i, pod := range o.Proxies {
				others.Points = append(others.Points, plot.Point{X: float64(pod.MemoryBytes) / words.Mi, Y: spreadOut(row, i)})
			}
		}
		if s.Memory.Samples > 0 {
			medians.Points = append(medians.Points, plot.Point{X: float64(s.Memory.MedianBytes) / words.Mi, Y: float64(row)})
		}
	}
	f.Series = []plot.Series{published, pods, witnesses, medians}
	if len(others.Points) > 0 {
		f.Series = append(f.Series, others)
	}
	return f
}

func countsByStep(r *reports.Report) sections.Plot {
	f := sections.Plot{Name: "counts-by-step", Caption: "The axis is logarithmic."}
	what, header := "rows", 0
	if r.CountsInLines() {
		what, header = "lines", 1
	}
	f.Title, f.XName, f.Log = "Configuration of the witness at each step", what+" that istioctl proxy-config prints", true
	f.Rows, f.Note = stepNames(r)
	shapes := []plot.Series{
		{Name: "cluster", Colour: plot.Blue, Shape: plot.Circle},
		{Name: "listener", Colour: plot.Vermillion, Shape: plot.Triangle},
		{Name: "route", Colour: plot.Green, Shape: plot.Square},
		{Name: "endpoint", Colour: plot.Purple, Shape: plot.Diamond},
	}
	same := plot.Series{Name: "as published", Colour: plot.Faint, Shape: plot.Ring}
	differs := plot.Series{Name: "published, and differs", Colour: plot.Ink, Shape: plot.Cross}
	for row, s := range r.Steps {
		for i, kind := range reports.RowCounts() {
			n, ok := s.Count(kind)
			if !ok {
				continue
			}
			point := plot.Point{X: float64(n + header), Y: float64(row) + 0.2*(float64(i)-1.5)}
			shapes[i].Points = append(shapes[i].Points, point)
			if p, ok := s.PublishedOf(kind); ok && p.Match {
				same.Points = append(same.Points, point)
			} else if ok && !p.Change {
				differs.Points = append(differs.Points, plot.Point{X: p.Published, Y: point.Y})
			}
		}
	}
	f.Series = append(shapes, same, differs)
	if len(same.Points)+len(differs.Points) > 0 {
		f.Caption = "A ring around a count says that the published count is the same; a cross stands where a published count differs. " + f.Caption
	}
	return f
}

// seriesPoints is about how many points a figure over time draws, for all pods together,
// at most; of more, the highest of neighbours stands for them.
const seriesPoints = 6000

func memoryOverTime(r *reports.Report) sections.Plot {
	f := sections.Plot{Name: "memory-over-time", Caption: "Every line is a pod, read each second; a pod is a witness from its first dump on. The numbered bands are the steps, in the order of the table."}
	unit, scale := "seconds", 1.0
	if r.Seconds > 300 {
		unit, scale = "minutes", 60
	}
	f.Title, f.XName, f.YName = "Memory of every sidecar over time", unit+" since the run's start", "memory of a sidecar, Mi"
	for i, s := range r.Steps {
		end := r.Seconds
		if i+1 < len(r.Steps) {
			end = r.Steps[i+1].Began
		}
		f.Bands = append(f.Bands, plot.Band{From: s.Began / scale, To: end / scale, Label: fmt.Sprint(s.Number)})
	}
	pods := plot.Series{Name: "a sidecar never dumped", Colour: plot.Blue, Shape: plot.Line}
	witnesses := plot.Series{Name: "a witness", Colour: plot.Vermillion, Shape: plot.Line}
	others := plot.Series{Name: "a gateway, or another proxy that is no sidecar", Colour: plot.Green, Shape: plot.Line}
	var lives float64 // of all pods together, in seconds
	for _, one := range r.Series {
		if n := len(one.Seconds); n > 0 {
			lives += one.Seconds[n-1] - one.Seconds[0]
		}
	}
	for _, one := range r.Series {
		before, after := line(one, max(0.5, lives/seriesPoints))
		to, dumped := &pods, &witnesses
		if one.Kind != observations.ProxySidecar {
			to, dumped = &others, &others
		}
		for _, line := range []struct {
			to     *plot.Series
			points []plot.Point
		}{{to, before}, {dumped, after}} {
			for _, p := range line.points {
				line.to.Points = append(line.to.Points, plot.Point{X: p.X / scale, Y: p.Y / words.Mi})
			}
			line.to.Points = append(line.to.Points, plot.Point{X: math.NaN()}) // the next pod's line is another
		}
	}
	f.Series = append(moments(r, scale), pods, witnesses)
	if len(others.Points) > 0 {
		f.Series = append(f.Series, others)
	}
	return f
}

// line are the series' points before and after the pod was first dumped, in bytes, one
// in each part of the run that is width seconds long. A gap, where the pod was not there,
// is a point that is no number.
func line(s reports.PodSeries, width float64) (before, after []plot.Point) {
	const gap = 15 // seconds: longer than a scrape that fails and is tried again
	to := &before
	var last float64
	for i, at := range s.Seconds {
		p := plot.Point{X: at, Y: float64(s.Bytes[i])}
		if at > s.Dumped && to == &before {
			if len(before) > 0 {
				after = append(after, before[len(before)-1]) // the lines meet
			}
			to = &after
		}
		if points := *to; len(points) > 0 && at-last > gap {
			*to = append(points, plot.Point{X: math.NaN()}, p)
		} else if end := len(points) - 1; end >= 0 && math.Floor(points[end].X/width) == math.Floor(at/width) {
			points[end].Y = max(points[end].Y, p.Y)
		} else {
			*to = append(points, p)
		}
		last = at
	}
	return before, after
}

// moments are the events that explain a line's turns.
func moments(r *reports.Report, scale float64) []plot.Series {
	kinds := []plot.Series{
		{Name: "killed", Colour: plot.Ink, Glyph: plot.Cross},
		{Name: "restarted", Colour: plot.Green, Glyph: plot.Triangle},
		{Name: "reconnected to istiod", Colour: plot.Purple, Glyph: plot.Diamond},
		{Name: "another warning", Colour: plot.Faint, Glyph: plot.Square},
	}
	for _, e := range r.Events {
		kind := 3
		switch {
		case e.Kind == observations.OOMKill:
			kind = 0
		case e.Kind == observations.Restarted:
			kind = 1
		case e.Kind == observations.Reconnect:
			kind = 2
		case e.Level == observations.Info:
			continue
		}
		kinds[kind].Points = append(kinds[kind].Points, plot.Point{X: e.Seconds / scale})
	}
	for i := range kinds {
		kinds[i].Shape = plot.Moment
	}
	return kinds
}

// memoryBySize sets the memory at each step beside the size of the configuration, which
// is 0 where it was not read.
func memoryBySize(r *reports.Report, name, axis, unit string, size func(*reports.Step) float64) sections.Plot {
	f := sections.Plot{Name: name, Half: true}
	f.Title, f.XName, f.YName = "Memory against the size of the configuration", axis, "memory of a sidecar, Mi"
	spread := plot.Series{Name: "lowest to highest", Colour: plot.Blue, Shape: plot.Whisker}
	medians := plot.Series{Name: "median at a step", Colour: plot.Blue, Shape: plot.Circle}
	unquiet := plot.Series{Name: "at a step that was not quiet (not fitted)", Colour: plot.Vermillion, Shape: plot.Triangle}
	var x, y []float64
	for i := range r.Steps {
		s := &r.Steps[i]
		at := size(s)
		if s.Memory.Samples == 0 || at == 0 {
			continue
		}
		p := plot.Point{X: at, Y: float64(s.Memory.MedianBytes) / words.Mi}
		spread.Points = append(spread.Points, plot.Point{X: p.X, Y: float64(s.Memory.MinBytes) / words.Mi, To: float64(s.Memory.MaxBytes) / words.Mi})
		if !s.Settled || !s.Measured {
			unquiet.Points = append(unquiet.Points, p)
			continue
		}
		medians.Points = append(medians.Points, p)
		x, y = append(x, p.X), append(y, p.Y)
	}
	f.Series = []plot.Series{spread, medians, unquiet}
	if len(x) < 3 || slices.Max(x) == slices.Min(x) {
		f.Caption = "A line is fitted through three steps or more whose configurations differ in size."
		return f
	}
	// Least squares, every step alike.
	at0, slope := stat.LinearRegression(x, y, nil, false)
	fitted := plot.Series{Name: "least squares", Colour: plot.Green, Shape: plot.Line}
	for _, v := range []float64{slices.Min(x), slices.Max(x)} {
		fitted.Points = append(fitted.Points, plot.Point{X: v, Y: at0 + slope*v})
	}
	f.Series = append([]plot.Series{fitted}, f.Series...)
	f.Caption = fmt.Sprintf("Fitted through the medians of %d steps: %.1f Mi and %.1f Mi for each %s (R² %.2f).",
		len(x), at0, slope, unit, stat.RSquared(x, y, nil, at0, slope))
	return f
}

// istiodFigures are what the control plane cost: its memory at each step's end and its
// work in each step.
func istiodFigures(r *reports.Report) []sections.Plot {
	figures := []struct {
		name, title, axis string
		value             func(*reports.Istiod) float64 // NaN where it was not read
	}{
		{"istiod-memory", "istiod's memory at each step's end", "memory, Mi", func(i *reports.Istiod) float64 {
			return float64(cmp.Or(i.MemoryBytes, i.ResidentBytes)) / words.Mi
		}},
		{"istiod-cpu", "istiod's CPU in each step", "CPU, seconds", func(i *reports.Istiod) float64 {
			return work(i, func(w *reports.IstiodWork) float64 { return w.CPUSeconds })
		}},
		{"istiod-push", "mean time of a push in each step", "mean push, ms", func(i *reports.Istiod) float64 {
			return work(i, func(w *reports.IstiodWork) float64 { return w.MeanPushSeconds * 1e3 })
		}},
		{"istiod-convergence", "mean time from a change to its arrival at a proxy", "mean convergence, ms", func(i *reports.Istiod) float64 {
			return work(i, func(w *reports.IstiodWork) float64 { return w.MeanConvergenceSeconds * 1e3 })
		}},
	}
	var all []sections.Plot
	for _, one := range figures {
		f := sections.Plot{Name: one.name, Half: true}
		f.Title, f.XName, f.FromZero = one.title, one.axis, true
		f.Rows, f.Note = stepNames(r)
		bars := plot.Series{Colour: plot.Blue, Shape: plot.Bar}
		for row, s := range r.Steps {
			if s.Istiod != nil {
				bars.Points = append(bars.Points, plot.Point{Y: float64(row), To: one.value(s.Istiod)})
			}
		}
		f.Series = []plot.Series{bars}
		all = append(all, f)
	}
	return all
}

func work(i *reports.Istiod, of func(*reports.IstiodWork) float64) float64 {
	if i.Since == nil {
		return math.NaN()
	}
	return of(i.Since)
}

// Names are the names of the figures that every report has, in the order of [Of]; those of
// sections come after them.
func Names() []string {
	return []string{"memory-by-step", "counts-by-step", "memory-over-time", "memory-by-dump", "memory-by-objects",
		"istiod-memory", "istiod-cpu", "istiod-push", "istiod-convergence", "phases"}
}
