package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// Gateways installs gateways by Istio's chart.
type Gateways interface {
	// Install installs the chart's release or upgrades it. It does not wait for pods.
	Install(ctx context.Context, g *scenarios.Gateway) error
}

// Listeners tells what gateways listen on.
type Listeners interface {
	// Listening returns the ports on which each real gateway of a workload, namespace/name,
	// listens, by its pod's name.
	Listening(ctx context.Context, workload string) (map[string][]int, error)
}

// listenLimit is the longest wait for a gateway's listeners: of a configuration that Envoy
// refuses there never is one.
const listenLimit = 2 * time.Minute

// gateway installs a gateway and says what of the chart was overridden.
func gateway(ctx context.Context, on *On, g *scenarios.Gateway) error {
	if g.GatewayAPI {
		return gatewayAPI(ctx, on, g)
	}
	if on.Gateways == nil {
		return errors.New("cannot install a gateway: meshbench did not install this mesh; apply the gateway's Deployment in a manifest")
	}
	if err := on.Gateways.Install(ctx, g); err != nil {
		return err
	}
	if err := sayGateway(on, g); err != nil {
		return err
	}
	kind, name := g.Workload()
	if err := await(ctx, on, kind, g.Namespace, name); err != nil {
		return err
	}
	return awaitListeners(ctx, on, scenarios.GatewayPods{Namespace: g.Namespace, Kind: kind, Workload: name, Ports: g.Listening()})
}

// sayGateway records which gateway was installed, and how.
func sayGateway(on *On, g *scenarios.Gateway) error {
	version, revision := g.Istio()
	text := fmt.Sprintf("gateway %s/%s is of Istio %s", g.Namespace, g.Name, version)
	if revision != "" {
		text += ", revision " + revision
	}
	if over := g.Overridden(); over != "" {
		text += ": " + over
	}
	return on.Recorder.Append(observations.Record{Event: &observations.Event{
		Level: observations.Info, Kind: observations.Adapted, Object: g.Namespace + "/" + g.Name, Message: text,
	}})
}

// gatewayAPI creates an object Gateway, of which istiod makes the gateway.
func gatewayAPI(ctx context.Context, on *On, g *scenarios.Gateway) error {
	ports := g.Ports
	if len(ports) == 0 {
		ports = []scenarios.Port{{Name: "http", Port: 80}}
	}
	var listeners []any
	for i, p := range ports {
		name := p.Name
		if name == "" {
			name = fmt.Sprintf("http-%d", i)
		}
		listeners = append(listeners, map[string]any{
			"name": name, "port": int64(p.Port), "protocol": "HTTP",
			"allowedRoutes": map[string]any{"namespaces": map[string]any{"from": "All"}},
		})
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
		"metadata": map[string]any{
			"namespace": g.Namespace, "name": g.Name,
			"annotations": map[string]any{"networking.istio.io/service-type": "ClusterIP"},
		},
		"spec": map[string]any{"gatewayClassName": "istio", "listeners": listeners},
	}}
	mapping, err := on.Kube.Mapper.RESTMapping(schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "Gateway"})
	if err != nil {
		return fmt.Errorf("find the Gateway API on the cluster: %w", err)
	}
	if _, err := on.Kube.Dynamic.Resource(mapping.Resource).Namespace(g.Namespace).Create(ctx, o, metav1.CreateOptions{FieldManager: kube.Manager}); err != nil {
		return err
	}
	if err := sayGateway(on, g); err != nil {
		return err
	}
	_, name := g.Workload()
	if err := awaitMade(ctx, on, g.Namespace, name); err != nil {
		return err
	}
	if g.Replicas != 1 { // istiod leaves the number alone
		err := scale(ctx, on, &scenarios.Scale{Namespace: g.Namespace, Deployment: name, Replicas: g.Replicas})
		if err != nil {
			return err
		}
	}
	return awaitListeners(ctx, on, scenarios.GatewayPods{Namespace: g.Namespace, Kind: "Deployment", Workload: name, Ports: g.Listening()})
}

// awaitMade waits until istiod has made a gateway's Deployment and its pods are ready.
func awaitMade(ctx context.Context, on *On, namespace, name string) error {
	limited, cancel := context.WithTimeoutCause(ctx, listenLimit, fmt.Errorf("not made after %s", listenLimit))
	defer cancel()
	err := kube.Until(limited, readiness.PollInterval, func(ctx context.Context) (bool, string, error) {
		_, err := on.Kube.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, fmt.Sprintf("istiod to make Deployment %s/%s of its Gateway", namespace, name), nil
		}
		return err == nil, "", err
	})
	if err != nil {
		return err
	}
	return await(ctx, on, "Deployment", namespace, name)
}

// awaitGateways waits for the gateways that a manifest's Gateways are for.
func awaitGateways(ctx context.Context, on *On, pods []scenarios.GatewayPods) error {
	for _, p := range pods {
		if p.Made {
			if err := awaitMade(ctx, on, p.Namespace, p.Workload); err != nil {
				return err
			}
		}
		if err := awaitListeners(ctx, on, p); err != nil {
			return err
		}
	}
	return nil
}

// awaitListeners waits until all pods of a gateway listen on ports. Those that do not run are
// not asked.
func awaitListeners(ctx context.Context, on *On, p scenarios.GatewayPods) error {
	if len(p.Ports) == 0 || on.Listeners == nil {
		return nil
	}
	workload := p.Namespace + "/" + p.Workload
	ctx, cancel := context.WithTimeoutCause(ctx, listenLimit, fmt.Errorf("gateway %s does not listen after %s: see what istiod and the gateway log of its Gateways", workload, listenLimit))
	defer cancel()
	return kube.Until(ctx, readiness.PollInterval, func(ctx context.Context) (bool, string, error) {
		all, err := on.Listeners.Listening(ctx, workload)
		if err != nil {
			return false, err.Error(), nil // a pod that is new may not answer yet
		}
		for pod, ports := range all {
			for _, port := range p.Ports {
				if !slices.Contains(ports, port) {
					waiting := fmt.Sprintf("gateway %s/%s to listen on port %d", p.Namespace, pod, port)
					on.Progress.Status("waiting for %s", waiting)
					return false, waiting, nil
				}
			}
		}
		return true, "", nil
	})
}
