package embedded

import (
	"context"
	"time"

	"github.com/meshbench/meshbench/harness/cluster/embedded/light"
	"github.com/meshbench/meshbench/observations"
)

// Light implements cluster.LightProxies.
func (c *Cluster) Light(ctx context.Context) (*observations.Light, error) {
	found, err := c.client.Light(ctx)
	return found, c.explain(err)
}

// WatchLight implements cluster.LightProxies.
func (c *Cluster) WatchLight(ctx context.Context, typeURL, name string) error {
	return c.explain(c.client.WatchLight(ctx, typeURL, name))
}

// LightAcknowledged implements cluster.LightProxies.
func (c *Cluster) LightAcknowledged(ctx context.Context, typeURL, name string, since time.Time) (map[string]time.Time, error) {
	first, err := c.client.LightAcknowledged(ctx, typeURL, name, since)
	return first, c.explain(err)
}

// LightProxy is what the light proxy of the pod with that uid asks for and has.
func (c *Cluster) LightProxy(ctx context.Context, uid string) (light.Details, error) {
	details, err := c.client.LightProxy(ctx, uid)
	return details, c.explain(err)
}
