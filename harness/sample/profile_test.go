package sample

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

// collector is a Go program that serves profiles; its live heap shrinks at the first
// collections.
type collector struct {
	asked []string
	heaps []int // HeapAlloc after each collection
}

func (c *collector) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	c.asked = append(c.asked, req.URL.RequestURI())
	switch {
	case req.URL.Path == "/metrics":
		fmt.Fprint(w, "go_memstats_heap_inuse_bytes 3.1e+07\nprocess_cpu_seconds_total 1.75\n")
	case req.URL.Path == heapPath && req.URL.Query().Get("gc") == "1" && len(c.heaps) > 0:
		fmt.Fprint(w, strings.Replace(agentHeap, "HeapAlloc = 3907680", fmt.Sprintf("HeapAlloc = %d", c.heaps[0]), 1))
		c.heaps = c.heaps[1:]
	case req.URL.Path == heapPath || req.URL.Path == cpuPath:
		fmt.Fprint(w, "a profile")
	default:
		http.NotFound(w, req)
	}
}

var istiodName = types.NamespacedName{Namespace: "istio-system", Name: "istiod-1"}

func TestLiveHeaps(t *testing.T) {
	w := newWorld(t)
	w.pods(newPod("istio-system", "istiod-1", "node-1", []string{"discovery"}, labelled("app", "istiod")))
	istiod, agent := &collector{heaps: []int{20e6, 19e6}}, &collector{heaps: []int{5e6, 4e6}}
	w.listen(t, "istio-system/istiod-1", istiodMonitorPort, istiod)
	w.listen(t, "ns1/test-0.b", agentStatusPort, agent)
	s := w.sampler(t)
	got, err := s.IstiodLive(t.Context())
	want := []observations.Live{{Namespace: "istio-system", Pod: "istiod-1", Container: "discovery", Bytes: 19e6, FirstBytes: 20e6, CPUSeconds: 1.75}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("istiod: %v\n%s", err, diff)
	}
	// The second reading counts, and what it cost is read afterwards.
	if diff := cmp.Diff([]string{collectedPath, collectedPath, "/metrics"}, istiod.asked); diff != "" {
		t.Error(diff)
	}
	of, err := s.AgentLive(t.Context(), testPod)
	if diff := cmp.Diff(observations.Live{Namespace: "ns1", Pod: "test-0.b", Container: "istio-proxy", Workload: "ns1/test", Bytes: 4e6, FirstBytes: 5e6}, of); diff != "" || err != nil {
		t.Errorf("pilot-agent: %v\n%s", err, diff)
	}
}

// TestNoProfiles: a program that serves none is told from one that fails once.
func TestNoProfiles(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.Handler
		none   bool
	}{
		"profiling is off": {http.NotFoundHandler(), true},
		"not for us":       {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusUnauthorized) }), true},
		"in use": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Could not enable CPU profiling: cpu profiling already in use", http.StatusInternalServerError)
		}), false},
		"the port is closed": {nil, false},
		"no account":         {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "heap profile: 6: 43120") }), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pods(newPod("istio-system", "istiod-1", "node-1", []string{"discovery"}, labelled("app", "istiod")))
			if tt.answer != nil {
				w.listen(t, "istio-system/istiod-1", istiodMonitorPort, tt.answer)
			}
			got, err := w.sampler(t).IstiodLive(t.Context())
			if err == nil || len(got) > 0 || NoProfiles(err) != tt.none {
				t.Errorf("%v, %v; none: %t", got, err, NoProfiles(err))
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	w := newWorld(t)
	istiod := &collector{}
	w.listen(t, "istio-system/istiod-1", istiodMonitorPort, istiod)
	s := w.sampler(t)
	heap, err := s.HeapProfile(t.Context(), istiodName)
	if err != nil || !bytes.Equal(heap, []byte("a profile")) {
		t.Errorf("heap: %q, %v", heap, err)
	}
	if cpu, err := s.CPUProfile(t.Context(), istiodName, 5*time.Second); err != nil || !bytes.Equal(cpu, []byte("a profile")) {
		t.Errorf("CPU: %q, %v", cpu, err)
	}
	if inUse, err := s.HeapInUse(t.Context(), istiodName); err != nil || inUse != 31e6 {
		t.Errorf("in use: %d, %v", inUse, err)
	}
	if diff := cmp.Diff([]string{"/debug/pprof/heap", "/debug/pprof/profile?seconds=5", "/metrics"}, istiod.asked); diff != "" {
		t.Error(diff)
	}
	w.listen(t, "istio-system/istiod-1", istiodMonitorPort, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up 1\n") }))
	s.Close()
	if inUse, err := s.HeapInUse(t.Context(), istiodName); err == nil {
		t.Errorf("%d in use by metrics that do not say", inUse)
	}
}
