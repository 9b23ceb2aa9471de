package sample

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/observations"
)

// admin is a port with answers by path.
type admin struct{ answers map[string]string }

func (a *admin) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	answer, found := a.answers[req.URL.Path]
	if !found {
		http.Error(rw, "invalid path", http.StatusNotFound)
		return
	}
	fmt.Fprint(rw, answer)
}

// newAdmin has the answers of Envoy 1.40 with 225 listeners, cut.
func newAdmin() *admin {
	return &admin{answers: map[string]string{
		"/memory": `{"allocated": "22197368", "heap_size": "48234496", "pageheap_unmapped": "1024",
			"pageheap_free": "21569536", "total_thread_cache": "2206552", "total_physical_bytes": "51309374"}`,
		"/server_info": `{"version": "abc/1.40.0/Clean/RELEASE/BoringSSL", "state": "LIVE", "hot_restart_version": "disabled",
			"command_line_options": {"base_id": "0", "concurrency": 2, "config_path": "envoy.json"}}`,
		"/stats": statsText,
		"/config_dump": `{"configs":[
			{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","static_clusters":[{"cluster":{"name":"a"}}]},
			{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","static_listeners":[{"listener":{"filter_chains":[{},{}]}}]}]}`,
		"/clusters": `{"cluster_statuses":[{"name":"a","host_statuses":[{},{},{}]}]}`,
	}}
}

const statsText = `cluster_manager.cds.update_rejected: 1
cluster_manager.warming_clusters: 2
listener_manager.lds.update_rejected: 3
listener_manager.total_filter_chains_draining: 4
listener_manager.total_listeners_active: 225
listener_manager.total_listeners_draining: 5
listener_manager.total_listeners_warming: 6
cluster_manager.cds.update_duration: P0(nan,1) P25(nan,1.025)
`

var testPod = Pod{Namespace: "ns1", Name: "test-0.b", Workload: "ns1/test", Process: "process://u/istio-proxy/0"}

func TestEnvoy(t *testing.T) {
	w := newWorld(t)
	w.listen(t, "ns1/test-0.b", envoyAdminPort, newAdmin())
	s := w.sampler(t)
	want := observations.Envoy{Namespace: "ns1", Pod: "test-0.b", Workload: "ns1/test", Allocated: 22197368, HeapSize: 48234496,
		PageheapUnmap: 1024, PageheapFree: 21569536, TotalPhysical: 51309374,
		Version: "abc/1.40.0/Clean/RELEASE/BoringSSL", Workers: 2}
	for _, want.Witness = range []bool{false, true} {
		if got, err := s.Envoy(t.Context(), testPod); err != nil || got != want {
			t.Errorf("Envoy = %+v, %v; want %+v", got, err, want)
		}
		s.MarkWitness(testPod.Process)
	}
}

func TestProxyState(t *testing.T) {
	w := newWorld(t)
	w.listen(t, "ns1/test-0.b", envoyAdminPort, newAdmin())
	got, err := w.sampler(t).ProxyState(t.Context(), testPod)
	want := ProxyState{ListenersActive: 225, ListenersWarming: 6, ListenersDraining: 5, FilterChainsDraining: 4, ClustersWarming: 2, Rejected: 4}
	if err != nil || got != want {
		t.Errorf("ProxyState = %+v, %v; want %+v", got, err, want)
	}
	if got.Settled() || !(ProxyState{ListenersActive: 225, Rejected: 4}).Settled() {
		t.Error("only what warms or drains is on the way")
	}
	if _, err := parseStats(strings.NewReader(""), func(string) {}); err == nil {
		t.Error("no counters is no state")
	}
}

func TestWitness(t *testing.T) {
	w, a := newWorld(t), newAdmin()
	w.listen(t, "ns1/test-0.b", envoyAdminPort, a)
	s, run := w.sampler(t), t.TempDir()
	got, err := s.Witness(t.Context(), testPod, run, "dumps/3")
	if err != nil {
		t.Fatal(err)
	}
	want := observations.Proxy{
		Namespace: "ns1", Pod: "test-0.b", Workload: "ns1/test",
		Rows:      observations.Counts{Cluster: 1, Listener: 2, Endpoint: 3},
		Objects:   observations.ConfigObjects{Clusters: 1, Listeners: 1, FilterChains: 2},
		Routing:   &observations.RoutingObjects{},
		DumpBytes: int64(len(a.answers["/config_dump"])),
		Dumps: map[string]string{
			"config_dump": "dumps/3/ns1.test-0.b.config_dump.json",
			"clusters":    "dumps/3/ns1.test-0.b.clusters.json",
		},
		Rejected: 4,
		Requests: map[string]int64{},
		Stats:    map[string]int{"cluster_manager": 3, "listener_manager": 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, file := range got.Dumps {
		raw, err := os.ReadFile(filepath.Join(run, file))
		if err != nil || string(raw) != a.answers["/"+name] {
			t.Errorf("the dump %s is %q, %v", name, raw, err)
		}
	}
	if !s.IsWitness(testPod.Process) || s.IsWitness("process://u/istio-proxy/1") || s.IsWitness("process://v/istio-proxy/0") {
		t.Error("the process that was dumped is the witness, neither the next in its pod nor one in a pod made again")
	}
}

// TestWitnesses has each proxy's own figures, in the order that was asked for.
func TestWitnesses(t *testing.T) {
	w := newWorld(t)
	var pods []Pod
	for i := range 3 * dumpsAtOnce {
		pod := Pod{Namespace: "ns1", Name: fmt.Sprintf("test-%d", i), Process: fmt.Sprintf("process://%d/istio-proxy/0", i)}
		a := newAdmin()
		a.answers["/clusters"] = `{"cluster_statuses":[{"name":"a","host_statuses":[{}` + strings.Repeat(",{}", i) + `]}]}`
		w.listen(t, "ns1/"+pod.Name, envoyAdminPort, a)
		pods = append(pods, pod)
	}
	s := w.sampler(t)
	got, err := s.Witnesses(t.Context(), pods, t.TempDir(), "dumps")
	if err != nil || len(got) != len(pods) {
		t.Fatalf("%d witnesses, %v", len(got), err)
	}
	for i, p := range got {
		if p.Pod != pods[i].Name || p.Rows.Endpoint != i+1 || !s.IsWitness(pods[i].Process) {
			t.Errorf("%d: %s with %d endpoints", i, p.Pod, p.Rows.Endpoint)
		}
	}
	gone := append(pods, Pod{Namespace: "ns1", Name: "gone"})
	if got, err := s.Witnesses(t.Context(), gone, t.TempDir(), "dumps"); err == nil || got != nil || !strings.Contains(err.Error(), "ns1/gone") {
		t.Errorf("with a pod that is gone: %v, %v", got, err)
	}
}

// TestWitnessRestarted: a proxy that was started after the pods were listed was dumped, too.
func TestWitnessRestarted(t *testing.T) {
	w := newWorld(t)
	w.listen(t, "ns1/test-0.b", envoyAdminPort, newAdmin())
	p := newPod("ns1", "test-0.b", "n1", []string{"istio-proxy=process://u/istio-proxy/1"})
	p.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
	w.answer("/api/v1/namespaces/ns1/pods/test-0.b", p)
	s := w.sampler(t)
	if _, err := s.Witness(t.Context(), testPod, t.TempDir(), "dumps"); err != nil {
		t.Fatal(err)
	}
	if !s.IsWitness(testPod.Process) || !s.IsWitness("process://u/istio-proxy/1") {
		t.Error("not marked")
	}
}

// TestWitnessMarksEarly: a dump that came and could not be read has made Envoy grow too.
func TestWitnessMarksEarly(t *testing.T) {
	w, a := newWorld(t), newAdmin()
	a.answers["/config_dump"] = `{"configs":[]}`
	w.listen(t, "ns1/test-0.b", envoyAdminPort, a)
	s := w.sampler(t)
	if _, err := s.Witness(t.Context(), testPod, t.TempDir(), "dumps"); err == nil || !strings.Contains(err.Error(), "ns1/test-0.b") {
		t.Errorf("error %v", err)
	}
	if !s.IsWitness(testPod.Process) {
		t.Error("not marked")
	}
}

// TestGetErrors: the reason of a failure reaches the caller, whoever gave it.
func TestGetErrors(t *testing.T) {
	w := newWorld(t)
	w.listen(t, "ns1/odd", envoyAdminPort, &admin{answers: map[string]string{"/memory": "no JSON"}})
	w.HandleFunc("POST /api/v1/namespaces/ns1/pods/gone/portforward", func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusNotFound)
		fmt.Fprint(rw, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"pods \"gone\" not found"}`)
	})
	s := w.sampler(t)
	for pod, want := range map[string]string{
		"closed": "connection refused",
		"odd":    "unexpected answer",
		"gone":   `pods "gone" not found`,
	} {
		_, err := s.Envoy(t.Context(), Pod{Namespace: "ns1", Name: pod})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ns1/"+pod) {
			t.Errorf("%s: error %v, want one with %q", pod, err, want)
		}
	}
	_, err := s.ProxyState(t.Context(), Pod{Namespace: "ns1", Name: "odd"})
	if status := (*statusError)(nil); !errors.As(err, &status) || status.code != http.StatusNotFound {
		t.Errorf("error %v, want status 404", err)
	}
}

// TestGetRetries: a port that does not answer yet is asked again, an answer that
// breaks off is read anew.
func TestGetRetries(t *testing.T) {
	w, a := newWorld(t), newAdmin()
	failures := 0
	w.listen(t, "ns1/test-0.b", envoyAdminPort, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		switch failures++; failures {
		case 1:
			http.Error(rw, "starting", http.StatusServiceUnavailable)
		case 2:
			rw.Header().Set("Content-Length", "1000")
			fmt.Fprint(rw, `{"allocated":`)
			panic(http.ErrAbortHandler)
		default:
			a.ServeHTTP(rw, req)
		}
	}))
	got, err := w.sampler(t).Envoy(t.Context(), testPod)
	if err != nil || got.Allocated != 22197368 || failures != 4 {
		t.Errorf("Envoy = %+v, %v after %d requests", got, err, failures)
	}
}

// TestGetWaits: tries made while requests wait for the API server do not count.
func TestGetWaits(t *testing.T) {
	for name, waits := range map[string]bool{"away": true, "away for too long": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tries := 0
			w.listen(t, "ns1/test-0.b", envoyAdminPort, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				tries++
				http.Error(rw, "starting", http.StatusServiceUnavailable)
			}))
			s := w.sampler(t)
			s.WaitWhile(func() bool { return waits && tries < 3 })
			want := attempts
			if waits {
				want = 2 + attempts - 1 // two while it is away, and all but the first anew
			}
			if _, err := s.Envoy(t.Context(), testPod); err == nil || tries != want {
				t.Errorf("error %v after %d tries, want %d", err, tries, want)
			}
		})
	}
}

// TestDialCancel: an API server that never answers does not hold the caller.
func TestDialCancel(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	w.HandleFunc("POST /api/v1/namespaces/ns1/pods/slow/portforward", func(rw http.ResponseWriter, _ *http.Request) {
		cancel()
		<-release
	})
	f, err := NewForwarder(&rest.Config{Host: w.server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Dial(ctx, "ns1", "slow", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
}

// TestDial carries bytes both ways at once.
func TestDial(t *testing.T) {
	w := newWorld(t)
	w.listen(t, "ns1/p", 80, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(rw, req.Body)
	}))
	s := w.sampler(t)
	body := strings.Repeat("0123456789abcdef", 1<<16)
	resp, err := s.http.Post("http://p.ns1:80/", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != body {
		t.Errorf("read %d of %d bytes, %v", len(got), len(body), err)
	}
}
