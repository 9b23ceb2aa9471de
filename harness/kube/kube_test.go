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

func TestDecodeManifest(t *testing.T) {
	g := NewWithT(t)
	objects, err := Decode([]byte("---\n---\nkind: A\n---\nkind: B\nmetadata: {name: b}\n"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(objects).To(HaveLen(2))
	g.Expect(objects[1].GetName()).To(Equal("b"))
	_, err = Decode([]byte("kind: A\n---\n{"))
	g.Expect(err).To(MatchError(ContainSubstring("document 2")))
	_, err = Decode([]byte("# a comment\n---\nkind: A\n---\na: b\n"))
	g.Expect(err).To(MatchError("document 3 has no kind"))
	// What is applied and compared has whole numbers, as the API server's answers do.
	objects, err = Decode([]byte("kind: A\nspec: {replicas: 2, share: 0.5}\n"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(objects[0].Object["spec"]).To(Equal(map[string]any{"replicas": int64(2), "share": 0.5}))
}

func TestMachines(t *testing.T) {
	g := NewWithT(t)
	plane := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}}}
	worker := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w"}}
	g.Expect(Machines([]corev1.Node{plane, worker})).To(Equal([]corev1.Node{worker}))
}
