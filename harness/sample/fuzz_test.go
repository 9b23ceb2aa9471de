package sample

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/meshbench/meshbench/observations"
)

// seed is a file of testdata.
func seed(f *testing.F, name string) string {
	f.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		f.Fatal(err)
	}
	return string(text)
}

// FuzzStats reads Envoy's /stats: every line of "name: value" is counted once, and a state is
// never read where no line has a number.
func FuzzStats(f *testing.F) {
	f.Add("listener_manager.total_listeners_active: 20\ncluster_manager.warming_clusters: 0\ncluster.x.update_rejected: 1\n")
	f.Add("a: P0(nan,0)\nb: text\n: 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		var names []string
		state, err := parseStats(strings.NewReader(text), func(name string) { names = append(names, name) })
		if err != nil {
			if state != (ProxyState{}) {
				t.Errorf("%+v beside %v", state, err)
			}
			return
		}
		var want []string
		for line := range strings.SplitSeq(text, "\n") {
			if name, _, ok := strings.Cut(line, ": "); ok {
				want = append(want, name)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("read %q, want %q", names, want)
		}
	})
}

// FuzzMetrics reads istiod's /metrics: what comes of it can be written to the log.
func FuzzMetrics(f *testing.F) {
	f.Add(seed(f, "istiod-metrics.txt"))
	f.Add("pilot_xds NaN\n")
	f.Add("process_resident_memory_bytes 1e300\n# TYPE pilot_debounce_time histogram\npilot_debounce_time_bucket{le=\"+Inf\"} 3\npilot_debounce_time_sum +Inf\n")
	f.Fuzz(func(t *testing.T, text string) {
		metrics, err := parseMetrics(strings.NewReader(text))
		if err != nil {
			if metrics != nil {
				t.Error("metrics beside an error")
			}
			return
		}
		record := istiodFrom(metrics)
		if _, err := json.Marshal(record); err != nil {
			t.Errorf("a record that cannot be written: %v", err)
		}
		for _, h := range []observations.Histogram{record.PushSeconds, record.ConvergenceSeconds, *record.QueueSeconds} {
			if !slices.IsSortedFunc(h.Buckets, func(a, b observations.Bucket) int {
				if a.UpTo < b.UpTo {
					return -1
				}
				return 1
			}) {
				t.Errorf("buckets %+v", h.Buckets)
			}
		}
		stateFrom(metrics)
	})
}

// FuzzResource reads a kubelet's /metrics/resource: each container once, in order, with values
// that can be.
func FuzzResource(f *testing.F) {
	f.Add("# TYPE container_memory_working_set_bytes gauge\ncontainer_memory_working_set_bytes{container=\"a\",namespace=\"n\",pod=\"p\"} 3.0408704e+07 1763964000000\ncontainer_cpu_usage_seconds_total{container=\"a\",namespace=\"n\",pod=\"p\"} 2\n")
	f.Add("container_memory_working_set_bytes{container=\"a\"} -1\n")
	f.Add("container_cpu_usage_seconds_total NaN\ncontainer_memory_working_set_bytes 1e300\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parseResource([]byte(text))
		if err != nil {
			return
		}
		for i, r := range found {
			if i > 0 && byContainer(found[i-1], r) >= 0 {
				t.Errorf("%v comes before %v", found[i-1].container, r.container)
			}
			if r.memoryBytes < 0 || !(r.cpuSeconds >= 0) || math.IsInf(r.cpuSeconds, 0) {
				t.Errorf("read %+v", r)
			}
		}
	})
}

// FuzzAnswers reads istiod's debug answers and Envoy's short ones: they are decoded or refused,
// and names are taken apart so that they can be put together again.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(seed(f, "istiod-1.23.2.syncz.json")))
	f.Add([]byte(`{"clients":[{"connectionId":"web-0.ns1-7","connectedAt":"2026-11-30T20:00:00Z"},{"connectionId":"x"}]}`))
	f.Add([]byte(`{"allocated":"5","heap_size":"7","pageheap_unmapped":"0","pageheap_free":"1","total_physical_bytes":"9"}`))
	f.Add([]byte(`{"version":"1/2/3","command_line_options":{"concurrency":2}}`))
	f.Add([]byte(`upstream connect error`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var entries []syncStatus
		var connections connectionsAnswer
		for _, into := range []any{&entries, &connections, &memoryAnswer{}, &infoAnswer{}} {
			if err := decodeAnswer(body, into); err != nil && (!errors.Is(err, errAnswer) || len(err.Error()) > 4*answerLength+200) {
				t.Errorf("error %v", err)
			}
		}
		for _, e := range entries {
			status := e.status()
			if name := status.Pod + "." + status.Namespace; name != e.Proxy && strings.Contains(e.Proxy, ".") {
				t.Errorf("%q was taken apart into %q and %q", e.Proxy, status.Pod, status.Namespace)
			}
			if !slices.IsSorted(status.Stale) || len(slices.Compact(slices.Clone(status.Stale))) != len(status.Stale) {
				t.Errorf("stale: %q", status.Stale)
			}
		}
		for _, c := range connections.of("istiod-0") {
			if !strings.HasPrefix(c.ID, "istiod-0/"+c.Pod+"."+c.Namespace+"-") {
				t.Errorf("the connection %q is of %q in %q", c.ID, c.Pod, c.Namespace)
			}
		}
	})
}

// FuzzRefusals reads istiod's log: what it says of refusals is of lines that say so.
func FuzzRefusals(f *testing.F) {
	f.Add("2026 warn delta ADS:LDS: ACK ERROR web-0.ns1-7 Internal:Error adding listener\nADS:CDS: ACK ERROR a.b-1 x: y \n")
	f.Fuzz(func(t *testing.T, log string) {
		for r, why := range refusalsIn(log) {
			if r.short != strings.ToLower(r.short) || r.proxy == "" || !strings.Contains(log, r.proxy) || !strings.Contains(log, why) {
				t.Errorf("%+v: %q", r, why)
			}
		}
	})
}

// FuzzSamples reads Prometheus' answer with samples: readings are of containers in it, each once,
// and what cannot be told is not.
func FuzzSamples(f *testing.F) {
	f.Add([]byte(`[{"metric":{"namespace":"n","pod":"p","container":"c","job":"a"},"values":[[1,"5"],[16,"6"]]}]`), []byte(`[{"metric":{"namespace":"n","pod":"p","container":"c","job":"a"},"values":[[1,"1"],[16,"2"]]}]`))
	f.Add([]byte(`[{"metric":{"container":"c","job":"a"},"values":[[1,"NaN"]]},{"metric":{"container":"c","job":"b"},"values":[[1,"+Inf"]]}]`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, memory, cpu []byte) {
		rows := func(text []byte) []row {
			var matrix model.Matrix
			if json.Unmarshal(text, &matrix) != nil {
				return nil
			}
			found, _ := rowsOf(matrix, func(container) bool { return true })
			return found
		}
		of := rows(memory)
		for who, every := range intervals(of) {
			if !slices.ContainsFunc(of, func(r row) bool { return r.scraper == who && len(r.samples) > 1 }) {
				t.Errorf("scraper %q has an interval of %s and no two samples", who, every)
			}
		}
		chosen, err := pick(of, func(row) bool { return true })
		if err != nil {
			if !errors.Is(err, errTwoValues) {
				t.Errorf("error %v", err)
			}
			return
		}
		found := withCPU(chosen, rows(cpu))
		if len(found) != len(chosen) {
			t.Errorf("%d readings of %d containers", len(found), len(chosen))
		}
		names := maps.Clone(chosen)
		for _, r := range found {
			if r.memoryBytes < 0 || r.cpuNano < 0 || r.window < 0 || math.IsNaN(r.cpuSeconds) || math.IsInf(r.cpuSeconds, 0) || r.window == 0 && r.cpuNano != 0 || r.measured.Year() < 0 && r.measured.After(time.Now()) {
				t.Errorf("read %+v", r)
			}
			delete(names, r.container)
		}
		if len(names) != 0 {
			t.Errorf("no readings of %v", names)
		}
	})
}
