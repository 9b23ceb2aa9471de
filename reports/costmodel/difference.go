package costmodel

import (
	"math"

	"github.com/meshbench/meshbench/observations"
)

// Difference is what the model says that a sidecar with one configuration takes more than one
// with another: the coefficients' part of the interval is that of the objects that differ, and
// each of the two sidecars scatters by itself. Where coefficients of what differs cannot be told
// apart, it is the difference of two predictions, whose interval is wider, and a warning says so.
func (m *Model) Difference(more, less observations.ConfigObjects, moreRouting, lessRouting observations.RoutingObjects) Estimate {
	objects := subtracted(sidecarValues(more), sidecarValues(less))
	e, unknown := m.Sidecar.Slope(named(sidecarColumns, objects))
	if unknown != "" {
		a, b := m.memoryWith(more, moreRouting), m.memoryWith(less, lessRouting)
		half := math.Hypot(a.Hi-a.Bytes, b.Hi-b.Bytes)
		d := Estimate{Bytes: a.Bytes - b.Bytes}
		d.Lo, d.Hi = d.Bytes-half, d.Bytes+half
		d.Warnings = append(d.Warnings, "the difference of two predictions, each with its own interval: "+unknown)
		return m.Calibration.cost(d)
	}
	half := math.Hypot(e.Hi-e.Bytes, math.Sqrt2*m.Sidecar.t()*m.Sidecar.StdDev)
	if m.Routing != nil {
		added, unknown := m.Routing.Slope(named(routingColumns, subtracted(routingValues(moreRouting), routingValues(lessRouting))))
		if unknown != "" {
			e.Warnings = append(e.Warnings, "without what routing adds: "+unknown)
		} else {
			e.Bytes += added.Bytes
			half = math.Hypot(half, added.Hi-added.Bytes)
		}
	}
	e.Lo, e.Hi = e.Bytes-half, e.Bytes+half
	return m.Calibration.cost(e)
}

func subtracted(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}
