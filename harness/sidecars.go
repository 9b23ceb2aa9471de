package harness

import (
	"github.com/meshbench/meshbench/scenarios"
)

// Sidecars is the largest number of real sidecars that a scenario has at once with real
// pods a Deployment (-1 for all): what a machine must have room for. A restart has old
// and new ones side by side. Deployments that manifests make are not counted.
func Sidecars(s *scenarios.Scenario, real int) int {
	type workload struct{ namespace, name string }
	injected := map[string]bool{}
	replicas := map[workload]int{}
	most := 0
	note := func(extra int) {
		sum := extra
		for w, n := range replicas {
			if injected[w.namespace] {
				sum += running(n, real)
			}
		}
		most = max(most, sum)
	}
	surge := func(r *scenarios.Restart) int {
		if !injected[r.Namespace] {
			return 0
		}
		// A rollout surges by a quarter, rounded up.
		return running((replicas[workload{r.Namespace, r.Deployment}]+3)/4, real)
	}
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			extra := 0
			switch c := action.Change.(type) {
			case *scenarios.Namespace:
				injected[c.Name] = c.Injection
			case *scenarios.Deployment:
				replicas[workload{c.Namespace, c.Name}] = c.Replicas
			case *scenarios.Scale:
				replicas[workload{c.Namespace, c.Deployment}] = c.Replicas
			case *scenarios.Restart:
				extra = surge(c)
			case *scenarios.Upgrade:
				for i := range c.Restart { // one after the other
					extra = max(extra, surge(&c.Restart[i]))
				}
			case *scenarios.Delete:
				if c.Kind == "Deployment" {
					delete(replicas, workload{c.Namespace, c.Name})
				}
			}
			note(extra)
		}
	}
	return most
}

// running is how many of n pods really run.
func running(n, real int) int {
	if real < 0 {
		return n
	}
	return min(n, real)
}
