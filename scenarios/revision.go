package scenarios

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// current is the control plane that was installed or upgraded last.
func (c *checker) current() Mesh { return c.meshes[c.latest] }

// install notes the mesh with which the scenario starts, and checks its values.
func (c *checker) install(mesh Mesh) {
	own := mesh.Values
	mesh.Values = mesh.ChartValues()
	mesh = mesh.With(c.loader.Values)
	mesh.Istio = c.rules.version(mesh.Istio)
	c.meshes, c.latest = []Mesh{mesh}, 0
	c.installed = mesh
	c.warnUnchecked("mesh.istio", mesh.Istio)
	c.helmValues("mesh.values", own)
	c.proxyResources(mesh)
	namespace := mesh.namespace()
	for _, o := range []object{{"Namespace", "", namespace}, {"Service", namespace, "istiod"}} {
		if o.kind == "Service" && mesh.revision() != "" {
			o.name += "-" + mesh.revision()
		}
		c.baseline[o], c.objects[o] = true, "v1"
	}
}

// upgrade brings a revision to another version or other values, or installs one that is not
// there yet beside the others. It returns the control plane.
func (c *checker) upgrade(istio string, values map[string]any) Mesh {
	next := c.installed.With(upgradeValues(c.installed.Values, values))
	next.Istio = istio
	at := slices.IndexFunc(c.meshes, func(m Mesh) bool { return m.revision() == next.revision() })
	if at < 0 {
		at = len(c.meshes)
		c.meshes = append(c.meshes, next)
		o := object{"Service", next.namespace(), "istiod-" + next.revision()}
		if next.revision() == "" {
			o.name = "istiod"
		}
		c.objects[o] = "v1"
	}
	c.meshes[at], c.latest = next, at
	// A tag belongs to one revision.
	tags, _ := next.value("revisionTags").([]any)
	for i, m := range c.meshes {
		theirs, _ := m.value("revisionTags").([]any)
		if i == at || len(theirs) == 0 {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(theirs), func(tag any) bool { return slices.Contains(tags, tag) })
		c.meshes[i] = m.With(map[string]any{"revisionTags": left})
	}
	return next
}

// upgradeValues are the values of an upgrade over those of the installation. Tags stay with
// the revision that has them unless the upgrade asks for them.
func upgradeValues(installed, values map[string]any) map[string]any {
	before, after := Mesh{Values: installed}, Mesh{Values: overlay(installed, values)}
	if _, given := values["revisionTags"]; given || before.revision() == after.revision() {
		return values
	}
	return overlay(values, map[string]any{"revisionTags": []any{}})
}

// ValuesOver returns the upgrade's values for a mesh that was installed with the given
// ones: the upgrade's own and, for another revision, that it takes over no tags.
func (u *Upgrade) ValuesOver(installed map[string]any) map[string]any {
	return upgradeValues(installed, u.Values)
}

// meshNames checks values that name things of the mesh. field is the place of the values
// that were given last.
func (c *checker) meshNames(field string, values map[string]any) {
	mesh := c.current()
	if given, ok := (Mesh{Values: values}).value("global", "istioNamespace").(string); ok {
		for _, message := range validation.IsDNS1123Label(given) {
			c.wrong(field+".global.istioNamespace", "Kubernetes rejects %q: %s", given, message)
			break
		}
		if before := c.installed.namespace(); given != before {
			c.wrong(field+".global.istioNamespace", "the mesh is in namespace %s and stays there; leave it out", before)
		}
	}
	if name, ok := mesh.value("defaultRevision").(string); ok && name != "" {
		names := revisionNames(c.meshes)
		if !slices.Contains(names, name) {
			c.wrong(field+".defaultRevision", "no istiod has revision %q, so that nobody would validate; the mesh has %s; leave it out, and the first one validates",
				name, strings.Join(names, ", "))
		}
	}
}

// helmValues checks that the mesh's charts know the values in a field.
func (c *checker) helmValues(field string, values map[string]any) {
	c.helmValuesOf(c.current().Istio, field, values)
}

// dualStack checks that a Service of a manifest asks only for addresses that the cluster
// has. One without addresses and selector, whose endpoints are not the cluster's, asks for both on
// every cluster: Kubernetes makes it so.
func (c *checker) dualStack(m *manifestObject, wrong func(place, format string, args ...any)) {
	if c.rules.DualStack || m.Kind != "Service" || m.APIVersion != "v1" {
		return
	}
	var service struct {
		Spec struct {
			ClusterIP string            `json:"clusterIP"`
			Selector  map[string]string `json:"selector"`
			Policy    string            `json:"ipFamilyPolicy"`
			Families  []string          `json:"ipFamilies"`
		} `json:"spec"`
	}
	m.of.Decode(&service) // what is of another type is for the API server to refuse
	switch {
	case service.Spec.ClusterIP == "None" && len(service.Spec.Selector) == 0:
	case service.Spec.Policy == "RequireDualStack":
		wrong("spec.ipFamilyPolicy", "RequireDualStack cannot be had: this cluster has IPv4 alone; use PreferDualStack, or leave it out")
	case slices.Contains(service.Spec.Families, "IPv6"):
		wrong("spec.ipFamilies", "IPv6 cannot be had: this cluster has IPv4 alone; leave it out")
	}
}

// warnUnchecked warns of what the rules do not check of a version. The path is the field
// that asks for it.
func (c *checker) warnUnchecked(path, istio string) {
	if c.rules.Unchecked == nil {
		return
	}
	if sentence := c.rules.Unchecked(istio); sentence != "" {
		c.warnAt(path, "%s", sentence)
	}
}
