package kubelet

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// encode writes families as virtual-kubelet does.
func encode(t *testing.T, families []*dto.MetricFamily) string {
	t.Helper()
	var out bytes.Buffer
	encoder := expfmt.NewEncoder(&out, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestFamilies(t *testing.T) {
	at := time.UnixMilli(1700000000123)
	for _, test := range []struct {
		name       string
		node       nodeUsage
		containers []usage
		want       string
	}{
		{"nothing runs", nodeUsage{time: at}, nil,
			`# HELP node_cpu_usage_seconds_total Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 0 1700000000123
# HELP node_memory_working_set_bytes Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 0 1700000000123
`},
		{"two containers", nodeUsage{cpuNanos: 3.5e9, workingSet: 30 << 20, time: at}, []usage{
			{namespace: "ns1", pod: "p", container: "istio-proxy", started: time.Unix(1699999999, 5e8),
				Usage: runtime.Usage{WorkingSetBytes: 20 << 20, CPUNanos: 1.25e9, Time: at}},
			{namespace: "ns2", pod: "q", container: "istio-proxy", started: time.Unix(1699999998, 0),
				Usage: runtime.Usage{WorkingSetBytes: 10 << 20, CPUNanos: 2e9, Time: at.Add(time.Millisecond)}},
		}, `# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="istio-proxy",namespace="ns1",pod="p"} 1.25 1700000000123
container_cpu_usage_seconds_total{container="istio-proxy",namespace="ns2",pod="q"} 2 1700000000124
# HELP container_memory_working_set_bytes Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="istio-proxy",namespace="ns1",pod="p"} 2.097152e+07 1700000000123
container_memory_working_set_bytes{container="istio-proxy",namespace="ns2",pod="q"} 1.048576e+07 1700000000124
# HELP container_start_time_seconds Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="istio-proxy",namespace="ns1",pod="p"} 1.6999999995e+09 1700000000123
container_start_time_seconds{container="istio-proxy",namespace="ns2",pod="q"} 1.699999998e+09 1700000000124
# HELP node_cpu_usage_seconds_total Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 3.5 1700000000123
# HELP node_memory_working_set_bytes Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 3.145728e+07 1700000000123
`},
	} {
		if got := encode(t, families(test.node, test.containers)); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

func TestSummary(t *testing.T) {
	at := time.Unix(1700000000, 0).UTC()
	s := summary("node", at, nodeUsage{cpuNanos: 7, workingSet: 9, time: at}, []usage{
		{namespace: "ns", pod: "a", uid: "1", container: "x", Usage: runtime.Usage{WorkingSetBytes: 4, CPUNanos: 3, Time: at}},
		{namespace: "ns", pod: "a", uid: "1", container: "y", Usage: runtime.Usage{WorkingSetBytes: 2, CPUNanos: 1, Time: at}},
		{namespace: "ns", pod: "b", uid: "2", container: "x", Usage: runtime.Usage{WorkingSetBytes: 3, CPUNanos: 3, Time: at}},
	})
	if *s.Node.CPU.UsageCoreNanoSeconds != 7 || *s.Node.Memory.WorkingSetBytes != 9 || s.Node.NodeName != "node" {
		t.Errorf("node is %+v", s.Node)
	}
	if len(s.Pods) != 2 || len(s.Pods[0].Containers) != 2 || s.Pods[1].PodRef.UID != "2" {
		text, _ := json.MarshalIndent(s.Pods, "", " ")
		t.Fatalf("pods are %s", text)
	}
	if c := s.Pods[0].Containers[1]; c.Name != "y" || *c.Memory.WorkingSetBytes != 2 || *c.CPU.UsageCoreNanoSeconds != 1 {
		t.Errorf("container is %+v", c)
	}
}
