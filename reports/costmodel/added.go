package costmodel

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/observations"
)

// Added is what the model says that a part of a configuration takes of a sidecar's memory, with
// the confidence interval of that. The Bytes of the parts of a configuration, with
// [Model.MemoryWith] of one of them in place of this, add up to MemoryWith of the whole; their
// intervals do not, since parts are off in the same way.
//
// What is not in the estimate is in its Warnings. A part of a few kinds of objects may come out
// less than nothing: see [Model.Print].
func (m *Model) Added(o observations.ConfigObjects, r observations.RoutingObjects) Estimate {
	e, unknown := m.Sidecar.slope(named(sidecarColumns, sidecarValues(o)))
	if !unrouted(r) {
		if m.Routing == nil {
			unknown = append(unknown, "what routing costs is not in the estimate: "+m.NoRouting)
		} else {
			added, more := m.Routing.slope(named(routingColumns, routingValues(r)))
			unknown = append(unknown, more...)
			half := math.Hypot(e.Hi-e.Bytes, added.Hi-added.Bytes)
			e.Bytes += added.Bytes
			e.Lo, e.Hi = e.Bytes-half, e.Bytes+half
		}
	}
	e.Warnings = unknown
	return m.Calibration.cost(e)
}

// slope is Slope of what the model can tell, and what it cannot.
func (l *Linear) slope(change map[string]float64) (e Estimate, unknown []string) {
	for _, f := range l.Fixed {
		if v := change[f.Column]; v != 0 {
			unknown = append(unknown, fmt.Sprintf("%s never changed, so what it costs is unknown and not in the estimate", f.Column))
			change[f.Column] = 0
		}
	}
	e, why := l.Slope(change)
	if why != "" {
		unknown = append(unknown, "not in the estimate: "+why)
	}
	return e, unknown
}
