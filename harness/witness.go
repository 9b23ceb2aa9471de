package harness

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// witnesses chooses the proxies to be dumped.
type witnesses struct {
	// wanted are the scenario's. Where none of them has a sidecar when the first is read,
	// another workload that has one takes their place for the whole run.
	wanted  []scenarios.Witness
	proxies interface {
		// IsWitness tells whether a proxy's process was ever dumped.
		IsWitness(process string) bool
	}
}

// among are the proxies to be dumped, one for each workload that the scenario names and
// that is there already, in the scenario's order.
func (w *witnesses) among(pods []sample.Pod) []sample.Pod {
	var picked []sample.Pod
	for _, d := range w.wanted {
		if p, ok := w.of(pods, d.Workload()); ok {
			picked = append(picked, p)
		}
	}
	return picked
}

// of picks the proxy of a workload: the one that was dumped before, so that as few as
// possible are, else the first by name.
func (w *witnesses) of(pods []sample.Pod, workload string) (sample.Pod, bool) {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p sample.Pod) bool {
		return p.Workload != workload || !p.RealSidecar && !isGateway(p) || !p.Ready || p.Deleting
	})
	slices.SortFunc(pods, func(a, b sample.Pod) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range pods {
		if w.proxies.IsWitness(p.Process) {
			return p, true
		}
	}
	if len(pods) == 0 {
		return sample.Pod{}, false
	}
	return pods[0], true
}

// recall chooses as a run did that goes on: where none of its witnesses that are sidecars was
// the scenario's, another workload had taken their place.
func (w *witnesses) recall(dumped []observations.Proxy) {
	var other string
	for _, p := range dumped {
		if p.Kind != observations.ProxySidecar {
			continue
		}
		if slices.ContainsFunc(w.wanted, func(d scenarios.Witness) bool { return d.Workload() == p.Workload }) {
			return
		}
		other = cmp.Or(other, p.Workload)
	}
	if other == "" {
		return
	}
	gateways := map[string]bool{}
	for _, p := range dumped {
		gateways[p.Workload] = p.Kind == observations.ProxyGateway
	}
	w.insteadOf(other, gateways)
}

// isGateway reports whether the pod is a gateway that runs. One may be a witness, of its own
// kind.
func isGateway(p sample.Pod) bool { return p.RealProxy && p.Kind == observations.ProxyGateway }

// instead takes the first workload that has a sidecar in place of those that are wanted, but
// for gateways, and returns it; ok is false if none has one.
func (w *witnesses) instead(pods []sample.Pod) (workload string, ok bool) {
	var names []string
	gateways := map[string]bool{}
	for _, p := range pods {
		gateways[p.Workload] = gateways[p.Workload] || isGateway(p)
		if _, has := w.of(pods, p.Workload); has && !isGateway(p) {
			names = append(names, p.Workload)
		}
	}
	if len(names) == 0 {
		return "", false
	}
	workload = slices.Min(names)
	w.insteadOf(workload, gateways)
	return workload, true
}

// insteadOf takes a workload in place of all that are wanted but gateways.
func (w *witnesses) insteadOf(workload string, gateways map[string]bool) {
	namespace, name, _ := strings.Cut(workload, "/")
	w.wanted = slices.DeleteFunc(slices.Clone(w.wanted), func(d scenarios.Witness) bool { return !gateways[d.Workload()] })
	w.wanted = slices.Insert(w.wanted, 0, scenarios.Witness{Namespace: namespace, Deployment: name})
}
