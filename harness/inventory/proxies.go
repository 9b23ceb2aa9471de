package inventory

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// atOnce is how many proxies are read at the same time.
const atOnce = 8

// Proxies are the pods whose sidecars run, in some namespaces (none for all): of each workload
// the first few by name, 0 for all. left is how many others there are.
func Proxies(ctx context.Context, sampler *sample.Sampler, namespaces []string, each int) (chosen []sample.Pod, left int, err error) {
	pods, err := sampler.Pods(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list the pods: %w", err)
	}
	slices.SortFunc(pods, func(a, b sample.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	taken := map[string]int{}
	for _, p := range pods {
		if !p.RealSidecar || len(namespaces) > 0 && !slices.Contains(namespaces, p.Namespace) {
			continue
		}
		if taken[p.Workload]++; each > 0 && taken[p.Workload] > each {
			left++
			continue
		}
		chosen = append(chosen, p)
	}
	return chosen, left, nil
}

// Logs hands the log of each pod's proxy to read, several at the same time, which read must
// allow; since its start, as far as the node has kept it.
func Logs(ctx context.Context, client *kube.Client, pods []sample.Pod, read func(sample.Pod, io.Reader) error) error {
	return every(ctx, pods, func(ctx context.Context, p sample.Pod) error {
		log, err := client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: observations.SidecarContainer}).Stream(ctx)
		if apierrors.IsForbidden(err) {
			return fmt.Errorf("read the log of the proxy of %s: the user may not get pods/log in namespace %s: %w", p.NamespacedName(), p.Namespace, err)
		}
		if err != nil {
			return fmt.Errorf("read the log of the proxy of %s: %w", p.NamespacedName(), err)
		}
		defer log.Close()
		return read(p, log)
	})
}

// Clusters hands the answer of each pod's Envoy to /clusters to read, several at the same time,
// which read must allow. Each of them grows by that until it is restarted
// ([sample.Sampler.Clusters]).
func Clusters(ctx context.Context, sampler *sample.Sampler, pods []sample.Pod, read func(sample.Pod, io.Reader) error) error {
	return every(ctx, pods, func(ctx context.Context, p sample.Pod) error {
		err := sampler.Clusters(ctx, p, func(r io.Reader) error { return read(p, r) })
		if apierrors.IsForbidden(err) {
			return fmt.Errorf("the user may not create pods/portforward in namespace %s: %w", p.Namespace, err)
		}
		return err
	})
}

func every(ctx context.Context, pods []sample.Pod, do func(context.Context, sample.Pod) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, p := range pods {
		group.Go(func() error { return do(ctx, p) })
	}
	return group.Wait()
}
