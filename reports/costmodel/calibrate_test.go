package costmodel

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
)

// calibrationRun is a run whose sidecars take what memory says of a configuration with so many
// Services.
func calibrationRun(id string, services []int, memory func(o observations.ConfigObjects) float64) *run {
	r := newRun(id)
	for i, n := range services {
		o := Objects(Mesh{Services: []Services{{Count: n, Pods: 2, Ports: port(80, Detected)}}}.Parts())
		add := func(rec observations.Record) { rec.Step = &i; r.add(rec) }
		add(observations.Record{Begin: &observations.Begin{Name: "step"}})
		add(observations.Record{Settle: &observations.Settle{Settled: true}})
		add(observations.Record{Usage: &observations.Usage{Namespace: "ns", Pod: "a", Container: observations.SidecarContainer, Workload: "ns/web", MemoryBytes: int64(memory(o))}})
		add(observations.Record{Proxy: &observations.Proxy{Workload: "ns/web", Objects: o}})
		add(observations.Record{Measure: &observations.Measure{}})
	}
	return r
}

// TestCalibrate gives a model sidecars that take 30 Mi more, and 0.7 times what the model says.
func TestCalibrate(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	other := func(o observations.ConfigObjects) float64 { return 30*mi + 0.7*m.Memory(o).Bytes }
	for name, test := range map[string]struct {
		services          []int
		memory            func(o observations.ConfigObjects) float64
		intercept, factor float64
		noFactor          string
	}{
		"line":      {[]int{10, 100, 200, 400}, other, 30 * mi, 0.7, ""},
		"one":       {[]int{100}, func(o observations.ConfigObjects) float64 { return m.Memory(o).Bytes + 5*mi }, 5 * mi, 1, "1 workload with a sidecar's memory and configuration are too few"},
		"all alike": {[]int{100, 100, 100}, func(o observations.ConfigObjects) float64 { return m.Memory(o).Bytes - 5*mi }, -5 * mi, 1, "all alike"},
		"no shape": {[]int{10, 11, 12, 13}, func(o observations.ConfigObjects) float64 {
			return 50*mi + float64(o.Clusters%2)*9*mi
		}, 0, 1, "too much alike to tell"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Calibrate(m, []Log{{"r", calibrationRun("r", test.services, test.memory).records}})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(c.NoFactor, test.noFactor) || test.noFactor == "" && c.NoFactor != "" {
				t.Errorf("no factor: %q, want %q", c.NoFactor, test.noFactor)
			}
			if math.Abs(c.Factor-test.factor) > 1e-3 || test.intercept != 0 && math.Abs(c.Intercept-test.intercept) > 0.01*mi {
				t.Errorf("intercept %.2f Mi, factor %.3f, want %.2f Mi and %.3f", c.Intercept/mi, c.Factor, test.intercept/mi, test.factor)
			}
			if len(c.Differences) == 0 {
				t.Error("it does not say that the run's worker threads are not the model's")
			}
			var out bytes.Buffer
			if err := c.Print(&out); err != nil || !strings.Contains(out.String(), "Calibrated by r") {
				t.Errorf("%v:\n%s", err, out.String())
			}
		})
	}
}

// TestCalibrated checks what a calibrated model says of a mesh and of one more object.
func TestCalibrated(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	memory := func(o observations.ConfigObjects) float64 { return 30*mi + 0.7*m.Memory(o).Bytes }
	c, err := Calibrate(m, []Log{{"r", calibrationRun("r", []int{10, 50, 100, 140}, memory).records}})
	if err != nil {
		t.Fatal(err)
	}
	k := m.Calibrated(c)
	o := Objects(Mesh{Services: []Services{{Count: 120, Pods: 2, Ports: port(80, Detected)}}}.Parts())
	was, is := m.Memory(o), k.Memory(o)
	if math.Abs(is.Bytes-memory(o)) > 0.01*mi || len(is.Warnings) > 0 {
		t.Errorf("%.1f Mi, want %.1f Mi: %v", is.Bytes/mi, memory(o)/mi, is.Warnings)
	}
	// The calibrating points are exact, so that the interval is the model's, by the factor.
	if got, want := is.Hi-is.Bytes, 0.7*(was.Hi-was.Bytes); math.Abs(got/want-1) > 0.01 {
		t.Errorf("half of the interval is %.2f Mi, want %.2f Mi", got/mi, want/mi)
	}
	if with := k.MemoryWith(o, observations.RoutingObjects{}); with.Bytes != is.Bytes {
		t.Errorf("with routing of nothing: %.1f Mi, want %.1f Mi", with.Bytes/mi, is.Bytes/mi)
	}
	unit := Units()[0].Objects
	one, _ := m.Cost(unit)
	if its, _ := k.Cost(unit); math.Abs(its.Bytes/one.Bytes-0.7) > 1e-3 {
		t.Errorf("a Service costs %.2f KiB, want 0.7 times %.2f KiB", its.Bytes/ki, one.Bytes/ki)
	}
	large := Objects(Mesh{Services: []Services{{Count: 900, Pods: 2, Ports: port(80, Detected)}}}.Parts())
	if w := k.Memory(large).Warnings; !strings.Contains(strings.Join(w, "\n"), "calibrated on sidecars of") {
		t.Errorf("it does not warn of a mesh larger than the calibrating one: %v", w)
	}
	if m.Calibration != nil || m.Memory(o).Bytes != was.Bytes {
		t.Error("the model itself was changed")
	}
}

// TestCalibrateByRun holds the built-in model against runs of its own proxy, one of which it was
// not fitted from.
func TestCalibrateByRun(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cost-model-large", "routing-check"} {
		c, err := Calibrate(m, []Log{readLog(t, name)})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := c.Print(&out); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", out.String())
		if worst := c.Worst(); math.Abs(worst.Fitted/worst.Observed-1) > 0.15 {
			t.Errorf("%s: the model is off by %.1f Mi of %.1f Mi in %s", name, (worst.Fitted-worst.Observed)/mi, worst.Observed/mi, worst.Step)
		}
	}
}

func TestCalibrateByNothing(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	r := newRun("r")
	r.step(0, false, "", map[string]float64{"a": 10}, "")
	_, err = Calibrate(m, []Log{{"r", r.records}})
	if err == nil || !strings.Contains(err.Error(), "r, step step0: it was not settled") || !strings.Contains(err.Error(), "--witnesses") {
		t.Errorf("%v", err)
	}
}
