package traffic_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/traffic"
)

var update = flag.Bool("update", false, "rewrite golden files")

// print is a section as text.
func print(s sections.Section) []byte {
	var b bytes.Buffer
	table := func(t sections.Table) {
		fmt.Fprintf(&b, "\n%s\n%q\n", t.Title, t.Header)
		for _, row := range t.Rows {
			fmt.Fprintf(&b, "%q\n", row)
		}
	}
	table(s.Summary)
	for _, note := range s.Notes {
		fmt.Fprintln(&b, note)
	}
	for _, p := range s.Parts {
		fmt.Fprintf(&b, "\n%s: %q\n", p.Plot.Name, p.Plot.Rows)
		for _, t := range p.Tables {
			table(t)
		}
	}
	fmt.Fprintln(&b)
	for _, f := range s.Findings {
		fmt.Fprintf(&b, "%s %s\n", f.Level, f)
	}
	fmt.Fprintln(&b)
	for _, x := range s.Samples {
		fmt.Fprintf(&b, "%s %d %q %.4g %.4g\n", x.Metric, x.Number, x.Labels, x.Value, x.Published)
	}
	for _, p := range s.Properties {
		fmt.Fprintf(&b, "%s = %s\n", p[0], p[1])
	}
	return b.Bytes()
}

// TestGolden is of the log of a real run of traffic-memory, on a busy machine of two cores, less
// what the section does not read.
func TestGolden(t *testing.T) {
	g := NewWithT(t)
	file, err := os.Open("testdata/traffic-memory.jsonl")
	g.Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	records, truncated, err := observations.Read(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(truncated).To(BeFalse())
	got := print(traffic.Section(traffic.Build(records)))
	const golden = "testdata/traffic-memory.txt"
	if *update {
		g.Expect(os.WriteFile(golden, got, 0o644)).To(Succeed())
	}
	want, err := os.ReadFile(golden)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(got)).To(Equal(string(want)))
}

const mi = 1 << 20

var began = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// proxy is one that held so many Mi before, during and after a load.
func proxy(side, pod string, before, during, after float64) observations.TrafficProxy {
	held := func(v float64) *observations.TrafficMemory {
		return &observations.TrafficMemory{Bytes: int64(v * mi), Low: int64(v * mi), High: int64(v * mi), Readings: 4}
	}
	return observations.TrafficProxy{
		Side: side, Namespace: "ns1", Pod: pod, Workload: "ns1/w", Before: held(before), During: held(during), After: held(after),
		Busy: &observations.TrafficCPU{Seconds: 1, Over: 10},
	}
}

func load(qps, connections int, proxies ...observations.TrafficProxy) observations.Record {
	step := 0
	return observations.Record{Step: &step, Traffic: &observations.Traffic{
		From: "ns1/client", To: "echo.ns1:80", Protocol: "http", Path: "/", QPS: qps, Connections: connections,
		Begin: began, Seconds: 10, Requests: int64(10 * qps), Rate: float64(qps), Statuses: map[string]int64{"200": int64(10 * qps)}, Proxies: proxies,
	}}
}

func build(records ...observations.Record) *traffic.Traffic {
	return traffic.Build(append([]observations.Record{{Run: &observations.Run{Steps: []string{"one"}}}}, records...))
}

func TestNoTraffic(t *testing.T) {
	NewWithT(t).Expect(build()).To(BeNil())
}

func TestAnswer(t *testing.T) {
	target := func(pod string, before, during, after float64) observations.TrafficProxy {
		return proxy(observations.TrafficTarget, pod, before, during, after)
	}
	restart := observations.Record{Restart: &observations.Restart{Namespace: "ns1", Pod: "a", Container: observations.SidecarContainer}}
	witness := target("a", 40, 50, 50)
	witness.Witness = true
	gateway := target("g", 40, 50, 50)
	gateway.Kind = observations.ProxyGateway
	yes, no := true, false
	for name, c := range map[string]struct {
		records []observations.Record
		follows *bool
		text    string
		leftOut int
	}{
		"it moves": {
			[]observations.Record{load(100, 1, target("a", 40, 42, 42), target("b", 41, 43.1, 43)), load(1000, 1, target("a", 42, 44, 41), target("b", 43, 45.2, 42))},
			&no, "Memory does not follow configuration only: with 1,000 requests a second over 1 connection a sidecar of the target held 4.1 Mi more than at rest (95 % interval +2.8 to +5.4, 2 proxies), and +1.0 Mi just afterwards.", 0,
		},
		"it stays": {
			[]observations.Record{load(100, 64, target("a", 40, 40.1, 40), target("b", 41, 41.2, 41))},
			&yes, "Memory followed configuration only, as far as this run tells: no load moved it by more than 0.5 Mi; most 100 requests a second over 64 connections, by +0.1 Mi (95 % interval -0.5 to +0.8, 2 proxies).", 0,
		},
		"it varies": {
			[]observations.Record{load(100, 64, target("a", 40, 46, 40), target("b", 41, 38, 41))},
			&yes, "", 0,
		},
		"one proxy tells nothing":            {[]observations.Record{load(100, 1, target("a", 40, 50, 50))}, nil, "is not known", 0},
		"nor do one and a witness":           {[]observations.Record{load(100, 1, witness, target("b", 40, 50, 50))}, nil, "is not known", 1},
		"nor do one and one that was killed": {[]observations.Record{restart, load(100, 1, target("a", 40, 50, 50), target("b", 40, 50, 50))}, nil, "is not known", 1},
		"nor do a sidecar and a gateway":     {[]observations.Record{load(100, 1, gateway, target("b", 40, 50, 50))}, nil, "is not known", 1},
		"nor does what was not read before":  {[]observations.Record{load(100, 1, observations.TrafficProxy{Side: "target", Pod: "a"}, target("b", 40, 50, 50))}, nil, "is not known", 0},
		"a step that begins again starts over": {
			[]observations.Record{load(1, 1, target("a", 40, 50, 50), target("b", 40, 50, 50)), {Step: new(int), Begin: &observations.Begin{}}, load(100, 1, target("a", 40, 50, 50))}, nil, "is not known", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := build(c.records...)
			g.Expect(got.FollowsConfiguration).To(Equal(c.follows))
			g.Expect(got.Answer).To(ContainSubstring(c.text))
			g.Expect(got.LeftOut).To(HaveLen(c.leftOut))
			traffic.Section(got) // has no figure that is not there
		})
	}
}

// TestIdle checks that sidecars without a load are read by the series, and witnesses are not.
func TestIdle(t *testing.T) {
	g := NewWithT(t)
	var records []observations.Record
	for s := -4; s < 14; s++ {
		points := []observations.SeriesPoint{
			{Namespace: "ns1", Pod: "idle", Container: observations.SidecarContainer, MemoryBytes: 40 * mi},
			{Namespace: "ns1", Pod: "a", Container: observations.SidecarContainer, MemoryBytes: 99 * mi},
			{Namespace: "ns1", Pod: "witness", Container: observations.SidecarContainer, MemoryBytes: 99 * mi},
			{Namespace: "ns1", Pod: "gateway", Container: observations.SidecarContainer, Kind: observations.ProxyGateway, MemoryBytes: 99 * mi},
		}
		if s >= 0 {
			points[0].MemoryBytes = 41 * mi
		}
		records = append(records, observations.Record{Time: began.Add(time.Duration(s) * time.Second), Series: &observations.Series{Containers: points}})
	}
	records = append(records, load(100, 1, proxy("target", "a", 40, 40, 40)), observations.Record{Proxy: &observations.Proxy{Namespace: "ns1", Pod: "witness"}})
	got := build(records...)
	g.Expect(got.Memory).To(HaveLen(2))
	i := slices.IndexFunc(got.Memory, func(c traffic.Change) bool { return c.Side == "idle" })
	g.Expect(got.Memory[i].Proxies).To(Equal(1))
	g.Expect(got.Memory[i].Rest.Mean).To(BeEquivalentTo(40 * mi))
	g.Expect(got.Memory[i].During.Mean).To(BeEquivalentTo(mi))
	g.Expect(got.Memory[i].After.Mean).To(BeEquivalentTo(mi))
}

func TestLoad(t *testing.T) {
	g := NewWithT(t)
	unknown := proxy("target", "c", 1, 1, 1)
	unknown.Busy = nil
	r := load(1000, 2, proxy("source", "a", 1, 1, 1), proxy("target", "b", 1, 1, 1), unknown)
	r.Traffic.AskedSeconds, r.Traffic.Requests = 10, 9497
	r.Traffic.Rate, r.Traffic.Sidecar, r.Traffic.TargetProxies = 500, true, 2
	l := build(r).Loads[0]
	g.Expect(l.Slow()).To(BeTrue())
	l.Requests++
	g.Expect(l.Slow()).To(BeFalse(), "two connections that begin later")
	g.Expect(l.Carried()).To(Equal("both"))
	cores, per, ok := l.CPU("source")
	g.Expect([]any{cores, per, ok}).To(Equal([]any{0.1, 0.2, true}))
	_, _, ok = l.CPU("target")
	g.Expect(ok).To(BeFalse(), "a sum of which a part is unknown")
	l.Statuses = map[string]int64{"200": 7, "302": 1, "502": 1, "error": 1}
	l.Requests = 10
	g.Expect(l.Failed()).To(BeEquivalentTo(2))
}
