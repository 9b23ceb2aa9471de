package scenarios

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/meshfacts"
)

// MeshRevision is a further istiod that is installed beside the mesh's own before the first step.
type MeshRevision struct {
	// Name is the revision's: 1-22-3.
	Name string `yaml:"name" jsonschema:"required"`
	// Istio is its version; "" for the mesh's. The version on a command line is the mesh's.
	Istio string `yaml:"istio,omitempty" jsonschema:"pattern=^[0-9]+\\.[0-9]+\\.[0-9]+([-+].+)?$"`
	// Tags are further names of the revision, which namespaces may select it by.
	Tags []string `yaml:"tags,omitempty"`
	// Values are Helm values for its istiod, over the program's own. Those of the mesh are not
	// its.
	Values map[string]any `yaml:"values,omitempty"`
}

// ChartValues are the Helm values with which the chart istiod is installed for the revision.
func (r MeshRevision) ChartValues() map[string]any {
	return overlay(Mesh{Values: r.Values, Tags: r.Tags}.ChartValues(), map[string]any{"revision": r.Name})
}

// ChartValues are the Helm values with which the chart istiod is installed, tags among them.
func (m Mesh) ChartValues() map[string]any {
	if len(m.Tags) == 0 {
		return m.Values
	}
	tags := make([]any, len(m.Tags))
	for i, t := range m.Tags {
		tags[i] = t
	}
	return overlay(m.Values, map[string]any{"revisionTags": tags})
}

// installRevisions notes the istiods beside the mesh's own, and checks them.
func (c *checker) installRevisions(mesh Mesh) {
	names := map[string]string{c.installed.revision(): "the mesh's own revision"}
	c.tags("mesh.tags", mesh.Tags, names)
	c.tagsTwice("mesh", mesh.Tags, mesh.Values)
	for i, r := range mesh.Revisions {
		at := fmt.Sprintf("mesh.revisions[%d]", i)
		c.path = at
		c.name("name", r.Name, validation.IsDNS1123Label)
		if before, taken := names[r.Name]; taken && r.Name != "" {
			c.wrong("name", "%q is %s already; use another name", r.Name, before)
			continue
		}
		names[r.Name] = "a revision"
		if r.Istio != "" && !version.MatchString(r.Istio) {
			c.wrong("istio", "invalid version %q: want e.g. 1.23.2", r.Istio)
			continue
		}
		if name, given := (Mesh{Values: r.Values}).value("revision").(string); given && name != r.Name {
			c.wrong("values.revision", "%q is not the revision's name, %q; leave it out", name, r.Name)
		}
		next := Mesh{Istio: cmp.Or(r.Istio, c.installed.Istio), Values: r.ChartValues()}.With(c.loader.Values).With(map[string]any{"revision": r.Name})
		if namespace := c.installed.namespace(); next.namespace() != namespace {
			c.wrong("values.global.istioNamespace", "the mesh is in namespace %s, and its revisions must be, too: they share the certificate authority; write it here", namespace)
		}
		c.meshes = append(c.meshes, next)
		c.warnUnchecked(join(at, "istio"), next.Istio)
		c.helmValuesOf(next.Istio, "values", r.Values)
		o := object{"Service", next.namespace(), "istiod-" + r.Name}
		c.baseline[o], c.objects[o] = true, "v1"
		c.plan.need(needs{istio: next.Istio})
	}
	for i, r := range mesh.Revisions {
		c.path = fmt.Sprintf("mesh.revisions[%d]", i)
		c.tags("tags", r.Tags, names)
		c.tagsTwice("", r.Tags, r.Values)
	}
	c.path = ""
	c.meshNames("mesh.values", mesh.Values)
	c.systemPods = istiods(c.meshes) + baselinePods
}

// tags checks tags, which no revision and no other tag may be named as. names are those that are
// taken.
func (c *checker) tags(field string, tags []string, names map[string]string) {
	for i, tag := range tags {
		at := fmt.Sprintf("%s[%d]", field, i)
		c.name(at, tag, validation.IsDNS1123Label)
		if before, taken := names[tag]; taken && tag != "" {
			c.wrong(at, "%q is %s already; use another name", tag, before)
			continue
		}
		names[tag] = "a tag"
	}
}

// tagsTwice refuses tags that are also among Helm values.
func (c *checker) tagsTwice(field string, tags []string, values map[string]any) {
	if _, given := values["revisionTags"]; given && len(tags) > 0 {
		c.wrong(join(field, "tags"), "the value revisionTags names tags, too; write all of them here")
	}
}

// istiods is the number of pods of all control planes.
func istiods(meshes []Mesh) (n int) {
	for _, m := range meshes {
		switch replicas := m.value("pilot", "replicaCount").(type) {
		case int:
			n += replicas
		case float64:
			n += int(replicas)
		default:
			n++
		}
	}
	return n
}

// revisionNames are those of all control planes, with default for the one without a name.
func revisionNames(meshes []Mesh) (names []string) {
	for _, m := range meshes {
		name := m.revision()
		if name == "" {
			name = "default"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// helmValuesOf checks that the charts of a version know the values in a field.
func (c *checker) helmValuesOf(istio, field string, values map[string]any) {
	var problems []meshfacts.Problem
	if !c.rules.DualStack {
		problems = meshfacts.DualStack(values)
	}
	if c.rules.HelmValues != nil {
		problems = append(problems, c.rules.HelmValues(istio, values)...)
	}
	for _, p := range problems {
		c.wrong(join(field, meshfacts.PathText(p.Path)), "%s", p.Message)
	}
}
