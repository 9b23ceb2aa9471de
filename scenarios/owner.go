package scenarios

import (
	"fmt"
	"strings"
)

// owner names the workload that an action is about, by the field of its kind.
type owner struct{ field, kind, name string }

// owners are the fields by which an action names a workload.
func owners(deployment, statefulSet, daemonSet string) []owner {
	return []owner{
		{"deployment", "Deployment", deployment}, {"statefulset", "StatefulSet", statefulSet}, {"daemonset", "DaemonSet", daemonSet},
	}
}

// given is the field that is set; the first one, with its empty name, for none.
func given(fields []owner) owner {
	for _, o := range fields {
		if o.name != "" {
			return o
		}
	}
	return fields[0]
}

// owner checks that exactly one of the fields is set, and that what it names exists in the
// namespace. The field of the namespace is namespace.
func (c *checker) owner(namespace string, fields []owner) (object, bool) {
	var set, words []string
	for _, f := range fields {
		words = append(words, f.field)
		if f.name != "" {
			set = append(set, f.field)
		}
	}
	named := given(fields)
	o := object{named.kind, namespace, named.name}
	switch {
	case len(set) == 0:
		c.wrong(named.field, "is required; name one of %s", strings.Join(words, ", "))
		return o, false
	case len(set) > 1:
		c.wrong(set[1], "%s is set already; name one of %s", set[0], strings.Join(words, ", "))
		return o, false
	case !c.namespace("namespace", namespace):
		return o, false
	}
	if _, exists := c.objects[o]; exists {
		return o, true
	}
	for _, other := range owners(named.name, named.name, named.name) {
		if _, exists := c.objects[object{other.kind, namespace, named.name}]; exists {
			c.wrong(named.field, "%s/%s is a %s; write %s: %s", namespace, named.name, other.kind, other.field, named.name)
			return o, false
		}
	}
	c.wrong(named.field, "no earlier step creates %s %q in namespace %q%s", named.kind, named.name, namespace, suggest(named.name, c.named(named.kind, namespace)))
	return o, false
}

// ownerText is the workload in words: ns1/test, and its kind where it is no Deployment.
func ownerText(namespace string, fields []owner) string {
	o := given(fields)
	if o.kind == "Deployment" {
		return namespace + "/" + o.name
	}
	return fmt.Sprintf("%s %s/%s", o.kind, namespace, o.name)
}

// known is what the checker knows of an existing workload. Of one of another kind than
// Deployment that a manifest created, it knows how many pods there are.
func (c *checker) known(o object) workload {
	if w, is := c.workloads[o]; is {
		return w
	}
	pods := c.plan.now[o]
	return workload{replicas: pods.replicas, everyNode: pods.everyNode, injected: pods.injected}
}
