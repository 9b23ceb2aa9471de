package formats

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/metrics"
)

// Bench prints the report in Go's benchmark format, for benchstat: each step is a
// benchmark, such as BenchmarkEksNginx/step=restart. Every sidecar that was never dumped
// is one result, so that benchstat has samples to compare; witnesses have a unit of their
// own. Counts are marked as exact. A section has a benchmark for each thing that its metrics
// are of, such as BenchmarkKnativeRevisions/growth=measure.pod.
//
// benchstat compares only results whose configuration lines are the same. Those that are
// written say what makes memory another quantity (cluster, way of reading) or a run a
// part of one; versions, which one compares, are comments. A step that was measured
// before the mesh was quiet has /unsettled in its name, so that it is never taken for one
// that was; what was measured after an interruption, but for counts, has /resumed. Steps without
// a measurement are left out.
func Bench(w io.Writer, r *reports.Report) error {
	b := &bench{w: benchfmt.NewWriter(w)}
	env := r.Environment
	for _, c := range [][2]string{{"run", r.Run}, {"istio", r.Istio}, {"envoy", r.Envoy}, {"kubernetes", env.Cluster.Kubernetes}, {"meshbench", env.Meshbench}} {
		if _, err := fmt.Fprintf(w, "# %s %s\n", c[0], oneLine(c[1])); err != nil {
			return err
		}
	}
	goos, goarch, _ := strings.Cut(env.Host.OS, "/")
	b.config("goos", goos)
	b.config("goarch", goarch)
	b.config("pkg", "meshbench/"+r.Scenario)
	b.config("cluster", r.Cluster)
	b.config("memory-source", env.WayOfReading())
	if !r.Finished {
		b.config("run", "incomplete")
	}
	name, table := camel(r.Scenario), metrics.In(metrics.Bench)
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Measured {
			b.name = name + "/step=" + blanks.ReplaceAllString(s.Name, "_")
			if !s.Settled {
				b.name += "/unsettled"
			}
			b.step(table, s)
		}
	}
	for _, section := range r.Sections {
		for _, s := range section.Samples {
			i := slices.IndexFunc(table, func(m metrics.Metric) bool { return m.Name == s.Metric })
			if i >= 0 && s.Bound == "" && len(s.Labels) > 1 {
				b.name = name + "/" + section.Name + "=" + blanks.ReplaceAllString(strings.ReplaceAll(s.Labels[1], "/", "."), "_")
				b.result(benchValue{table[i], s.Value})
			}
		}
	}
	return b.err
}

// bench writes results; err is the first that failed.
type bench struct {
	w     *benchfmt.Writer
	conf  []benchfmt.Config
	name  string
	units map[string]bool // whose metadata was written
	err   error
}

func (b *bench) config(key, value string) {
	if value = oneLine(value); value != "" {
		b.conf = append(b.conf, benchfmt.Config{Key: key, Value: []byte(value), File: true})
	}
}

// benchValue is a metric's value. Its unit in a benchmark is the metric's name.
type benchValue struct {
	metrics.Metric
	value float64
}

// result writes one line.
func (b *bench) result(values ...benchValue) {
	if b.units == nil {
		b.units = map[string]bool{}
	}
	res := &benchfmt.Result{Config: b.conf, Name: benchfmt.Name(b.name), Iters: 1}
	for _, v := range values {
		if !b.units[v.Name] {
			b.units[v.Name] = true
			if v.Exact {
				b.write(&benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: v.Name, Key: "assume"}, OrigUnit: v.Name, Value: "exact"})
			}
		}
		res.Values = append(res.Values, benchfmt.Value{Value: v.value, Unit: v.Name})
	}
	if len(values) > 0 {
		b.write(res)
	}
}

func (b *bench) write(rec benchfmt.Record) {
	if b.err == nil {
		b.err = b.w.Write(rec)
	}
}

// step writes a line for each proxy, one with the counts, which are exact, and one with
// what was read once.
func (b *bench) step(table []metrics.Metric, s *reports.Step) {
	exact := b.name
	if s.Resumed {
		b.name += "/resumed"
	}
	read := slices.Clone(s.Sidecars)
	for _, o := range s.Others {
		read = append(read, o.Proxies...)
	}
	for _, c := range read {
		var own []benchValue
		for _, m := range table {
			for _, v := range s.Metrics[m.Name].Values {
				if m.Repeated && v.Of == c.Pod && v.Witness == c.Witness {
					own = append(own, benchValue{m, v.Value})
				}
			}
		}
		b.result(own...)
	}
	var counts, others []benchValue
	for _, m := range table {
		f, ok := s.Metrics[m.Name]
		switch {
		case !ok || m.Repeated:
		case m.Exact:
			counts = append(counts, benchValue{m, f.Value})
		default:
			others = append(others, benchValue{m, f.Value})
		}
	}
	noisy := b.name
	b.name = exact
	b.result(counts...)
	b.name = noisy
	b.result(others...)
}

var (
	blanks     = regexp.MustCompile(`\s+`)
	separators = regexp.MustCompile(`[^\p{L}\p{N}]+`)
)

// oneLine keeps a value from ending its line.
func oneLine(text string) string { return strings.TrimSpace(blanks.ReplaceAllString(text, " ")) }

// camel is a scenario's name as the name of a benchmark: eks-nginx is EksNginx.
func camel(name string) string {
	var b strings.Builder
	for _, word := range separators.Split(name, -1) {
		if word != "" {
			r := []rune(word)
			b.WriteString(strings.ToUpper(string(r[:1])) + string(r[1:]))
		}
	}
	return b.String()
}
