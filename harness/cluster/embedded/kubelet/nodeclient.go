package kubelet

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// nodeClient is the API of nodes for virtual-kubelet's node controller, which tries a status
// again by client-go's retry.RetryOnConflict. That takes an attempt whose context has ended for
// a wait that has, and returns no error for it; virtual-kubelet 1.12.0 then reads the status
// that it did not get (node.updateNodeStatus), and the panic ends the sandbox. So a context's end
// is an error of another kind here.
type nodeClient struct {
	corev1client.NodeInterface
}

func (c nodeClient) Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Node, error) {
	node, err := c.NodeInterface.Get(ctx, name, options)
	return node, noContextError(err)
}

func (c nodeClient) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (*corev1.Node, error) {
	node, err := c.NodeInterface.Patch(ctx, name, kind, data, options, subresources...)
	return node, noContextError(err)
}

// noContextError is err, with the same words but nothing else where it is the end of a context.
func noContextError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New(err.Error())
	}
	return err
}
