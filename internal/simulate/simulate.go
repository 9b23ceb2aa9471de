// Package simulate holds the annotations that tell how long a simulated container lives and
// how it ends. They stand on pods; the checker of scenarios and the embedded kubelet read
// them alike.
package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Annotations of a pod about its simulated containers: about all application containers, or
// with a container's name after a dot about that one alone, which may be an init container.
const (
	// Lasts is how long a container runs from each of its starts, as time.ParseDuration
	// reads it. Without it a container runs for ever, and in a pod of a Job for [JobLasts].
	Lasts = domain + "lasts"
	// ExitCode is what a container that does not run for ever ends with, 0 to 255; 0 without
	// it.
	ExitCode = domain + "exit-code"
)

const domain = "simulate.meshbench.dev/"

// JobLasts is how long a container of a Job's pod runs that is told nothing.
const JobLasts = time.Second

// Life is how long a container runs and what it ends with.
type Life struct {
	Lasts    time.Duration // from each start; 0 for ever
	ExitCode int32
}

// Of is the life of an application container by its pod's annotations; job tells that a Job
// owns the pod. An error names the annotation that cannot be read.
func Of(annotations map[string]string, container string, job bool) (Life, error) {
	var life Life
	if job {
		life.Lasts = JobLasts
	}
	return of(annotations, life, container, all)
}

// OfInit is the life of an init container, of which only annotations with its name speak:
// one that restarts (a native sidecar) runs for ever, any other ends well at once, for which
// it has 1 ns.
func OfInit(annotations map[string]string, container string, restarts bool) (Life, error) {
	life := Life{Lasts: 1}
	if restarts {
		life.Lasts = 0
	}
	return of(annotations, life, container)
}

// all stands for the annotation without a container's name.
const all = ""

// of reads the annotations about a container by the names that they may end with, the first
// that is there of each.
func of(annotations map[string]string, life Life, names ...string) (Life, error) {
	find := func(name string) (key, value string) {
		for _, n := range names {
			key = name
			if n != all {
				key += "." + n
			}
			if v, ok := annotations[key]; ok {
				return key, v
			}
		}
		return "", ""
	}
	if key, value := find(Lasts); key != "" {
		lasts, err := time.ParseDuration(value)
		if err != nil || lasts <= 0 {
			return Life{}, fmt.Errorf("annotation %s: %q is no time above 0 such as 5s or 2m; leave it out for a container that runs for ever", key, value)
		}
		life.Lasts = lasts
	}
	if key, value := find(ExitCode); key != "" {
		code, err := strconv.ParseUint(value, 10, 8)
		if err != nil {
			return Life{}, fmt.Errorf("annotation %s: %q is no exit code from 0 to 255", key, value)
		}
		life.ExitCode = int32(code)
	}
	return life, nil
}

// Problem is what is wrong with one annotation.
type Problem struct{ Annotation, Text string }

// Check finds what is wrong with a pod's annotations about simulated containers, sorted by
// annotation: values that cannot be read, containers that the pod does not have, and other
// names under the same domain.
func Check(annotations map[string]string, containers []string) []Problem {
	var found []Problem
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, domain)
		if !ok {
			continue
		}
		kind, container, one := strings.Cut(name, ".")
		full := domain + kind
		switch {
		case full != Lasts && full != ExitCode:
			found = append(found, Problem{key, fmt.Sprintf("unknown annotation %s: use %s or %s", key, Lasts, ExitCode)})
		case one && !slices.Contains(containers, container):
			found = append(found, Problem{key, fmt.Sprintf("annotation %s: the pod has no container %q: it has %s", key, container, strings.Join(containers, ", "))})
		default:
			if _, err := of(map[string]string{full: annotations[key]}, Life{}, all); err != nil {
				found = append(found, Problem{key, strings.Replace(err.Error(), full, key, 1)})
			}
		}
	}
	return found
}
