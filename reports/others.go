package reports

import (
	"fmt"
	"maps"
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// Others are the proxies of one kind that are no sidecars, at a step. They are in none of
// the sidecars' statistics, nor in those of another kind.
type Others struct {
	Kind string `json:"kind"` // gateway, waypoint, ...
	// Memory and CPU are of those that were never dumped, WitnessMemory of those that were.
	Memory        Memory     `json:"memory"`
	WitnessMemory Memory     `json:"witnessMemory"`
	CPU           CPU        `json:"cpu"`
	Workloads     []Workload `json:"workloads,omitempty"` // split Memory, sorted by name
	// Witness is the proxy, namespace/pod, whose configuration was read, and Rows and
	// ConfigObjects are its; "" and nil where none was.
	Witness       string                      `json:"witness,omitempty"`
	Rows          *observations.Counts        `json:"rows,omitempty"`
	ConfigObjects *observations.ConfigObjects `json:"configObjects,omitempty"`
	// Proxies are the readings behind, sorted by pod.
	Proxies []Sidecar `json:"proxies"`
}

// group is what the readings of proxies of one kind amount to.
func group(kind string, read []Sidecar) Others {
	o := Others{Kind: kind, Proxies: read}
	var memory, witness, cpu []int64
	workloads := map[string][]int64{}
	for _, p := range read {
		if p.Witness {
			witness = append(witness, p.MemoryBytes)
			continue
		}
		memory = append(memory, p.MemoryBytes)
		if !p.CPUUnknown {
			cpu = append(cpu, p.CPUNano)
		}
		workloads[p.Workload] = append(workloads[p.Workload], p.MemoryBytes)
	}
	for _, name := range slices.Sorted(maps.Keys(workloads)) {
		o.Workloads = append(o.Workloads, Workload{Name: name, Memory: memoryOf(workloads[name])})
	}
	o.Memory, o.WitnessMemory, o.CPU = memoryOf(memory), memoryOf(witness), cpuOf(cpu)
	return o
}

// counts takes in the configuration of the kind's witness.
func (o *Others) counts(proxies []observations.Proxy, primary primaries) {
	if p := primary.of(proxies, o.Kind); p != nil {
		o.Witness, o.Rows, o.ConfigObjects = p.Namespace+"/"+p.Pod, &p.Rows, &p.Objects
	}
}

// keptAlive says which pods do not complete for their sidecars, and since which step; "" for
// none.
func (r *Report) keptAlive() (text, step string) {
	var pods []string
	for _, e := range r.Events {
		if e.Kind != observations.KeptAlive {
			continue
		}
		if len(pods) == 0 {
			step = e.Step
		}
		pods = append(pods, e.Object)
	}
	if len(pods) == 0 {
		return "", ""
	}
	more := ""
	if n := len(pods) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return fmt.Sprintf("The application containers of %s%s have ended, but its sidecar, which is no native one, runs on: the pod does not complete, and its sidecar counts.", pods[0], more), step
}

// realText is observations.Cluster.RealPerDeployment in words.
func realText(n int) string {
	if n < 0 {
		return "all pods run"
	}
	return fmt.Sprintf("at most %d a Deployment", n)
}
