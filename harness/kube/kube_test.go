package kube

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var errLimit = errors.New("the limit was hit")

func TestUntil(t *testing.T) {
	g := NewWithT(t)
	calls := 0
	err := Until(t.Context(), time.Millisecond, func(context.Context) (bool, string, error) {
		calls++
		return calls == 3, "three calls", nil
	})
	g.Expect(err).NotTo(HaveOccurred())

	broken := errors.New("broken")
	err = Until(t.Context(), time.Millisecond, func(context.Context) (bool, string, error) { return false, "", broken })
	g.Expect(err).To(MatchError(broken))

	ctx, cancel := context.WithCancelCause(t.Context())
	err = Until(ctx, time.Millisecond, func(context.Context) (bool, string, error) {
		cancel(errLimit)
		return false, "Godot", fmt.Errorf("the request was cut off")
	})
	g.Expect(err).To(MatchError(errLimit))
	g.Expect(err).To(MatchError(ContainSubstring("wait for Godot")))
}

// What is still missing is named even when the request that would have said so is cut off.
func TestUntilCutOff(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	calls := 0
	err := Until(ctx, time.Millisecond, func(context.Context) (bool, string, error) {
		if calls++; calls == 1 {
			return false, "Godot", nil
		}
		cancel(errLimit)
		return false, "", context.Canceled
	})
	g.Expect(err).To(MatchError(errLimit))
	g.Expect(err).To(MatchError("wait for Godot: the limit was hit"))

	// A request's own deadline is an error like any other.
	err = Until(t.Context(), time.Millisecond, func(context.Context) (bool, string, error) {
		return false, "Godot", fmt.Errorf("reading: %w", context.DeadlineExceeded)
	})
	g.Expect(err).To(MatchError("reading: context deadline exceeded"))
}

func TestMachines(t *testing.T) {
	g := NewWithT(t)
	plane := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}}}
	worker := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w"}}
	g.Expect(Machines([]corev1.Node{plane, worker})).To(Equal([]corev1.Node{worker}))
}
