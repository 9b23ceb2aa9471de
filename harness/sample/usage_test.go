package sample

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/meshbench/meshbench/observations"
)

func TestUsage(t *testing.T) {
	w := newWorld(t)
	w.pods(
		newPod("ns1", "a", "n1", []string{"istio-proxy=process://u/istio-proxy/0"}, ownedBy("ReplicaSet", "test-1"), labelled("pod-template-hash", "1")),
		newPod("ns1", "b", "n2", []string{"istio-proxy=simulated://u/istio-proxy"}),
	)
	w.answer("/apis/metrics.k8s.io/v1beta1/pods", metricsv1beta1.PodMetricsList{
		TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: "metrics.k8s.io/v1beta1"},
		Items: []metricsv1beta1.PodMetrics{
			podMetrics("ns1", "a", "istio-proxy", "29696Ki", "1234567n", "nginx", "3Mi", "0"),
			podMetrics("ns1", "gone", "istio-proxy", "1Mi", "2m", "nginx", "1Mi", "2m"),
		},
	})
	s := w.sampler(t)
	s.MarkWitness("process://u/istio-proxy/0")
	got, err := s.Usage(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	measured := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	want := []observations.Usage{
		{Namespace: "ns1", Pod: "a", Container: "istio-proxy", Node: "n1", Workload: "ns1/test",
			MemoryBytes: 29696 << 10, CPUNano: 1234567, Window: 10 * time.Second, Measured: measured, Witness: true},
		{Namespace: "ns1", Pod: "a", Container: "nginx", Node: "n1", Workload: "ns1/test",
			MemoryBytes: 3 << 20, Window: 10 * time.Second, Measured: measured},
		{Namespace: "ns1", Pod: "gone", Container: "nginx",
			MemoryBytes: 1 << 20, CPUNano: 2000000, Window: 10 * time.Second, Measured: measured},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// resourceText is the form of a kubelet's /metrics/resource.
const resourceText = `# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="istio-proxy",namespace="ns1",pod="b"} 1.5 1763964000000
container_cpu_usage_seconds_total{container="istio-proxy",namespace="ns1",pod="a"} 0.25 1763964000000
container_cpu_usage_seconds_total{container="nginx",namespace="ns1",pod="a"} 3 1763964000000
container_cpu_usage_seconds_total{container="discovery",namespace="istio-system",pod="istiod-0"} 20 1763964000000
# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="istio-proxy",namespace="ns1",pod="a"} 3.0408704e+07 1763964000000
container_memory_working_set_bytes{container="istio-proxy",namespace="ns1",pod="b"} 31457280 1763964000000
container_memory_working_set_bytes{container="istio-proxy",namespace="ns1",pod="stranger"} 5e+08 1763964000000
container_memory_working_set_bytes{container="discovery",namespace="istio-system",pod="istiod-0"} 1e+08 1763964000000
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 6e+08 1763964000000
`

var resourcePoints = []observations.SeriesPoint{
	{Namespace: "istio-system", Pod: "istiod-0", Container: "discovery", MemoryBytes: 100000000, CPUSeconds: 20},
	{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: 30408704, CPUSeconds: 0.25},
	{Namespace: "ns1", Pod: "b", Container: "istio-proxy", MemoryBytes: 31457280, CPUSeconds: 1.5},
}

// TestSeries reads only nodes with real sidecars or istiod, and says what failed last.
func TestSeries(t *testing.T) {
	w := newWorld(t)
	w.pods(
		newPod("ns1", "a", "real", []string{"istio-proxy=process://u/istio-proxy/0"}),
		newPod("ns1", "b", "real", []string{"istio-proxy=process://u/istio-proxy/0"}, func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"proxy", "router"} }),
		newPod("istio-system", "istiod-0", "control", []string{"discovery=process://u/discovery/0"}, labelled("app", "istiod")),
		newPod("ns1", "c", "simulated", []string{"istio-proxy=simulated://u/istio-proxy"}),
		newPod("kube-system", "d", "other", []string{"metrics-server=process://u/metrics-server/0"}),
	)
	scrapes := 0
	w.HandleFunc("GET /api/v1/nodes/{node}/proxy/metrics/resource", func(rw http.ResponseWriter, req *http.Request) {
		switch node := req.PathValue("node"); node {
		case "real":
			// Each reading comes twice, with the node's own time.
			fmt.Fprint(rw, strings.ReplaceAll(resourceText, "1763964000000", fmt.Sprint(1763964000000+scrapes/2*2000)))
			scrapes++
		case "control":
			http.Error(rw, "the kubelet is away", http.StatusServiceUnavailable)
		default:
			t.Errorf("node %s was scraped", node)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var got []observations.Series
	err := w.sampler(t).Series(ctx, func(s observations.Series) {
		if got = append(got, s); len(got) == 2 {
			cancel()
		}
	}, func(why error) { t.Errorf("another source is asked: %v", why) })
	if err == nil || !strings.Contains(err.Error(), "node control") {
		t.Errorf("Series ended with %v, want the failure of node control", err)
	}
	if scrapes < 3 {
		t.Errorf("two readings after %d scrapes: a repeated one counts", scrapes)
	}
	want := observations.Series{Node: "real", Containers: slices.Clone(resourcePoints)}
	want.Containers[2].Kind = observations.ProxyGateway
	if diff := cmp.Diff([]observations.Series{want, want}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSeriesWithoutNodes: without the right to ask nodes the series is the metrics API's, by its
// own times, and once said.
func TestSeriesWithoutNodes(t *testing.T) {
	t.Parallel() // it waits for the second reading
	w := newWorld(t)
	w.pods(
		newPod("ns1", "a", "real", []string{"istio-proxy=process://u/istio-proxy/0"}),
		newPod("ns1", "b", "real", []string{"istio-proxy=process://u/istio-proxy/0"}, func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"proxy", "router"} }),
		newPod("ns1", "new", "real", []string{"istio-proxy=process://u/istio-proxy/1"}, func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(time.Date(2026, 11, 24, 6, 0, 1, 0, time.UTC))
		}),
		newPod("istio-system", "istiod-0", "control", []string{"discovery=process://u/discovery/0"}, labelled("app", "istiod")),
	)
	w.HandleFunc("GET /api/v1/nodes/{node}/proxy/metrics/resource", func(rw http.ResponseWriter, _ *http.Request) { refuse(rw) })
	asked := 0
	ctx, cancel := context.WithCancel(t.Context())
	w.HandleFunc("GET /apis/metrics.k8s.io/v1beta1/pods", func(rw http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 2 {
			defer cancel() // what is repeated is left out
		}
		list := metricsv1beta1.PodMetricsList{
			TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: "metrics.k8s.io/v1beta1"},
			Items: []metricsv1beta1.PodMetrics{
				podMetrics("ns1", "a", "istio-proxy", "40Mi", "2m", "nginx", "3Mi", "1m"),
				podMetrics("ns1", "b", "istio-proxy", "50Mi", "2m"),
				podMetrics("ns1", "new", "istio-proxy", "60Mi", "2m"), // of the process before
				podMetrics("ns1", "gone", "istio-proxy", "60Mi", "2m"),
				podMetrics("istio-system", "istiod-0", "discovery", "90Mi", "2m"),
			},
		}
		for i := range list.Items {
			list.Items[i].Window.Duration = time.Minute
		}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(list)
	})
	s := w.sampler(t)
	if s.LongestInterval() != 20*time.Second {
		t.Errorf("nodes are read each %s", s.LongestInterval())
	}
	var got []observations.Series
	var why []error
	err := s.Series(ctx, func(s observations.Series) { got = append(got, s) }, func(reason error) { why = append(why, reason) })
	if err != nil || len(why) != 1 || !strings.Contains(why[0].Error(), "the right to get nodes/proxy") {
		t.Errorf("ended with %v, for %v", err, why)
	}
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	want := []observations.Series{
		{Node: "control", Measured: at, Containers: []observations.SeriesPoint{{Namespace: "istio-system", Pod: "istiod-0", Container: "discovery", MemoryBytes: 90 << 20}}},
		{Node: "real", Measured: at, Containers: []observations.SeriesPoint{
			{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: 40 << 20},
			{Namespace: "ns1", Pod: "b", Container: "istio-proxy", Kind: observations.ProxyGateway, MemoryBytes: 50 << 20},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.LongestInterval() != 2*time.Minute {
		t.Errorf("a source with windows of a minute is read each %s", s.LongestInterval())
	}
}

// TestUsageAfterARestart: what the metrics API still tells of a proxy that was dumped is not
// told of the one in its place, in a pod made again under its name or after a restart.
func TestUsageAfterARestart(t *testing.T) {
	for name, test := range map[string]struct {
		process string
		started time.Time // read at 6:00:00
		want    []bool    // witness, of each reading
	}{
		"the same process":         {"process://u/istio-proxy/0", time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC), []bool{true}},
		"restarted, not read yet":  {"process://u/istio-proxy/1", time.Date(2026, 11, 24, 6, 0, 1, 0, time.UTC), nil},
		"restarted, read":          {"process://u/istio-proxy/1", time.Date(2026, 11, 24, 5, 59, 0, 0, time.UTC), []bool{false}},
		"made again, not read yet": {"process://v/istio-proxy/0", time.Date(2026, 11, 24, 6, 0, 1, 0, time.UTC), nil},
		"made again, read":         {"process://v/istio-proxy/0", time.Date(2026, 11, 24, 5, 59, 0, 0, time.UTC), []bool{false}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pods(newPod("ns1", "a-0", "n1", []string{"istio-proxy=" + test.process}, func(p *corev1.Pod) {
				p.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(test.started)
			}))
			w.answer("/apis/metrics.k8s.io/v1beta1/pods", metricsv1beta1.PodMetricsList{
				TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: "metrics.k8s.io/v1beta1"},
				Items:    []metricsv1beta1.PodMetrics{podMetrics("ns1", "a-0", "istio-proxy", "40Mi", "0")},
			})
			s := w.sampler(t)
			s.MarkWitness("process://u/istio-proxy/0")
			usage, err := s.Usage(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []bool
			for _, u := range usage {
				got = append(got, u.Witness)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestCPU: of real sidecars, once, from the nodes that they are on.
func TestCPU(t *testing.T) {
	w := newWorld(t)
	w.HandleFunc("GET /api/v1/nodes/{node}/proxy/metrics/resource", func(rw http.ResponseWriter, req *http.Request) {
		if req.PathValue("node") != "real" {
			http.Error(rw, "the kubelet is away", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(rw, resourceText)
	})
	s := w.sampler(t)
	s.MarkWitness("process://u/istio-proxy/0")
	pods := []Pod{
		{Namespace: "ns1", Name: "b", Node: "real", Workload: "ns1/test", RealProxy: true, Process: "process://u/istio-proxy/0"},
		{Namespace: "ns1", Name: "a", Node: "real", Workload: "ns1/test", RealProxy: true},
		{Namespace: "ns1", Name: "young", Node: "real", RealProxy: true}, // not told of yet
		{Namespace: "ns1", Name: "c", Node: "simulated", Sidecar: true},
		{Namespace: "istio-system", Name: "istiod-0", Node: "control", istiod: true},
	}
	want := []observations.CPU{
		{Namespace: "ns1", Pod: "a", Workload: "ns1/test", Node: "real", Seconds: 0.25},
		{Namespace: "ns1", Pod: "b", Workload: "ns1/test", Node: "real", Seconds: 1.5, Process: "process://u/istio-proxy/0", Witness: true},
	}
	for range 2 { // a reading that comes again is one, too
		got, err := s.CPU(t.Context(), pods)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if _, err := s.CPU(t.Context(), append(pods, Pod{Namespace: "ns1", Name: "e", Node: "away", RealProxy: true})); err == nil || !strings.Contains(err.Error(), "node away") {
		t.Errorf("a node that does not answer: %v", err)
	}
}

func TestParseResource(t *testing.T) {
	got, err := parseResource([]byte(resourceText))
	want := slices.Insert(slices.Clone(resourcePoints), 2, observations.SeriesPoint{Namespace: "ns1", Pod: "a", Container: "nginx", CPUSeconds: 3})
	want = append(want, observations.SeriesPoint{Namespace: "ns1", Pod: "stranger", Container: "istio-proxy", MemoryBytes: 500000000})
	if err != nil || !slices.Equal(points(got), want) {
		t.Errorf("parseResource = %+v, %v", got, err)
	}
	for _, r := range got {
		if r.measured.UnixMilli() != 1763964000000 {
			t.Errorf("%s/%s was read at %s", r.pod, r.name, r.measured)
		}
	}
	if got, err := parseResource(nil); err != nil || len(got) != 0 {
		t.Errorf("of a node without containers: %+v, %v", got, err)
	}
	if _, err := parseResource([]byte("<html>")); err == nil {
		t.Error("a page of text is no metrics")
	}
}

func TestSelfCost(t *testing.T) {
	cost, err := SelfCost()
	if err != nil || cost.MemoryBytes < 1<<20 || cost.CPUSeconds <= 0 {
		t.Errorf("SelfCost = %+v, %v", cost, err)
	}
}

// TestUsageFails says what to look at when there is no metrics API.
func TestUsageFails(t *testing.T) {
	s := newWorld(t).sampler(t)
	if _, err := s.Usage(t.Context(), []Pod{}); err == nil || !strings.Contains(err.Error(), "metrics-server") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Usage(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
