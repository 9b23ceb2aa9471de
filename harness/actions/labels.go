package actions

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/meshfacts"
)

// selectMesh gives a namespace the label that selects a revision for injection, in place of
// those that it has.
func selectMesh(ctx context.Context, on *On, namespace, key, value string) error {
	labels := map[string]any{meshfacts.InjectionLabel: nil, meshfacts.RevisionLabel: nil}
	labels[key] = value
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		return err
	}
	_, err = on.Kube.CoreV1().Namespaces().Patch(ctx, namespace, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("label namespace %s with %s: %w", namespace, key, err)
	}
	return nil
}
