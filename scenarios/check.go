package scenarios

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/meshfacts"
)

const (
	// daemonPods run on every node: aws-node and kube-proxy.
	daemonPods = 2
	// baselinePods run once per cluster: two of coredns, metrics-server.
	baselinePods = 3
	// maxNodes is the limit that Kubernetes documents for a cluster.
	maxNodes = 5000
)

// version matches a version of Istio; the schema has the same pattern for [Mesh.Istio].
var version = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-+].+)?$`)

// object identifies an object of the cluster. The namespace is "" for a namespace.
type object struct{ kind, namespace, name string }

// workload is what the checker knows about a Deployment, or another owner of pods.
type workload struct {
	replicas int
	// everyNode is set if there is one pod on each node, in place of replicas.
	everyNode bool
	injected  bool // its pods get a sidecar
	// selector selects its pods; nil if it is not known.
	selector map[string]string
	template template
	// sizedBy is the field of the action that sets the number of pods; "" for replicas.
	sizedBy string
}

// template is what the checker knows about the pods that a workload creates.
type template struct {
	labels, annotations map[string]string
	hostNetwork         bool
	containers          []Container
	// selector is the workload's own; nil if it is not known.
	selector map[string]string
	// maxSurge is the number of additional pods during a rolling update.
	maxSurge intstr.IntOrString
}

// madeWorkload is a Deployment, or another owner of pods that stay, that a step creates.
type madeWorkload struct {
	object
	workload
}

// checker follows the state of the cluster through the steps of a decoded scenario, as far
// as it is known without a cluster, and notes what Kubernetes would reject.
type checker struct {
	*decoder
	// path is the path of the action being checked.
	path string

	// baseline holds the objects that every cluster has.
	baseline map[object]bool
	// objects holds the objects that exist, with their API versions.
	objects map[object]string
	// namespaceLabels holds the labels of the namespaces that steps create.
	namespaceLabels map[string]map[string]string
	// installed is the mesh with which the scenario starts. meshes are the control planes that
	// exist, one for each revision, and latest the index of the one that was changed last.
	installed Mesh
	meshes    []Mesh
	latest    int
	rules     MeshRules
	workloads map[object]workload
	// made lists all workloads in the order of their creation, as they were then, but
	// injected if they are after any step.
	made   []madeWorkload
	madeAt map[object]int
	// injections holds the last answer about the pods of each workload.
	injections map[object]meshfacts.Injection
	// hadSidecars is set for workloads whose pods had sidecars after any step.
	hadSidecars map[object]bool
	// templates are the pods of each workload as they are now, and exposed the Services whose
	// ports are known.
	templates map[object]template
	exposed   map[object]service
	// asked are the workloads that ask for a stand-in, and askedAt the actions that do.
	asked   []object
	askedAt map[object]string
	// revisions counts the revisions of Knative Services.
	revisions map[object]int
	// graphs are those that exist, by their names.
	graphs map[string]*Graph
	// scopes are the last ones of graphs, by their names.
	scopes map[string]*Scope
	// defined holds the kinds that manifests define, as group/kind.
	defined map[string]bool
	// inlined is how much of the rendered scenario manifests from files take, in bytes.
	inlined int
	// systemPods are the pods of cluster and mesh that run once, and daemonPods those on every
	// node.
	systemPods, daemonPods int
	// replaced is set if a manifest takes the place of the program's baseline.
	replaced bool
	// full is set while the nodes cannot hold the pods, which is reported once.
	full  bool
	nodes []NodeGroup
	// plan collects what the scenario needs.
	plan planner
	// gateways are the gateways that exist, and what configures them.
	gateways gatewayWorld
	// warnings are the results of warnAt.
	warnings Problems
	// own are the namespaces that steps create, and outside what is changed beside them.
	own     []string
	outside Problems
}

func newChecker(d *decoder, rules MeshRules) *checker {
	rules = rules.complete()
	c := &checker{
		decoder: d, rules: rules, baseline: map[object]bool{}, objects: map[object]string{},
		namespaceLabels: map[string]map[string]string{}, workloads: map[object]workload{},
		templates: map[object]template{}, exposed: map[object]service{}, askedAt: map[object]string{},
		revisions: map[object]int{}, plan: newPlanner(), madeAt: map[object]int{}, injections: map[object]meshfacts.Injection{}, hadSidecars: map[object]bool{}, defined: map[string]bool{},
		gateways: gatewayWorld{most: map[object]int{}}, systemPods: baselinePods + 1, daemonPods: daemonPods, graphs: map[string]*Graph{}, scopes: map[string]*Scope{},
	}
	for _, o := range []object{
		{"Namespace", "", "default"}, {"Namespace", "", "kube-system"}, {"Namespace", "", "kube-public"},
		{"Namespace", "", "kube-node-lease"},
		{"Service", "default", "kubernetes"}, {"Service", "kube-system", "kube-dns"},
		{"Service", "kube-system", "metrics-server"},
	} {
		c.baseline[o], c.objects[o] = true, "v1"
	}
	return c
}

// wrong notes a problem with a field of the action being checked.
func (c *checker) wrong(field, format string, args ...any) {
	c.wrongAt(join(c.path, field), format, args...)
}

// wrongAt notes a problem with the field at the path. If the file omits the field, the
// problem has the place of the enclosing field. If the field or one that encloses it
// already has a problem, wrongAt does nothing: the new problem would follow from the old
// one, or repeat it for another copy of an action.
func (c *checker) wrongAt(path, format string, args ...any) {
	var node *yaml.Node
	for place := path; ; place = place[:strings.LastIndexAny(place, ".[")] {
		if c.bad[place] {
			return
		}
		if node == nil {
			node = c.at[place]
		}
		if !strings.ContainsAny(place, ".[") {
			break
		}
	}
	if node == nil {
		node = c.at[""]
	}
	c.problem(node, path, format, args...)
}

// badBelow reports whether the field at the path or a field in it has a problem.
func (c *checker) badBelow(path string) bool {
	for bad := range c.bad {
		if strings.HasPrefix(bad, path) {
			return true
		}
	}
	return false
}

// number checks that a number is in a range, both ends included.
func (c *checker) number(field string, n, low, high int) bool {
	switch {
	case n < low:
		c.wrong(field, "%d is too small; want at least %d", n, low)
	case n > high:
		c.wrong(field, "%d is too large; want at most %d", n, high)
	}
	return low <= n && n <= high
}

// name checks a name by one of the rules of Kubernetes.
func (c *checker) name(field, name string, rule func(string) []string) {
	for _, message := range rule(name) {
		c.wrong(field, "Kubernetes rejects %q: %s", name, message)
		return
	}
}

// labels checks labels, or annotations with isLabels false.
func (c *checker) labels(field string, labels map[string]string, isLabels bool) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		for _, message := range validation.IsQualifiedName(key) {
			c.wrong(join(field, key), "Kubernetes rejects the key %q: %s", key, message)
		}
		if isLabels {
			c.name(join(field, key), labels[key], validation.IsValidLabelValue)
		}
	}
}

// named returns the names of existing objects of a kind in a namespace.
func (c *checker) named(kind, namespace string) []string {
	var names []string
	for o := range c.objects {
		if o.kind == kind && o.namespace == namespace {
			names = append(names, o.name)
		}
	}
	return names
}

// namespace checks that a namespace exists.
func (c *checker) namespace(field, name string) bool {
	if _, exists := c.objects[object{"Namespace", "", name}]; exists {
		c.touches(field, name)
		return true
	}
	c.wrong(field, "no earlier step creates namespace %q%s", name, suggest(name, c.named("Namespace", "")))
	return false
}

// deployment checks that a Deployment exists. The fields are namespace and deployment.
func (c *checker) deployment(namespace, name string) (object, bool) {
	o := object{"Deployment", namespace, name}
	if !c.namespace("namespace", namespace) {
		return o, false
	}
	if _, exists := c.objects[o]; !exists {
		c.wrong("deployment", "no earlier step creates Deployment %q in namespace %q%s", name, namespace, suggest(name, c.named("Deployment", namespace)))
		return o, false
	}
	return o, true
}

// create notes that an object is created, and that it must not exist yet.
func (c *checker) create(field, apiVersion string, o object) {
	if _, exists := c.objects[o]; exists {
		where := ""
		if o.namespace != "" {
			where = fmt.Sprintf(" in namespace %q", o.namespace)
		}
		c.wrong(field, "%s %q%s already exists; delete it first or use another name", o.kind, o.name, where)
	}
	c.objects[o] = apiVersion
}

// run sets what is known about a Deployment. surge is the number of additional pods while
// it changes.
func (c *checker) run(field string, o object, w workload, surge int) {
	if i, before := c.madeAt[o]; before {
		c.made[i].injected = c.made[i].injected || w.injected
	} else if o.kind != "Job" && o.kind != "CronJob" { // whose pods end
		c.madeAt[o] = len(c.made)
		c.made = append(c.made, madeWorkload{o, w})
	}
	if w.everyNode {
		w.replicas = total(c.plan.nodes)
	}
	c.plan.run(o, w.planned(), surge)
	more := w.replicas > c.workloads[o].replicas
	c.workloads[o] = w
	c.fit(field, more)
}

// planned are the workload's pods for the plan.
func (w workload) planned() plannedPods {
	return plannedPods{replicas: w.replicas, injected: w.injected, everyNode: w.everyNode, own: w.template.own()}
}

// check goes through the scenario and fills in the default witnesses.
func (c *checker) check(s *Scenario) {
	c.name("name", s.Name, validation.IsDNS1123Label)
	table := c.published(s)
	if s.Mesh.Istio != "" && !version.MatchString(s.Mesh.Istio) {
		c.wrong("mesh.istio", "invalid version %q: want e.g. 1.23.2", s.Mesh.Istio)
	}
	c.install(s.Mesh)
	c.installRevisions(s.Mesh)
	c.system(s)
	c.setNodes("cluster.nodes", s.Cluster.Nodes)
	names := map[string]int{}
	for i := range s.Steps {
		step, at := &s.Steps[i], c.stepOrigins[i]
		if before, taken := names[step.Name]; taken {
			c.wrongAt(at+".name", "%s", c.sameName(step.Name, at, c.stepOrigins[before]))
		}
		names[step.Name] = i
		c.name(at+".name", step.Name, validation.IsDNS1123Label)
		c.publishedStep(table, at+".published", step.Published)
		for _, e := range step.Expect.Changes() {
			if i == 0 && e.Change != 0 && e.Kind == "" {
				c.wrongAt(at+".expect."+e.What, "%d must be 0: expectations are changes relative to the first step", e.Change)
			}
		}
		c.expectOf(s, step, i == 0, at)
		begin := len(c.plan.timeline)
		for _, a := range step.Actions {
			c.path = c.origins[a.Change]
			need := a.Change.check(c)
			if n := c.at[c.origins[a.Change]]; need.knative && !c.plan.Knative && n != nil {
				s.wantsKnative = Problem{File: c.file, Line: n.Line, Column: n.Column, Path: c.origins[a.Change]}
			}
			c.plan.need(need)
		}
		c.runStandIns()
		c.plan.loads = append(c.plan.loads, load{begin, len(c.plan.timeline), c.plan.pods + c.services()})
		c.witness(s, at)
		c.gatewayWitness(&s.Steps[i], at)
	}
	if s.Steps != nil && len(s.Steps) == 0 {
		c.wrong("steps", "a scenario needs at least one step")
	}
	c.gateways.check(c)
	c.witnesses(s)
	c.addGateway(s)
	c.sourceProxies(s)
	s.plan = c.plan.Plan
	s.own, s.outside = c.own, slices.Clip(c.outside.sorted())
	c.settleLimits(s)
}

// sameName is the message about a step whose name another has.
func (c *checker) sameName(name, at, before string) string {
	if at == before { // two copies of a repeated step
		return fmt.Sprintf("every copy is named %q; use the variable of repeat in the name, e.g. %s-${i}", name, name)
	}
	return fmt.Sprintf("name %q is already used by %s", name, before)
}

// proxyResources checks the proxy's memory in Helm values.
func (c *checker) proxyResources(mesh Mesh) {
	request := mesh.value("global", "proxy", "resources", "requests", "memory")
	limit := mesh.value("global", "proxy", "resources", "limits", "memory")
	if request == nil || limit == nil {
		return
	}
	r, err := resource.ParseQuantity(fmt.Sprint(request))
	l, err2 := resource.ParseQuantity(fmt.Sprint(limit))
	if err == nil && err2 == nil && l.Cmp(r) < 0 {
		c.wrongAt("mesh.values.global.proxy.resources.limits.memory", "limit %v is below request %v; Kubernetes rejects such pods", limit, request)
	}
}

func (c *checker) published(s *Scenario) *Published {
	if s.Published == "" {
		return nil
	}
	table, err := PublishedTable(s.Published)
	if err != nil {
		c.wrongAt("published", "%v%s", err, suggest(s.Published, publishedNames()))
	}
	return table
}

func (c *checker) publishedStep(table *Published, path string, number int) {
	switch {
	case number == 0 || c.bad["published"]:
	case table == nil:
		c.wrongAt(path, "the scenario has no published table; name one in the top-level field published")
	case table.Step(number) == nil:
		c.wrongAt(path, "table %s has no step %d; its steps are 1 to %d", table.Name, number, len(table.Steps))
	}
}
