package mesh

import (
	"context"
	"errors"
	"time"

	"helm.sh/helm/v3/pkg/action"
	helmkube "helm.sh/helm/v3/pkg/kube"

	"github.com/meshbench/meshbench/harness/kube"
)

// promptClient is Helm's client, but for the time between two looks at what it waits for: Helm's
// own are 2 s, longer than a cluster takes to recognize a chart's resource definitions.
type promptClient struct {
	*helmkube.Client
	ctx     context.Context
	checker helmkube.ReadyChecker
}

// lookEvery is short beside the tenths of a second that resource definitions take.
const lookEvery = 50 * time.Millisecond

// waitPromptly makes Helm's actions wait by a promptClient.
func (m *Mesh) waitPromptly(ctx context.Context, configuration *action.Configuration) error {
	client, ok := configuration.KubeClient.(*helmkube.Client)
	if !ok {
		return errors.New("Helm has a client of another kind")
	}
	configuration.KubeClient = &promptClient{client, ctx, helmkube.NewReadyChecker(m.client, discard, helmkube.PausedAsReady(true))}
	return nil
}

func discard(string, ...any) {}

// Wait implements Helm's interface.
func (c *promptClient) Wait(resources helmkube.ResourceList, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	return kube.Until(ctx, lookEvery, func(ctx context.Context) (bool, string, error) {
		for _, r := range resources {
			if ready, err := c.checker.IsReady(ctx, r); !ready || err != nil {
				return false, r.ObjectName(), err
			}
		}
		return true, "", nil
	})
}
