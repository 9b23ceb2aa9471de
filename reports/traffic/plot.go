package traffic

import (
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// memoryByLoad is what loads changed in the memory of proxies.
func (t *Traffic) memoryByLoad() sections.Plot {
	f := sections.Plot{Name: "memory-by-load", Caption: "A tick is the mean over the proxies of a side, a bar its interval of 95 %. Idle sidecars carried no request."}
	f.Title, f.XName = "Change of a proxy's memory by load, against rest", "change against rest, Mi"
	during := plot.Series{Name: "while requests were sent", Colour: plot.Blue, Shape: plot.Tick}
	after := plot.Series{Name: "just afterwards", Colour: plot.Vermillion, Shape: plot.Ring}
	intervals := plot.Series{Name: "95 % interval", Colour: plot.Mute, Shape: plot.Span}
	for row, c := range t.Memory {
		f.Rows = append(f.Rows, fmt.Sprintf("%s/s, %s: %s", count(c.QPS), strings.Replace(connections(c.Connections), "connection", "conn", 1), c.Side))
		y := float64(row)
		during.Points = append(during.Points, plot.Point{X: c.During.Mean / words.Mi, Y: y})
		if c.After != nil {
			after.Points = append(after.Points, plot.Point{X: c.After.Mean / words.Mi, Y: y})
		}
		if c.During.Low != nil {
			intervals.Points = append(intervals.Points, plot.Point{X: *c.During.Low / words.Mi, Y: y, To: *c.During.High / words.Mi})
		}
	}
	f.Series = []plot.Series{intervals, during, after}
	return f
}

// why says what more requests alone and more connections alone changed, on the targets' side
// or, where nothing is known of that, on the source's.
func (t *Traffic) why() string {
	for _, side := range []string{observations.TrafficTarget, observations.TrafficSource} {
		var parts []string
		for _, e := range t.Effects {
			if e.Side == side {
				parts = append(parts, fmt.Sprintf("%s %s (%s)", e.Of, signed(e.Change.Mean), e.Change.interval(e.Proxies)))
			}
		}
		if len(parts) > 0 {
			return fmt.Sprintf("One thing alone, on the %s's side: %s.", side, strings.Join(parts, "; "))
		}
	}
	return ""
}
