package scenarios

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/manifests"
)

const (
	// maxNames is the largest number of objects that a description of an action names.
	maxNames = 10
	// keptFolder is the folder, beside a rendered scenario, with its long manifests.
	keptFolder = "manifests"
	// renderedIndent is that of a manifest's lines in a rendered scenario.
	renderedIndent = 12
)

// Apply creates or updates the objects of a manifest by server-side apply, in the order in
// which a cluster can take them ([manifests.Order]). It has taken effect when all pods of
// the objects in it are Ready, or have ended where they belong to a Job; only pods of
// Deployments are checked against the nodes' pod limit. Exactly one of Manifest, File, Kustomize and Chart is set.
//
// A manifest is what kubectl takes: YAML or JSON, any number of documents, lists. Left out
// is what only the server that it was exported from could set, and what the cluster makes
// by itself, which the log says ([manifests.Manifest.Notes]).
type Apply struct {
	// Manifest is YAML or JSON with any number of documents.
	Manifest string `yaml:"manifest,omitempty"`
	// File is the path of such a manifest, relative to the scenario file and below its
	// folder. A rendered scenario has the text of a file of up to 1 MiB in Manifest instead,
	// up to 3 MiB in all, and longer ones beside it, named by their hashes. Expressions in
	// the file are not evaluated.
	File string `yaml:"file,omitempty"`
	// Kustomize is the path of a folder that is rendered as kustomize build does; a rendered
	// scenario has the result. Remote resources are refused.
	Kustomize string `yaml:"kustomize,omitempty"`
	// Chart is the path of a Helm chart, a folder or an archive with its dependencies, that is
	// rendered as helm template does; a rendered scenario has the result.
	Chart string `yaml:"chart,omitempty"`
	// Release is the name of the chart's release; by default that of the chart's folder.
	Release string `yaml:"release,omitempty"`
	// Values are the chart's.
	Values map[string]any `yaml:"values,omitempty"`
	// Namespace is that of objects that name none and whose kind has namespaces. An earlier
	// step or the manifest itself must create it.
	Namespace string `yaml:"namespace,omitempty"`

	// long is the file if it is not in Manifest.
	long *longFile
	// summary is the description and sum the text's SHA-256, once the manifest was read.
	summary, sum string
	// placed says how the namespaces are called on the cluster; nil for as in the manifest.
	placed *placement
	// listening are the gateways that are to listen for its Gateways.
	listening []GatewayPods
	// left are fields that may refer to a namespace and still have its old name.
	left []string
}

// longFile is a manifest that stays in its file.
type longFile struct {
	files fs.FS // nil for the operating system's
	path  string
	text  string // what was rendered in place of a file; "" for a file
	sum   string // SHA-256 when it was checked
}

// Word returns apply.
func (*Apply) Word() string { return "apply" }

// String describes the change in a few words.
func (a *Apply) String() string {
	if a.summary != "" {
		return a.summary
	}
	m, err := a.Load()
	if err != nil {
		return "apply a manifest"
	}
	return describeManifest(m)
}

// describeManifest names a manifest's objects or, of many, their kinds.
func describeManifest(m *manifests.Manifest) string {
	if len(m.Objects) > maxNames {
		return fmt.Sprintf("apply %s (sha256:%.12s)", m.Counts(), m.Sum)
	}
	words := make([]string, len(m.Objects))
	for i, o := range m.Objects {
		words[i] = o.String()
	}
	return "apply " + strings.Join(words, ", ")
}

// Load reads the manifest. It refuses a file that has changed since the scenario was
// checked.
func (a *Apply) Load() (*manifests.Manifest, error) {
	m, err := manifests.Load(a.source(), manifests.Options{Namespace: a.Namespace})
	if err == nil && a.long != nil && a.long.sum != "" && m.Sum != a.long.sum {
		return nil, fmt.Errorf("%s has changed since the scenario was checked; start again", a.long.path)
	}
	if err == nil && a.placed != nil {
		a.left = m.InNamespaces(a.placed.names, a.placed.labels)
	}
	return m, err
}

// Listening returns the gateways that must be there, and listen on ports, once the manifest
// is applied: those that its Gateways select, and those that istiod makes of them.
func (a *Apply) Listening() []GatewayPods { return slices.Clone(a.listening) }

func (a *Apply) source() manifests.Source {
	if a.long == nil {
		return manifests.Text(a.Manifest)
	}
	return manifests.Source{Name: a.long.path, Open: a.long.open}
}

func (f *longFile) open() (io.ReadCloser, error) {
	if f.text != "" {
		return io.NopCloser(strings.NewReader(f.text)), nil
	}
	return Loader{Files: f.files}.open(f.path)
}

// kept is the path of the file beside a rendered scenario.
func (f *longFile) kept() string {
	return path.Join(keptFolder, f.sum+filepath.Ext(f.path))
}

// MarshalYAML names a long file as [Scenario.Keep] writes it.
func (a *Apply) MarshalYAML() (any, error) {
	type plain Apply
	written := plain(*a)
	if a.long != nil {
		written.File = a.long.kept()
	}
	return &written, nil
}

func (a *Apply) place(p *placement) {
	p.rename(&a.Namespace)
	a.placed = p
}

// check also replaces File by the file's text, unless it is long.
func (a *Apply) check(c *checker) needs {
	at, ok := a.obtain(c)
	if !ok {
		return needs{}
	}
	c.inlined += renderedSize(a.Manifest)
	m, err := a.Load()
	var problems *manifests.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems.List {
			at.wrong(p)
		}
		if problems.More > 0 {
			at.wrong(manifests.Problem{Line: problems.List[0].Line, Message: fmt.Sprintf("and %d more problems", problems.More)})
		}
		return needs{}
	case err != nil: // the file cannot be read
		c.wrong(at.field, "%v", err)
		return needs{}
	case len(m.Objects) == 0:
		c.wrong(at.field, "the manifest has no objects to apply%s", strings.Join(append([]string{""}, m.Notes...), "; "))
	}
	if a.Namespace != "" {
		c.name("namespace", a.Namespace, validation.IsDNS1123Label)
		made := slices.ContainsFunc(m.Objects, func(o *manifests.Object) bool { return o.Kind == "Namespace" && o.Name == a.Namespace })
		if _, exists := c.objects[object{"Namespace", "", a.Namespace}]; !made && !exists {
			c.namespace("namespace", a.Namespace) // says what is known
			return needs{}
		}
	}
	if a.long != nil {
		a.long.sum = m.Sum
	}
	a.summary, a.sum = describeManifest(m), m.Sum
	at.leftOut(m.Notes)
	at.unrenamed(a.left)
	return a.checkObjects(at, m)
}

// obtain finds the manifest's text: that of a file, or what a source renders to.
func (a *Apply) obtain(c *checker) (at manifestPlace, ok bool) {
	at = manifestPlace{checker: c, field: "manifest"}
	take, given := func(*checker) (string, error) { return "", nil }, 0
	for _, source := range []struct {
		field, value string
		take         func(*checker) (file string, err error)
	}{{"manifest", a.Manifest, take}, {"file", a.File, a.takeFile}, {"kustomize", a.Kustomize, a.takeKustomize}, {"chart", a.Chart, a.takeChart}} {
		if source.value != "" {
			at.field, take = source.field, source.take
			given++
		}
	}
	if given != 1 {
		c.wrong("manifest", "exactly one of manifest, file, kustomize and chart must be set")
		return at, false
	}
	if a.Chart == "" && (a.Release != "" || a.Values != nil) {
		c.wrong(at.field, "release and values are for a chart")
		return at, false
	}
	var err error
	if at.file, err = take(c); err != nil {
		c.wrong(at.field, "%v", err)
		return at, false
	}
	return at, true
}

// takeFile reads a file of up to 1 MiB into Manifest, and notes where a longer one is. It
// returns the file's path.
func (a *Apply) takeFile(c *checker) (file string, err error) {
	file, info, err := c.findFile(a.File)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s must be a regular file", file)
	}
	if info.Size() > maxInline {
		a.long = &longFile{files: c.loader.Files, path: file}
		return file, nil
	}
	text, err := c.readFile(file)
	if err != nil {
		return "", err
	}
	// In a rendered scenario, too many texts would be too long.
	if c.inlined+renderedSize(text) > maxInlined {
		a.long = &longFile{files: c.loader.Files, path: file}
		return file, nil
	}
	a.Manifest, a.File = text, ""
	return file, nil
}

// renderedSize is about what a manifest takes in a rendered scenario, where each line is
// indented.
func renderedSize(text string) int { return len(text) + renderedIndent*strings.Count(text, "\n") }

// checkObjects checks the objects in the order in which they are applied.
func (a *Apply) checkObjects(at manifestPlace, manifest *manifests.Manifest) needs {
	c := at.checker
	var need needs
	missing := map[string]bool{} // namespaces, each of which is reported once
	for _, of := range manifest.Objects {
		m := newManifestObject(of)
		wrong := func(place, format string, args ...any) {
			at.wrong(manifests.Problem{
				Line: manifest.Line(of, place), Object: of.String(), Place: of.Place, Field: place, Message: fmt.Sprintf(format, args...),
			})
		}
		c.resourceFields(&m, wrong)
		c.dualStack(&m, wrong)
		need.images = append(need.images, m.images()...)
		if m.isGateway() {
			need.gateways = append(need.gateways, m.Metadata.Namespace+"/"+m.Metadata.Name)
		}
		need.gatewayAPI = need.gatewayAPI || m.isGatewayAPI() && !c.defined[gatewayAPIGroup+"/"+m.Kind]
		o := object{m.Kind, m.Metadata.Namespace, m.Metadata.Name}
		if _, exists := c.objects[object{"Namespace", "", o.namespace}]; o.namespace != "" && !exists {
			if !missing[o.namespace] {
				missing[o.namespace] = true
				wrong("metadata.namespace", "no earlier step creates namespace %q, nor does the manifest%s",
					o.namespace, suggest(o.namespace, c.named("Namespace", "")))
			}
			continue
		}
		c.objects[o] = m.APIVersion
		if o.kind == "Namespace" {
			c.namespaceLabels[o.name] = m.Metadata.Labels
			if !c.baseline[o] {
				c.makesNamespace(o.name)
			}
		}
		at.outsideOwn(of)
		at.kind(manifest, of)
		c.appliesService(&m)
		if m.isGateway() {
			a.listening = append(a.listening, c.appliesGateway(at, manifest, &m)...)
		}
		pods, ok := m.pods()
		if !ok {
			continue
		}
		if pods.replicas < 0 || pods.replicas > maxNumber {
			wrong("spec.replicas", "%d is out of range; want 0 to %d", pods.replicas, maxNumber)
			continue
		}
		if place, found := m.podAnnotations(pods); len(found) > 0 {
			for _, p := range found {
				wrong(place, "%s", p.Text)
			}
			continue
		}
		m.proxyConfig(c, pods.template.annotations, wrong)
		c.apply(at.field, o, pods)
	}
	return need
}

// manifestPlace is where a manifest stands.
type manifestPlace struct {
	*checker
	field string // of the action
	file  string // "" for a manifest in the scenario file
}

// kind warns of a kind that no manifest so far defines.
func (m manifestPlace) kind(manifest *manifests.Manifest, o *manifests.Object) {
	if group, kind, ok := o.Defines(); ok {
		m.defined[group+"/"+kind] = true
	}
	key := o.Group() + "/" + o.Kind
	if !manifest.Serves(o) && !m.defined[key] {
		m.defined[key] = true // say it once
		m.warnAt(join(m.path, m.field), "%s: no step defines kind %s of %s; a cluster without it refuses the manifest: apply its CustomResourceDefinition, too", o, o.Kind, o.APIVersion)
	}
}

// outsideOwn notes an object that lies in none of the scenario's own namespaces.
func (m manifestPlace) outsideOwn(o *manifests.Object) {
	p := manifests.Problem{Line: o.Line, Object: o.String(), Place: o.Place}
	switch {
	case o.Kind == "Namespace" && o.Group() == "":
		if m.isOwn(o.Name) {
			return
		}
		p.Message = "the namespace belongs to the cluster or the mesh"
	case o.Namespace == "":
		p.Message = "it lies in no namespace"
	case m.isOwn(o.Namespace):
		return
	default:
		p.Message = fmt.Sprintf("namespace %q is not the scenario's own", o.Namespace)
	}
	m.noteOutside(m.locate(p))
}

// unrenamed warns of fields that may refer to a namespace which has another name on the
// cluster.
func (m manifestPlace) unrenamed(fields []string) {
	if len(fields) > maxNames {
		fields = append(slices.Clone(fields[:maxNames]), fmt.Sprintf("and %d more", len(fields)-maxNames))
	}
	if len(fields) > 0 {
		m.leftOut([]string{"these name a namespace in a form that is not renamed for this cluster: " + strings.Join(fields, "; ")})
	}
}

// leftOut warns of what is not applied, once for all copies of the action.
func (m manifestPlace) leftOut(notes []string) {
	path := join(m.path, m.field)
	for _, note := range notes {
		if !slices.ContainsFunc(m.warnings, func(p Problem) bool { return p.Path == path && p.Message == note }) {
			m.warnAt(path, "%s", note)
		}
	}
}

// wrong notes a problem with a manifest. In the scenario file it has its own line, where the
// text stands there as it is; of another file the message names it.
func (m manifestPlace) wrong(p manifests.Problem) {
	path := join(m.path, m.field)
	key := fmt.Sprintf("%s@%d: %s", path, p.Line, p.What())
	if m.bad[path] || m.bad[key] {
		return // another copy of the action has the same
	}
	place := m.locate(p)
	m.problem(&yaml.Node{Line: place.Line, Column: place.Column}, path, "%s", place.Message)
	delete(m.bad, path) // there may be other problems
	m.bad[key] = true
}

// locate is what is said of a manifest with its place in the scenario file. Of a text in
// another file the message names the place.
func (m manifestPlace) locate(p manifests.Problem) Problem {
	path, message := join(m.path, m.field), p.What()
	place := yaml.Node{Line: 1, Column: 1}
	if n := m.at[path]; n != nil {
		if n.Kind == yaml.AliasNode { // the line of the text is that of its anchor
			n = n.Alias
		}
		place = *n
	}
	switch {
	case m.file != "":
		message = fmt.Sprintf("%s:%d: %s", m.file, p.Line, message)
	case place.Style&yaml.LiteralStyle != 0:
		place.Line, place.Column = place.Line+p.Line, 1
	case p.Line > 1:
		message = fmt.Sprintf("line %d: %s", p.Line, message)
	}
	return Problem{m.checker.file, place.Line, place.Column, path, message}
}

// apply sets a workload's pods to those of a manifest. An existing workload is updated pod
// by pod.
func (c *checker) apply(field string, o object, pods manifestPods) {
	injected := c.injects(o, pods.template)
	if o.kind != "Deployment" {
		if pods.everyNode {
			pods.replicas = total(c.plan.nodes)
		}
		c.plan.run(o, plannedPods{pods.replicas, injected, pods.everyNode, pods.template.own()}, 0)
		return
	}
	surge := 0
	if before, exists := c.workloads[o]; exists {
		surge = surgeOf(min(before.replicas, pods.replicas), pods.template.maxSurge)
	}
	c.run(field, o, workload{replicas: pods.replicas, injected: injected, template: pods.template}, surge)
}
