package rights

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/scenarios"
)

// Scenario is what the steps of a scenario write. The rights are for all namespaces: those
// that the scenario creates do not exist yet. An action that this package does not know is
// an error.
func Scenario(s *scenarios.Scenario) ([]Right, error) {
	var all [][]Right
	for _, step := range s.Steps {
		for _, a := range step.Actions {
			needed, err := action(a.Change)
			if err != nil {
				return nil, fmt.Errorf("find out what step %s needs leave for: %w", step.Name, err)
			}
			all = append(all, needed)
		}
	}
	return Merge(all...), nil
}

// action is what one change writes.
func action(change scenarios.Change) ([]Right, error) {
	create := []string{"create"}
	purpose := "action " + change.Word()
	switch c := change.(type) {
	case *scenarios.Namespace:
		return resources(purpose, "", create, "namespaces"), nil
	case *scenarios.Deployment:
		return resources(purpose, "apps", create, "deployments"), nil
	case *scenarios.StatefulSet:
		return resources(purpose, "apps", create, "statefulsets"), nil
	case *scenarios.DaemonSet:
		return resources(purpose, "apps", create, "daemonsets"), nil
	case *scenarios.Job:
		return resources(purpose, "batch", create, "jobs"), nil
	case *scenarios.CronJob:
		return resources(purpose, "batch", create, "cronjobs"), nil
	case *scenarios.Scale:
		kind, _ := c.Owner()
		return resources(purpose, "apps", []string{"update"}, Resource(kind)+"/scale"), nil
	case *scenarios.Restart:
		kind, _ := c.Owner()
		return resources(purpose, "apps", []string{"patch"}, Resource(kind)), nil
	case *scenarios.Expose:
		made := resources(purpose, "", create, "services")
		if c.Endpoints != nil {
			made = append(made, resources(purpose, "discovery.k8s.io", create, "endpointslices")...)
		}
		return made, nil
	case *scenarios.Delete:
		gv, err := schema.ParseGroupVersion(c.APIVersion)
		if err != nil {
			return nil, err
		}
		return resources(purpose, gv.Group, []string{"get", "delete"}, Resource(c.Kind)), nil
	case *scenarios.Traffic:
		return slices.Concat(resources(purpose, "", create, "pods/exec"), resources(purpose, "", []string{"get"}, "services")), nil
	case *scenarios.Call:
		return slices.Concat(resources(purpose, "", create, "pods/exec"), resources(purpose, "", []string{"get"}, "services", "pods/log")), nil
	case *scenarios.Walk:
		return also(c.While, slices.Concat(resources(purpose, "", create, "pods/exec"), resources(purpose, "", []string{"get"}, "pods/log")))
	case *scenarios.Probe:
		made := []string{"create", "delete"}
		return also(c.While, slices.Concat(resources(purpose, "", made, "services"), resources(purpose, "discovery.k8s.io", made, "endpointslices")))
	case *scenarios.Churn:
		return churn(purpose, c), nil
	case *scenarios.Graph:
		return graph(purpose, c)
	case *scenarios.Scope:
		if objects := c.Objects(); objects != nil {
			return apply(purpose, objects)
		}
		return resources(purpose, "", []string{"get", "update"}, "configmaps"), nil
	case *scenarios.Apply:
		return apply(purpose, c)
	case *scenarios.Revisions:
		return revisions(purpose, c), nil
	case *scenarios.Upgrade:
		return upgrade(purpose, c), nil
	case *scenarios.Gateway:
		return gateway(purpose, c), nil
	case *scenarios.Nodes, *scenarios.Pause:
		return nil, nil // nodes are not the run's to change
	}
	return nil, fmt.Errorf("package rights does not know the action %s", change.Word())
}

// apply is what the objects of a manifest need, by their kinds.
func apply(purpose string, a *scenarios.Apply) ([]Right, error) {
	m, err := a.Load()
	if err != nil {
		return nil, err
	}
	kinds := map[schema.GroupKind]bool{}
	for _, o := range m.Objects {
		kinds[schema.GroupKind{Group: o.Group(), Kind: o.Kind}] = true
	}
	var all []Right
	for _, kind := range slices.SortedFunc(maps.Keys(kinds), func(a, b schema.GroupKind) int {
		return slices.Compare([]string{a.Group, a.Kind}, []string{b.Group, b.Kind})
	}) {
		all = append(all, resources(purpose, kind.Group, applied, Resource(kind.Kind))...)
		if kind.Group == "rbac.authorization.k8s.io" {
			all = append(all, resources(purpose, kind.Group, []string{"escalate", "bind"}, "roles", "clusterroles")...)
		}
	}
	return all, nil
}

// also adds what actions write that are done meanwhile.
func also(meanwhile []scenarios.Action, needed []Right) ([]Right, error) {
	for _, a := range meanwhile {
		more, err := action(a.Change)
		if err != nil {
			return nil, err
		}
		needed = append(needed, more...)
	}
	return needed, nil
}

// graph is what its objects need.
func graph(purpose string, g *scenarios.Graph) ([]Right, error) {
	namespaces, err := apply(purpose, g.Namespaces())
	if err != nil {
		return nil, err
	}
	workloads, err := apply(purpose, g.Workloads())
	return slices.Concat(namespaces, workloads), err
}

// churn needs leave for pods, or to read all of a namespace and make it again.
func churn(purpose string, c *scenarios.Churn) []Right {
	if len(c.Namespaces) == 0 {
		return resources(purpose, "", []string{"delete"}, "pods")
	}
	return slices.Concat(
		resources(purpose, "", []string{"get", "create", "patch", "delete"}, "namespaces"),
		[]Right{{Group: "*", Resource: "*", Verbs: []string{"list", "create", "patch"}, For: purpose + ", which makes all that is in a namespace again"}},
	)
}

// revisions are Knative's own, or the objects that stand for them.
func revisions(purpose string, r *scenarios.Revisions) []Right {
	if r.Mode == scenarios.Knative {
		return slices.Concat(
			resources(purpose, "serving.knative.dev", []string{"get", "list", "create", "patch"}, "services", "configurations", "revisions"),
			resources(purpose, "networking.internal.knative.dev", []string{"get"}, "ingresses"),
			resources(purpose, "networking.internal.knative.dev", []string{"update"}, "ingresses/status"),
			resources(purpose, "", read, "endpoints"),
		)
	}
	return slices.Concat(
		resources(purpose, "", []string{"create"}, "namespaces"),
		resources(purpose, "", []string{"get", "list", "create"}, "services", "endpoints"),
		resources(purpose, "apps", []string{"get", "create"}, "deployments"),
	)
}

// gateway is what the chart gateway makes, with Helm's release, or an object Gateway.
func gateway(purpose string, g *scenarios.Gateway) []Right {
	if g.GatewayAPI {
		return slices.Concat(
			resources(purpose, "gateway.networking.k8s.io", []string{"create"}, "gateways"),
			resources(purpose, "apps", []string{"get"}, "deployments"), resources(purpose, "apps", []string{"update"}, "deployments/scale"),
		)
	}
	all := []string{"get", "list", "create", "update", "patch", "delete"}
	return slices.Concat(
		resources(purpose, "", all, "secrets", "services", "serviceaccounts"),
		resources(purpose, "apps", all, Resource(first(g.Workload()))),
		resources(purpose, "autoscaling", all, "horizontalpodautoscalers"),
		resources(purpose, "policy", all, "poddisruptionbudgets"),
		resources(purpose, "rbac.authorization.k8s.io", all, "roles", "rolebindings"),
		resources(purpose, "rbac.authorization.k8s.io", []string{"escalate", "bind"}, "roles"),
	)
}

func first(kind, _ string) string { return kind }

// upgrade is what changes beside the mesh, for which [Installing] has the rights.
func upgrade(purpose string, u *scenarios.Upgrade) []Right {
	var all []Right
	if len(u.Namespaces) > 0 {
		all = append(all, resources(purpose, "", []string{"patch"}, "namespaces")...)
	}
	for i := range u.Restart {
		kind, _ := u.Restart[i].Owner()
		all = append(all, resources(purpose, "apps", []string{"patch"}, Resource(kind))...)
	}
	return all
}
