package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resetLimit is how long namespaces may take to go.
const resetLimit = nodesLimit

// leftovers are the kinds of objects that a run leaves outside its namespaces and that the
// next one would feel: webhooks answer for namespaces, and nobody is behind them.
var leftovers = []schema.GroupVersionResource{
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
}

// reset deletes what runs before have left on a kept cluster: webhooks, and all namespaces
// that are not the cluster's own. Definitions of resources and cluster roles stay: they are
// nothing to a proxy, and the next installation takes them over.
func (c *Cluster) reset(ctx context.Context) error {
	for _, kind := range leftovers {
		if err := c.objects.Resource(kind).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			return fmt.Errorf("delete the %s: %w", kind.Resource, err)
		}
	}
	return until(ctx, resetLimit, func(ctx context.Context) error {
		found, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list the namespaces: %w", err)
		}
		var errs []error
		for _, n := range found.Items {
			if slices.Contains(c.record.Namespaces, n.Name) {
				continue
			}
			if n.DeletionTimestamp == nil {
				errs = append(errs, c.client.CoreV1().Namespaces().Delete(ctx, n.Name, metav1.DeleteOptions{}))
			}
			errs = append(errs, fmt.Errorf("namespace %s is not gone", n.Name))
		}
		return errors.Join(errs...)
	})
}
