package scenarios

import (
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// Source is what is known of the cluster that a scenario was imported from.
type Source struct {
	// Proxies are live proxies of it of which a dump was given. The scenario's first step is to
	// bring back what they held. Their workloads are witnesses.
	Proxies []SourceProxy `yaml:"proxies,omitempty"`
}

// SourceProxy is a proxy of the source, of a Deployment, or of a workload by Kind and Name.
type SourceProxy struct {
	Witness `yaml:",inline"`
	// Pod is its name in the source.
	Pod string `yaml:"pod,omitempty"`
	// Counts are what it held; one that is left out is not known.
	Counts SourceCounts `yaml:"counts" jsonschema:"required"`
}

// SourceCounts are counts of a proxy's configuration.
type SourceCounts struct {
	// ProxyExpect has the counts by the words of expectations. Here they are no changes.
	ProxyExpect `yaml:",inline"`
}

// Counts returns the counts in the order in which tables show them.
func (s SourceCounts) Counts() []observations.Expectation { return s.changes("") }

// sourceProxies checks, once all steps are known, that what is compared is there.
func (c *checker) sourceProxies(s *Scenario) {
	for i, p := range s.Source.Proxies {
		at := fmt.Sprintf("source.proxies[%d]", i)
		if len(p.Counts.Counts()) == 0 {
			c.wrongAt(at+".counts", "has no counts; write at least one of cluster, listener, route and endpoint")
		}
		for _, e := range p.Counts.Counts() {
			if e.Change < 0 {
				c.wrongAt(at+".counts."+e.What, "%d is too small; want at least 0", e.Change)
			}
		}
		if !c.badBelow(at) && !slices.ContainsFunc(s.Witnesses, func(w Witness) bool { return c.witnessed(w) == c.witnessed(p.Witness) }) {
			c.wrongAt(at, "%s is no witness, so that its configuration is not read; add it to witnesses, or leave witnesses out", p.Workload())
		}
	}
}

// sourceWitnesses are the workloads of the source's proxies, each once.
func (s *Scenario) sourceWitnesses() []Witness {
	var list []Witness
	for _, p := range s.Source.Proxies {
		if !slices.Contains(list, p.Witness) {
			list = append(list, p.Witness)
		}
	}
	return list
}
