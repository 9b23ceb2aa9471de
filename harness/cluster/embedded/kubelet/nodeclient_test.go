package kubelet

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/node"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// A status that is not brought to the API server in time ends the node's controller, and not
// with a panic the program.
func TestNodeStatusInterrupted(t *testing.T) {
	for name, err := range map[string]error{
		"cancelled": fmt.Errorf("patch: %w", context.Canceled),
		"deadline":  fmt.Errorf("patch: %w", context.DeadlineExceeded),
		"refused":   apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "n", nil),
	} {
		t.Run(name, func(t *testing.T) {
			object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
			client := fake.NewClientset(object.DeepCopy())
			client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
			controller, e := node.NewNodeController(node.NaiveNodeProvider{}, object, nodeClient{client.CoreV1().Nodes()})
			if e != nil {
				t.Fatal(e)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if e := controller.Run(ctx); e == nil || ctx.Err() != nil {
				t.Errorf("the controller goes on: %v", e)
			}
		})
	}
}
