package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
)

// Environment is what the memory of a sidecar depends on, besides what the mesh is asked
// to do. Figures of runs that differ in it cannot be laid to the mesh's version.
type Environment struct {
	Cluster           string `json:"cluster"`           // the name of its source, as --cluster takes it
	Shape             string `json:"shape"`             // observations.Cluster.Baseline
	MemorySource      string `json:"memorySource"`      // observations.Run.WayOfReading
	RealPerDeployment int    `json:"realPerDeployment"` // -1 for all
	// LightPerDeployment are those that light proxies speak for, -1 for all, and RealFor the
	// workloads that alone have real sidecars, separated by commas; "" for all.
	LightPerDeployment int            `json:"lightPerDeployment,omitempty"`
	RealFor            string         `json:"realFor,omitempty"`
	Simulated          []string       `json:"simulated"`
	HostOS             string         `json:"hostOS"` // GOOS/GOARCH
	HostCPUs           int            `json:"hostCPUs"`
	Istio              string         `json:"istio"`
	Envoy              string         `json:"envoy"`
	EnvoyBuilds        []string       `json:"envoyBuilds"` // as the proxies reported them
	Workers            int            `json:"workers"`     // Envoy worker threads; 0 unknown
	XDS                string         `json:"xds"`
	ReconnectSeconds   float64        `json:"reconnectSeconds"`
	Values             string         `json:"values"` // Helm values, as YAML
	Parameters         map[string]int `json:"parameters"`
	// Choices are the parameters that are words.
	Choices map[string]string `json:"choices,omitempty"`
	// ForcedGC says that garbage was collected by force at the end of each step
	// (observations.Run.ForcedGC), and was where that was possible.
	ForcedGC bool `json:"forcedGC,omitempty"`
}

// EnvironmentOf is the environment of a run. The log's records are read beside the
// report: the proxies' own word on their worker threads counts, not what was asked for.
func EnvironmentOf(r *reports.Report, records []observations.Record) Environment {
	run := r.Environment
	e := Environment{
		Cluster: run.Cluster.Provider, Shape: run.Cluster.Baseline, MemorySource: run.WayOfReading(),
		RealPerDeployment: run.Cluster.RealPerDeployment, LightPerDeployment: run.Cluster.LightPerDeployment, RealFor: strings.Join(run.Cluster.RealFor, ","), Simulated: slices.Sorted(slices.Values(run.Cluster.Simulated)),
		HostOS: run.Host.OS, HostCPUs: run.Host.CPUs,
		Istio: run.Mesh.Istio, Envoy: r.Envoy, EnvoyBuilds: slices.Clone(r.EnvoyBuilds), Workers: run.Mesh.Workers,
		XDS: run.Mesh.XDS, ReconnectSeconds: run.Mesh.ReconnectSeconds, Values: run.Mesh.Values,
		Parameters: maps.Clone(run.Parameters), Choices: maps.Clone(run.Choices),
	}
	for _, rec := range records {
		if rec.Envoy != nil && rec.Envoy.Workers > 0 {
			e.Workers = rec.Envoy.Workers
		}
		e.ForcedGC = e.ForcedGC || run.ForcedGC && rec.Live != nil && rec.Live.Container == observations.IstiodContainer
	}
	return e
}

// Difference is one thing that two environments differ in.
type Difference struct {
	What string
	A, B string // the values, or what only the one has
	// Subject says that the difference is what one compares versions for, the Istio
	// version, rather than a flaw of the comparison.
	Subject bool
	// Counts says that counts depend on it too, not memory alone.
	Counts bool
	// Collected says that nothing depends on it but metrics that are marked so
	// (metrics.Metric.Collected). These are not compared; everything else is.
	Collected bool
}

// In names the difference for people, who know the two environments as a and b.
func (d Difference) In(a, b string) string {
	if d.Collected {
		return fmt.Sprintf("%s: %s in %s, %s in %s: the memory and CPU of istiod, the memory of witnesses and what pilot-agent holds depend on it and are not compared", d.What, d.A, a, d.B, b)
	}
	return fmt.Sprintf("%s: %s in %s, %s in %s", d.What, d.A, a, d.B, b)
}

// Differences lists what e and o differ in, in a fixed order. What one of them does not
// know is no difference.
func (e Environment) Differences(o Environment) []Difference {
	var found []Difference
	add := func(what, a, b string) {
		if a != b {
			found = append(found, Difference{What: what, A: orNone(a), B: orNone(b)})
		}
	}
	known := func(what, a, b string) {
		if a != "" && b != "" {
			add(what, a, b)
		}
	}
	if e.Istio != o.Istio {
		found = append(found, Difference{What: "Istio version", A: orNone(e.Istio), B: orNone(o.Istio), Subject: true})
	}
	known("Envoy version", e.Envoy, o.Envoy)
	known("Envoy build", strings.Join(e.EnvoyBuilds, ", "), strings.Join(o.EnvoyBuilds, ", "))
	if e.Workers > 0 && o.Workers > 0 {
		add("Envoy worker threads", fmt.Sprint(e.Workers), fmt.Sprint(o.Workers))
	}
	add("cluster", e.Cluster, o.Cluster)
	known("way of reading memory", e.MemorySource, o.MemorySource)
	add("simulated", only(e.Simulated, o.Simulated), only(o.Simulated, e.Simulated))
	known("host", e.HostOS, o.HostOS)
	if e.HostCPUs > 0 && o.HostCPUs > 0 {
		add("host CPUs", fmt.Sprint(e.HostCPUs), fmt.Sprint(o.HostCPUs))
	}
	known("xDS", e.XDS, o.XDS)
	add("age of a proxy's connection to istiod (s)", fmt.Sprint(e.ReconnectSeconds), fmt.Sprint(o.ReconnectSeconds))
	memoryOnly := len(found)
	add("shape of the cluster", e.Shape, o.Shape)
	add("real sidecars a Deployment", realText(e.RealPerDeployment), realText(o.RealPerDeployment))
	add("light proxies a Deployment", realText(e.LightPerDeployment), realText(o.LightPerDeployment))
	add("workloads with real sidecars", e.RealFor, o.RealFor)
	// The images' tag is among the values: it says no more than the version does.
	a, b := strings.Split(untagged(e), "\n"), strings.Split(untagged(o), "\n")
	add("Helm values", only(a, b), only(b, a))
	for _, name := range slices.Sorted(maps.Keys(union(e.Parameters, o.Parameters))) {
		add("parameter "+name, number(e.Parameters, name), number(o.Parameters, name))
	}
	for _, name := range slices.Sorted(maps.Keys(union(e.Choices, o.Choices))) {
		add("parameter "+name, e.Choices[name], o.Choices[name])
	}
	for i := range found[memoryOnly:] {
		found[memoryOnly+i].Counts = true
	}
	if e.ForcedGC != o.ForcedGC {
		found = append(found, Difference{What: "garbage collected by force at each step (--force-gc)", A: yesNo(e.ForcedGC), B: yesNo(o.ForcedGC), Collected: true})
	}
	return found
}

// collected says whether one of the differences is such that metrics which are marked
// Collected cannot be compared.
func collected(differences []Difference) bool {
	return slices.ContainsFunc(differences, func(d Difference) bool { return d.Collected })
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func untagged(e Environment) string {
	if e.Istio == "" {
		return e.Values
	}
	return strings.ReplaceAll(e.Values, e.Istio, "VERSION")
}

// only are the items of a that b does not have, as text.
func only(a, b []string) string {
	var items []string
	for _, item := range a {
		if item = strings.TrimSpace(item); item != "" && !slices.ContainsFunc(b, func(o string) bool { return strings.TrimSpace(o) == item }) {
			items = append(items, item)
		}
	}
	return strings.Join(items, "; ")
}

func union[V any](a, b map[string]V) map[string]V {
	all := map[string]V{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

func number(m map[string]int, name string) string {
	if v, ok := m[name]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

func realText(n int) string {
	if n < 0 {
		return "all"
	}
	return fmt.Sprint(n)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
