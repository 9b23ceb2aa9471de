package formats

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// largeLog is the log of a run with 200 real sidecars on 20 nodes, 9 steps and a series
// of one second, for the time that such a run takes.
func largeLog() []observations.Record {
	const nodes, podsPerNode, seconds = 20, 10, 60
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	run := *reportstest.Log()[0].Run
	records := []observations.Record{{Time: at, Run: &run}}
	for step := range run.Steps {
		add := func(r observations.Record) {
			r.Time, r.Step = at, &step
			records = append(records, r)
		}
		add(observations.Record{Begin: &observations.Begin{Name: run.Steps[step]}})
		for range seconds {
			at = at.Add(time.Second)
			for node := range nodes {
				s := observations.Series{Node: fmt.Sprintf("ip-10-0-1-%d.ec2.internal", node)}
				for pod := range podsPerNode {
					s.Containers = append(s.Containers, observations.SeriesPoint{Namespace: "ns1", Pod: fmt.Sprintf("test-57ff95b6bc-%02d%02d", node, pod),
						Container: "istio-proxy", MemoryBytes: int64(30+step)<<20 + (at.Unix()*int64(pod+1)%4096)<<8, CPUSeconds: float64(at.Unix()%1000) / 7})
				}
				records = append(records, observations.Record{Time: at, Series: &s})
			}
		}
		add(observations.Record{Settle: &observations.Settle{Settled: true, Seconds: 30}})
		add(observations.Record{Objects: &observations.Objects{Nodes: nodes, Pods: 244, Services: 24, Sidecars: 200, RealSidecars: 200}})
		for pod := range nodes * podsPerNode {
			add(observations.Record{Usage: &observations.Usage{Namespace: "ns1", Pod: fmt.Sprintf("test-57ff95b6bc-%02d%02d", pod/podsPerNode, pod%podsPerNode),
				Container: "istio-proxy", Workload: "ns1/test", MemoryBytes: int64(30+step)<<20 + int64(pod)<<12, CPUNano: 2e6, Measured: at}})
		}
		add(observations.Record{Proxy: &observations.Proxy{Namespace: "ns1", Pod: "test-57ff95b6bc-0000", Workload: "ns1/test",
			Objects: observations.ConfigObjects{Listeners: 100 * (step + 1)}, DumpBytes: int64(step+1) * 200000}})
		add(observations.Record{Measure: &observations.Measure{Seconds: seconds}})
	}
	return append(records, observations.Record{Time: at, End: &observations.End{Outcome: "ok"}})
}

// BenchmarkLargeLog makes all reports of a large log, from the file to the files. The
// limits are 2 s and 300 MiB; peak-MiB is of the whole process.
//
//	go test ./reports/formats -run '^$' -bench LargeLog -benchtime 3x
func BenchmarkLargeLog(b *testing.B) {
	dir := b.TempDir()
	log := logBytes(b, largeLog())
	if err := os.WriteFile(filepath.Join(dir, observations.LogName), log, 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(log)))
	// What making the log took does not count.
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Logf("the peak includes making the log: %v", err)
	}
	for b.Loop() {
		records, truncated, err := observations.ReadFile(dir)
		if err != nil {
			b.Fatal(err)
		}
		r, err := reports.Build(records, truncated)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := WriteAll(dir, r); err != nil {
			b.Fatal(err)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var peak float64
	if _, err := fmt.Sscan(rest, &peak); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(peak/1024, "peak-MiB")
}
