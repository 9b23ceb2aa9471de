package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// What a replay does was recorded before: only warnings are new.
func TestMutedRecorder(t *testing.T) {
	g := NewWithT(t)
	var log kept
	r := &recorder{log: &log}
	event := func(level string) observations.Record {
		return observations.Record{Event: &observations.Event{Level: level, Kind: "x"}}
	}
	r.mute(true)
	for _, rec := range []observations.Record{
		{Action: &observations.Action{}}, {Restart: &observations.Restart{}}, {Traffic: &observations.Traffic{}},
		event(observations.Info), event(observations.Warning), event(observations.Error),
	} {
		g.Expect(r.Append(rec)).To(Succeed())
	}
	g.Expect(r.appendApart(observations.Record{Series: &observations.Series{}})).To(Succeed())
	g.Expect(log).To(HaveLen(2))
	r.mute(false)
	g.Expect(r.appendApart(observations.Record{Series: &observations.Series{}})).To(Succeed())
	g.Expect(r.Append(observations.Record{Action: &observations.Action{}})).To(Succeed())
	g.Expect(log).To(HaveLen(4))
}

// A run that goes on reads the proxy that it read before.
func TestRecallWitnesses(t *testing.T) {
	wanted := []scenarios.Witness{{Namespace: "ns1", Deployment: "a"}, {Namespace: "edge", Deployment: "gateway"}}
	sidecar := func(workload string) observations.Proxy { return observations.Proxy{Workload: workload} }
	gateway := observations.Proxy{Workload: "edge/gateway", Kind: observations.ProxyGateway}
	for _, tt := range []struct {
		name   string
		dumped []observations.Proxy
		want   string
	}{
		{"the scenario's", []observations.Proxy{sidecar("ns1/a"), gateway}, "ns1/a edge/gateway"},
		{"another in its place", []observations.Proxy{sidecar("ns1/b"), gateway}, "ns1/b edge/gateway"},
		{"gateways alone", []observations.Proxy{gateway}, "ns1/a edge/gateway"},
		{"none", nil, "ns1/a edge/gateway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &witnesses{wanted: wanted}
			w.recall(tt.dumped)
			var names []string
			for _, d := range w.wanted {
				names = append(names, d.Workload())
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// An end that the log has is not recorded again, and its kill counts.
func TestRecallRestarts(t *testing.T) {
	g := NewWithT(t)
	var log kept
	w := newWatch(dumped{}, &recorder{log: &log}, quietProgress{})
	ended := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	w.recall("ns1-x7k2p", "ns1-x7k2p/test", &observations.Restart{
		Namespace: "ns1", Pod: "test-1", Container: observations.SidecarContainer, Reason: observations.ReasonOOMKilled, Finished: ended,
	})
	g.Expect(w.Kills("ns1-x7k2p/test")).To(Equal(1))
	pod := func(name string, at time.Time) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns1-x7k2p", Name: name, UID: "u"},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: observations.SidecarContainer, RestartCount: 1, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					ContainerID: "c-" + at.String(), Reason: observations.ReasonOOMKilled, FinishedAt: metav1.NewTime(at),
				}},
			}}},
		}
	}
	w.look(pod("test-1", ended))
	g.Expect(log).To(BeEmpty())
	w.look(pod("test-1", ended.Add(time.Minute)))
	g.Expect(log).NotTo(BeEmpty())
	g.Expect(log[0].Restart.Pod).To(Equal("test-1"))
}

func TestObjectsDiffer(t *testing.T) {
	was := observations.Objects{Nodes: 2, Pods: 9, EndedPods: 1, Services: 5, Sidecars: 3, RealSidecars: 3, SimulatedPods: 4}
	for _, tt := range []struct {
		name   string
		change func(*observations.Objects)
		fixed  bool
		want   string
	}{
		{"nothing", func(*observations.Objects) {}, false, ""},
		{"what ends or is simulated", func(o *observations.Objects) { o.EndedPods, o.SimulatedPods = 4, 0 }, false, ""},
		{"pods and sidecars", func(o *observations.Objects) { o.Pods, o.Sidecars = 8, 2 }, false, "8 pods, were 9; 2 sidecars, were 3"},
		{"nodes", func(o *observations.Objects) { o.Nodes = 3 }, false, "3 nodes, were 2"},
		{"somebody's nodes", func(o *observations.Objects) { o.Nodes = 3 }, true, ""},
		{"a gateway", func(o *observations.Objects) { o.Gateways = 1 }, true, "1 gateways, were 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := was
			tt.change(&is)
			if got := objectsDiffer(was, is, tt.fixed); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// The logs of clusters of before stay.
func TestLogsFolders(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	g.Expect(LogsFolder(dir)).To(Equal(filepath.Join(dir, "cluster")))
	begin, again := &run{Options: Options{Dir: dir}}, &run{Options: Options{Dir: dir, Resume: &Interrupted{}}}
	g.Expect(begin.logsFolder()).To(Equal(filepath.Join(dir, "cluster")))
	for _, name := range []string{"cluster", "cluster-2", "cluster-3"} {
		g.Expect(again.logsFolder()).To(Equal(filepath.Join(dir, name)))
		g.Expect(os.Mkdir(filepath.Join(dir, name), 0o700)).To(Succeed())
		g.Expect(LogsFolder(dir)).To(Equal(filepath.Join(dir, name)))
	}
}

// Components of other versions would make another run of it.
func TestSameComponents(t *testing.T) {
	i := &Interrupted{dir: "runs/x", Run: observations.Run{Steps: []string{"a"}, Meshbench: "v1", Components: map[string]string{"etcd": "3.5.15", "envoy": "1.40.0"}}}
	for _, tt := range []struct {
		name       string
		components map[string]string
		want       string
	}{
		{"the same", map[string]string{"etcd": "3.5.15", "envoy": "1.40.0"}, ""},
		{"another", map[string]string{"etcd": "3.5.15", "envoy": "1.41.0"}, "it was begun with envoy 1.40.0, and it would go on with 1.41.0: use the meshbench that began it (v1)"},
		{"one less", map[string]string{"etcd": "3.5.15"}, "it was begun with envoy 1.40.0, and it would go on with none"},
		{"one more", map[string]string{"etcd": "3.5.15", "envoy": "1.40.0", "knative": "1.2"}, "it was begun without knative, and it would go on with 1.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := i.Same(tt.components)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
