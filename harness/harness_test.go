package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// While nodes are replaced both are there.
func TestMostNodes(t *testing.T) {
	g := NewWithT(t)
	s, err := scenarios.Open("eks-nginx", map[string]string{"nodes": "3", "maxPods": "250"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Plan().MostNodes).To(Equal(1 + 3))
	s, err = scenarios.Open("one-pod", nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Plan().MostNodes).To(Equal(1))
}

func TestImages(t *testing.T) {
	g := NewWithT(t)
	s, err := scenarios.Load("images.yaml", []byte(`
name: images
title: A scenario for tests
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: first
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: test, image: nginx}
      - apply:
          manifest: |
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: x, namespace: ns1}
            spec: {template: {spec: {initContainers: [{name: i, image: "init:1"}], containers: [{name: a, image: "app:1"}, {name: b, image: nginx}]}}}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: why, namespace: ns1}
            spec: {containers: [{name: a, image: "pod:1"}]}
            ---
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: z, namespace: ns1}
      - revisions: {namespace: ns1, service: none, count: 1, image: dev.local/none}
      - revisions: {namespace: ns1, service: one, count: 1, image: dev.local/one, minScale: 1}
`), nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Plan().Images).To(Equal([]string{"nginx", "init:1", "app:1", "pod:1", "dev.local/one"}))
}

func TestSteady(t *testing.T) {
	const mi = 1 << 20
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pods := []sample.Pod{{Namespace: "ns1", Name: "a"}}
	for _, c := range []struct {
		name   string
		series []int64 // Mi at each of the last seconds, the latest last
		steady bool
	}{
		{"flat", []int64{30, 30, 30, 30, 30, 30, 30, 30}, true},
		{"within the slack", []int64{30, 30, 30, 30, 30, 30, 31, 30}, true},
		{"grows", []int64{30, 31, 32, 33, 34, 35, 36, 37}, false},
		{"a jump that is over is still in the earlier window", []int64{30, 40, 40, 40, 40, 40, 40, 40}, false},
		{"too young to tell", []int64{30, 30, 30}, false},
		{"never read", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m recent
			for i, v := range c.series {
				age := time.Duration(len(c.series)-1-i) * time.Second
				m.add(now.Add(-age), observations.Series{Containers: []observations.SeriesPoint{
					{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: v * mi},
					{Namespace: "ns1", Pod: "a", Container: "nginx", MemoryBytes: int64(i) * 100 * mi},
				}})
			}
			ok, waiting := m.steady(now, pods, rarely{longest: 20 * time.Second})
			NewWithT(t).Expect(ok).To(Equal(c.steady), waiting)
		})
	}
	// The clock of a node is set back: what it says from then on counts alone.
	for back, windows := range map[time.Duration]bool{time.Hour: true, 3 * time.Second: true} {
		var m recent
		at := func(i int) time.Time { return now.Add(time.Duration(i) * time.Second) }
		read := func(at time.Time) {
			m.add(at, observations.Series{Containers: []observations.SeriesPoint{{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: 30 * mi}}})
		}
		for i := range 8 {
			read(at(i))
		}
		for i := 8; i < 17; i++ {
			read(at(i).Add(-back))
		}
		ok, waiting := m.steady(at(16).Add(-back), pods, rarely{longest: 20 * time.Second})
		NewWithT(t).Expect(ok).To(Equal(windows), "%s: %s", back, waiting)
	}
	// A real kubelet reads every 10 to 15 s.
	for _, c := range []struct {
		name   string
		series map[time.Duration]int64 // by age
		steady bool
	}{
		{"two readings agree", map[time.Duration]int64{15 * time.Second: 30, time.Second: 30}, true},
		{"two readings differ", map[time.Duration]int64{15 * time.Second: 30, time.Second: 40}, false},
		{"one reading", map[time.Duration]int64{time.Second: 30}, false},
		{"the last reading is old", map[time.Duration]int64{35 * time.Second: 30, 21 * time.Second: 30}, false},
		{"what is older than the one before is over", map[time.Duration]int64{30 * time.Second: 20, 16 * time.Second: 30, time.Second: 30}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m recent
			for _, age := range slices.Backward(slices.Sorted(maps.Keys(c.series))) {
				m.add(now.Add(-age), observations.Series{Containers: []observations.SeriesPoint{
					{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: c.series[age] * mi},
				}})
			}
			ok, waiting := m.steady(now, pods, rarely{longest: 20 * time.Second})
			NewWithT(t).Expect(ok).To(Equal(c.steady), waiting)
		})
	}
	t.Run("read each minute", func(t *testing.T) {
		g := NewWithT(t)
		var m recent
		read := func(age time.Duration, bytes int64) {
			m.add(now.Add(-age), observations.Series{Containers: []observations.SeriesPoint{
				{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: bytes}}})
		}
		read(100*time.Second, 30*mi)
		read(40*time.Second, 30*mi)
		ok, waiting := m.steady(now, pods, rarely{longest: 2 * time.Minute, since: now.Add(-time.Minute)})
		g.Expect(ok).To(BeTrue(), waiting)
		ok, waiting = m.steady(now, pods, rarely{longest: 2 * time.Minute, since: now.Add(-30 * time.Second)}) // a push came after it
		g.Expect(ok).To(BeFalse())
		g.Expect(waiting).To(Equal("memory of ns1/a was last read 40 s ago"))
		ok, _ = m.steady(now, pods, rarely{longest: 20 * time.Second})
		g.Expect(ok).To(BeFalse())
	})
	t.Run("readings of the process before", func(t *testing.T) {
		g := NewWithT(t)
		var m recent
		read := func(age time.Duration, bytes int64) {
			m.add(now.Add(-age), observations.Series{Containers: []observations.SeriesPoint{
				{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: bytes}}})
		}
		for age := 8 * time.Second; age > 3*time.Second; age -= time.Second {
			read(age, 30*mi)
		}
		started := now.Add(-3 * time.Second)
		renewed := []sample.Pod{{Namespace: "ns1", Name: "a", Started: started}}
		ok, waiting := m.steady(now, renewed, rarely{longest: 20 * time.Second})
		g.Expect(ok).To(BeFalse())
		g.Expect(waiting).To(Equal("memory of ns1/a has not been read for 8s"))
		_, known := m.last(types.NamespacedName{Namespace: "ns1", Name: "a"}, started, now)
		g.Expect(known).To(BeFalse())
		for _, age := range []time.Duration{3 * time.Second, 2 * time.Second, time.Second, 0, -time.Second, -2 * time.Second, -3 * time.Second} {
			read(age, 30*mi)
		}
		ok, waiting = m.steady(now.Add(3*time.Second), renewed, rarely{longest: 20 * time.Second})
		g.Expect(ok).To(BeTrue(), waiting)
		p, known := m.last(types.NamespacedName{Namespace: "ns1", Name: "a"}, started, now)
		g.Expect(known).To(BeTrue())
		g.Expect(p.at).To(Equal(now))
	})
	t.Run("no sidecars", func(t *testing.T) {
		ok, _ := new(recent).steady(now, nil, rarely{})
		NewWithT(t).Expect(ok).To(BeTrue())
	})
}

func TestOutcome(t *testing.T) {
	live := t.Context()
	stopped, cancel := context.WithCancelCause(live)
	cancel(fmt.Errorf("%w by signal", ErrInterrupted))
	broken, end := context.WithCancelCause(live)
	end(errors.New("the cluster died"))
	over, stop := context.WithTimeoutCause(live, 0, fmt.Errorf("%w after 1s", ErrTimeout))
	defer stop()
	<-over.Done()
	reached := map[string]bool{}
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want string
		says string
	}{
		{"no error", live, nil, observations.Finished, "<nil>"},
		{"an error", live, errors.New("x"), observations.Failed, "x"},
		{"stopped", stopped, errors.New("x"), observations.Interrupted, "interrupted by signal: x"},
		{"stopped, as it is said", stopped, fmt.Errorf("x: %w", context.Cause(stopped)), observations.Interrupted, "x: interrupted by signal"},
		{"the cluster died", broken, errors.New("x"), observations.Failed, "x"},
		{"limit hit, whatever broke because of it", over, errors.New("x"), observations.TimedOut, "the run's time limit was hit after 1s: x"},
	} {
		r := &run{}
		got := r.outcome(c.ctx, c.err)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if got := fmt.Sprint(causeOf(c.ctx, c.err)); got != c.says {
			t.Errorf("%s: %q, want %q", c.name, got, c.says)
		}
		reached[got] = true
	}
	// What the log's contract lists is written, and nothing else.
	listed := map[string]bool{}
	for _, o := range observations.Outcomes() {
		listed[o] = true
	}
	if !maps.Equal(reached, listed) {
		t.Errorf("runs end as %v, the contract lists %v", reached, listed)
	}
}

// A manifest that holds what looks like an expression is kept so that it loads again.
func TestKeptScenarioLoads(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: f, namespace: ns1}\ndata: {a: \"${HOME}\"}\n"
	g.Expect(os.WriteFile(filepath.Join(dir, "f.yaml"), []byte(manifest), 0o644)).To(Succeed())
	s, err := scenarios.Load(filepath.Join(dir, "s.yaml"), []byte(`name: kept
title: kept
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: test, image: nginx}
      - apply: {file: f.yaml}
      - apply:
          manifest: |
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: m, namespace: ns1}
            data: {a: "$${HOME}"}
`), nil)
	g.Expect(err).NotTo(HaveOccurred())
	r := &run{Options: Options{Scenario: s, Dir: dir}}
	g.Expect(r.keepScenario()).To(Succeed())
	again, err := scenarios.Open(filepath.Join(dir, ScenarioName), nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.Steps).To(HaveLen(1))
	for i := range s.Steps[0].Actions {
		g.Expect(again.Steps[0].Actions[i].Change).To(Equal(s.Steps[0].Actions[i].Change))
	}
}
