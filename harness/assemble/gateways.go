package assemble

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/actions"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/scenarios"
)

// errInstalledGateway refuses a gateway by Istio's chart where Istio itself is somebody
// else's: of which version and from where its charts are is not known.
var errInstalledGateway = errors.New("the scenario installs a gateway by Istio's chart, and the Istio that is installed is not to be changed: leave --use-installed-istio out, or apply the gateway's Deployment in a manifest")

// gateways installs gateways by the charts of the mesh's versions.
type gateways struct {
	config *rest.Config
	meshes map[string]mesh.Options
}

// Install implements [actions.Gateways].
func (g gateways) Install(ctx context.Context, to *scenarios.Gateway) error {
	version, _ := to.Istio()
	m, err := mesh.New(g.config, g.meshes[version])
	if err != nil {
		return err
	}
	return m.InstallGateway(ctx, mesh.Gateway{Namespace: to.Namespace, Name: to.Name, Values: to.ChartValues()})
}

func (a *assembled) gateways(cfg *rest.Config) actions.Gateways {
	if len(a.meshes) == 0 {
		return nil // the mesh is somebody else's
	}
	return gateways{cfg, a.meshes}
}

// gatewayAPI obtains the resource definitions of the Gateway API where the scenario needs
// them, of the version that Istio is built with; "" for none.
func (o Options) gatewayAPI(ctx context.Context, n needs) (dir string, err error) {
	if n.placed == nil || !n.placed.Plan().GatewayAPI {
		return "", nil
	}
	version := n.istio[0]
	store, err := components.New(components.Options{Istio: version})
	if err != nil {
		return "", &cluster.OptionError{Err: fmt.Errorf("the scenario makes objects of the Gateway API, and its resource definitions for Istio %s are not pinned here: apply them in the scenario's first step; pinned are those of %s",
			version, strings.Join(components.IstioVersions(), ", "))}
	}
	set, err := Obtain(ctx, o.Progress, store, components.GatewayAPI)
	if err != nil {
		return "", err
	}
	return set.Path(components.GatewayAPI), nil
}

// checkGateways finds the chart of each gateway before the cluster is made, and checks by it
// the values for a version that the program knows nothing of.
func (o Options) checkGateways(ctx context.Context, made *assembled, n needs) error {
	if n.placed == nil || !n.placed.Plan().GatewayChart {
		return nil
	}
	for _, step := range n.placed.Steps {
		for _, a := range step.Actions {
			g, ok := a.Change.(*scenarios.Gateway)
			if !ok || g.GatewayAPI {
				continue
			}
			version, _ := g.Istio()
			problems, err := made.meshes[version].Charts.CheckGateway(ctx, version, g.ChartValues(), meshfacts.Of(version) == nil)
			if err != nil {
				return &cluster.OptionError{Err: fmt.Errorf("gateway %s/%s of step %s: %w", g.Namespace, g.Name, step.Name, err)}
			}
			for _, p := range problems {
				return &cluster.OptionError{Err: fmt.Errorf("gateway %s/%s of step %s: values.%s: %s", g.Namespace, g.Name, step.Name, meshfacts.PathText(p.Path), p.Message)}
			}
		}
	}
	return nil
}
