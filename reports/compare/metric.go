package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports"
)

// Metric is one quantity that is measured at every step.
type Metric struct {
	// Name is its path in a step of report.json, rows.listener; memory is of sidecars
	// that were never dumped.
	Name  string
	Title string // for people, without the unit
	Unit  Unit
	// Exact says that the quantity is a count: any change is one.
	Exact bool
	// PerRun says that a run reads it once, not once a sidecar: a single run tells
	// nothing of its noise.
	PerRun bool
	// Floor is the difference that repeats of the same version show anyway, as a share:
	// what is smaller is never called a difference, whatever a test says. It is made for
	// medians of stats.MinRuns runs or more; see stats.Comparison.Exceeds. 0 for counts.
	//
	// Of repeats of headless and eks-nginx on the embedded cluster single medians of
	// sidecars differed by up to 3 %, istiod's memory, a Go heap read once, by up to
	// 200 %, its CPU time by up to 30 %. With these floors and comparetest's model of
	// that noise twenty comparisons of repeats find nothing, and 5 % is found by repeats.
	Floor float64

	counts func(s *reports.Step) (int, bool)
	read   func(s *reports.Step) []float64
}

// Unit is how a metric's values are printed.
type Unit string

// Units.
const (
	Count   Unit = ""
	Mi      Unit = "Mi"
	KB      Unit = "kB"
	Seconds Unit = "s"
)

// scale is one unit in the values that logs hold.
func (u Unit) scale() float64 {
	switch u {
	case Mi:
		return 1 << 20
	case KB:
		return 1000
	}
	return 1
}

// Raw is the value that logs hold for v of the unit: bytes for Mi and kB.
func (u Unit) Raw(v float64) float64 { return v * u.scale() }

// Format is a value with one or two decimals, or none, and without its unit.
func (u Unit) Format(v float64) string { return fmt.Sprintf(u.verb(false), v/u.scale()) }

// Signed is Format with a sign, + for what is printed as 0.
func (u Unit) Signed(v float64) string {
	text := fmt.Sprintf(u.verb(true), v/u.scale())
	if strings.Trim(text, "-0.") == "" {
		text = "+" + text[1:]
	}
	return text
}

func (u Unit) verb(sign bool) string {
	decimals := map[Unit]string{Count: "g", Mi: ".1f", KB: ".1f", Seconds: ".2f"}[u]
	if sign {
		return "%+" + decimals
	}
	return "%" + decimals
}

// Metrics lists what is compared, memory first, then the counts.
func Metrics() []Metric {
	metrics := []Metric{
		{Name: "memory", Title: "memory of a sidecar", Unit: Mi, Floor: 0.035, read: func(s *reports.Step) []float64 { return sidecars(s, false) }},
		{Name: "witnessMemory", Title: "memory of a witness", Unit: Mi, Floor: 0.04, read: func(s *reports.Step) []float64 { return sidecars(s, true) }},
		// What of a difference in memory is in neither of the next two is Envoy's outside of
		// what it has allocated.
		{Name: "envoyAllocated", Title: "memory that its Envoy has allocated", Unit: Mi, PerRun: true, Floor: 0.02,
			read: func(s *reports.Step) []float64 { return positive(float64(s.EnvoyAllocated.MedianBytes)) }},
		{Name: "agentHeld", Title: "memory that its pilot-agent holds", Unit: Mi, PerRun: true, Floor: 0.1,
			read: func(s *reports.Step) []float64 { return positive(float64(s.AgentHeld.MedianBytes)) }},
		{Name: "configDumpBytes", Title: "size of a configuration dump", Unit: KB, PerRun: true, Floor: 0.02,
			read: func(s *reports.Step) []float64 { return positive(float64(s.ConfigDumpBytes)) }},
		{Name: "istiod.memory", Title: "istiod's memory", Unit: Mi, PerRun: true, Floor: 1.5, read: func(s *reports.Step) []float64 {
			if s.Istiod == nil {
				return nil
			}
			return positive(float64(s.Istiod.MemoryBytes))
		}},
		{Name: "istiod.cpu", Title: "istiod's CPU time in the step", Unit: Seconds, PerRun: true, Floor: 0.5, read: func(s *reports.Step) []float64 {
			if s.Istiod == nil || s.Istiod.Since == nil {
				return nil
			}
			return positive(s.Istiod.Since.CPUSeconds)
		}},
		{Name: "seconds", Title: "time of the step, with its wait for a quiet mesh", Unit: Seconds, PerRun: true, Floor: 0.5,
			read: func(s *reports.Step) []float64 { return positive(s.Seconds) }},
	}
	for _, c := range []struct {
		name, title string
		of          func(s *reports.Step) (int, bool)
	}{
		{"rows.cluster", "rows of clusters", rows(func(s *reports.Step) int { return s.Rows.Cluster })},
		{"rows.listener", "rows of listeners", rows(func(s *reports.Step) int { return s.Rows.Listener })},
		{"rows.route", "rows of routes", rows(func(s *reports.Step) int { return s.Rows.Route })},
		{"rows.endpoint", "rows of endpoints", rows(func(s *reports.Step) int { return s.Rows.Endpoint })},
		{"configObjects.clusters", "clusters", config(func(s *reports.Step) int { return s.ConfigObjects.Clusters })},
		{"configObjects.listeners", "listeners", config(func(s *reports.Step) int { return s.ConfigObjects.Listeners })},
		{"configObjects.filterChains", "filter chains", config(func(s *reports.Step) int { return s.ConfigObjects.FilterChains })},
		{"configObjects.routeConfigs", "route configurations", config(func(s *reports.Step) int { return s.ConfigObjects.RouteConfigs })},
		{"configObjects.virtualHosts", "virtual hosts", config(func(s *reports.Step) int { return s.ConfigObjects.VirtualHosts })},
		{"configObjects.endpoints", "endpoints", config(func(s *reports.Step) int { return s.ConfigObjects.Endpoints })},
		{"objects.nodes", "nodes", objects(func(s *reports.Step) int { return s.Objects.Nodes })},
		{"objects.pods", "pods", objects(func(s *reports.Step) int { return s.Objects.Pods })},
		{"objects.services", "Services", objects(func(s *reports.Step) int { return s.Objects.Services })},
		{"objects.sidecars", "sidecars", objects(func(s *reports.Step) int { return s.Objects.Sidecars })},
		{"objects.realSidecars", "real sidecars", objects(func(s *reports.Step) int { return s.Objects.RealSidecars })},
	} {
		metrics = append(metrics, Metric{Name: c.name, Title: c.title, Exact: true, counts: c.of})
	}
	return metrics
}

// MetricNamed is the metric of that name; the error lists the names there are.
func MetricNamed(name string) (Metric, error) {
	var names []string
	for _, m := range Metrics() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Metric{}, fmt.Errorf("there is no metric %q; there are %s", name, strings.Join(names, ", "))
}

// Has says whether the step has a value of the metric.
func (m Metric) Has(s *Step) bool {
	return len(s.Counts[m.Name]) > 0 || len(s.Readings[m.Name]) > 0
}

// sidecars are the readings of memory of the sidecars that were, or were never, dumped.
func sidecars(s *reports.Step, witness bool) []float64 {
	var values []float64
	for _, c := range s.Sidecars {
		if c.Witness == witness {
			values = append(values, float64(c.MemoryBytes))
		}
	}
	slices.Sort(values)
	return values
}

// positive is a reading, none where it is 0: not reported.
func positive(v float64) []float64 {
	if v <= 0 {
		return nil
	}
	return []float64{v}
}

func rows(of func(s *reports.Step) int) func(s *reports.Step) (int, bool) {
	return func(s *reports.Step) (int, bool) {
		if s.Rows == nil {
			return 0, false
		}
		return of(s), true
	}
}

func config(of func(s *reports.Step) int) func(s *reports.Step) (int, bool) {
	return func(s *reports.Step) (int, bool) {
		if s.ConfigObjects == nil {
			return 0, false
		}
		return of(s), true
	}
}

func objects(of func(s *reports.Step) int) func(s *reports.Step) (int, bool) {
	return func(s *reports.Step) (int, bool) {
		if s.Objects == nil {
			return 0, false
		}
		return of(s), true
	}
}
