package formats

import (
	"fmt"
	"io"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/metrics"
)

// OpenMetrics prints the report in the text format of OpenMetrics 1.0, every value with
// the run, the scenario and the step it is of: one gauge a family, in the order of the
// table of metrics and without timestamps, so that a textfile collector or a push can take
// it. A family's name is the metric's after meshbench_. What was not read is left out.
func OpenMetrics(w io.Writer, r *reports.Report) error {
	e := &exposition{run: []string{"run", r.Run, "scenario", r.Scenario}, table: metrics.In(metrics.OpenMetrics)}
	env := r.Environment
	e.samples([]metrics.Sample{{Metric: "run_info", Value: 1, Labels: []string{
		"cluster", r.Cluster, "kubernetes", env.Cluster.Kubernetes, "memory_source", env.WayOfReading(),
		"istio", r.Istio, "envoy", r.Envoy, "xds", env.Mesh.XDS, "workers", fmt.Sprint(env.Mesh.Workers),
		"outcome", r.Outcome, "meshbench", env.Meshbench,
	}}})
	e.samples(r.Samples())
	for i := range r.Steps {
		s := &r.Steps[i]
		for _, m := range e.table {
			if f, ok := s.Metrics[m.Name]; ok {
				e.figure(s, m, f)
			}
		}
		e.samples(s.Samples())
	}
	for _, s := range r.Sections {
		e.samples(s.Samples)
	}
	for _, family := range e.families {
		if _, err := expfmt.MetricFamilyToOpenMetrics(w, family); err != nil {
			return fmt.Errorf("write %s: %w", family.GetName(), err)
		}
	}
	_, err := expfmt.FinalizeOpenMetrics(w)
	return err
}

// exposition gathers values by family.
type exposition struct {
	run      []string // labels of every value, names and values in turn
	table    []metrics.Metric
	families []*dto.MetricFamily
}

// figure adds what a metric was at a step: every reading of a metric that is read of every
// sidecar, the median of another that is read of pods.
func (e *exposition) figure(s *reports.Step, m metrics.Metric, f metrics.Figure) {
	step := stepLabels(s.Name, s.Number)
	switch {
	case m.Of == metrics.OfPod && m.Repeated:
		for _, v := range f.Values {
			e.add(m, v.Value, append(step, "pod", v.Of, "workload", v.Workload, "node", v.Node)...)
		}
	case m.Of == metrics.OfType:
		for _, v := range f.Values {
			e.add(m, v.Value, append(step, "type", v.Of)...)
		}
	default:
		e.add(m, f.Value, step...)
	}
}

// samples adds values that the report hands over.
func (e *exposition) samples(samples []metrics.Sample) {
	bounded := map[string]bool{} // metrics of which some value is a bound
	for _, s := range samples {
		bounded[s.Metric] = bounded[s.Metric] || s.Bound == "lo"
	}
	for _, s := range samples {
		i := slices.IndexFunc(e.table, func(m metrics.Metric) bool { return m.Name == s.Metric })
		if i < 0 {
			continue
		}
		labels := slices.Concat(stepLabels(s.Step, s.Number), s.Labels)
		switch {
		case s.Bound != "":
			labels = append(labels, "bound", s.Bound)
		case bounded[s.Metric]:
			labels = append(labels, "bound", "fit")
		}
		e.add(e.table[i], s.Value, labels...)
	}
}

// stepLabels say which step a value is of; none for the whole run.
func stepLabels(name string, number int) []string {
	if number == 0 {
		return nil
	}
	return []string{"step", name, "number", fmt.Sprint(number)}
}

// add adds a value to the metric's family. Of values with the same labels the first is
// kept: of the kills of one sidecar it is the one that revisions brought.
func (e *exposition) add(m metrics.Metric, value float64, labels ...string) {
	name := "meshbench_" + m.Name
	i := slices.IndexFunc(e.families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	if i < 0 {
		i = len(e.families)
		f := &dto.MetricFamily{Name: &name, Help: &m.Help, Type: dto.MetricType_GAUGE.Enum()}
		if unit := string(m.Unit); unit != "" {
			f.Unit = &unit
		}
		e.families = append(e.families, f)
	}
	metric := &dto.Metric{Gauge: &dto.Gauge{Value: &value}}
	for pairs := range slices.Chunk(slices.Concat(e.run, labels), 2) {
		// A label without a value is the same as none.
		if text := strings.ToValidUTF8(pairs[1], "\uFFFD"); text != "" {
			metric.Label = append(metric.Label, &dto.LabelPair{Name: &pairs[0], Value: &text})
		}
	}
	family := e.families[i]
	if m.Read == nil && slices.ContainsFunc(family.Metric, func(other *dto.Metric) bool { return sameLabels(other, metric) }) {
		return
	}
	family.Metric = append(family.Metric, metric)
}

func sameLabels(a, b *dto.Metric) bool {
	return slices.EqualFunc(a.Label, b.Label, func(a, b *dto.LabelPair) bool {
		return a.GetName() == b.GetName() && a.GetValue() == b.GetValue()
	})
}
