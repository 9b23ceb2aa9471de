package sample

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

// istiodPort is istiod's monitoring port with the answers of an istiod 1.23.2 that has
// pushed twice to one sidecar.
func istiodPort(t *testing.T) *admin {
	answers := map[string]string{}
	for path, file := range map[string]string{
		"/metrics":     "testdata/istiod-1.23.2.metrics.txt",
		"/debug/syncz": "testdata/istiod-1.23.2.syncz.json",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		answers[path] = string(text)
	}
	return &admin{answers: answers}
}

func istiodPod(name string) corev1.Pod {
	return newPod("istio-system", name, "n1", []string{"discovery=process://u/discovery/0"}, labelled("app", "istiod"))
}

func TestIstiod(t *testing.T) {
	w := newWorld(t)
	starting := istiodPod("istiod-starting")
	starting.Status.Conditions[0].Status = corev1.ConditionFalse
	w.pods(istiodPod("istiod-0"), istiodPod("istiod-1"), starting, newPod("ns1", "a", "n1", nil))
	w.listen(t, "istio-system/istiod-0", istiodMonitorPort, istiodPort(t))
	w.listen(t, "istio-system/istiod-1", istiodMonitorPort, istiodPort(t))
	w.answer("/apis/metrics.k8s.io/v1beta1/namespaces/istio-system/pods/istiod-0",
		podMetrics("istio-system", "istiod-0", "discovery", "60Mi", "25m"))
	got, err := w.sampler(t).Istiod(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := observations.Istiod{
		Pod: "istio-system/istiod-0", MemoryBytes: 60 << 20, CPUNano: 25e6, Proxies: 1,
		Pushes:             map[string]float64{"cds": 2, "eds": 2, "lds": 2, "rds": 2},
		PushSeconds:        observations.Histogram{Sum: 0.013044396, Count: 8, P99: 0.01},
		ConvergenceSeconds: observations.Histogram{Sum: 0.003124245, Count: 1, P99: 0.1},
		QueueSeconds:       &observations.Histogram{Sum: 0.00012097, Count: 1, P99: 0.1},
		ResidentBytes:      83513344, CPUSeconds: 0.21, GoHeapBytes: 17203200,
	}
	second := first // the metrics API does not know it yet
	second.Pod, second.MemoryBytes, second.CPUNano = "istio-system/istiod-1", 0, 0
	if diff := cmp.Diff([]observations.Istiod{first, second}, got, cmpopts.EquateApprox(0, 1e-9), cmpopts.IgnoreFields(observations.Histogram{}, "Buckets")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestHistogram adds a histogram up over its labels; the 99th percentile lies in the
// first bucket that holds 99 of 100.
func TestHistogram(t *testing.T) {
	f, err := parseMetrics(strings.NewReader(`# TYPE h histogram
h_bucket{type="cds",le="0.1"} 90
h_bucket{type="cds",le="1"} 99
h_bucket{type="cds",le="+Inf"} 100
h_sum{type="cds"} 20
h_count{type="cds"} 100
h_bucket{type="lds",le="0.1"} 99
h_bucket{type="lds",le="1"} 99
h_bucket{type="lds",le="+Inf"} 100
h_sum{type="lds"} 5
h_count{type="lds"} 100
# TYPE slow histogram
slow_bucket{le="0.1"} 1
slow_bucket{le="+Inf"} 2
slow_sum 40
slow_count 2
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]observations.Histogram{
		"h":    {Sum: 25, Count: 200, P99: 1, Buckets: []observations.Bucket{{UpTo: 0.1, Count: 189}, {UpTo: 1, Count: 198}}},
		"slow": {Sum: 40, Count: 2, Buckets: []observations.Bucket{{UpTo: 0.1, Count: 1}}}, // beyond the last bound
		"none": {},
	} {
		if diff := cmp.Diff(want, f.histogram(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSyncz(t *testing.T) {
	const nonces = `"cluster_sent":"c1","cluster_acked":"c1","listener_sent":"l1","listener_acked":"l1",`
	tests := []struct {
		name, entry string
		want        proxyStatus
	}{
		{"acknowledged", `{"proxy":"a.b.ns1","proxy_type":"sidecar",` + nonces + `"route_sent":"r","route_acked":"r"}`,
			proxyStatus{Namespace: "ns1", Pod: "a.b"}},
		{"stale", `{"proxy":"a.ns1","proxy_type":"sidecar",` + nonces + `"route_sent":"r2","route_acked":"r1","endpoint_sent":"e"}`,
			proxyStatus{Namespace: "ns1", Pod: "a", Stale: []string{"ClusterLoadAssignment", "RouteConfiguration"}}},
		{"only just connected", `{"proxy":"a.ns1","proxy_type":"sidecar"}`,
			proxyStatus{Namespace: "ns1", Pod: "a", Stale: []string{"Cluster", "Listener"}}},
		{"a gateway that has only just connected", `{"proxy":"g.ns1","proxy_type":"router"}`,
			proxyStatus{Namespace: "ns1", Pod: "g", Stale: []string{"Cluster", "Listener"}}},
		{"a waypoint between its clusters and its listeners", `{"proxy":"w.ns1","proxy_type":"waypoint","cluster_sent":"c1","cluster_acked":"c1"}`,
			proxyStatus{Namespace: "ns1", Pod: "w", Stale: []string{"Listener"}}},
		{"a gateway without routes", `{"proxy":"g.ns1","proxy_type":"router",` + nonces + `"endpoint_sent":"e","endpoint_acked":"e"}`,
			proxyStatus{Namespace: "ns1", Pod: "g"}},
		{"a ztunnel has none of these", `{"proxy":"z.istio-system","proxy_type":"ztunnel"}`,
			proxyStatus{Namespace: "istio-system", Pod: "z"}},
		{"rejected, and a type of resources alone", `{"proxy":"a.ns1","proxy_type":"sidecar",` + nonces + `"resources":{
			"type.googleapis.com/envoy.config.listener.v3.Listener":{"sent":"l2","acked":"l1","lastError":"no such filter"},
			"type.googleapis.com/istio.networking.nds.v1.NameTable":{"sent":"n2","acked":"n1"}}}`,
			proxyStatus{Namespace: "ns1", Pod: "a", Stale: []string{"NameTable"}, Rejected: map[string]string{"Listener": "no such filter"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.pods(istiodPod("istiod-0"))
			w.listen(t, "istio-system/istiod-0", istiodMonitorPort, &admin{answers: map[string]string{"/debug/syncz": "[" + test.entry + "]"}})
			got, err := w.sampler(t).synczOf(t.Context(), types.NamespacedName{Namespace: "istio-system", Name: "istiod-0"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]proxyStatus{test.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestQuiet(t *testing.T) {
	w := newWorld(t)
	w.pods(istiodPod("istiod-0"), istiodPod("istiod-1"))
	w.listen(t, "istio-system/istiod-0", istiodMonitorPort, istiodPort(t))
	other := istiodPort(t)
	other.answers["/debug/syncz"] = `[{"proxy":"b.ns1","cluster_sent":"2","cluster_acked":"1","resources":{
		"type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"2","acked":"1","lastError":"no such type"}}}]`
	w.listen(t, "istio-system/istiod-1", istiodMonitorPort, other)
	s := w.sampler(t)
	got, err := s.Quiet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state := func(pod string) IstiodState {
		return IstiodState{
			Pod: types.NamespacedName{Namespace: "istio-system", Name: pod}, Started: 1.79550060487e+09,
			Inbound: 17, Debounced: 2, Context: 10 * time.Millisecond, Queued: 1, Triggers: 2, Pushes: 8, Converged: 1, Connected: 1,
		}
	}
	want := Quiet{
		Istiods: []IstiodState{state("istiod-0"), state("istiod-1")}, Proxies: []string{"ns1/app-0", "ns1/b"},
		Rejected: []string{"ns1/b: Cluster: no such type"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(IstiodState{}, "Asked", "Answered", "Events")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRefusalsBeforeResources: before 1.23 only istiod's metrics and its log know.
func TestRefusalsBeforeResources(t *testing.T) {
	w := newWorld(t)
	w.pods(istiodPod("istiod-0"))
	port := istiodPort(t)
	port.answers["/debug/syncz"] = `[
		{"proxy":"a.ns1","listener_sent":"2","listener_acked":"1","cluster_sent":"2","cluster_acked":"1"},
		{"proxy":"b.ns1","listener_sent":"2","listener_acked":"2"}]`
	// What b refused was replaced by what it accepted.
	port.answers["/metrics"] += "pilot_xds_lds_reject{err=\"Internal\",node=\"a.ns1\"} 1\npilot_xds_lds_reject{err=\"Internal\",node=\"b.ns1\"} 1\n"
	w.listen(t, "istio-system/istiod-0", istiodMonitorPort, port)
	w.HandleFunc("GET /api/v1/namespaces/istio-system/pods/istiod-0/log", func(rw http.ResponseWriter, req *http.Request) {
		if c := req.URL.Query().Get("container"); c != observations.IstiodContainer {
			t.Errorf("log of container %q", c)
		}
		fmt.Fprintln(rw, "2026-11-24T11:00:01.000000Z	warn	delta	ADS:LDS: ACK ERROR a.ns1-1 Internal:Error adding/updating listener(s) 0.0.0.0_80: why")
	})
	got, err := w.sampler(t).Quiet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ns1/a: Listener: Error adding/updating listener(s) 0.0.0.0_80: why"}, got.Rejected); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ns1/a: Cluster"}, got.Stale); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRefusalsIn(t *testing.T) {
	const log = `2026-11-24T11:00:00.000000Z	info	delta	ADS: new delta connection for node:a.b.ns1-1
2026-11-24T11:00:01.000000Z	warn	delta	ADS:LDS: ACK ERROR a.b.ns1-1 Internal:Error adding/updating listener(s) 0.0.0.0_80: first
2026-11-24T11:00:02.000000Z	warn	ads	ADS:CDS: ACK ERROR c.ns1-22 InvalidArgument:bad: cluster

2026-11-24T11:00:03.000000Z	warn	delta	ADS:LDS: ACK ERROR a.b.ns1-3 Internal:Error adding/updating listener(s) 0.0.0.0_80: last
`
	want := map[refusal]string{
		{"lds", "a.b.ns1"}: "Error adding/updating listener(s) 0.0.0.0_80: last",
		{"cds", "c.ns1"}:   "bad: cluster",
	}
	if diff := cmp.Diff(want, refusalsIn(log), cmp.AllowUnexported(refusal{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNoIstiod says what is missing.
func TestNoIstiod(t *testing.T) {
	w := newWorld(t)
	w.pods(newPod("ns1", "a", "n1", nil))
	if _, err := w.sampler(t).Quiet(t.Context()); err == nil || !strings.Contains(err.Error(), "app=istiod") {
		t.Errorf("error %v", err)
	}
	w = newWorld(t)
	w.pods(istiodPod("istiod-0"))
	w.listen(t, "istio-system/istiod-0", istiodMonitorPort, http.NotFoundHandler())
	if _, err := w.sampler(t).synczOf(t.Context(), types.NamespacedName{Namespace: "istio-system", Name: "istiod-0"}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}

func TestConnections(t *testing.T) {
	w := newWorld(t)
	w.pods(istiodPod("istiod-1"))
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/connections", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, `{"totalClients":2,"clients":[
			{"connectionId":"a-6c7-x.ns1-12","connectedAt":"2026-01-01T12:00:00Z","address":"10.0.16.3:4711","labels":null},
			{"connectionId":"ztunnel","connectedAt":"2026-01-01T12:00:00Z"}]}`)
	})
	w.listen(t, "istio-system/istiod-1", 15014, mux)
	got, err := w.sampler(t).Connections(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Connection{{Namespace: "ns1", Pod: "a-6c7-x", ID: "istiod-1/a-6c7-x.ns1-12", Since: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
