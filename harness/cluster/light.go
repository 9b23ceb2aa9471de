package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// LightProxies is a Cluster on which pods are spoken for as their sidecars would.
type LightProxies interface {
	// Light tells how far they are and what they have cost; nil while no pod is spoken for.
	Light(ctx context.Context) (*observations.Light, error)
	// WatchLight notes from now on when each proxy acknowledges a response of istiod that has
	// the resource of that name and type URL, or says that it is gone. Watching it again
	// forgets what was noted.
	WatchLight(ctx context.Context, typeURL, name string) error
	// LightAcknowledged is when each proxy, namespace/pod, has first acknowledged a watched
	// resource at since or later, by this machine's clock. Those that have not are missing.
	LightAcknowledged(ctx context.Context, typeURL, name string, since time.Time) (map[string]time.Time, error)
}

// Type URLs of what istiod sends, for [LightProxies.WatchLight]. Names of clusters and of
// their endpoints are outbound|PORT|SUBSET|HOST, e.g.
// outbound|80||web.shop.svc.cluster.local.
const (
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// Convergence is how long light proxies took to have and acknowledge a change.
type Convergence struct {
	// Times are of those that have, the shortest first.
	Times []time.Duration
	// Missing is the number of those that have not.
	Missing int
}

// Converged is how long after since the light proxies have acknowledged a watched resource:
// call [LightProxies.WatchLight] before the change, and take since when the API server has
// answered to it. Proxies that the resource does not concern stay missing.
func Converged(ctx context.Context, proxies LightProxies, typeURL, name string, since time.Time) (Convergence, error) {
	first, err := proxies.LightAcknowledged(ctx, typeURL, name, since)
	if err != nil {
		return Convergence{}, fmt.Errorf("ask light proxies for %s: %w", name, err)
	}
	state, err := proxies.Light(ctx)
	if err != nil {
		return Convergence{}, fmt.Errorf("ask for light proxies: %w", err)
	}
	var c Convergence
	for _, at := range first {
		c.Times = append(c.Times, at.Sub(since))
	}
	slices.Sort(c.Times)
	if state != nil {
		c.Missing = max(0, state.Clients-len(first))
	}
	return c, nil
}
