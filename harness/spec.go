package harness

import (
	"github.com/meshbench/meshbench/harness/actions"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/scenarios"
)

// ClusterSpec is the cluster that a scenario needs, with these shares of real and light
// sidecars. Name and Dir are unset. An error is about a file that the scenario names.
func ClusterSpec(s *scenarios.Scenario, shares scenarios.Shares) (cluster.Spec, error) {
	plan := s.Plan()
	proxies := plan.Proxies(shares)
	system, err := systemOf(s)
	if err != nil {
		return cluster.Spec{}, err
	}
	var phases []cluster.Phase
	for _, p := range plan.Phases {
		phases = append(phases, cluster.Phase{Nodes: actions.NodeGroups(p.Nodes), Pods: p.MostPods})
	}
	return cluster.Spec{
		Nodes:             actions.NodeGroups(s.Cluster.Nodes),
		RealPerDeployment: shares.Real, LightPerDeployment: shares.Light, RealFor: shares.RealFor,
		MostNodes: plan.MostNodes,
		Phases:    phases,
		Sidecars:  proxies.Real, LightProxies: proxies.Light,
		Images:       plan.Images,
		Applications: applications(plan),
		System:       system,
	}, nil
}

// scope is the part of the cluster that the run is about.
func (r *run) scope() sample.Scope {
	if shared, ok := r.cluster.(cluster.Shared); ok {
		scope := sample.Scope{Shared: true, Namespaces: append([]string{}, r.Scenario.Namespaces()...), Revision: shared.Revision()}
		if r.Observe != nil {
			scope.Namespaces = r.Observe.Namespaces
		}
		return scope
	}
	return sample.Scope{}
}

// upgrader makes what an action upgrade leads to.
func (r *run) upgrader(to *scenarios.Upgrade) (actions.Upgrader, error) {
	return r.Upgrade(r.cluster.RESTConfig(), to)
}
