package sample

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/observations"
)

// Pod reads one pod, whether it is in the scope or not.
func (s *Sampler) Pod(ctx context.Context, namespace, name string) (Pod, error) {
	p, err := s.kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return Pod{}, fmt.Errorf("read pod %s/%s: %w", namespace, name, err)
	}
	return PodFrom(p), nil
}

// ProxyMemory is what the metrics API tells of a pod's istio-proxy container, in bytes.
func (s *Sampler) ProxyMemory(ctx context.Context, pod Pod) (int64, error) {
	m, err := s.metrics.MetricsV1beta1().PodMetricses(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s/%s from the metrics API: %w", pod.Namespace, pod.Name, err)
	}
	for _, c := range m.Containers {
		if c.Name == observations.SidecarContainer {
			return c.Usage.Memory().Value(), nil
		}
	}
	return 0, fmt.Errorf("the metrics API tells nothing of container %s of %s/%s", observations.SidecarContainer, pod.Namespace, pod.Name)
}

// Dump keeps what a proxy answers to /config_dump?include_eds and /clusters?format=json in the
// folder dir below the folder run, and returns their paths relative to run as
// "config_dump" and "clusters", with the sizes in bytes. Once the dump is asked for the proxy is
// a witness, whatever comes of it; see [Sampler.Witness].
func (s *Sampler) Dump(ctx context.Context, pod Pod, run, dir string) (dumps map[string]string, sizes map[string]int64, err error) {
	if err := os.MkdirAll(filepath.Join(run, dir), 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the folder for dumps: %w", err)
	}
	s.MarkWitness(pod.Process)
	dumps, sizes = map[string]string{}, map[string]int64{}
	for _, answer := range [][2]string{
		{"config_dump", "/config_dump?include_eds"},
		{"clusters", "/clusters?format=json"},
	} {
		name, path := answer[0], answer[1]
		dumps[name] = filepath.Join(dir, fmt.Sprintf("%s.%s.%s.json", pod.Namespace, pod.Name, name))
		if sizes[name], err = s.dump(ctx, pod, path, filepath.Join(run, dumps[name])); err != nil {
			return nil, nil, err
		}
	}
	return dumps, sizes, nil
}
