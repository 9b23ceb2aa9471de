package formats

import (
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
)

// trafficLog is of a run that sent requests.
func trafficLog(t *testing.T) []observations.Record {
	t.Helper()
	records, _, err := observations.ReadFile("../traffic/testdata/traffic-memory.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestTraffic prints a run that sent requests in every format.
func TestTraffic(t *testing.T) {
	records := trafficLog(t)
	r := build(t, records)
	for format, wants := range map[string][]string{
		"markdown":    {"## Requests a second, and latencies", "| low-one | client/fortio | both | 100 | 1 |", "Memory does not follow configuration only", "## Latency with and without the source's sidecar", "| published | - | - | 1 | 1000 | 0.20 | 0.20 |"},
		"html":        {"Memory by load, against rest", "memory-by-load"},
		"csv":         {"traffic_requests_per_second,client.fortio-100qps-1c,"},
		"junit":       {"100 requests a second over 1 connection from client/fortio to echo.server:8080/: 100 % answered with 200"},
		"openmetrics": {"traffic_latency_tail_seconds{", `load="client.fortio-1000qps-64c"`},
		"bench":       {"/traffic=client.fortio-1000qps-64c"},
		"json":        {`"memoryFollowsConfigurationOnly": false`},
	} {
		text := printed(t, r, format)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %s", format, want)
			}
		}
	}
	// An answer that was not what was expected is missed.
	for i := range records {
		if l := records[i].Traffic; l != nil {
			l.Statuses = map[string]int64{"200": l.Requests - 1, "503": 1}
			break
		}
	}
	missed := build(t, records).Missed()
	const want = "low-one: of the requests from client/fortio to echo.server:8080/, 100 % should be answered with 200, got 99.9 % (999 of 1000)"
	if !slices.ContainsFunc(missed, func(m reports.Miss) bool { return m.String() == want }) {
		t.Errorf("missed %v, want %s", missed, want)
	}
}
