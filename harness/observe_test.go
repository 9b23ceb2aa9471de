package harness

import (
	"testing"
	"time"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

func TestInShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		20 * time.Second: "20s", 10 * time.Minute: "10m", 90 * time.Second: "1m30s", time.Hour: "1h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s",
	} {
		if got := inShort(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestFinds(t *testing.T) {
	if err := (&Observation{}).finds([]sample.Pod{{}, {RealProxy: true}}); err != nil {
		t.Error(err)
	}
	err := (&Observation{Namespaces: []string{"nowhere"}}).finds([]sample.Pod{{}})
	if err == nil || err.Error() != "no proxy of this Istio runs in namespaces nowhere: there is nothing to measure" {
		t.Error(err)
	}
}

// Never a proxy whose pod forbids it, both kinds if there is room, and those of the step before
// again.
func TestChoose(t *testing.T) {
	pod := func(name, kind string, change func(*sample.Pod)) sample.Pod {
		p := sample.Pod{Namespace: "ns", Name: name, Workload: "ns/" + name[:1], Kind: kind, RealProxy: true, Ready: true, Process: "containerd://" + name}
		if change != nil {
			change(&p)
		}
		return p
	}
	pods := []sample.Pod{
		pod("a1", observations.ProxySidecar, nil), pod("a2", observations.ProxySidecar, nil), pod("b1", observations.ProxySidecar, nil),
		pod("g1", observations.ProxyGateway, nil), pod("w1", observations.ProxyWaypoint, nil),
		pod("forbidden", observations.ProxySidecar, func(p *sample.Pod) { p.NoDump = true }),
		pod("starting", observations.ProxySidecar, func(p *sample.Pod) { p.Ready = false }),
		pod("leaving", observations.ProxySidecar, func(p *sample.Pod) { p.Deleting = true }),
		pod("simulated", observations.ProxySidecar, func(p *sample.Pod) { p.RealProxy = false }),
	}
	seen := map[string]bool{}
	for seed := range uint64(50) {
		o := &Observation{Witnesses: 2, Seed: seed}
		first := o.choose(pods)
		kinds := map[string]int{}
		for _, p := range first {
			kinds[p.Kind]++
			seen[p.Name] = true
		}
		if len(first) != 2 || kinds[observations.ProxySidecar] != 1 || kinds[observations.ProxyGateway] != 1 {
			t.Fatalf("seed %d: %v", seed, kinds)
		}
		again := o.choose(append(pods, pod("a3", observations.ProxySidecar, nil)))
		if len(again) != 2 || again[0].Name != first[0].Name || again[1].Name != first[1].Name {
			t.Errorf("seed %d: %v, then %v", seed, first, again)
		}
	}
	for _, name := range []string{"a1", "a2", "b1", "g1"} {
		if !seen[name] {
			t.Errorf("%s is never chosen", name)
		}
	}
	if len(seen) != 4 {
		t.Errorf("chosen: %v", seen)
	}
	if got := (&Observation{Witnesses: 9, Of: []string{"ns/b"}}).choose(pods); len(got) != 1 || got[0].Name != "b1" {
		t.Errorf("of ns/b: %v", got)
	}
	if got := (&Observation{}).choose(pods); len(got) != 0 {
		t.Errorf("none was asked for: %v", got)
	}
}
