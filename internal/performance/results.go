package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"gonum.org/v1/gonum/stat"
)

// results are the figures of benchmarks, by name and unit; of several the median counts.
type results map[string]map[string][]float64

// cores is the number that go test puts after a benchmark's name.
var cores = regexp.MustCompile(`-\d+$`)

// read takes in the benchmark format. Lines between the results are what the benchmarks'
// programs said.
func read(in io.Reader, name string) (results, error) {
	r := results{}
	reader := benchfmt.NewReader(in, name)
	for reader.Scan() {
		one, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		of := cores.ReplaceAllString(string(one.Name.Full()), "")
		if r[of] == nil {
			r[of] = map[string][]float64{}
		}
		for _, v := range one.Values {
			// benchfmt has seconds and bytes where go test prints ns and MB.
			r[of][v.Unit] = append(r[of][v.Unit], v.Value)
		}
	}
	if err := reader.Err(); err != nil {
		return nil, fmt.Errorf("read the results: %w", err)
	}
	return r, nil
}

// errNotMeasured is of a benchmark that was not run.
var errNotMeasured = errors.New("not measured")

// figures gives figures of one benchmark by unit; the first that is missing is kept.
type figures struct {
	of  map[string][]float64
	err error
}

func (r results) of(name string) *figures { return &figures{of: r[name]} }

func (f *figures) get(unit string) float64 {
	values := slices.Sorted(slices.Values(f.of[unit]))
	if len(values) == 0 {
		f.err = errNotMeasured
		return 0
	}
	return stat.Quantile(0.5, stat.Empirical, values, nil)
}

// row is a line of the table.
type row struct{ what, ratio, goal, figures string }

// rows are those of the benchmarks that were run, in the table's order.
func (r results) rows() []row {
	var all []row
	add := func(f *figures, one row) {
		if f.err == nil {
			all = append(all, one)
		}
	}
	c := r.of("Counts")
	add(c, row{"all four counts of 100 proxies, against istioctl four times a hundred", fmt.Sprintf("%.0f x", c.get("x")), "50 x",
		fmt.Sprintf("%.2f s (%.2f s CPU, and %.2f s of the proxies to answer); istioctl %.1f s (%.1f s CPU, %.0f x), measured with %.0f proxies and scaled to 100",
			c.get("meshbench-s"), c.get("meshbench-cpu-s"), c.get("proxies-cpu-s"), c.get("istioctl-s"), c.get("istioctl-cpu-s"), c.get("x-cpu"), c.get("istioctl-proxies"))})
	for _, size := range []string{"2MB", "30MB", "100MB"} {
		ours, theirs := r.of("Dump/size="+size+"/by=meshbench"), r.of("Dump/size="+size+"/by=encoding-json")
		fast, slow := ours.get("B/s"), theirs.get("B/s")
		held, heldBy := ours.get("peak-held-B"), theirs.get("peak-held-B")
		if theirs.err != nil {
			ours.err = theirs.err
		}
		add(ours, row{"counting a dump of " + strings.Replace(size, "MB", " MB", 1) + ", against encoding/json", fmt.Sprintf("%.1f x", fast/slow), "",
			fmt.Sprintf("%.0f MB/s, %.2f MB held; encoding/json %.0f MB/s, %.1f MB held", fast/1e6, held/1e6, slow/1e6, heldBy/1e6)})
	}
	s := r.of("Step")
	add(s, row{"a step of 100 pods, wall time against its programs' CPU time spread over the cores", fmt.Sprintf("%.2f x", s.get("x-limit")), "at most 2 x",
		fmt.Sprintf("%.1f s; %.1f s CPU (sidecars %.1f, control plane %.1f, istiod %.1f, meshbench and its nodes %.1f)",
			s.get("s"), s.get("cpu-s"), s.get("sidecars-cpu-s"), s.get("control-plane-cpu-s"), s.get("istiod-cpu-s"), s.get("harness-cpu-s"))})
	p := r.of("SimulatedPods")
	add(p, row{"cost of a simulated pod as a cluster grows, fitted order of growth (1 is linear)", fmt.Sprintf("%.2f", p.get("order")), "at most 1",
		fmt.Sprintf("%.0f pods: %.1f ms CPU each (control plane %.1f, meshbench and its nodes %.1f, istiod %.1f); of the first size %.1f ms, of the last %.1f ms; %.0f s in all",
			p.get("pods"), p.get("cpu-ms/pod"), p.get("control-plane-cpu-ms/pod"), p.get("harness-cpu-ms/pod"), p.get("istiod-cpu-ms/pod"), p.get("first-cpu-ms/pod"), p.get("last-cpu-ms/pod"), p.get("s"))})
	for _, command := range []string{"report", "gate"} {
		h := r.of("HundredRuns/" + command)
		add(h, row{fmt.Sprintf("meshbench %s of %.0f runs", command, h.get("runs")), "", "",
			fmt.Sprintf("%.1f s (%.1f s CPU), logs of %.1f MB", h.get("s"), h.get("cpu-s"), h.get("log-B")/1e6)})
	}
	for _, one := range []struct{ scenario, goal string }{{"headless", "60 s"}, {"eks-nginx", "180 s"}} {
		f := r.of("Run/" + one.scenario)
		add(f, row{"a run of " + one.scenario, "", "at most " + one.goal, fmt.Sprintf("%.0f s", f.get("s/run"))})
	}
	return all
}
