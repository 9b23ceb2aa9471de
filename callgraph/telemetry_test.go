package callgraph

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
)

// TestRecordedTelemetry reads series that were recorded of real Istio meshes by others, as the
// proxies and as Prometheus tell them.
func TestRecordedTelemetry(t *testing.T) {
	for _, name := range []string{"recorded.prom", "recorded.json"} {
		file, err := os.Open("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		g, err := Telemetry(name, file, Names{})
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, g)
		calls, unknown := short(g)
		if diff := cmp.Diff([]string{
			"default/productpage-v1 -> default/details 36 requests",
			"default/productpage-v1 -> default/reviews 1 request",
			"default/sleep -> default/httpbin 1 request, 1 connection",
			"home/http-server -> dl-cdn.alpinelinux.org 12 requests bypassed",
			"home/http-server -> home/http-server 1 request",
			"home/http-server -> prometheus/prometheus-server 12 requests",
		}, calls); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{
			"caller: unknown calls default/my-nginx (9 requests)",
			"caller: unknown calls home/http-server (815 requests)",
		}, unknown); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"default", "home"}, g.Seen); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestSeries is about labels that the recorded series have no example of.
func TestSeries(t *testing.T) {
	sample := func(v float64, labels ...string) *model.Sample {
		m := model.Metric{model.MetricNameLabel: RequestsMetric}
		for i := 0; i < len(labels); i += 2 {
			m[model.LabelName(labels[i])] = model.LabelValue(labels[i+1])
		}
		return &model.Sample{Metric: m, Value: model.SampleValue(v)}
	}
	calls, unknown := short(Series(RequestsMetric, "x", model.Vector{
		// The peer's certificate tells the namespace that its metadata do not.
		sample(2, "reporter", "destination", "source_workload_namespace", "unknown", "source_principal", "spiffe://mesh/ns/shop/sa/cart", "destination_service", "api.payments.svc.cluster.local"),
		// Both sides count the same requests.
		sample(5, "reporter", "source", "source_workload_namespace", "a", "destination_service", "b.c.svc.cluster.local"),
		sample(4, "reporter", "destination", "source_workload_namespace", "a", "destination_service", "b.c.svc.cluster.local"),
		// A pod that is called by its own address.
		sample(1, "reporter", "destination", "source_workload_namespace", "a", "destination_service", "172.17.0.12:15000", "destination_service_name", "InboundPassthroughClusterIpv4", "destination_workload_namespace", "d"),
		sample(3, "reporter", "source", "source_workload_namespace", "a", "destination_service", "unknown"),
		sample(7, "reporter", "source", "source_workload_namespace", "a", "destination_service", "x.e.svc.cluster.local", "destination_service_name", "BlackHoleCluster"),
		sample(0, "reporter", "source", "source_workload_namespace", "a", "destination_service", "never.f.svc.cluster.local"),
	}, Names{}))
	if diff := cmp.Diff([]string{"a -> c/b 5 requests", "a -> d/* 1 request", "a -> e/x 7 requests blocked", "shop -> payments/api 2 requests"}, calls); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"callee: a calls unknown (3 requests)"}, unknown); diff != "" {
		t.Error(diff)
	}
}

func TestTelemetryErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "cannot find istio_requests_total",
		"envoy_cluster_upstream_cx{} 1": "upstream's Envoy has neither",
		`{"status":"error","error":"parse error"}`:            "parse error",
		`{"status":"success","data":{"resultType":"scalar"}}`: "is a scalar",
		`{"config`:                        "not an answer of Prometheus' API",
		"istio_requests_total{a=\"b\" 1 ": "read the series in x",
	} {
		if _, err := Telemetry("x", strings.NewReader(text), Names{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func FuzzTelemetry(f *testing.F) {
	for _, name := range []string{"recorded.prom", "recorded.json"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if g, err := Telemetry("x", strings.NewReader(text), Names{}); err == nil {
			wellFormed(t, g)
		}
	})
}
