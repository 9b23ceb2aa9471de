package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshbench/meshbench/internal/reliability"
	"github.com/meshbench/meshbench/reports/plot"
)

// document writes the verdict between the markers of a document, and its plots and figures
// into the folder data beside it.
func (v *verdict) document(doc string) error {
	data := filepath.Join(filepath.Dir(doc), "data")
	text, err := json.MarshalIndent(v.encodable(), "", " ")
	if err != nil {
		return fmt.Errorf("encode the verdict: %w", err)
	}
	if err := os.WriteFile(filepath.Join(data, "soak.json"), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep the verdict: %w", err)
	}
	var section strings.Builder
	fmt.Fprintf(&section, "On %s, for %.0f minutes: %d runs with a cluster each, %d on one that stood, %d measurements of that, %d of them failed; %d samples.\n\n",
		v.Began.Format(time.DateOnly), v.Minutes, v.Finished[partRuns], v.Finished[partGuest], v.Finished[partMeasure], len(v.Failed), v.Samples)
	for _, f := range v.figures() {
		svg, err := f.figure.SVG(760, true)
		if err != nil {
			return fmt.Errorf("draw %s: %w", f.name, err)
		}
		if err := os.WriteFile(filepath.Join(data, f.name), svg, 0o644); err != nil {
			return fmt.Errorf("keep a plot: %w", err)
		}
		fmt.Fprintf(&section, "![%s](data/%s)\n\n", f.figure.Title, f.name)
	}
	section.WriteString("| what | third quarter | last quarter | trend an hour | its interval of 95 % | allowed | verdict |\n|---|---:|---:|---:|---:|---:|---|\n")
	for _, j := range v.Judged {
		fmt.Fprintf(&section, "| %s | %s | %s | %s | %s | %s | %s |\n", j.What, j.level(j.Middle), j.level(j.End), j.change(j.Slope), j.interval(), j.change(j.Bound), j.Verdict)
	}
	return reliability.Fill(doc, "soak", section.String())
}

// encodable is the verdict without what JSON has no word for.
func (v *verdict) encodable() *verdict {
	copied := *v
	copied.Judged = nil
	for _, j := range v.Judged {
		for _, value := range []*float64{&j.Middle, &j.End, &j.Slope} {
			if math.IsNaN(*value) {
				*value = 0 // with no points
			}
		}
		copied.Judged = append(copied.Judged, j)
	}
	return &copied
}

// drawn is a plot and its file.
type drawn struct {
	name   string
	figure plot.Figure
}

// figures are the plots: memory, and what is counted.
func (v *verdict) figures() []drawn {
	series := func(name, of string, scale float64, c plot.Colour, shape plot.Shape) plot.Series {
		s := plot.Series{Name: name, Colour: c, Shape: shape}
		for _, p := range thin(v.points[of], max(0.25, v.Minutes/480)) {
			s.Points = append(s.Points, plot.Point{X: p.minute, Y: p.value / scale})
		}
		return s
	}
	const axis = "minutes since the begin"
	judgedFrom := plot.Series{Name: "judged from here on", Colour: plot.Mute, Shape: plot.Moment, Glyph: plot.Triangle, Points: []plot.Point{{X: v.Minutes / 2}}}
	return []drawn{
		{"soak-memory.svg", plot.Figure{Title: "Memory of what lives long", XName: axis, YName: "MiB", FromZero: true, Series: []plot.Series{
			judgedFrom,
			series("a cluster for each run: memory", "runs.rss", mi, plot.Blue, plot.Line),
			series("its live heap", "runs.heap", mi, plot.Blue, plot.Dashes),
			series("visits to a cluster: memory", "guest.rss", mi, plot.Green, plot.Line),
			series("its live heap", "guest.heap", mi, plot.Green, plot.Dashes),
			series("sandbox that stands: memory", "up.rss", mi, plot.Vermillion, plot.Line),
			series("its live heap", "up.heap", mi, plot.Vermillion, plot.Dashes),
		}}},
		{"soak-counts.svg", plot.Figure{Title: "Goroutines and file descriptors of what lives long", XName: axis, YName: "number", FromZero: true, Series: []plot.Series{
			judgedFrom,
			series("a cluster for each run: goroutines", "runs.goroutines", 1, plot.Blue, plot.Line),
			series("its file descriptors", "runs.fds", 1, plot.Blue, plot.Dashes),
			series("visits to a cluster: goroutines", "guest.goroutines", 1, plot.Green, plot.Line),
			series("its file descriptors", "guest.fds", 1, plot.Green, plot.Dashes),
			series("sandbox that stands: goroutines", "up.goroutines", 1, plot.Vermillion, plot.Line),
			series("its file descriptors", "up.fds", 1, plot.Vermillion, plot.Dashes),
		}}},
		{"soak-machine.svg", plot.Figure{Title: "Processes, cgroups and temporary files of both clusters", XName: axis, YName: "number", FromZero: true, Series: []plot.Series{
			judgedFrom,
			series("processes", "machine.processes", 1, plot.Blue, plot.Line),
			series("cgroups", "machine.cgroups", 1, plot.Vermillion, plot.Line),
			series("temporary files and state", "tmp.files", 1, plot.Green, plot.Line),
		}}},
	}
}
