package sample

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"
)

// metricsAPI is the cluster's metrics API, which metrics-server serves: what `kubectl top pod
// --containers -A` prints, with the API's own timestamps and windows. It repeats a reading
// until its next scrape.
type metricsAPI struct{ client metrics.Interface }

func (metricsAPI) String() string { return "the metrics API" }

// readings are those of every container that the API reports, in all namespaces.
func (m metricsAPI) readings(ctx context.Context, _ []Pod) ([]reading, error) {
	list, err := m.client.MetricsV1beta1().PodMetricses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the metrics API (is metrics-server ready?): %w", err)
	}
	var found []reading
	for i := range list.Items {
		found = append(found, readingsOf(&list.Items[i])...)
	}
	return found, nil
}

func (m metricsAPI) of(ctx context.Context, pod Pod) ([]reading, error) {
	one, err := m.client.MetricsV1beta1().PodMetricses(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the metrics API: %w", err)
	}
	return readingsOf(one), nil
}

func readingsOf(m *v1beta1.PodMetrics) []reading {
	var found []reading
	for _, c := range m.Containers {
		found = append(found, reading{
			container:   container{m.Namespace, m.Name, c.Name},
			memoryBytes: c.Usage.Memory().Value(), measured: m.Timestamp.Time,
			cpuNano: c.Usage.Cpu().ScaledValue(-9), window: m.Window.Duration,
		})
	}
	return found
}
