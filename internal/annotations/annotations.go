// Package annotations reads what pods say of their proxies: how many of a workload's run,
// and of which kind they are. The checker of scenarios and the nodes of the embedded cluster
// read it by the same functions, so that what one takes the other does, too.
package annotations

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	// Real is the number of pods of one owner (ReplicaSet, StatefulSet, DaemonSet, Job) whose
	// sidecars run, over the run's --real: a number, or [All].
	Real = "meshbench.dev/real"
	// Light is the number of pods of one owner, beside those whose sidecars run, that are spoken
	// for as their sidecars would (light proxies), over the run's --light: a number, or [All].
	Light = "meshbench.dev/light"
	// Dump with the value false forbids that the configuration of a pod's proxy is dumped.
	Dump = "meshbench.dev/dump"
)

// All is the value of [Real] and [Light] for every pod.
const All = "all"

// IsReal reads the number of real sidecars from a pod's annotations, -1 for all; given is
// false where they say none.
func IsReal(annotations map[string]string) (real int, given bool, err error) {
	return number(annotations, Real)
}

// IsLight reads the number of light proxies from a pod's annotations, -1 for all; given is
// false where they say none.
func IsLight(annotations map[string]string) (light int, given bool, err error) {
	return number(annotations, Light)
}

func number(annotations map[string]string, key string) (n int, given bool, err error) {
	text, given := annotations[key]
	if !given {
		return 0, false, nil
	}
	if text == All {
		return -1, true, nil
	}
	n, err = strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, true, fmt.Errorf("annotation %s: want a whole number of 0 or more, or all, not %q", key, text)
	}
	return n, true, nil
}

const (
	// Templates names the templates by which Istio's injector makes a pod's proxy, in place
	// of the sidecar's; several are separated by commas.
	Templates = "inject.istio.io/templates"
	// Managed is a label of pods that the Gateway API's controllers have made: a waypoint's
	// and a gateway's.
	Managed = "gateway.istio.io/managed"
)

// IsGateway reports whether a pod's proxy is a gateway, by what the pod says before it is
// injected: the injector's template gateway or waypoint, or a label of the Gateway API's
// controller.
func IsGateway(labels, annotations map[string]string) bool {
	if labels[Managed] != "" {
		return true
	}
	for _, template := range strings.Split(annotations[Templates], ",") {
		switch strings.TrimSpace(template) {
		case "gateway", "waypoint", "grpc-gateway", "kube-gateway":
			return true
		}
	}
	return false
}
