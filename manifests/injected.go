package manifests

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// statusAnnotation is where Istio's injector says what it added to a pod.
const statusAnnotation = "sidecar.istio.io/status"

// injection is the content of the annotation.
type injection struct {
	InitContainers   []string `json:"initContainers"`
	Containers       []string `json:"containers"`
	Volumes          []string `json:"volumes"`
	ImagePullSecrets []string `json:"imagePullSecrets"`
}

// uninject takes out of a pod what an injector added to it on the cluster that it comes
// from: that sidecar is of another mesh, and the one that is measured injects its own.
// What was added is in the annotation sidecar.istio.io/status; the containers' own probes
// are in an environment variable of the sidecar's (istio.io/istio, pkg/kube/inject:
// applyRewrite, injectPod).
func uninject(o *Object, metadata, spec map[string]any, n *notes) error {
	status := text(metadata, "annotations", statusAnnotation)
	if status == "" || spec == nil {
		return nil
	}
	var added injection
	if err := json.Unmarshal([]byte(status), &added); err != nil {
		return fmt.Errorf("its annotation %s does not say what was injected (%w); export the workload that makes the pod instead", statusAnnotation, err)
	}
	probers := map[string]map[string]any{}
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		for _, c := range containers {
			if text := environment(c, "ISTIO_KUBE_APP_PROBERS"); text != "" {
				if err := json.Unmarshal([]byte(text), &probers); err != nil {
					return fmt.Errorf("the sidecar's ISTIO_KUBE_APP_PROBERS is not JSON (%w); export the workload that makes the pod instead", err)
				}
			}
		}
	}
	named := func(names []string) func(map[string]any) bool {
		return func(item map[string]any) bool { return slices.Contains(names, text(item, "name")) }
	}
	removeItems(spec, "initContainers", named(append(added.InitContainers, added.Containers...)))
	removeItems(spec, "containers", named(added.Containers))
	removeItems(spec, "volumes", named(added.Volumes))
	removeItems(spec, "imagePullSecrets", named(added.ImagePullSecrets))
	containers, _ := spec["containers"].([]any)
	if len(containers) == 0 {
		return fmt.Errorf("all its containers were injected (a gateway); apply the workload that makes it instead")
	}
	for _, c := range containers {
		container, _ := c.(map[string]any)
		for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
			if err := restoreProbe(container, probe, probers); err != nil {
				return err
			}
		}
	}
	removeKeys(metadata, "annotations", statusAnnotation, "istio.io/rev", "prometheus.io/path", "prometheus.io/port", "prometheus.io/scrape",
		"kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container")
	removeKeys(metadata, "labels", "security.istio.io/tlsMode", "service.istio.io/canonical-name", "service.istio.io/canonical-revision")
	n.add("took the injected sidecars out of %s: this mesh injects its own", o.Kind)
	return nil
}

// environment returns a container's variable.
func environment(container any, name string) string {
	variables, _ := lookup(container, "env").([]any)
	for _, v := range variables {
		if text(v, "name") == name {
			return text(v, "value")
		}
	}
	return ""
}

// restoreProbe puts a container's own probe in the place of that which asks the sidecar.
func restoreProbe(container map[string]any, field string, own map[string]map[string]any) error {
	probe, _ := container[field].(map[string]any)
	path := text(probe, "httpGet", "path")
	if !strings.HasPrefix(path, "/app-health/") {
		return nil
	}
	prober, ok := own[path]
	if !ok {
		return fmt.Errorf("the %s of container %s asks the injected sidecar, and what it asked before is not in it; export the workload that makes the pod instead", field, text(container, "name"))
	}
	delete(probe, "httpGet")
	for _, kind := range []string{"httpGet", "tcpSocket", "grpc"} {
		if prober[kind] != nil {
			probe[kind] = prober[kind]
		}
	}
	return nil
}
