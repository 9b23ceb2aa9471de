package revisions

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/meshbench/meshbench/harness/knative"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/scenarios"
)

// updateAnnotation is what an update changes in the revisions' template: its value is the
// revision's number.
const updateAnnotation = "meshbench.dev/revision"

// revisionEvery is how often a Knative Service is looked at for its newest revision, which
// takes about a second to come.
const revisionEvery = 100 * time.Millisecond

// served updates a Knative Service on a cluster with Knative Serving.
type served struct {
	kube *kube.Client
	*scenarios.Revisions
}

func (k *served) client() dynamic.ResourceInterface {
	return k.kube.Dynamic.Resource(knative.Services).Namespace(k.Namespace)
}

func (k *served) have(ctx context.Context) (int, error) {
	s, err := k.client().Get(ctx, k.Service, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read Knative Service %s/%s: %w", k.Namespace, k.Service, err)
	}
	return k.newest(s), nil
}

// newest is the number of the newest revision that Knative has made.
func (k *served) newest(s *unstructured.Unstructured) int {
	name, _, _ := unstructured.NestedString(s.Object, "status", "latestCreatedRevisionName")
	n, err := strconv.Atoi(strings.TrimPrefix(name, k.Service+"-"))
	if err != nil {
		return 0 // none yet
	}
	return n
}

// make waits for each revision: Knative makes one for all updates that it has not looked
// at yet.
func (k *served) make(ctx context.Context, first, last int, done func(int)) error {
	for n := first; n <= last; n++ {
		if err := k.update(ctx, n); err != nil {
			return fmt.Errorf("make revision %s: %w", scenarios.Revision(k.Service, n), err)
		}
		err := kube.Until(ctx, revisionEvery, func(ctx context.Context) (bool, string, error) {
			s, err := k.client().Get(ctx, k.Service, metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			return k.newest(s) >= n, "revision " + scenarios.Revision(k.Service, n), nil
		})
		if err != nil {
			return err
		}
		if k.Kept > 0 {
			if err := k.serveIngress(ctx); err != nil {
				return fmt.Errorf("saying that Knative Service %s/%s is served: %w", k.Namespace, k.Service, err)
			}
		}
		done(n)
	}
	return nil
}

// collect changes the Configuration, since Knative looks for old revisions when one changes:
// after the newest revision has taken over, nothing else may change it for hours. The route
// to that one may have come after its making, so it is looked after once more.
func (k *served) collect(ctx context.Context) error {
	if err := k.serveIngress(ctx); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		"meshbench.dev/collected": time.Now().UTC().Format(time.RFC3339),
	}}})
	if err != nil {
		return err
	}
	_, err = k.kube.Dynamic.Resource(schema.GroupVersionResource{
		Group: "serving.knative.dev", Version: "v1", Resource: "configurations",
	}).Namespace(k.Namespace).Patch(ctx, k.Service, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// nowhere is where the ingress that stands for one sends requests.
const nowhere = "activator-service.knative-serving.svc.cluster.local"

// serveIngress marks the Service's ingress ready, on a cluster where no ingress controller
// does. Knative takes a revision for used, and never collects it, until the route to its
// successor is ready.
func (k *served) serveIngress(ctx context.Context) error {
	client := k.kube.Dynamic.Resource(schema.GroupVersionResource{
		Group: "networking.internal.knative.dev", Version: "v1alpha1", Resource: "ingresses",
	}).Namespace(k.Namespace)
	return kube.Until(ctx, revisionEvery, func(ctx context.Context) (bool, string, error) {
		waiting := "the ingress of the newest revision"
		i, err := client.Get(ctx, k.Service, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, waiting, nil
		}
		if err != nil {
			return false, "", err
		}
		seen, _, _ := unstructured.NestedInt64(i.Object, "status", "observedGeneration")
		conditions, _, _ := unstructured.NestedSlice(i.Object, "status", "conditions")
		balancers, _, _ := unstructured.NestedSlice(i.Object, "status", "privateLoadBalancer", "ingress")
		ours := len(balancers) == 1 && balancers[0].(map[string]any)["domainInternal"] == nowhere
		if seen == i.GetGeneration() || len(conditions) > 0 && !ours {
			return true, "", nil // by this function before, or by an ingress controller
		}
		now := time.Now().UTC().Format(time.RFC3339)
		var all []any
		for _, kind := range []string{"LoadBalancerReady", "NetworkConfigured", "Ready"} {
			all = append(all, map[string]any{"type": kind, "status": "True", "lastTransitionTime": now})
		}
		balancer := map[string]any{"ingress": []any{map[string]any{"domainInternal": nowhere}}}
		i.Object["status"] = map[string]any{
			"observedGeneration": i.GetGeneration(), "conditions": all,
			"publicLoadBalancer": balancer, "privateLoadBalancer": balancer,
		}
		_, err = client.UpdateStatus(ctx, i, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			return false, waiting, nil // it has just changed
		}
		return err == nil, waiting, err
	})
}

// update makes the Service, or changes its template.
func (k *served) update(ctx context.Context, n int) error {
	if n > 1 {
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": map[string]string{updateAnnotation: strconv.Itoa(n)}},
		}}})
		if err != nil {
			return err
		}
		_, err = k.client().Patch(ctx, k.Service, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
	annotations := map[string]any{}
	for key, value := range templateAnnotations(k.Revisions, n) {
		annotations[key] = value
	}
	labels := map[string]any{}
	for key, value := range k.Labels {
		labels[key] = value
	}
	_, err := k.client().Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1",
		"kind":       "Service",
		"metadata":   map[string]any{"name": k.Service},
		"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": annotations, "labels": labels},
			"spec":     map[string]any{"containers": []any{map[string]any{"image": k.Image}}},
		}},
	}}, metav1.CreateOptions{})
	return err
}

// templateAnnotations are those of a revision: so many pods from the start, as `kn service
// create --scale-init 0` asks for none.
func templateAnnotations(r *scenarios.Revisions, n int) map[string]string {
	scale := strconv.Itoa(r.MinScale)
	annotations := maps.Clone(r.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["autoscaling.knative.dev/initial-scale"] = scale
	annotations["autoscaling.knative.dev/min-scale"] = scale
	annotations[updateAnnotation] = strconv.Itoa(n)
	return annotations
}
