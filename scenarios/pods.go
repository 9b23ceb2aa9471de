package scenarios

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/internal/annotations"
	"github.com/meshbench/meshbench/internal/simulate"
	"github.com/meshbench/meshbench/internal/standin"
)

// PodOptions are what every action that creates pods may say of them.
type PodOptions struct {
	// Labels and Annotations are added to the pods. Annotations of sidecar.istio.io size the
	// proxy.
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
	// Resources are the container's; none by default.
	Resources Resources `yaml:"resources,omitempty"`
	// Sidecars says how many of the pods' sidecars run, and how many of the others are light.
	Sidecars Sidecars `yaml:"sidecars,omitempty"`
}

// Sidecars says how many of a workload's sidecars run as processes, where the cluster
// simulates the others, and how many of those are light: spoken for, so that istiod has a
// proxy for each. A cluster of real machines runs all, whatever it says of real ones, and
// cannot have light ones.
type Sidecars struct {
	// Real is a number or all. It defaults to the run's own, --real.
	Real *Real `yaml:"real,omitempty"`
	// Light is a number of those that are not real, or all. It defaults to the run's own,
	// --light.
	Light *Real `yaml:"light,omitempty"`
}

// Real is a number of real sidecars, or of light ones; -1 stands for all.
type Real int

// AllReal is a Real that is written as all.
const AllReal Real = -1

// String is the number as in a scenario file.
func (r Real) String() string {
	if r < 0 {
		return annotations.All
	}
	return strconv.Itoa(int(r))
}

// MarshalYAML writes a number, or all.
func (r Real) MarshalYAML() (any, error) {
	if r < 0 {
		return annotations.All, nil
	}
	return int(r), nil
}

var realType = reflect.TypeFor[Real]()

// real decodes a number, or all.
func (d *decoder) real(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		text, ok := d.text(n, path, v.Type())
		if !ok {
			return
		}
		if text == annotations.All {
			v.SetInt(int64(AllReal))
			return
		}
		if _, err := strconv.Atoi(text); err != nil {
			d.problem(n, path, "want %s, got %s", want(v.Type()), got(n))
			return
		}
	}
	d.number(n, path, v)
	if v.Int() < 0 {
		d.problem(n, path, "%d is too small; want at least 0, or all", v.Int())
		v.SetInt(0)
	}
}

// PodAnnotations are the annotations that the pods get: Annotations, and those by which the
// other options reach the cluster.
func (p *PodOptions) PodAnnotations() map[string]string {
	if p.Sidecars == (Sidecars{}) {
		return p.Annotations
	}
	all := map[string]string{}
	if p.Sidecars.Real != nil {
		all[annotations.Real] = p.Sidecars.Real.String()
	}
	if p.Sidecars.Light != nil {
		all[annotations.Light] = p.Sidecars.Light.String()
	}
	maps.Copy(all, p.Annotations)
	return all
}

// PodLabels are the labels that the pods of a workload get: Labels and, without an app of
// their own, app=NAME.
func (p *PodOptions) PodLabels(name string) map[string]string {
	all := map[string]string{"app": name}
	maps.Copy(all, p.Labels)
	return all
}

// SelectorOf are the labels by which a workload selects its pods: the given ones, or
// app=NAME.
func SelectorOf(name string, selector map[string]string) map[string]string {
	if len(selector) > 0 {
		return selector
	}
	return map[string]string{"app": name}
}

// selector returns a workload's selector, nil for app=NAME, and checks it: the pods must have
// its labels.
func (c *checker) selector(name string, given, podLabels map[string]string) map[string]string {
	app, own := podLabels["app"]
	own = own && app != name
	if given == nil {
		if own {
			return maps.Clone(podLabels)
		}
		return nil
	}
	c.labels("selector", given, true)
	if len(given) == 0 {
		c.wrong("selector", "selects every pod; name a label, or omit the field for app=%s", name)
	}
	pods := (&PodOptions{Labels: podLabels}).PodLabels(name)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		switch value, has := pods[key]; {
		case !has:
			c.wrong(join("selector", key), "the pods have no label %s; add it to labels", key)
		case value != given[key]:
			c.wrong(join("selector", key), "the pods have label %s=%s, not %s=%s; Kubernetes rejects a selector that its own pods do not match", key, value, key, given[key])
		}
	}
	if maps.Equal(given, SelectorOf(name, nil)) {
		return nil
	}
	return given
}

// makes checks an action that creates a workload, and notes what it creates. The workload's
// replicas, selector and surge are set.
func (c *checker) makes(apiVersion string, o object, image string, p *PodOptions, w workload) needs {
	c.name("name", o.name, validation.IsDNS1123Subdomain)
	c.name("name", o.name, validation.IsValidLabelValue)
	c.labels("labels", p.Labels, true)
	c.labels("annotations", p.Annotations, false)
	c.podAnnotations("annotations", p.Annotations, ContainerName(image))
	c.quantities("resources.requests", p.Resources.Requests)
	c.quantities("resources.limits", p.Resources.Limits)
	given := map[string]*Real{"real": p.Sidecars.Real, "light": p.Sidecars.Light}
	for _, word := range slices.Sorted(maps.Keys(given)) {
		key := map[string]string{"real": annotations.Real, "light": annotations.Light}[word]
		if _, twice := p.Annotations[key]; twice && given[word] != nil {
			c.wrong(join("annotations", key), "sidecars.%s says it already; omit one of them", word)
		}
	}
	if !c.namespace("namespace", o.namespace) {
		return needs{}
	}
	w.template.labels, w.template.annotations = p.PodLabels(o.name), p.PodAnnotations()
	w.template.containers = []Container{{Name: ContainerName(image), Image: image}}
	w.injected = c.injects(o, w.template)
	for _, word := range slices.Sorted(maps.Keys(given)) {
		if given[word] != nil && !w.injected && !c.badBelow(c.path) {
			c.wrong("sidecars."+word, "the pods of %s/%s have no sidecar; set injection on the namespace, or omit the field", o.namespace, o.name)
		}
	}
	c.disjoint(o, w)
	c.create("name", apiVersion, o)
	c.run(cmp.Or(w.sizedBy, "replicas"), o, w, 0)
	return needs{images: []string{image}}
}

// podAnnotations checks the annotations that pods with these containers are read for.
func (c *checker) podAnnotations(field string, given map[string]string, containers ...string) {
	c.proxyMemory(field, given)
	c.proxyConfig(field, given)
	for _, p := range annotationProblems(given, containers) {
		c.wrong(join(field, p.Annotation), "%s", p.Text)
	}
}

// annotationProblems are those of a pod's annotations that the embedded cluster could not
// follow.
func annotationProblems(given map[string]string, containers []string) []simulate.Problem {
	found := simulate.Check(given, containers)
	if _, _, err := annotations.IsReal(given); err != nil {
		found = append(found, simulate.Problem{Annotation: annotations.Real, Text: err.Error()})
	}
	if _, _, err := annotations.IsLight(given); err != nil {
		found = append(found, simulate.Problem{Annotation: annotations.Light, Text: err.Error()})
	}
	if _, err := standin.Parse(given[standin.Annotation]); err != nil {
		found = append(found, simulate.Problem{Annotation: standin.Annotation, Text: fmt.Sprintf("annotation %s: %v", standin.Annotation, err)})
	}
	return found
}

// ContainerName is the image's base name without tag or digest, which is how `kubectl create
// deployment` names the container.
func ContainerName(image string) string {
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// disjoint checks that a new workload and the others of its namespace select no pods of one
// another: their controllers, and what waits for them, would count those as their own.
func (c *checker) disjoint(o object, w workload) {
	matches := func(selector, pods map[string]string) bool {
		for key, value := range selector {
			if given, has := pods[key]; !has || given != value {
				return false
			}
		}
		return len(selector) > 0
	}
	var clashes []object
	for other, exists := range c.workloads {
		if other.namespace == o.namespace && other != o &&
			(matches(w.selector, exists.template.labels) || matches(exists.selector, w.template.labels)) {
			clashes = append(clashes, other)
		}
	}
	if len(clashes) == 0 {
		return
	}
	other := slices.MinFunc(clashes, func(a, b object) int { return strings.Compare(a.kind+a.name, b.kind+b.name) })
	selector, whose := w.selector, "selects the pods of"
	if !matches(selector, c.workloads[other].template.labels) {
		selector, whose = c.workloads[other].selector, "its pods are selected by"
	}
	c.wrong("name", "%s %s %s (%s); give each a label of its own and select by it, e.g. labels: {app: %s, version: v1}",
		whose, other.kind, other.name, labelText(selector), w.template.labels["app"])
}

// labelText lists labels as kubectl writes them, in order.
func labelText(set map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(set)) {
		list = append(list, fmt.Sprintf("%s=%s", key, set[key]))
	}
	return strings.Join(list, ",")
}
