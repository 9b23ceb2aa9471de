package formats

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestGatewaysApart holds gateways out of every figure of sidecars.
func TestGatewaysApart(t *testing.T) {
	without, with := build(t, reportstest.Log()), build(t, reportstest.Gateways())
	for i := range with.Steps {
		was, is := without.Steps[i], with.Steps[i]
		for what, pair := range map[string][2]any{
			"memory": {was.Memory, is.Memory}, "witnesses": {was.WitnessMemory, is.WitnessMemory}, "CPU": {was.CPU, is.CPU},
			"workloads": {was.Workloads, is.Workloads}, "Envoy's memory": {was.EnvoyAllocated, is.EnvoyAllocated}, "pilot-agent's": {was.AgentHeld, is.AgentHeld},
			"rows": {was.Rows, is.Rows}, "readings": {was.Sidecars, is.Sidecars}, "witness": {was.Witness, is.Witness},
		} {
			if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
				t.Errorf("step %s: %s is another with gateways (-without +with):\n%s", is.Name, what, diff)
			}
		}
		for _, m := range metrics.Table() {
			if strings.HasPrefix(m.Name, "gateway") || strings.HasPrefix(m.Name, "real_gateway") || strings.HasPrefix(m.Name, "waypoint") || m.Name == "ended_pods" {
				if _, ok := was.Metrics[m.Name]; ok {
					t.Errorf("step %s: %s of a run without any", was.Name, m.Name)
				}
				continue
			}
			if diff := cmp.Diff(was.Metrics[m.Name], is.Metrics[m.Name]); diff != "" {
				t.Errorf("step %s: %s is another with gateways:\n%s", is.Name, m.Name, diff)
			}
		}
	}
	third := with.Steps[2]
	if len(third.Others) != 2 || third.Others[0].Kind != "gateway" || third.Others[0].Memory.MedianBytes != 500<<20 || third.Others[0].Memory.Samples != 1 ||
		third.Others[0].WitnessMemory.MedianBytes != 520<<20 || third.Others[1].Kind != "waypoint" || third.Others[1].Memory.MedianBytes != 540<<20 {
		t.Errorf("others at the third step: %+v", third.Others)
	}
	if got := with.Steps[1].Metrics["gateway_memory_bytes"].Value; got != 510<<20 {
		t.Errorf("median of the gateways at the second step: %g", got)
	}
	if got := with.Steps[1].Metrics["gateways"].Value; got != 3 {
		t.Errorf("gateways: %g", got)
	}
}

// TestGatewaysShown finds them in every format, and in none of a run without any.
func TestGatewaysShown(t *testing.T) {
	without, with := build(t, reportstest.Log()), build(t, reportstest.Gateways())
	for format, want := range map[string][]string{
		"text":        {"gateway: 2", "510.0", "500.0-520.0", "Real gateways at the last step: 2 of 3", "Pods that had ended (completed, failed or evicted) at the last step: 4"},
		"markdown":    {"↳ gateway: 2", "## Gateways and other proxies", "| hundred-pods | gateway | ns1/gw | 2 | 510.0 | 500.0 | 520.0 | 5000.0 |", "gateways"},
		"html":        {"gateway: 2", "Gateways and other proxies", "ns1/gw-0 (gateway)"},
		"csv":         {"gateway_memory_bytes,,534773760,bytes", "gateway_memory_bytes,ns1/gw,", "gateways,,3,", "ended_pods,,4,"},
		"openmetrics": {`meshbench_gateway_memory_bytes{`, `pod="ns1/gw-0",workload="ns1/gw"`, "meshbench_real_gateways{"},
		"bench":       {"gateway_memory_bytes", "gateway_cpu_seconds"},
		"json":        {`"kind": "gateway"`, `"gateway_memory_bytes"`, `"otherProxies"`},
	} {
		print := func(r *reports.Report) string {
			if format == "text" {
				return console(t, r)
			}
			return printed(t, r, format)
		}
		text, none := print(with), print(without)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not have %q", format, w)
			}
		}
		if i := strings.Index(none, "gateway"); i >= 0 {
			t.Errorf("%s of a run without gateways: …%.80s…", format, none[max(0, i-20):])
		}
	}
}

// TestKeptAlive tells of Jobs that do not complete, once for all of them.
func TestKeptAlive(t *testing.T) {
	var records []observations.Record
	for _, r := range reportstest.Log() {
		records = append(records, r)
		if r.Begin != nil && *r.Step == 1 {
			for _, pod := range []string{"ns1/once-a", "ns1/once-b"} {
				records = append(records, observations.Record{Time: r.Time, Step: r.Step, Event: &observations.Event{Level: observations.Info, Kind: observations.KeptAlive, Object: pod}})
			}
		}
	}
	text := strings.Join(strings.Fields(console(t, build(t, records))), " ")
	if want := "hundred-pods: The application containers of ns1/once-a (and 1 more) have ended, but its sidecar"; !strings.Contains(text, want) {
		t.Errorf("the report does not have %q:\n%s", want, text)
	}
}

// TestDisturbed tells of a CronJob that fired while a step was measured.
func TestDisturbed(t *testing.T) {
	records := reportstest.Log()
	for _, r := range records {
		if r.Measure != nil && *r.Step == 1 {
			r.Measure.Disturbed = []string{"CronJob ns1/tick fired at 10:00:00"}
		}
	}
	r := build(t, records)
	if diff := cmp.Diff([]string{"hundred-pods"}, r.Unsettled()); diff != "" {
		t.Errorf("unsettled (-want +got):\n%s", diff)
	}
	text := console(t, r)
	for _, want := range []string{"NO 12 s", "CronJob ns1/tick fired at", "UNSETTLED"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not have %q:\n%s", want, text)
		}
	}
	if f := r.Steps[1].Metrics["step_settled"]; f.Value != 0 {
		t.Error("step_settled is 1")
	}
}

func console(t testing.TB, r *reports.Report) string {
	t.Helper()
	var b strings.Builder
	if err := Console(&b, r, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
