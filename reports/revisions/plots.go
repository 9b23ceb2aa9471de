package revisions

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// Names of the plots, and of their files.
const (
	memoryPlot   = "memory-by-revisions"
	programsPlot = "control-plane-by-revisions"
)

// lineStyle tells the lines of a figure apart, by colour and by shape.
func lineStyle(i int) (plot.Colour, plot.Shape) {
	colours := []plot.Colour{plot.Blue, plot.Vermillion, plot.Green, plot.Purple}
	shapes := []plot.Shape{plot.Circle, plot.Triangle, plot.Square, plot.Diamond}
	return colours[i%4], shapes[(i+i/4)%4]
}

// memoryByRevisions is the memory of every workload over the revisions.
func (g topic) memoryByRevisions() sections.Plot {
	f := sections.Plot{Name: memoryPlot, Caption: "Every point is the median of a workload's sidecars at a step. A cross is a sidecar that was killed: as high as its last sample, the line through it from the revisions that it had lived with to those that were there when its end was noticed."}
	f.Title, f.XName, f.YName, f.FromZero = "Memory of a sidecar by number of revisions", "revisions", "memory of a sidecar, Mi", true
	published := g.published()
	// What lies far outside of what the run reached would leave no room for it.
	revisions, highest := g.Revisions, int64(0)
	zone := plot.Series{Name: "killed, as published", Colour: plot.Mute, Shape: plot.Zone}
	if k := published.KilledBetween; k[1] > 0 && k[0] <= 3*g.Revisions/2 {
		zone.Points = []plot.Point{{X: float64(k[0]), To: float64(k[1])}}
		revisions = max(revisions, k[1])
	}
	slope := plot.Series{Name: "growth as published", Colour: plot.Faint, Shape: plot.Dashes}
	left := plot.Series{Name: "not in the fit", Colour: plot.Ink, Shape: plot.Ring}
	ranges := plot.Series{Colour: plot.Ink, Shape: plot.Line}
	kills := plot.Series{Name: "killed", Colour: plot.Ink, Shape: plot.Cross}
	limits := map[int64]bool{}
	var workloads []plot.Series
	for i, w := range g.Workloads {
		if w.LimitBytes > 0 {
			limits[w.LimitBytes] = true
		}
		colour, shape := lineStyle(i)
		line := plot.Series{Colour: colour, Shape: plot.Line}
		points := plot.Series{Name: words.Workload(w.Name), Colour: colour, Shape: shape}
		for _, p := range w.Points {
			at := plot.Point{X: float64(p.Revisions), Y: float64(p.MemoryBytes) / words.Mi}
			points.Points = append(points.Points, at)
			highest = max(highest, p.MemoryBytes)
			if !p.Restarted {
				line.Points = append(line.Points, at)
			}
			if !p.Fitted() {
				left.Points = append(left.Points, at)
			}
		}
		workloads = append(workloads, line, points)
		killed := map[string]bool{}
		for _, k := range w.Kills() {
			y := float64(cmp.Or(k.LastBytes, k.LimitBytes)) / words.Mi
			if killed[k.Pod] || y == 0 {
				continue // those after it are of its start
			}
			killed[k.Pod] = true
			ranges.Points = append(ranges.Points, plot.Point{X: float64(k.After), Y: y}, plot.Point{X: float64(k.Until), Y: y}, plot.Point{X: math.NaN()})
			kills.Points = append(kills.Points, plot.Point{X: float64(k.After+k.Until) / 2, Y: y})
		}
	}
	// What was published of growth says nothing of where it begins.
	if w := g.Grows(); w != nil && published.GrowthMi > 0 {
		begin := w.Slope.At(0) / words.Mi
		for _, n := range []int{0, revisions} {
			slope.Points = append(slope.Points, plot.Point{X: float64(n), Y: begin + published.GrowthMi*float64(n)/float64(g.PerRevisions)})
		}
		f.Caption += " Growth as published begins where the line through " + words.Workload(w.Name) + " does."
	}
	f.Series = append(f.Series, zone, slope)
	for _, limit := range slices.Sorted(maps.Keys(limits)) {
		if limit > 5*highest/2 {
			continue
		}
		f.Series = append(f.Series, plot.Series{Name: "limit of " + words.Limit(limit) + " Mi", Colour: plot.Ink, Shape: plot.Level, Points: []plot.Point{{Y: float64(limit) / words.Mi}}})
	}
	f.Series = append(f.Series, workloads...)
	reconnects := plot.Series{Name: "reconnected to istiod", Colour: plot.Purple, Shape: plot.Moment, Glyph: plot.Diamond}
	for _, c := range g.Reconnects {
		reconnects.Points = append(reconnects.Points, plot.Point{X: c.Revisions})
	}
	f.Series = append(f.Series, reconnects, left, ranges, kills)
	return f
}

// programsByRevisions is the memory of the control plane's programs over the revisions.
func (g topic) programsByRevisions() sections.Plot {
	f := sections.Plot{Name: programsPlot, Caption: "Programs give memory back late: a line tells more of the highest need so far than of what is needed then."}
	f.Title, f.XName, f.YName, f.FromZero = "Memory of the control plane by number of revisions", "revisions", "memory, Mi", true
	for i, p := range g.Programs {
		colour, shape := lineStyle(i)
		line := plot.Series{Colour: colour, Shape: plot.Line}
		for _, q := range p.Points {
			if q.MemoryBytes > 0 {
				line.Points = append(line.Points, plot.Point{X: float64(q.Revisions), Y: float64(q.MemoryBytes) / words.Mi})
			}
		}
		name := p.Name
		if p.Memory != nil {
			name += fmt.Sprintf(" %+.1f Mi per %d", g.per(p.Memory.BytesPerRevision), g.PerRevisions)
		}
		f.Series = append(f.Series, line, plot.Series{Name: name, Colour: colour, Shape: shape, Points: line.Points})
	}
	return f
}
