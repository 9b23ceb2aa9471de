// Package annotations holds the annotations by which pods tell the embedded cluster how to
// run them, and reads their values. The checker of scenarios and the nodes read them by the
// same functions, so that what one takes the other does, too.
package annotations

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Real is the number of pods of one owner (ReplicaSet, StatefulSet, DaemonSet, Job) whose
	// sidecars run, over the run's --real: a number, or [All].
	Real = "meshbench.dev/real"
	// Lasts is how long each simulated application container of the pod runs, in Go's
	// notation: 5s. Without it a container runs for ever; in a pod of a Job it ends after a
	// second.
	Lasts = "simulate.meshbench.dev/lasts"
	// ExitCode is the code with which those containers end; 0 by default.
	ExitCode = "simulate.meshbench.dev/exit-code"
)

// All is the value of [Real] for every pod.
const All = "all"

// IsReal reads the number of real sidecars from a pod's annotations, -1 for all; given is
// false where they say none.
func IsReal(annotations map[string]string) (real int, given bool, err error) {
	text, given := annotations[Real]
	if !given {
		return 0, false, nil
	}
	if text == All {
		return -1, true, nil
	}
	real, err = strconv.Atoi(text)
	if err != nil || real < 0 {
		return 0, true, fmt.Errorf("read %s: want a whole number of 0 or more, or all, not %q", Real, text)
	}
	return real, true, nil
}

// Problem is an annotation whose value cannot be read.
type Problem struct {
	// Key is the annotation's.
	Key string
	// Message says what is wanted, and what stands there.
	Message string
}

// Problems lists the annotations of this package whose values cannot be read, in order.
// Lasts and ExitCode may be followed by a dot and the name of one container. Other
// annotations are nobody's business here, but for a misspelt one below
// simulate.meshbench.dev, which would be obeyed by nobody.
func Problems(annotations map[string]string) []Problem {
	var found []Problem
	for key, value := range annotations {
		message := ""
		switch {
		case key == Real:
			if _, _, err := IsReal(annotations); err != nil {
				message = fmt.Sprintf("want a whole number of 0 or more, or all, not %q", value)
			}
		case is(key, Lasts):
			if d, err := time.ParseDuration(value); err != nil || d < 0 {
				message = fmt.Sprintf("want a duration like 5s or 2m, not %q", value)
			}
		case is(key, ExitCode):
			if code, err := strconv.Atoi(value); err != nil || code < 0 || code > 255 {
				message = fmt.Sprintf("want an exit code from 0 to 255, not %q", value)
			}
		case strings.HasPrefix(key, "simulate.meshbench.dev/"):
			message = fmt.Sprintf("unknown annotation; want %s or %s", Lasts, ExitCode)
		}
		if message != "" {
			found = append(found, Problem{key, message})
		}
	}
	slices.SortFunc(found, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
	return found
}

// is reports whether a key is the annotation, or the annotation for one container.
func is(key, annotation string) bool {
	return key == annotation || strings.HasPrefix(key, annotation+".") && len(key) > len(annotation)+1
}

const (
	// templates names the templates by which Istio's injector makes a pod's proxy.
	templates = "inject.istio.io/templates"
	// waypointLabel is on the pods of a waypoint.
	waypointLabel = "gateway.istio.io/managed"
)

// IsGateway reports whether a pod's proxy is a gateway, by what the pod says before it is
// injected: the injector's template gateway or waypoint, or a label of the Gateway API's
// controller.
func IsGateway(labels, annotations map[string]string) bool {
	if labels[waypointLabel] != "" {
		return true
	}
	for _, template := range strings.Split(annotations[templates], ",") {
		switch strings.TrimSpace(template) {
		case "gateway", "waypoint", "grpc-gateway", "kube-gateway":
			return true
		}
	}
	return false
}
