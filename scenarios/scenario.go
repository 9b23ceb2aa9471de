// Package scenarios holds the experiments as data, and their types.
//
// A scenario is a YAML file: the nodes of a cluster, options of the mesh, and steps. A
// step is a list of actions, each one change to the cluster, followed by one measurement.
// [Load] decodes a file strictly. It returns either a rendered scenario, with expressions
// evaluated and repetitions expanded, or all [Problems] of the file at once.
// [Scenario.Plan] is what a scenario needs from a cluster. A [Loader] has options: the mesh
// that a scenario is for ([MeshRules]), parameters, another file system. The files in this
// folder are built into the program ([Builtin], [Open]), with published figures in
// published/ ([PublishedTable]).
//
// In a file, a scalar may contain expressions with the scenario's parameters, ${replicas}
// or ${2*(replicas-1)+5}, in the language of github.com/expr-lang/expr. Where a number is
// wanted, the result must be a whole number; $${ stands for a literal ${.
package scenarios

import (
	"time"

	"github.com/meshbench/meshbench/observations"
)

// Scenario is one experiment, rendered.
type Scenario struct {
	// APIVersion is the version of the file format, meshbench.dev/v1. A file may leave it
	// out; a rendered scenario always has it.
	APIVersion string `yaml:"apiVersion" jsonschema:"enum=meshbench.dev/v1,default=meshbench.dev/v1"`
	// Name identifies the scenario: a DNS label, the file's name without .yaml.
	Name string `yaml:"name" jsonschema:"required"`
	// Title is one line for lists of scenarios.
	Title string `yaml:"title" jsonschema:"required"`
	// Description describes what the scenario shows and where it comes from.
	Description string `yaml:"description,omitempty"`
	// Published is the name of the published table that steps refer to; "" for none.
	Published string `yaml:"published,omitempty"`
	// Parameters are the sizes that --set overrides, by name.
	Parameters map[string]Parameter `yaml:"parameters,omitempty"`
	// Cluster is what the run starts on.
	Cluster Cluster `yaml:"cluster" jsonschema:"required"`
	// Mesh holds options of the mesh; the run's defaults if empty.
	Mesh Mesh `yaml:"mesh,omitempty"`
	// Knative holds options of Knative Serving, for scenarios that need it.
	Knative KnativeOptions `yaml:"knative,omitempty"`
	// Witnesses are the workloads of which one proxy each is dumped. Expectations are checked
	// on the first that has sidecars, those of gateways on the first gateway. Default: the
	// first Deployment with a sidecar that a step creates, else the first other workload that
	// keeps its pods; and the first gateway of an action with two replicas or more, or where a
	// step has expectations of a gateway, the first gateway.
	Witnesses []Witness `yaml:"witnesses,omitempty"`
	// Source is what is known of the cluster that the scenario was imported from.
	Source Source `yaml:"source,omitempty"`
	// Steps are done in order. Expectations are changes relative to the first step.
	Steps []Step `yaml:"steps" jsonschema:"required,minItems=1"`

	// system is the result of [Scenario.System].
	system *System
	// plan is the result of [Scenario.Plan].
	plan Plan
	// wantsKnative is the place in the file of the first action that needs Knative.
	wantsKnative Problem
	// waits and warnings are the results of [Scenario.Waits] and [Scenario.Warnings].
	waits    Waits
	warnings Problems
	// own, outside and placed are the results of [Scenario.Namespaces], [Scenario.Outside] and
	// [Scenario.Renamed]; original is what is rendered of a scenario that is placed.
	own      []string
	outside  Problems
	placed   *placement
	original *Scenario
	// again loads the scenario anew, placed; nil if it was not loaded.
	again func(*placement) (*Scenario, error)
}

// Parameter is one size of a scenario that the command line can override, or a choice
// between words, {choice: shape, choices: [shape, knative]}.
type Parameter struct {
	// Value is the size; in a rendered scenario, after overrides.
	Value int `yaml:"value" jsonschema:"oneof_required=size"`
	// Min and Max bound the value, both included. Min defaults to 0, Max to none.
	Min int  `yaml:"min,omitempty"`
	Max *int `yaml:"max,omitempty"`
	// Choice is the chosen word, one of Choices; "" for a size. In expressions it is a
	// string, mode == "shape".
	Choice  string   `yaml:"choice,omitempty" jsonschema:"oneof_required=choice"`
	Choices []string `yaml:"choices,omitempty"`
	// About describes the size or the choice.
	About string `yaml:"about,omitempty"`
}

// MarshalYAML omits the value of a choice.
func (p Parameter) MarshalYAML() (any, error) {
	if p.Choices == nil {
		type size Parameter
		return size(p), nil
	}
	return struct {
		Choice  string   `yaml:"choice"`
		Choices []string `yaml:"choices"`
		About   string   `yaml:"about,omitempty"`
	}{p.Choice, p.Choices, p.About}, nil
}

// Cluster is what the run starts on.
type Cluster struct {
	// Nodes are the nodes at the start, in groups of equal ones.
	Nodes []NodeGroup `yaml:"nodes" jsonschema:"required,minItems=1"`
	// Baseline is the path of a manifest, relative to the scenario file and below its folder,
	// of what is in the namespaces of the cluster and of the mesh before the mesh is installed:
	// Services, their endpoints, and what runs behind them. It takes the place of what an
	// embedded cluster has from the start by default, which is what EKS has; other clusters
	// have their own, and refuse it. What runs there is simulated, whatever its image. The
	// endpoints of Service kubernetes say how many API servers there are. In a rendered scenario
	// the file lies beside it, named by its hash.
	Baseline string `yaml:"baseline,omitempty"`
	// ServiceRange is the range of Services' addresses of an embedded cluster, IPv4,
	// 10.96.0.0/12; by default that of EKS, 172.20.0.0/16.
	ServiceRange string `yaml:"serviceRange,omitempty"`
}

// NodeGroup is a number of equal nodes.
type NodeGroup struct {
	// Type is an EC2 instance type, m6i.large.
	Type string `yaml:"type" jsonschema:"required"`
	// Count is the number of nodes; at least 1.
	Count int `yaml:"count" jsonschema:"required"`
	// MaxPods overrides the pod limit of the instance type; 0 keeps it.
	MaxPods int `yaml:"maxPods,omitempty"`
}

// Mesh holds options of the mesh.
type Mesh struct {
	// Istio is the version to install, 1.23.2; "" for the program's default.
	Istio string `yaml:"istio,omitempty" jsonschema:"pattern=^[0-9]+\\.[0-9]+\\.[0-9]+([-+].+)?$"`
	// Values are Helm values for the istiod chart, over the program's own.
	Values map[string]any `yaml:"values,omitempty"`
	// Tags are further names of the mesh's revision.
	Tags []string `yaml:"tags,omitempty"`
	// Revisions are further istiods, which are installed beside the mesh's own before the first
	// step.
	Revisions []MeshRevision `yaml:"revisions,omitempty"`
}

// KnativeOptions are options of Knative Serving.
type KnativeOptions struct {
	// Config is data of config maps in namespace knative-serving, by the config map's name,
	// which overrides the program's own: {config-gc: {max-non-active-revisions: "10"}}.
	Config map[string]map[string]string `yaml:"config,omitempty"`
}

// Witness names a workload of which one sidecar is dumped: a Deployment, or Kind and Name.
type Witness struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Deployment is the name of a Deployment.
	Deployment string `yaml:"deployment,omitempty"`
	// Kind and Name are those of a workload of another kind, StatefulSet, DaemonSet,
	// ReplicaSet or Pod, in place of Deployment.
	Kind string `yaml:"kind,omitempty" jsonschema:"enum=Deployment,enum=StatefulSet,enum=DaemonSet,enum=ReplicaSet,enum=ReplicationController,enum=Pod"`
	Name string `yaml:"name,omitempty"`
}

// Step is a list of actions, followed by one measurement. In a file it can have a key
// repeat, which expands it once for each value of a variable; with the key steps in place of
// all others, a list of steps is expanded, all of them in order for each value. A rendered
// scenario has the copies.
type Step struct {
	// Name is unique in the scenario: a DNS label, since it names folders and tests.
	Name string `yaml:"name" jsonschema:"required"`
	// Do describes the step for people.
	Do string `yaml:"do,omitempty"`
	// Published is the number of the step in the published table that this step
	// reproduces; 0 for none. If overridden parameters change this step or an earlier one,
	// it is 0: the published figures are for another size.
	Published int `yaml:"published,omitempty"`
	// Actions are done in order, each after the previous one has taken effect.
	Actions []Action `yaml:"actions,omitempty"`
	// Expect holds the changes expected since the first step.
	Expect Expect `yaml:"expect,omitempty"`
	// ExpectOf holds the changes that are expected of one witness each, where there are several.
	ExpectOf []WitnessExpect `yaml:"expectOf,omitempty"`
	// Settle holds options for waiting until the mesh is quiet.
	Settle Settle `yaml:"settle,omitempty"`
}

// Expect holds changes relative to the scenario's first step; nil if nothing is expected.
// A count that could not be read is unknown, and an expectation about it is missed.
type Expect struct {
	// ProxyExpect is about the first witness.
	ProxyExpect `yaml:",inline"`
	// Nodes, Pods and Services are objects in all namespaces, Sidecars pods with a sidecar,
	// RealSidecars those of them whose sidecar runs, and LightSidecars those of the others that
	// are light.
	Nodes         *int `yaml:"nodes,omitempty"`
	Pods          *int `yaml:"pods,omitempty"`
	Services      *int `yaml:"services,omitempty"`
	Sidecars      *int `yaml:"sidecars,omitempty"`
	RealSidecars  *int `yaml:"realSidecars,omitempty"`
	LightSidecars *int `yaml:"lightSidecars,omitempty"`
	// Gateway are changes of the gateway that is a witness, relative to the first step that
	// ends with one.
	Gateway *ProxyExpect `yaml:"gateway,omitempty"`
}

// ProxyExpect holds changes of one proxy's configuration; nil if nothing is expected.
type ProxyExpect struct {
	// Cluster, Listener, Route and Endpoint are rows that istioctl proxy-config prints for the
	// proxy.
	Cluster  *int `yaml:"cluster,omitempty"`
	Listener *int `yaml:"listener,omitempty"`
	Route    *int `yaml:"route,omitempty"`
	Endpoint *int `yaml:"endpoint,omitempty"`
	// ClusterObjects to EndpointObjects are the objects behind those rows in its
	// configuration: one listener can have many rows, and route rows are of virtual hosts in
	// route configurations.
	ClusterObjects     *int `yaml:"clusterObjects,omitempty"`
	ListenerObjects    *int `yaml:"listenerObjects,omitempty"`
	FilterChainObjects *int `yaml:"filterChainObjects,omitempty"`
	RouteObjects       *int `yaml:"routeObjects,omitempty"`
	VirtualHostObjects *int `yaml:"virtualHostObjects,omitempty"`
	EndpointObjects    *int `yaml:"endpointObjects,omitempty"`
}

// Settle holds options for waiting until the mesh is quiet.
type Settle struct {
	// Limit is the longest wait, in Go's notation (90s, 5m); 0 for the run's own limit, which
	// is by default [Waits.SettleLimit].
	Limit time.Duration `yaml:"limit,omitempty"`
}

// Changes returns the expectations in the order in which tables show them.
func (e Expect) Changes() []observations.Expectation {
	list := e.changes("")
	for _, x := range []expected{
		{"nodes", e.Nodes}, {"pods", e.Pods}, {"services", e.Services}, {"sidecars", e.Sidecars}, {"realSidecars", e.RealSidecars},
		{"lightSidecars", e.LightSidecars},
	} {
		list = x.appended(list, "")
	}
	if e.Gateway != nil {
		list = append(list, e.Gateway.changes(observations.ProxyGateway)...)
	}
	return list
}

func (e ProxyExpect) changes(kind string) (list []observations.Expectation) {
	for _, x := range []expected{
		{"cluster", e.Cluster}, {"listener", e.Listener}, {"route", e.Route}, {"endpoint", e.Endpoint},
		{"clusterObjects", e.ClusterObjects}, {"listenerObjects", e.ListenerObjects}, {"filterChainObjects", e.FilterChainObjects},
		{"routeObjects", e.RouteObjects}, {"virtualHostObjects", e.VirtualHostObjects}, {"endpointObjects", e.EndpointObjects},
	} {
		list = x.appended(list, kind)
	}
	return list
}

// expected is one expectation by its word; change is nil if nothing is expected.
type expected struct {
	what   string
	change *int
}

func (x expected) appended(list []observations.Expectation, kind string) []observations.Expectation {
	if x.change == nil {
		return list
	}
	return append(list, observations.Expectation{What: x.what, Kind: kind, Change: *x.change})
}

// Sizes returns the values of the parameters that are sizes, by name.
func (s *Scenario) Sizes() map[string]int {
	sizes := make(map[string]int, len(s.Parameters))
	for name, p := range s.Parameters {
		if p.Choices == nil {
			sizes[name] = p.Value
		}
	}
	return sizes
}

// Choices returns the words of the parameters that are choices, by name.
func (s *Scenario) Choices() map[string]string {
	choices := map[string]string{}
	for name, p := range s.Parameters {
		if p.Choices != nil {
			choices[name] = p.Choice
		}
	}
	return choices
}
