package costmodel

import (
	"math"
	"testing"

	"github.com/meshbench/meshbench/observations"
)

func TestDifference(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	before := Objects(Mesh{Services: []Services{{Count: 100, Pods: 2, Ports: []Port{{80, HTTP}}}}}.Parts())
	after := Objects(Mesh{Services: []Services{{Count: 5, Pods: 2, Ports: []Port{{80, HTTP}}}}}.Parts())
	none := observations.RoutingObjects{}
	d := m.Difference(before, after, none, none)
	want := m.Memory(before).Bytes - m.Memory(after).Bytes
	if math.Abs(d.Bytes-want) > 1 || !(d.Lo < d.Bytes && d.Bytes < d.Hi) || d.Bytes <= 0 {
		t.Errorf("%+v, want %.0f", d, want)
	}
	// Nothing differs: nothing is saved, but two sidecars scatter.
	if d := m.Difference(after, after, none, none); d.Bytes != 0 || !(d.Lo < 0 && d.Hi > 0) {
		t.Errorf("of equal ones: %+v", d)
	}
	// What the model cannot tell apart is said.
	odd := after
	odd.RouteConfigs += 1000
	if d := m.Difference(odd, after, none, none); len(m.Sidecar.Tied) > 0 && len(d.Warnings) == 0 {
		t.Errorf("of what is tied: %+v", d)
	}
	routed := observations.RoutingObjects{VirtualServiceRoutes: 100}
	if r := m.Difference(before, after, routed, none); m.Routing != nil && r.Bytes <= d.Bytes {
		t.Errorf("with routing %+v, without %+v", r, d)
	}
}
