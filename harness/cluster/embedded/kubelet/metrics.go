package kubelet

import (
	"cmp"
	"context"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsv1alpha1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// usage is one running container's use of memory and CPU.
type usage struct {
	namespace, pod, uid, container string
	podStart                       time.Time
	started                        time.Time
	runtime.Usage
}

// nodeUsage is the sum of a node's containers; nothing else of a node is real.
type nodeUsage struct {
	cpuNanos   uint64 // since the node's start, ended containers included
	workingSet uint64
	time       time.Time
}

// usage reads every running container of the node now, sorted by pod and container.
func (n *virtualNode) usage() (nodeUsage, []usage) {
	var all []usage
	node := nodeUsage{cpuNanos: n.endedCPU.Load(), time: time.Now()}
	for _, p := range n.live() {
		for name, c := range p.containers {
			process, err := c.running()
			if err != nil {
				continue
			}
			read, err := process.Usage()
			if err != nil {
				continue // it has just ended
			}
			p.mu.Lock()
			if c.process == process {
				c.cpuNanos = read.CPUNanos
			}
			p.mu.Unlock()
			all = append(all, usage{
				namespace: p.namespace, pod: p.name, uid: string(p.uid), container: name,
				podStart: p.since, started: process.Exit().StartedAt, Usage: read,
			})
			node.cpuNanos += read.CPUNanos
			node.workingSet += read.WorkingSetBytes
		}
	}
	slices.SortFunc(all, func(a, b usage) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.pod, b.pod), cmp.Compare(a.container, b.container))
	})
	return node, all
}

// metrics are the families of /metrics/resource.
func (n *virtualNode) metrics(context.Context) ([]*dto.MetricFamily, error) {
	return families(n.usage()), nil
}

// families are what metrics-server reads. It drops the whole pod when one of its
// containers has a value of zero, but does not ask which containers a pod has; so those
// that are simulated are left out, and `kubectl top pod --containers` shows the others.
func families(node nodeUsage, containers []usage) []*dto.MetricFamily {
	var (
		nodeCPU    = family("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", dto.MetricType_COUNTER)
		nodeMemory = family("node_memory_working_set_bytes", "Current working set of the node in bytes", dto.MetricType_GAUGE)
		cpu        = family("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", dto.MetricType_COUNTER)
		memory     = family("container_memory_working_set_bytes", "Current working set of the container in bytes", dto.MetricType_GAUGE)
		start      = family("container_start_time_seconds", "Start time of the container since unix epoch in seconds", dto.MetricType_GAUGE)
	)
	add(nodeCPU, seconds(node.cpuNanos), node.time)
	add(nodeMemory, float64(node.workingSet), node.time)
	for _, u := range containers {
		labels := []*dto.LabelPair{label("container", u.container), label("namespace", u.namespace), label("pod", u.pod)}
		add(cpu, seconds(u.CPUNanos), u.Time, labels...)
		add(memory, float64(u.WorkingSetBytes), u.Time, labels...)
		add(start, seconds(uint64(u.started.UnixNano())), u.Time, labels...)
	}
	// virtual-kubelet cannot write a family without metrics.
	return slices.DeleteFunc([]*dto.MetricFamily{cpu, memory, start, nodeCPU, nodeMemory}, func(f *dto.MetricFamily) bool {
		return len(f.Metric) == 0
	})
}

func seconds(nanos uint64) float64 { return float64(nanos) / float64(time.Second) }

func family(name, help string, kind dto.MetricType) *dto.MetricFamily {
	return &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
}

func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

func add(f *dto.MetricFamily, value float64, at time.Time, labels ...*dto.LabelPair) {
	ms := at.UnixMilli()
	m := &dto.Metric{Label: labels, TimestampMs: &ms}
	if f.GetType() == dto.MetricType_COUNTER {
		m.Counter = &dto.Counter{Value: &value}
	} else {
		m.Gauge = &dto.Gauge{Value: &value}
	}
	f.Metric = append(f.Metric, m)
}

// statsSummary is the answer of /stats/summary: CPU and memory, as far as they are real.
func (n *virtualNode) statsSummary(context.Context) (*statsv1alpha1.Summary, error) {
	node, containers := n.usage()
	return summary(n.name, n.created, node, containers), nil
}

func summary(name string, created time.Time, node nodeUsage, containers []usage) *statsv1alpha1.Summary {
	s := &statsv1alpha1.Summary{
		Node: statsv1alpha1.NodeStats{
			NodeName:  name,
			StartTime: metav1.NewTime(created),
			CPU:       &statsv1alpha1.CPUStats{Time: metav1.NewTime(node.time), UsageCoreNanoSeconds: &node.cpuNanos},
			Memory:    &statsv1alpha1.MemoryStats{Time: metav1.NewTime(node.time), WorkingSetBytes: &node.workingSet},
		},
		Pods: []statsv1alpha1.PodStats{},
	}
	for _, u := range containers { // sorted by pod
		ref := statsv1alpha1.PodReference{Name: u.pod, Namespace: u.namespace, UID: u.uid}
		if len(s.Pods) == 0 || s.Pods[len(s.Pods)-1].PodRef != ref {
			s.Pods = append(s.Pods, statsv1alpha1.PodStats{PodRef: ref, StartTime: metav1.NewTime(u.podStart)})
		}
		pod := &s.Pods[len(s.Pods)-1]
		pod.Containers = append(pod.Containers, statsv1alpha1.ContainerStats{
			Name:      u.container,
			StartTime: metav1.NewTime(u.started),
			CPU:       &statsv1alpha1.CPUStats{Time: metav1.NewTime(u.Time), UsageCoreNanoSeconds: &u.CPUNanos},
			Memory:    &statsv1alpha1.MemoryStats{Time: metav1.NewTime(u.Time), WorkingSetBytes: &u.WorkingSetBytes},
		})
	}
	return s
}
