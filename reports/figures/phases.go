package figures

import (
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/phases"
	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/sections"
)

// phaseBars has a bar for each part of the run, the steps among them, from the part's own
// begin: what it was made of, one after another.
func phaseBars(r *reports.Report) sections.Plot {
	f := sections.Plot{Name: "phases", Caption: "Wall time. A step's bar is made of its actions, the wait for a quiet mesh, and the readings after it."}
	f.Title, f.XName, f.FromZero = "Where the time went", "wall time, seconds", true
	series := []plot.Series{
		{Name: phases.Provision, Colour: plot.Purple, Shape: plot.Bar},
		{Name: phases.Act, Colour: plot.Blue, Shape: plot.Bar},
		{Name: phases.Settle, Colour: plot.Green, Shape: plot.Bar},
		{Name: phases.Read, Colour: plot.Vermillion, Shape: plot.Bar},
		{Name: phases.Dump, Colour: plot.Ink, Shape: plot.Bar},
		{Name: "other", Colour: plot.Mute, Shape: plot.Bar},
	}
	if r.Phases == nil {
		return f
	}
	bar := func(row int, from float64, p phases.Phase) {
		if p.Seconds <= 0 {
			return
		}
		to := &series[len(series)-1]
		for i := range series {
			if series[i].Name == p.Kind {
				to = &series[i]
			}
		}
		to.Points = append(to.Points, plot.Point{X: p.Began - from, Y: float64(row), To: p.Began - from + p.Seconds})
	}
	for _, p := range r.Phases.Parts {
		row := len(f.Rows)
		f.Rows = append(f.Rows, p.Name)
		if p.Kind != phases.Step {
			bar(row, p.Began, p)
			continue
		}
		for _, part := range p.Parts {
			bar(row, p.Began, part)
		}
	}
	f.Series = series
	return f
}
