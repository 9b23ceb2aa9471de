package actions

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/harness/readiness"
)

// await waits until a workload of one of the kinds that actions make has what it asks for,
// and no other pods; see [readiness.Await].
func await(ctx context.Context, on *On, kind, namespace, name string) error {
	group := "apps"
	if kind == "Job" {
		group = "batch"
	}
	return readiness.Await(ctx, on.Kube, schema.GroupKind{Group: group, Kind: kind}, namespace, name, on.Progress.Status)
}
