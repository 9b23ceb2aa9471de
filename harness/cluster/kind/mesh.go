package kind

import (
	"context"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/harness/images"
)

// UpstreamEnvoy reports whether one of the images that the nodes are given has upstream's
// Envoy in it. What cannot be read is not counted; Preflight says more of it.
func UpstreamEnvoy(ctx context.Context, o Options) bool {
	if slices.ContainsFunc(o.Archives, func(path string) bool {
		held, _ := readArchive(path)
		return slices.ContainsFunc(held, func(i archived) bool { return i.labels[images.EnvoyLabel] == images.UpstreamEnvoy })
	}) {
		return true
	}
	e, err := findEngine(ctx, host{})
	return err == nil && slices.ContainsFunc(o.Load, func(image string) bool {
		said, _ := e.run(ctx, e.binary, "image", "inspect", "--format", `{{index .Config.Labels "`+images.EnvoyLabel+`"}}`, image)
		return strings.TrimSpace(said) == images.UpstreamEnvoy
	})
}

// MeshValues are values of Istio's charts for nodes that share one machine: a sidecar that
// asks for the chart's 100m of CPU and 128Mi would leave a machine of two CPUs with twenty
// pods. What a sidecar may use, its limits, and with them Envoy's number of threads, stays.
func MeshValues() map[string]any {
	return map[string]any{"global": map[string]any{"proxy": map[string]any{
		"resources": map[string]any{"requests": map[string]any{"cpu": "1m", "memory": "1Mi"}},
	}}}
}
