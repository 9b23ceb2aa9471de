package kind

import (
	"context"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/metricsserver"
)

// metricsServer is the image of metrics-server where it is to be taken from.
func (p *provider) metricsServer() string {
	return p.Moved(metricsserver.Image) + metricsserver.Tag
}

// installMetrics installs metrics-server, unless the cluster has a metrics API.
func (c *Cluster) installMetrics(ctx context.Context) error {
	installed, err := metricsserver.Installed(ctx, c.objects)
	if err != nil || installed {
		return err
	}
	client, err := kube.New(c.config)
	if err != nil {
		return err
	}
	return metricsserver.Install(ctx, client, metricsserver.Options{
		Image: c.metricsServer,
		Until: func(ctx context.Context, check func(context.Context) error) error {
			return until(ctx, metricsLimit, check)
		},
	})
}

// metricsServe says what is missing until the metrics API serves.
func (c *Cluster) metricsServe(ctx context.Context) error {
	return metricsserver.Serves(ctx, c.objects)
}
