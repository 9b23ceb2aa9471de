package scenarios

import (
	"strings"
)

// Apply creates or updates the objects of a manifest by server-side apply, in order. It
// has taken effect when all pods of the Deployments in it are Ready; pods of other kinds
// are not checked against the nodes' pod limit. Exactly one of Manifest and File is set.
type Apply struct {
	// Manifest is YAML with any number of documents.
	Manifest string `yaml:"manifest,omitempty"`
	// File is the path of such a manifest, relative to the scenario file and below its
	// folder. A rendered scenario has the file's text in Manifest instead. Expressions in
	// the file are not evaluated.
	File string `yaml:"file,omitempty"`
}

// Word returns apply.
func (*Apply) Word() string { return "apply" }

// String describes the change in a few words.
func (a *Apply) String() string {
	objects, err := a.objects()
	if err != nil {
		return "apply a manifest"
	}
	words := make([]string, len(objects))
	for i, o := range objects {
		words[i] = o.Kind + " " + strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/")
	}
	return "apply " + strings.Join(words, ", ")
}

// check also replaces File by the file's text.
func (a *Apply) check(c *checker) needs {
	field := "manifest"
	switch {
	case (a.Manifest != "") == (a.File != ""):
		c.wrong(field, "exactly one of manifest and file must be set")
		return needs{}
	case a.File != "":
		field = "file"
		text, err := c.readFile(a.File)
		if err != nil {
			c.wrong(field, "%v", err)
			return needs{}
		}
		a.Manifest, a.File = text, ""
	}
	objects, err := a.objects()
	if err != nil {
		c.wrong(field, "%v", err)
		return needs{}
	}
	if len(objects) == 0 {
		c.wrong(field, "the manifest has no objects")
	}
	var need needs
	for _, m := range objects {
		c.resourceFields(field, &m)
		need.images = append(need.images, m.images()...)
		if m.isGateway() {
			need.gateways = append(need.gateways, m.Metadata.Namespace+"/"+m.Metadata.Name)
		}
		o := object{m.Kind, m.Metadata.Namespace, m.Metadata.Name}
		if o.namespace == "" && (o.kind == "Deployment" || o.kind == "Service") {
			c.wrong(field, "%s %q must have a metadata.namespace", o.kind, o.name)
			continue
		}
		if o.namespace != "" && !c.namespace(field, o.namespace) {
			continue
		}
		c.objects[o] = m.APIVersion
		if o.kind == "Namespace" {
			c.namespaceLabels[o.name] = m.Metadata.Labels
		}
		pods, ok := m.pods()
		if !ok {
			continue
		}
		if pods.replicas < 0 || pods.replicas > maxNumber {
			c.wrong(field, "%s %q has %d replicas; want 0 to %d", o.kind, o.name, pods.replicas, maxNumber)
			continue
		}
		c.apply(field, o, pods)
	}
	return need
}

// apply sets a workload's pods to those of a manifest. An existing workload is updated pod
// by pod.
func (c *checker) apply(field string, o object, pods manifestPods) {
	injected := c.injects(o.namespace, pods.template)
	if o.kind != "Deployment" {
		if pods.everyNode {
			pods.replicas = total(c.plan.nodes)
		}
		c.plan.run(o, plannedPods{pods.replicas, injected, pods.everyNode, pods.template.real()}, 0)
		return
	}
	surge := 0
	if before, exists := c.workloads[o]; exists {
		surge = surgeOf(min(before.replicas, pods.replicas), pods.template.maxSurge)
	}
	c.run(field, o, workload{replicas: pods.replicas, injected: injected, template: pods.template}, surge)
}
