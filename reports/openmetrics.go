package reports

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/meshbench/meshbench/reports/growth"
)

// OpenMetrics prints the report in the text format of OpenMetrics 1.0, every value with
// the run, the scenario and the step it is of: one gauge a family, no timestamps, so that
// a textfile collector or a push can take it. Units are bytes, seconds and cores; what was
// not read is left out.
func OpenMetrics(w io.Writer, r *Report) error {
	m := &metrics{run: []string{"run", r.Run, "scenario", r.Scenario}}
	env := r.Environment
	m.add("run_info", "", "What the run depends on.", 1,
		"cluster", r.Cluster, "kubernetes", env.Cluster.Kubernetes, "memory_source", env.Cluster.MemorySource,
		"istio", r.Istio, "envoy", r.Envoy, "xds", env.Mesh.XDS, "workers", fmt.Sprint(env.Mesh.Workers),
		"outcome", r.Outcome, "meshbench", env.Meshbench)
	m.add("run_finished", "", "1 when every step was measured and the log was closed.", one(r.Finished))
	m.add("run_duration", "seconds", "From the log's first record to its last.", r.Seconds)
	m.add("run_steps", "", "Steps that the scenario has.", float64(len(env.Steps)))
	for i := range r.Steps {
		m.step(&r.Steps[i])
		if r.Growth != nil {
			if n, ok := r.Growth.At(r.Steps[i].Name); ok {
				m.add("step_revisions", "", "Revisions of Knative Services.", float64(n), "step", r.Steps[i].Name, "number", fmt.Sprint(r.Steps[i].Number))
			}
		}
	}
	if r.Growth != nil {
		m.growth(r.Growth)
	}
	for _, family := range m.families {
		if _, err := expfmt.MetricFamilyToOpenMetrics(w, family, expfmt.WithUnit()); err != nil {
			return fmt.Errorf("writing %s: %w", family.GetName(), err)
		}
	}
	_, err := expfmt.FinalizeOpenMetrics(w)
	return err
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// metrics gathers values by family.
type metrics struct {
	run      []string // labels of every value, names and values in turn
	families []*dto.MetricFamily
}

// add adds a value to the family meshbench_name_unit.
func (m *metrics) add(name, unit, help string, value float64, labels ...string) {
	name = "meshbench_" + name
	if unit != "" {
		name += "_" + unit
	}
	i := slices.IndexFunc(m.families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	if i < 0 {
		i = len(m.families)
		f := &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum()}
		if unit != "" {
			f.Unit = &unit
		}
		m.families = append(m.families, f)
	}
	metric := &dto.Metric{Gauge: &dto.Gauge{Value: &value}}
	for pairs := range slices.Chunk(slices.Concat(m.run, labels), 2) {
		// A label without a value is the same as none.
		if text := strings.ToValidUTF8(pairs[1], "\uFFFD"); text != "" {
			metric.Label = append(metric.Label, &dto.LabelPair{Name: &pairs[0], Value: &text})
		}
	}
	m.families[i].Metric = append(m.families[i].Metric, metric)
}

// growth adds growth with revisions, which is of the whole run.
func (m *metrics) growth(g *growth.Growth) {
	slope := func(s *growth.Slope, labels ...string) {
		if s == nil {
			return
		}
		m.add("growth_per_revision", "bytes", "Slope of the working set over revisions; lo and hi are its interval of 95 %.", s.BytesPerRevision, append(labels, "bound", "fit")...)
		if s.Lo != nil {
			m.add("growth_per_revision", "bytes", "", *s.Lo, append(labels, "bound", "lo")...)
			m.add("growth_per_revision", "bytes", "", *s.Hi, append(labels, "bound", "hi")...)
		}
	}
	if p := g.Published; p != nil && p.GrowthMi > 0 {
		m.add("published_growth_per_revision", "bytes", "As published.", p.GrowthMi*mi/float64(g.PerRevisions))
	}
	for _, w := range g.Workloads {
		slope(w.Slope, "workload", w.Name)
		if w.LimitBytes > 0 {
			m.add("sidecar_limit", "bytes", "Memory limit of a workload's sidecars.", float64(w.LimitBytes), "workload", w.Name)
		}
		if c := w.Configuration; c != nil {
			for _, n := range c.Rows {
				m.add("growth_rows_per_revision", "", "Rows that a revision adds to what istioctl proxy-config prints.", n.PerRevision, "workload", w.Name, "kind", n.Kind)
			}
		}
		m.add("sidecar_kills", "", "Sidecars' containers that were killed for their memory.", float64(len(w.Kills())), "workload", w.Name)
		seen := map[string]bool{}
		for _, k := range w.Kills() {
			if seen[k.Pod] {
				continue // the first is the one that revisions brought
			}
			seen[k.Pod] = true
			m.add("kill_revisions", "", "Revisions between which a sidecar was first killed.", float64(k.After), "workload", w.Name, "pod", k.Pod, "bound", "after")
			m.add("kill_revisions", "", "", float64(k.Until), "workload", w.Name, "pod", k.Pod, "bound", "until")
			if k.LastBytes > 0 {
				m.add("kill_last_sample", "bytes", "The last sample before a sidecar was first killed.", float64(k.LastBytes), "workload", w.Name, "pod", k.Pod)
			}
		}
	}
	for _, p := range g.Programs {
		slope(p.Memory, "program", p.Name)
	}
}

func (m *metrics) step(s *Step) {
	add := func(name, unit, help string, value float64, labels ...string) {
		m.add(name, unit, help, value, append([]string{"step", s.Name, "number", fmt.Sprint(s.Number)}, labels...)...)
	}
	add("step_measured", "", "1 when the step's measurement was completed.", one(s.Measured))
	add("step_settled", "", "1 when the mesh was quiet before the step was measured.", one(s.Settled))
	add("step_duration", "seconds", "Of the whole step.", s.Seconds)
	if s.Settle != nil {
		add("step_settle", "seconds", "The wait for a quiet mesh.", s.Settle.Seconds)
	}
	for _, what := range objectCounts {
		if n, ok := s.count(what); ok {
			add("cluster_objects", "", "What the cluster holds, in all namespaces.", float64(n), "kind", what)
		}
	}
	if o := s.Objects; o != nil {
		add("sidecars", "", "Pods with a sidecar.", float64(o.RealSidecars), "real", "true")
		add("sidecars", "", "", float64(o.Sidecars-o.RealSidecars), "real", "false")
	}
	for _, what := range rowCounts {
		if n, ok := s.count(what); ok {
			add("config_rows", "", "Rows that istioctl proxy-config prints of the witness, without the header line.", float64(n), "kind", what)
		}
	}
	if s.ConfigObjects != nil {
		for _, k := range configKinds(*s.ConfigObjects) {
			add("config_objects", "", "Objects in the witness's configuration.", float64(k.count), "kind", k.name)
		}
		add("config_dump", "bytes", "Size of the witness's configuration dump.", float64(s.ConfigDumpBytes), "pod", s.Witness)
	}
	for _, c := range s.Sidecars {
		pod := []string{"pod", c.Pod, "workload", c.Workload, "node", c.Node, "witness", fmt.Sprint(c.Witness)}
		add("sidecar_memory", "bytes", "Working set of a real sidecar; a witness was dumped before.", float64(c.MemoryBytes), pod...)
		add("sidecar_cpu", "cores", "CPU of a real sidecar.", float64(c.CPUNano)/1e9, pod...)
	}
	if s.EnvoyAllocated.Samples > 0 {
		add("envoy_allocated", "bytes", "Median of what the Envoys of sidecars never dumped have allocated.", float64(s.EnvoyAllocated.MedianBytes))
	}
	if s.AgentHeld.Samples > 0 {
		add("agent_held", "bytes", "Median of the heap and stacks that the pilot-agents of witnesses hold.", float64(s.AgentHeld.MedianBytes))
	}
	if i := s.Istiod; i != nil {
		add("istiod_memory", "bytes", "istiod's working set at the step's end.", float64(i.MemoryBytes))
		add("istiod_resident", "bytes", "istiod's resident memory at the step's end.", float64(i.ResidentBytes))
		add("istiod_proxies", "", "Proxies connected to istiod.", float64(i.Proxies))
		if d := i.Since; d != nil {
			add("istiod_cpu", "seconds", "istiod's CPU in the step.", d.CPUSeconds)
			for _, kind := range slices.Sorted(maps.Keys(d.Pushes)) {
				add("istiod_pushes", "", "Pushes in the step.", d.Pushes[kind], "type", kind)
			}
			add("istiod_push", "seconds", "Mean time of a push in the step.", d.MeanPushSeconds)
			add("istiod_convergence", "seconds", "Mean time from a change to its arrival at a proxy, in the step.", d.MeanConvergenceSeconds)
		}
	}
	for _, e := range s.Expectations {
		if e.Got != nil {
			add("change", "", "Change of a count against the first step.", float64(*e.Got), "what", e.What)
		}
		add("change_expected", "", "Change that was expected.", float64(e.Want), "what", e.What)
		add("expectation_ok", "", "1 when the change is the expected one.", one(e.OK), "what", e.What)
	}
	for _, f := range s.Published {
		if f.Got != nil {
			add("published_match", "", "1 when a count is as published, or memory within the tolerance.", one(f.Match), "what", f.What)
		}
	}
}
