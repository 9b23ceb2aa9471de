package assemble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/meshbench/meshbench/harness/actions"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/harness/rights"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/scenarios"
)

// Requests of Istio's charts where no value sets them: values.yaml of the chart istiod, 1.22
// to 1.31.
const (
	proxyCPU, proxyMemory = "100m", "128Mi"
	pilotCPU, pilotMemory = "500m", "2048Mi"
)

// visit gives a scenario the names that it has on a cluster of others, and says what it does
// there. On a cluster of its own it stays as it is, and the visit is nil.
func (o Options) visit(s *scenarios.Scenario) (*scenarios.Scenario, *cluster.Visit, error) {
	guest, ok := o.Source.(cluster.Guest)
	if !ok {
		return s, nil, nil
	}
	v := guest.Visit()
	if o.Visit != "" {
		v.Suffix = strings.Replace(v.Suffix, v.ID, o.Visit, 1)
		v.ID, v.Resumes = o.Visit, true
	}
	if o.Observe != nil {
		v.ReadOnly, v.MemoryOnly = true, o.Observe.MemoryOnly
		return s, &v, nil
	}
	if outside := s.Outside(); len(outside) > 0 && !v.AllowOutside {
		return nil, nil, &cluster.OptionError{Err: fmt.Errorf("scenario %s changes what is not its own, which may harm a cluster of others: let it with --allow-outside, or leave it out:\n%w", s.Name, outside)}
	}
	if len(s.Mesh.Revisions) > 0 && v.UseInstalled {
		return nil, nil, &cluster.OptionError{Err: fmt.Errorf("scenario %s installs further revisions of Istio (mesh.revisions), and the one that is installed is to be measured as it is: leave --use-installed-istio out, or leave mesh.revisions out of the scenario", s.Name)}
	}
	if upgrades := s.Plan().Upgrades; len(upgrades) > 0 && v.UseInstalled {
		return nil, nil, &cluster.OptionError{Err: fmt.Errorf("scenario %s upgrades Istio to %s, and the one that is installed is not to be changed: leave --use-installed-istio out, or choose another scenario", s.Name, strings.Join(upgrades, ", "))}
	}
	placed, err := s.InNamespaces(func(name string) string { return name + v.Suffix }, map[string]string{cluster.RunLabel: v.ID})
	if err != nil {
		return nil, nil, err
	}
	v.Namespaces, v.PullSecret = placed.Namespaces(), o.PullSecret
	if v.Writes, err = rights.Scenario(placed); err != nil {
		return nil, nil, err
	}
	if v.First, err = actions.FirstPods(placed); err != nil {
		return nil, nil, err
	}
	layers, err := mesh.CommandLine(o.ValuesFiles, o.Settings)
	if err != nil {
		return nil, nil, &cluster.OptionError{Err: err}
	}
	values := mesh.Merge(append([]mesh.Layer{{Name: "the scenario", Values: placed.Mesh.ChartValues()}}, layers...))
	v.MeshNamespace = mesh.DefaultNamespace
	if name, _ := meshfacts.Lookup(values, "global", "istioNamespace").(string); name != "" {
		v.MeshNamespace = name
	}
	for _, path := range [][]string{{"pilot", "cni", "enabled"}, {"istio_cni", "enabled"}} {
		v.CNI = v.CNI || fmt.Sprint(meshfacts.Lookup(values, path...)) == "true"
	}
	v.Need, err = room(placed, v, values)
	return placed, &v, err
}

// room is what all pods of a scenario ask for.
func room(s *scenarios.Scenario, v cluster.Visit, values map[string]any) (cluster.Room, error) {
	plan := s.Plan()
	need := cluster.Room{Pods: plan.MostPods, Sidecars: plan.Sidecars(-1)}
	proxy, err := requested(values, []string{"global", "proxy"}, proxyCPU, proxyMemory)
	if err != nil {
		return need, err
	}
	if !v.UseInstalled {
		pilot, err := requested(values, []string{"pilot"}, pilotCPU, pilotMemory)
		if err != nil {
			return need, err
		}
		need.MeshCPU, need.MeshMemory = pilot[0], pilot[1]
	}
	for _, first := range v.First {
		var cpu, memory resource.Quantity
		for _, c := range first.Pod.Spec.Containers {
			cpu.Add(*c.Resources.Requests.Cpu())
			memory.Add(*c.Resources.Requests.Memory())
		}
		if first.Injected {
			cpu.Add(proxy[0])
			memory.Add(proxy[1])
		}
		if cpu.Cmp(need.CPU) > 0 {
			need.CPU = cpu
		}
		if memory.Cmp(need.Memory) > 0 {
			need.Memory = memory
		}
	}
	return need, nil
}

// requested are the CPU and the memory that values set for a container, or those that the
// charts do.
func requested(values map[string]any, of []string, cpu, memory string) (both [2]resource.Quantity, err error) {
	for i, x := range []struct{ name, chart string }{{"cpu", cpu}, {"memory", memory}} {
		path := append(slices.Clone(of), "resources", "requests", x.name)
		given := ""
		if value := meshfacts.Lookup(values, path...); value != nil {
			given = fmt.Sprint(value)
		}
		if both[i], err = resource.ParseQuantity(cmp.Or(given, x.chart)); err != nil {
			return both, &cluster.OptionError{Err: fmt.Errorf("read the value %s: %w", strings.Join(path, "."), err)}
		}
	}
	return both, nil
}

// errOwnCluster is for questions that only a cluster of others has answers to.
var errOwnCluster = errors.New("the clusters of this source are meshbench's own: add --cluster existing")

// Preflight returns every reason why a run of the scenario cannot be done on a cluster of
// others. It changes nothing and obtains nothing.
func (o Options) Preflight(ctx context.Context, s *scenarios.Scenario) error {
	guest, request, err := o.guest(ctx, s)
	if err != nil {
		return err
	}
	return guest.Preflight(ctx, request)
}

// Rights is the YAML of the roles that a run of the scenario needs on a cluster of others.
func (o Options) Rights(ctx context.Context, s *scenarios.Scenario) ([]byte, error) {
	guest, request, err := o.guest(ctx, s)
	if err != nil {
		return nil, err
	}
	return guest.Rights(ctx, request)
}

func (o Options) guest(ctx context.Context, s *scenarios.Scenario) (cluster.Guest, cluster.Request, error) {
	guest, ok := o.Source.(cluster.Guest)
	if !ok {
		return nil, cluster.Request{}, &cluster.OptionError{Err: errOwnCluster}
	}
	needs, err := o.needs(s)
	if err != nil {
		return nil, cluster.Request{}, err
	}
	request, err := o.request(ctx, needs)
	return guest, request, err
}

// announce says what a visit changes for a reader: the names on the cluster, and what of the
// scenario may still have the old ones.
func (o Options) announce(s, placed *scenarios.Scenario) {
	names := placed.Renamed()
	var words []string
	for _, name := range s.Namespaces() {
		if to := names[name]; to != "" {
			words = append(words, name+" is "+to)
		}
	}
	if len(words) > 0 {
		o.Progress.Note("namespaces on the cluster: %s", strings.Join(words, ", "))
	}
	for _, w := range placed.Warnings() {
		if !slices.Contains(s.Warnings(), w) {
			o.Progress.Note("warning: %s", w)
		}
	}
}
