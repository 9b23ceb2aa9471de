package snapshot

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What a snapshot leaves out is all here, each with its reason: what changes by itself on a
// cluster that nobody touches.

// leftOutGroups are API groups.
var leftOutGroups = map[string]string{
	"events.k8s.io":           "events come and expire by themselves",
	"metrics.k8s.io":          "readings, made when they are asked for",
	"custom.metrics.k8s.io":   "readings, made when they are asked for",
	"external.metrics.k8s.io": "readings, made when they are asked for",
}

// leftOutKinds are kinds of other groups.
var leftOutKinds = map[schema.GroupKind]string{
	{Kind: "Event"}:           "events come and expire by themselves",
	{Kind: "ComponentStatus"}: "a reading, made when it is asked for",
	{Group: "coordination.k8s.io", Kind: "Lease"}: "nodes and whoever leads write theirs every few seconds; " +
		"of a holder that is gone they expire without being removed",
}

// leftOutFields are fields of every object.
var leftOutFields = map[string]string{
	"status":                     "controllers write what they see, also on a cluster at rest",
	"metadata.managedFields":     "who wrote what and when, not what is there",
	"metadata.resourceVersion":   "counts writes, also those that change nothing: see ChangedVersions",
	"metadata.generation":        "counts writes to the spec, which is compared itself",
	"metadata.creationTimestamp": "is the UID's, which is compared",
	"metadata.selfLink":          "is the object's address",
}

// leftOutAnnotations are annotations of every object.
var leftOutAnnotations = map[string]string{
	"control-plane.alpha.kubernetes.io/leader":         "who leads writes it every few seconds",
	"virtual-kubelet.io/last-applied-node-status":      "the embedded cluster's nodes keep a copy of their status there",
	"virtual-kubelet.io/last-applied-object-meta":      "the same of their metadata, which is compared itself",
	"endpoints.kubernetes.io/last-change-trigger-time": "a time, of the last change of endpoints that are compared themselves",
}

// leavesOut reports whether objects of the kind are left out.
func leavesOut(kind schema.GroupKind) bool {
	return leftOutGroups[kind.Group] != "" || leftOutKinds[kind] != ""
}

// clean removes from an object what is left out of every one.
func clean(object map[string]any) {
	for path := range leftOutFields {
		name, below, nested := strings.Cut(path, ".")
		if !nested {
			delete(object, name)
		} else if table, ok := object[name].(map[string]any); ok {
			delete(table, below)
		}
	}
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	for name := range leftOutAnnotations {
		delete(annotations, name)
	}
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
}
