package reports

import (
	"github.com/meshbench/meshbench/reports/slopes"
	"github.com/meshbench/meshbench/reports/words"
)

// sizes are the settled steps' medians by how many more objects there were than at the first.
func (r *Report) sizes(by string) map[string][]slopes.Point {
	points := map[string][]slopes.Point{}
	for i := range r.Steps {
		s := &r.Steps[i]
		was, ok := r.Steps[0].Count(by)
		is, ok2 := s.Count(by)
		if !ok || !ok2 || !s.Measured || !s.Settled {
			continue
		}
		add := func(kind string, m Memory) {
			if m.Samples > 0 {
				points[kind] = append(points[kind], slopes.Point{At: is - was, Mi: float64(m.MedianBytes) / words.Mi})
			}
		}
		add(slopes.Sidecar, s.Memory)
		for _, o := range s.Others {
			add(o.Kind, o.Memory)
		}
	}
	return points
}
