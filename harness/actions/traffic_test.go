package actions

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

func TestFortioCommand(t *testing.T) {
	g := NewWithT(t)
	command := strings.Join(fortioCommand(&scenarios.Traffic{
		To: "echo.server:80", Protocol: scenarios.HTTP, Path: "/a?b", QPS: 100, Connections: 4, Payload: 1024, Duration: 90 * time.Second,
		Headers: map[string]string{"Host": "a.example", "end-user": "jason"},
	}), " ")
	g.Expect(command).To(HavePrefix("/usr/bin/fortio load "))
	g.Expect(command).To(ContainSubstring(" -qps 100 -c 4 -t 1m30s "))
	g.Expect(command).To(HaveSuffix(" -payload-size 1024 -H Host: a.example -H end-user: jason http://echo.server:80/a?b"))
	g.Expect(strings.Join(fortioCommand(&scenarios.Traffic{To: "echo:1", Protocol: scenarios.GRPC}), " ")).To(HaveSuffix(" -grpc -ping echo:1"))
	g.Expect(strings.Join(fortioCommand(&scenarios.Traffic{To: "echo:1", Protocol: scenarios.TCP}), " ")).To(HaveSuffix(" tcp://echo:1"))
}

// TestFortioResults reads what Fortio 1.75.3 says: files of 100 requests of 100 bytes, to the
// stand-in and to a port where nobody listens.
func TestFortioResults(t *testing.T) {
	for name, want := range map[string]struct {
		protocol string
		statuses map[string]int64
		sockets  int64
		sent     int64
	}{
		"http":         {scenarios.HTTP, map[string]int64{"200": 100}, 2, 0},
		"grpc":         {scenarios.GRPC, map[string]int64{"OK": 100}, 0, 0},
		"tcp":          {scenarios.TCP, map[string]int64{"OK": 100}, 2, 10200},
		"refused":      {scenarios.HTTP, map[string]int64{"error": 100}, 102, 0},
		"grpc-refused": {scenarios.GRPC, map[string]int64{"error": 100}, 0, 0},
		"tcp-refused":  {scenarios.TCP, map[string]int64{"error": 100}, 102, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			output, err := os.ReadFile("testdata/fortio/" + name + ".json")
			g.Expect(err).NotTo(HaveOccurred())
			result, err := parseFortio(append([]byte("something before\n"), output...))
			g.Expect(err).NotTo(HaveOccurred())
			var got observations.Traffic
			result.fill(&got, want.protocol)
			g.Expect(got.Program).To(Equal("fortio 1.75.3"))
			g.Expect(got.Requests).To(BeEquivalentTo(100))
			g.Expect(got.Statuses).To(Equal(want.statuses))
			g.Expect(got.Rate).To(BeNumerically("~", 100, 5))
			g.Expect(got.Seconds).To(BeNumerically("~", 1, 0.1))
			g.Expect(got.Sockets).To(Equal(want.sockets))
			g.Expect(got.SentBytes).To(Equal(want.sent))
			l := got.Latency
			for _, pair := range [][2]float64{{0, l.P50}, {l.P50, l.P90}, {l.P90, l.P99}, {l.P99, l.P999}, {l.P999, l.Max}} {
				g.Expect(pair[0]).To(BeNumerically("<=", pair[1]))
			}
			g.Expect(l.P50).To(BeNumerically(">", 0))
		})
	}
	for _, text := range []string{"", "no JSON", "{", `{"Version": ""}`, `{"Version": "1"}`} {
		_, err := parseFortio([]byte(text))
		NewWithT(t).Expect(err).To(HaveOccurred(), text)
	}
}

func TestBounded(t *testing.T) {
	g := NewWithT(t)
	first, last := &bounded{most: 4}, &bounded{most: 4, keepLast: true}
	for _, text := range []string{"abc", "def", "ghijklm"} {
		g.Expect(first.Write([]byte(text))).To(Equal(len(text)))
		g.Expect(last.Write([]byte(text))).To(Equal(len(text)))
	}
	g.Expect(first.String()).To(Equal("abcd"))
	g.Expect(last.String()).To(Equal("jklm"))
}

// world has a client with Fortio, and what answers behind a Service.
func world() *fake.Clientset {
	pod := func(namespace, name, label, image, id string, ready bool) *corev1.Pod {
		status := corev1.ConditionTrue
		if !ready {
			status = corev1.ConditionFalse
		}
		controller := true
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": label}, OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: label, Controller: &controller}}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}, {Name: observations.SidecarContainer, Args: []string{"proxy", "sidecar"}}}},
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
				ContainerStatuses: []corev1.ContainerStatus{
					{Name: "c", ContainerID: id, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
					{Name: observations.SidecarContainer, ContainerID: "containerd://" + name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
				},
			},
		}
	}
	return fake.NewClientset(
		pod("client", "fortio-0", "fortio", "fortio/fortio", "simulated://1", true),
		pod("client", "fortio-1", "fortio", "fortio/fortio", "containerd://2", false),
		pod("client", "fortio-2", "fortio", "fortio/fortio", "containerd://3", true),
		pod("client", "simulated-0", "simulated", "fortio/fortio", "simulated://4", true),
		pod("server", "echo-0", "echo", "nginx", "containerd://5", true),
		pod("server", "echo-1", "echo", "nginx", "containerd://6", false),
	)
}

func TestFindSender(t *testing.T) {
	g := NewWithT(t)
	on := &On{Kube: &kube.Client{Interface: world()}}
	s := &sending{on: on, Traffic: &scenarios.Traffic{}, from: "client/fortio"}
	g.Expect(s.find(t.Context())).To(Succeed())
	g.Expect(s.pod.Name).To(Equal("fortio-2"), "the first that is ready and runs")
	g.Expect(s.container).To(Equal("c"))
	pods, side := s.proxies()
	g.Expect(pods).To(HaveLen(1))
	g.Expect(side).To(Equal(map[types.NamespacedName]string{{Namespace: "client", Name: "fortio-2"}: observations.TrafficSource}))
	for from, want := range map[string]string{
		"client/simulated": "nothing can be sent: container c of pod client/simulated-0 is simulated",
		"server/echo":      "nothing can be sent: no container of pod server/echo-0 has the image fortio/fortio",
		"server/none":      "nothing can be sent: it has no pod that is ready",
	} {
		g.Expect((&sending{on: on, Traffic: &scenarios.Traffic{}, from: from}).find(t.Context())).To(MatchError(want))
	}
}

// refuser runs no command.
type refuser struct{ err error }

func (r refuser) Exec(_ context.Context, _ types.NamespacedName, _ string, _ []string, stdout, stderr io.Writer) error {
	io.WriteString(stderr, "first\nAborting because of lookup echo: no such host\n")
	return r.err
}

func TestFortioFails(t *testing.T) {
	g := NewWithT(t)
	s := &sending{on: &On{Exec: refuser{&kube.ExitError{Code: 1}}}, Traffic: &scenarios.Traffic{}, pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "client", Name: "fortio-2"}}}
	_, err := s.fortio(t.Context())
	g.Expect(err).To(MatchError("fortio in pod client/fortio-2 has failed (exit code 1): first | Aborting because of lookup echo: no such host"))
	s.on.Exec = refuser{errors.New("no route")}
	_, err = s.fortio(t.Context())
	g.Expect(err).To(MatchError("send with fortio in pod client/fortio-2: no route"))
	s.on.Exec = refuser{}
	_, err = s.fortio(t.Context())
	g.Expect(err).To(MatchError(ContainSubstring("there is no JSON in its output: first | Aborting")))
}

// script tells one reading after another.
type script struct {
	readings []sample.Spending
	err      error
}

func (s *script) Spending(context.Context, []sample.Pod) ([]sample.Spending, string, error) {
	if s.err != nil {
		return nil, "", s.err
	}
	next := s.readings[0]
	s.readings = s.readings[1:]
	return []sample.Spending{next}, observations.ThroughKubelet, nil
}

func (s *script) IsWitness(process string) bool { return process == "w" }

func TestMeterings(t *testing.T) {
	start := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	name := types.NamespacedName{Namespace: "server", Name: "echo-0"}
	at := func(second int, mi int64, cpu float64) sample.Spending {
		return sample.Spending{Pod: name, MemoryBytes: mi << 20, Measured: start.Add(time.Duration(second) * time.Second), CPUSeconds: cpu}
	}
	fill := func(t *testing.T, pod sample.Pod, readings ...sample.Spending) observations.Traffic {
		m := &meterings{proxies: &script{readings: readings}, pods: []sample.Pod{pod}}
		for range readings {
			m.read(t.Context())
		}
		got := observations.Traffic{Seconds: 10}
		m.fill(&got, map[types.NamespacedName]string{name: observations.TrafficTarget}, start, start.Add(10*time.Second))
		return got
	}
	pod := sample.Pod{Namespace: "server", Name: "echo-0", Workload: "server/echo", Process: "w"}

	t.Run("each second", func(t *testing.T) {
		var readings []sample.Spending
		for second := -4; second <= 14; second++ {
			readings = append(readings, at(second, int64(40+max(0, min(second, 3))), 1+0.01*float64(second+4)+0.2*float64(max(0, min(second, 10)))))
		}
		got := fill(t, pod, readings...)
		want := []observations.TrafficProxy{{
			Side: observations.TrafficTarget, Namespace: "server", Pod: "echo-0", Workload: "server/echo", Witness: true,
			Before: &observations.TrafficMemory{Bytes: 40 << 20, Low: 40 << 20, High: 40 << 20, Readings: 5},
			During: &observations.TrafficMemory{Bytes: 43 << 20, Low: 41 << 20, High: 43 << 20, Readings: 10},
			After:  &observations.TrafficMemory{Bytes: 43 << 20, Low: 43 << 20, High: 43 << 20, Readings: 4},
			Idle:   &observations.TrafficCPU{Seconds: 0.04, Over: 4}, Busy: &observations.TrafficCPU{Seconds: 1.89, Over: 9},
		}}
		same := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
		if diff := cmp.Diff(want, got.Proxies, same); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got.Unread != nil || got.Unsettled != nil || got.ReadThrough != observations.ThroughKubelet {
			t.Errorf("unread %q, unsettled %q, by %s", got.Unread, got.Unsettled, got.ReadThrough)
		}
	})
	t.Run("a node that repeats itself", func(t *testing.T) {
		g := NewWithT(t)
		got := fill(t, pod, at(-9, 40, 1), at(-9, 40, 1), at(6, 41, 2), at(6, 41, 2), at(21, 41, 3))
		p := got.Proxies[0]
		g.Expect(p.During.Readings).To(Equal(1))
		g.Expect(p.Busy).To(BeNil())
		g.Expect(got.Unread).To(Equal([]string{"CPU was not read twice during the load, at least half of it apart: let it take longer where nodes read their containers rarely (1 of 1 proxies)"}))
	})
	t.Run("readings too close to one another", func(t *testing.T) {
		NewWithT(t).Expect(fill(t, pod, at(-1, 40, 1), at(4, 41, 2), at(6, 41, 3), at(12, 41, 3)).Proxies[0].Busy).To(BeNil())
	})
	t.Run("a source that tells a rate", func(t *testing.T) {
		rate := func(second int, window time.Duration) sample.Spending {
			s := at(second, 40, 0)
			s.CPUNano, s.Window = 2e8, window
			return s
		}
		g := NewWithT(t)
		g.Expect(fill(t, pod, rate(-1, time.Second), rate(2, 15*time.Second), rate(9, 7*time.Second), rate(11, time.Second)).Proxies[0].Busy).
			To(Equal(&observations.TrafficCPU{Seconds: 1.4000000000000001, Over: 7}))
		g.Expect(fill(t, pod, rate(-1, time.Second), rate(9, 15*time.Second), rate(11, time.Second)).Proxies[0].Busy).To(BeNil(), "most of the window is of the time before")
	})
	t.Run("memory that moves before", func(t *testing.T) {
		NewWithT(t).Expect(fill(t, pod, at(-2, 40, 1), at(-1, 42, 1), at(5, 42, 1)).Unsettled).
			To(Equal([]string{"memory of server/echo-0 moved from 40.0 to 42.0 Mi before the load"}))
	})
	t.Run("a source that fails", func(t *testing.T) {
		g := NewWithT(t)
		m := &meterings{proxies: &script{err: errors.New("forbidden")}, pods: []sample.Pod{pod}}
		m.read(t.Context())
		var got observations.Traffic
		m.fill(&got, nil, start, start.Add(time.Second))
		g.Expect(got.Proxies[0].Before).To(BeNil())
		g.Expect(got.Unread).To(ContainElement("forbidden (1 of 1 proxies)"))
	})
}

// generator is Fortio for a while, of which a real one's result is told.
type generator struct {
	took   time.Duration
	result []byte
	ran    [][]string
}

func (x *generator) Exec(ctx context.Context, _ types.NamespacedName, _ string, command []string, stdout, _ io.Writer) error {
	x.ran = append(x.ran, command)
	select {
	case <-time.After(x.took):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := stdout.Write(x.result)
	return err
}

// steady tells of a client that grows under load, from second 5 on.
type steady struct{ begun time.Time }

func (s steady) Spending(_ context.Context, pods []sample.Pod) (found []sample.Spending, _ string, _ error) {
	for _, p := range pods {
		x := sample.Spending{Pod: p.NamespacedName(), MemoryBytes: 40 << 20, Measured: time.Now(), CPUSeconds: 1 + time.Since(s.begun).Seconds()/10}
		if time.Since(s.begun) > trafficBefore {
			x.MemoryBytes = 42 << 20
		}
		found = append(found, x)
	}
	return found, observations.ThroughKubelet, nil
}

func (steady) IsWitness(string) bool { return false }

func (steady) Pushed(context.Context, string) error { return nil }

// TestTraffic sends from two clients in turn, and ends with its context.
func TestTraffic(t *testing.T) {
	result, err := os.ReadFile("testdata/fortio/http.json")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		x, s := &generator{took: 3 * time.Second, result: result}, steady{time.Now()}
		o := on()
		o.Kube, o.Exec, o.Proxies, o.Quiet = &kube.Client{Interface: world()}, x, s, s
		action := &scenarios.Traffic{From: scenarios.Sources{"client/fortio"}, To: "echo.server:80", Protocol: scenarios.HTTP, Path: "/", QPS: 100, Connections: 2, Payload: 100, Duration: time.Second}
		g.Expect(Do(t.Context(), o, action)).To(Succeed())
		records := *o.Recorder.(*recorded)
		g.Expect(records).To(HaveLen(1))
		got := records[0].Traffic
		g.Expect(got.From).To(Equal("client/fortio"))
		g.Expect(got.Pod).To(Equal("client/fortio-2"))
		g.Expect(got.Sidecar).To(BeTrue())
		g.Expect(got.Statuses).To(Equal(map[string]int64{"200": 100}))
		g.Expect(got.Proxies).To(HaveLen(1))
		p := got.Proxies[0]
		g.Expect([]int64{p.Before.Bytes, p.After.Bytes}).To(Equal([]int64{40 << 20, 42 << 20}))
		g.Expect(p.Idle.Cores()).To(BeNumerically("~", 0.1, 1e-9))
		g.Expect(x.ran).To(HaveLen(1))

		ctx, cancel := context.WithCancelCause(t.Context())
		x.took = time.Hour
		time.AfterFunc(10*time.Second, func() { cancel(errors.New("somebody's wish")) })
		action.Duration = time.Hour
		g.Expect(Do(ctx, o, action)).To(MatchError(ContainSubstring("somebody's wish")))
		action.Duration = time.Second
		g.Expect(Do(t.Context(), o, action)).To(MatchError(ContainSubstring("the load has not ended 1m0s after its time")))
	})
}

func TestSpan(t *testing.T) {
	g := NewWithT(t)
	begin := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	second := func(n float64) time.Time { return begin.Add(time.Duration(n * float64(time.Second))) }
	span := func(start time.Time, took float64) []time.Time {
		first, last := (&fortioResult{StartTime: start, ActualDuration: int64(took * 1e9)}).span(begin, second(12))
		return []time.Time{first, last}
	}
	g.Expect(span(second(0.5), 10)).To(Equal([]time.Time{second(0.5), second(10.5)}))
	g.Expect(span(second(1000), 10)).To(Equal([]time.Time{second(1), second(11)}), "another clock")
	g.Expect(span(second(0), 13)).To(Equal([]time.Time{second(0), second(12)}))
}
