package scenarios

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Churn deletes a share of pods or of whole namespaces and has them made again, in rounds.
// What each round takes is chosen by Seed, the same on each run, and is in the log. It has
// taken effect when the last round's pods are Ready and all old ones are gone. What the
// sidecars and istiod needed most along the way are the step's peaks in a report.
type Churn struct {
	// Namespaces are those of which a share is deleted, with all that is in them, and made
	// again with the same objects.
	Namespaces []string `yaml:"namespaces,omitempty" jsonschema:"oneof_required=namespaces"`
	// Namespace is that of the pods of which a share is deleted: those of one workload, or of
	// all workloads in the namespace. Their controllers make them again.
	Namespace   string `yaml:"namespace,omitempty" jsonschema:"oneof_required=namespace"`
	Deployment  string `yaml:"deployment,omitempty"`
	StatefulSet string `yaml:"statefulset,omitempty"`
	DaemonSet   string `yaml:"daemonset,omitempty"`
	// Graph is the name of an action graph, of whose pods a share is deleted.
	Graph string `yaml:"graph,omitempty" jsonschema:"oneof_required=graph"`
	// Share is how much each round takes, in percent, rounded up: 25%.
	Share string `yaml:"share" jsonschema:"required,pattern=^([0-9.]+|\\$\\{[^}]*\\})%$"`
	// Rounds defaults to 1. Each begins when the one before has taken effect.
	Rounds int `yaml:"rounds" jsonschema:"default=1"`
	// Seed chooses what is taken. It defaults to 1.
	Seed int `yaml:"seed" jsonschema:"default=1"`

	graph *Graph
}

// maxRounds bounds the rounds: each takes seconds.
const maxRounds = 1000

// Word returns churn.
func (*Churn) Word() string { return "churn" }

// String describes the change in a few words.
func (x *Churn) String() string {
	return fmt.Sprintf("churn %s of %s, %d rounds, seed %d", x.Share, x.What(), x.Rounds, x.Seed)
}

// What is churned, in words.
func (x *Churn) What() string {
	switch {
	case x.Graph != "":
		return "the pods of graph " + x.Graph
	case x.Namespace == "":
		return "namespaces " + strings.Join(x.Namespaces, ", ")
	case given(x.owners()).name == "":
		return "the pods in " + x.Namespace
	}
	return "the pods of " + ownerText(x.Namespace, x.owners())
}

// Of is the graph whose pods are churned; nil for none.
func (x *Churn) Of() *Graph { return x.graph }

// Owner returns the kind and the name of the workload whose pods are churned; "" for all in
// the namespace.
func (x *Churn) Owner() (kind, name string) {
	if o := given(x.owners()); o.name != "" {
		return o.kind, o.name
	}
	return "", ""
}

func (x *Churn) owners() []owner { return owners(x.Deployment, x.StatefulSet, x.DaemonSet) }

func (x *Churn) setDefaults() { x.Rounds, x.Seed = 1, 1 }

// Choose returns which of n things, numbered from 0, a round takes, in order. Rounds count
// from 0. The choice depends on the seed, the round, n and the share alone.
func (x *Churn) Choose(round, n int) []int {
	if n == 0 {
		return nil
	}
	share, _ := percent(x.Share)
	// Rounded up, give or take what a float64 cannot say: 10 % of 30 are 3.
	take := min(n, int(share*float64(n)/100+1-1e-9))
	chosen := rand.New(rand.NewPCG(uint64(x.Seed), uint64(round))).Perm(n)[:take]
	slices.Sort(chosen)
	return chosen
}

// percent reads a share, 25%: above 0 and at most 100.
func percent(text string) (share float64, ok bool) {
	number, isShare := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	return share, isShare && err == nil && share > 0 && share <= 100
}

func (x *Churn) place(p *placement) {
	p.rename(&x.Namespace)
	if x.Namespaces != nil {
		p.renameAll(&x.Namespaces)
	}
}

func (x *Churn) check(c *checker) needs {
	if _, ok := percent(x.Share); !ok && x.Share != "" {
		c.wrong("share", "invalid share %q: want a percentage above 0%% and at most 100%%, e.g. 25%%", x.Share)
	}
	c.number("rounds", x.Rounds, 1, maxRounds)
	c.number("seed", x.Seed, 0, maxNumber)
	named := given(x.owners())
	switch {
	case x.Graph != "" && (x.Namespaces != nil || x.Namespace != "" || named.name != ""):
		c.wrong("graph", "something else to churn is named already; name one of them")
	case x.Graph != "":
		if g, ok := c.graph("graph", x.Graph); ok {
			x.graph = g
			c.churnWorkloads(x, c.graphWorkloads(g))
		}
	case x.Namespaces != nil && (x.Namespace != "" || named.name != ""):
		field := named.field
		if x.Namespace != "" {
			field = "namespace"
		}
		c.wrong(field, "namespaces is set already: whole namespaces are churned; omit one of them")
	case x.Namespaces != nil:
		c.churnNamespaces(x)
	case x.Namespace == "":
		c.wrong("namespace", "is required, for the pods of a namespace; or write namespaces, for whole ones")
	default:
		c.churnPods(x)
	}
	return needs{}
}

// churnNamespaces checks whole namespaces.
func (c *checker) churnNamespaces(x *Churn) {
	if len(x.Namespaces) == 0 {
		c.wrong("namespaces", "names no namespace; name those of which a share is deleted and made again")
	}
	before := map[string]int{}
	for i, name := range x.Namespaces {
		at := fmt.Sprintf("namespaces[%d]", i)
		if first, twice := before[name]; twice {
			c.wrong(at, "%q is namespaces[%d] already", name, first)
		}
		before[name] = i
		if c.baseline[object{"Namespace", "", name}] {
			c.wrong(at, "cannot churn namespace %q: it belongs to the cluster", name)
		} else if c.namespace(at, name) {
			for o := range c.revisions {
				if o.namespace == name {
					c.wrong(at, "cannot churn namespace %q: it holds revisions of Knative Service %q, which only Knative can make again", name, o.name)
				}
			}
		}
	}
	// Sidecars are made again by today's labels.
	for _, o := range slices.SortedFunc(maps.Keys(c.workloads), compareObjects) {
		if _, churned := before[o.namespace]; churned {
			w := c.workloads[o]
			w.injected = c.injects(o, w.template)
			c.run("", o, w, 0)
		}
	}
}

// churnPods checks the pods of a workload, or of all in a namespace.
func (c *checker) churnPods(x *Churn) {
	var churned []object
	if given(x.owners()).name != "" {
		o, exists := c.owner(x.Namespace, x.owners())
		if !exists {
			return
		}
		churned = append(churned, o)
	} else if c.namespace("namespace", x.Namespace) {
		for _, o := range slices.SortedFunc(maps.Keys(c.plan.now), compareObjects) {
			if o.namespace == x.Namespace && o.kind != "Job" && o.kind != "CronJob" && o.kind != "Pod" {
				churned = append(churned, o)
			}
		}
	} else {
		return
	}
	c.churnWorkloads(x, churned)
}

// churnWorkloads checks the pods of workloads.
func (c *checker) churnWorkloads(x *Churn, churned []object) {
	pods := 0
	for _, o := range churned {
		w := c.known(o)
		pods += c.plan.now[o].replicas
		// A pod that is deleted still runs while its successor starts.
		before := w.planned()
		c.plan.run(o, before, len(x.Choose(0, w.replicas)))
	}
	if pods == 0 && !c.badBelow("steps") {
		field := "namespace"
		if x.Graph != "" {
			field = "graph"
		}
		c.wrong(field, "%s: there are no pods at this step; scale up first", x.What())
	}
}

func compareObjects(a, b object) int {
	return strings.Compare(a.kind+"/"+a.namespace+"/"+a.name, b.kind+"/"+b.namespace+"/"+b.name)
}
