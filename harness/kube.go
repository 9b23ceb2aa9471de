package harness

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/meshbench/meshbench/harness/readiness"
)

// kube is the cluster as the actions see it.
type kube struct {
	kubernetes.Interface
	dynamic dynamic.Interface
	mapper  meta.RESTMapper
}

// newKube makes clients with a rate that does not hold back hundreds of objects.
func newKube(cfg *rest.Config) (*kube, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 200, 400
	cfg.UserAgent = "meshbench"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the Kubernetes client: %w", err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the dynamic Kubernetes client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	return &kube{Interface: client, dynamic: dyn, mapper: mapper}, nil
}

// pollEvery is how often conditions on the cluster are looked at.
const pollEvery = 500 * time.Millisecond

// until polls until done says true, and tells what it still waits for in the error
// when ctx ends first.
func until(ctx context.Context, every time.Duration, done func(ctx context.Context) (ok bool, waiting string, err error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, waiting, err := done(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			if waiting != "" {
				return fmt.Errorf("waiting for %s: %w", waiting, context.Cause(ctx))
			}
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// rollout says whether a Deployment has reached what its spec asks for: every replica
// updated and available, and no pod of it left beyond that. waiting is the state in
// words.
func (k *kube) rollout(ctx context.Context, namespace, name string) (done bool, waiting string, err error) {
	d, err := k.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, "", fmt.Errorf("reading Deployment %s/%s: %w", namespace, name, err)
	}
	if done, waiting := rolledOut(d); !done {
		return false, waiting, nil
	}
	pods, err := k.podsOf(ctx, d)
	if err != nil {
		return false, "", err
	}
	if extra := len(pods) - int(d.Status.Replicas); extra > 0 {
		return false, fmt.Sprintf("Deployment %s/%s: %d pods are still terminating", namespace, name, extra), nil
	}
	return true, "", nil
}

// rolledOut says whether a Deployment's own account is that its rollout is done; waiting
// is the state in words.
func rolledOut(d *appsv1.Deployment) (done bool, waiting string) {
	done, want := readiness.RolledOut(d)
	if done {
		return true, ""
	}
	waiting = fmt.Sprintf("Deployment %s/%s: %d of %d pods ready", d.Namespace, d.Name, min(d.Status.UpdatedReplicas, d.Status.AvailableReplicas), want)
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			waiting += "; " + c.Message
		}
	}
	return false, waiting
}

// podsOf lists a Deployment's pods, terminating ones included.
func (k *kube) podsOf(ctx context.Context, d *appsv1.Deployment) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	if selector.Empty() {
		selector = labels.Nothing()
	}
	// Resource version 0 lets the API server answer from its cache.
	pods, err := k.CoreV1().Pods(d.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String(), ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	return pods.Items, nil
}
