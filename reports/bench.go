package reports

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// Bench prints the report in Go's benchmark format, for benchstat: each step is a
// benchmark, such as BenchmarkEksNginx/step=restart. Every sidecar that was never dumped
// is one result, so that benchstat has samples to compare; witnesses have a unit of their
// own. Counts are marked as exact. Growth with revisions is a benchmark for each workload.
//
// benchstat compares only results whose configuration lines are the same. Those that are
// written say what makes memory another quantity (cluster, way of reading) or a run a
// part of one; versions, which one compares, are comments. A step that was measured
// before the mesh was quiet has /unsettled in its name, so that it is never taken for one
// that was; steps without a measurement are left out.
func Bench(w io.Writer, r *Report) error {
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
	b.config("memory-source", env.Cluster.MemorySource)
	if !r.Finished {
		b.config("run", "incomplete")
	}
	name := camel(r.Scenario)
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Measured {
			b.name = name + "/step=" + blanks.ReplaceAllString(s.Name, "_")
			if !s.Settled {
				b.name += "/unsettled"
			}
			b.step(s)
		}
	}
	if r.Growth != nil {
		for _, w := range r.Growth.Workloads {
			if w.Slope != nil {
				b.name = name + "/growth=" + blanks.ReplaceAllString(strings.ReplaceAll(w.Name, "/", "."), "_")
				b.result(metric{w.Slope.BytesPerRevision, "B/revision", false})
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

// metric is a value with its unit; exact ones are the same whenever nothing changed.
type metric struct {
	value float64
	unit  string
	exact bool
}

// result writes one line.
func (b *bench) result(metrics ...metric) {
	if b.units == nil {
		b.units = map[string]bool{}
	}
	res := &benchfmt.Result{Config: b.conf, Name: benchfmt.Name(b.name), Iters: 1}
	for _, m := range metrics {
		if !b.units[m.unit] {
			b.units[m.unit] = true
			if m.exact {
				b.write(&benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: m.unit, Key: "assume"}, OrigUnit: m.unit, Value: "exact"})
			}
		}
		res.Values = append(res.Values, benchfmt.Value{Value: m.value, Unit: m.unit})
	}
	if len(metrics) > 0 {
		b.write(res)
	}
}

func (b *bench) write(rec benchfmt.Record) {
	if b.err == nil {
		b.err = b.w.Write(rec)
	}
}

func (b *bench) step(s *Step) {
	for _, c := range s.Sidecars {
		unit := "sidecar"
		if c.Witness {
			unit = "witness"
		}
		b.result(metric{float64(c.MemoryBytes), unit + "-B", false}, metric{float64(c.CPUNano) / 1e9, unit + "-cores", false})
	}
	var counts []metric
	for _, what := range objectCounts {
		if n, ok := s.count(what); ok {
			counts = append(counts, metric{float64(n), what, true})
		}
	}
	for _, what := range rowCounts {
		if n, ok := s.count(what); ok {
			counts = append(counts, metric{float64(n), what + "-rows", true})
		}
	}
	if s.ConfigObjects != nil {
		for _, k := range configKinds(*s.ConfigObjects) {
			counts = append(counts, metric{float64(k.count), "config-" + kebab(k.name), true})
		}
		// A dump holds times and versions: it is never twice the same.
		counts = append(counts, metric{float64(s.ConfigDumpBytes), "config-dump-B", false})
	}
	b.result(counts...)
	work := []metric{{s.Seconds, "step-sec", false}}
	if s.Settle != nil {
		work = append(work, metric{s.Settle.Seconds, "settle-sec", false})
	}
	if i := s.Istiod; i != nil {
		work = append(work, metric{float64(i.MemoryBytes), "istiod-B", false})
		if d := i.Since; d != nil {
			pushes := 0.0
			for _, kind := range slices.Sorted(maps.Keys(d.Pushes)) {
				pushes += d.Pushes[kind]
			}
			work = append(work, metric{d.CPUSeconds, "istiod-cpu-sec", false}, metric{pushes, "istiod-pushes", false},
				metric{d.MeanPushSeconds, "push-sec", false}, metric{d.MeanConvergenceSeconds, "convergence-sec", false})
		}
	}
	b.result(work...)
}

var (
	blanks  = regexp.MustCompile(`\s+`)
	words   = regexp.MustCompile(`[^\p{L}\p{N}]+`)
	capital = regexp.MustCompile(`[A-Z]`)
)

// oneLine keeps a value from ending its line.
func oneLine(text string) string { return strings.TrimSpace(blanks.ReplaceAllString(text, " ")) }

// camel is a scenario's name as the name of a benchmark: eks-nginx is EksNginx.
func camel(name string) string {
	var b strings.Builder
	for _, word := range words.Split(name, -1) {
		if word != "" {
			r := []rune(word)
			b.WriteString(strings.ToUpper(string(r[:1])) + string(r[1:]))
		}
	}
	return b.String()
}

// kebab is a name in JSON as a part of a unit: filterChains is filter-chains.
func kebab(name string) string {
	return strings.ToLower(capital.ReplaceAllString(name, "-$0"))
}
