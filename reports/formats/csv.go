package formats

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/words"
)

// CSV prints one row for each step and metric, in the order of the table of metrics, and
// after them what its sections found, which may be of no step. Counts are rows, without
// istioctl's header line; where lines were published, the published columns are one less
// too. Metrics that were not read have no row. Of a metric with a reading for each pod the
// row is the median; NAME.min, NAME.max and NAME.samples follow it. subject is the
// workload, the type or the thing that a value is of, where it is not of the whole step. Names that
// a spreadsheet would take for a formula have an apostrophe before them.
func CSV(w io.Writer, r *reports.Report) error {
	out := &csvTable{Writer: csv.NewWriter(w), run: []string{plain.Cell(r.Run), plain.Cell(r.Scenario)}}
	out.Write([]string{"run", "scenario", "step", "name", "metric", "subject", "value", "unit", "published", "published_high", "match"})
	table := metrics.In(metrics.CSV)
	out.samples(table, r.Samples())
	for i := range r.Steps {
		s := &r.Steps[i]
		for _, m := range table {
			if f, ok := s.Metrics[m.Name]; ok {
				out.figure(s, m, f)
			}
		}
		out.samples(table, s.Samples())
	}
	for _, s := range r.Sections {
		out.samples(table, s.Samples)
	}
	out.Flush()
	return out.Error()
}

// csvTable prints rows; the writer keeps the first error.
type csvTable struct {
	*csv.Writer
	run []string // the first two columns
}

// row prints a value with what was published of it: its columns published, published_high
// and match, or none.
func (t *csvTable) row(number int, step, metric, subject string, value float64, unit metrics.Unit, published ...string) {
	at := ""
	if number > 0 {
		at = strconv.Itoa(number)
	}
	line := slices.Concat(t.run, []string{at, plain.Cell(step), metric, plain.Cell(subject), words.Number(value), string(unit)}, published)
	for len(line) < 11 {
		line = append(line, "")
	}
	t.Write(line)
}

// figure prints what a metric was at a step.
func (t *csvTable) figure(s *reports.Step, m metrics.Metric, f metrics.Figure) {
	summary := func(subject string, values []metrics.Value, published ...string) {
		median, low, high := m.Summary(values)
		t.row(s.Number, s.Name, m.Name, subject, median, m.Unit, published...)
		t.row(s.Number, s.Name, m.Name+".min", subject, low, m.Unit)
		t.row(s.Number, s.Name, m.Name+".max", subject, high, m.Unit)
		t.row(s.Number, s.Name, m.Name+".samples", subject, float64(len(values)), metrics.Count)
	}
	switch m.Of {
	case metrics.OfPod:
		summary("", f.Values, publishedColumns(s, m)...)
		if m.ByWorkload {
			for _, w := range f.Workloads() {
				summary(w, f.Workload(w))
			}
		}
	case metrics.OfType:
		for _, v := range f.Values {
			t.row(s.Number, s.Name, m.Name, v.Of, v.Value, m.Unit)
		}
	default:
		t.row(s.Number, s.Name, m.Name, "", f.Value, m.Unit, publishedColumns(s, m)...)
	}
}

// samples prints values that the report hands over. subject is the first of their labels.
func (t *csvTable) samples(table []metrics.Metric, samples []metrics.Sample) {
	for _, s := range samples {
		i := slices.IndexFunc(table, func(m metrics.Metric) bool { return m.Name == s.Metric })
		if i < 0 {
			continue
		}
		name, subject := s.Metric, ""
		if s.Bound != "" {
			name += "." + s.Bound
		}
		if len(s.Labels) > 0 {
			subject = s.Labels[1]
		}
		var published []string
		if s.Published > 0 {
			published = []string{words.Number(s.Published)}
		}
		t.row(s.Number, s.Step, name, subject, s.Value, table[i].Unit, published...)
	}
}

// publishedColumns are what was published of a metric at the step, in the metric's unit;
// none where nothing was.
func publishedColumns(s *reports.Step, m metrics.Metric) []string {
	f, ok := s.PublishedOf(m.Word)
	if !ok {
		return nil
	}
	scale, less := 1.0, 0.0
	switch f.Unit {
	case reports.UnitMi:
		scale = words.Mi
	case reports.UnitLines:
		less = 1
	}
	columns := []string{words.Number(f.Published*scale - less), "", strconv.FormatBool(f.Match)}
	if f.PublishedHigh != 0 {
		columns[1] = words.Number(f.PublishedHigh * scale)
	}
	return columns
}
