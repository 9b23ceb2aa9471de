package assemble

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/internal/annotations"
	"github.com/meshbench/meshbench/scenarios"
)

// checkShares refuses light proxies where there can be none, and workloads that are to have
// real sidecars and are not there.
func (o Options) checkShares(s *scenarios.Scenario) error {
	plan := s.Plan()
	if !o.Source.RunsLightProxies() {
		switch own := plan.OwnLight(); {
		case o.Shares.Light != 0:
			return fmt.Errorf("--light: on %s clusters all sidecars run, and none can be light: leave the flag out", o.Source.Name())
		case len(own) > 0:
			return fmt.Errorf("light proxies of %s (sidecars.light, annotation %s): on %s clusters all sidecars run, and none can be light: choose the embedded cluster, or leave them out",
				andMore(own), annotations.Light, o.Source.Name())
		case len(o.Shares.RealFor) > 0:
			return fmt.Errorf("--real-for: on %s clusters all sidecars run: leave the flag out", o.Source.Name())
		}
		return nil
	}
	workloads := plan.Workloads()
	for _, name := range o.Shares.RealFor {
		if !slices.Contains(workloads, name) {
			slices.Sort(workloads)
			return fmt.Errorf("--real-for %s: no step makes a workload of that name with sidecars; there are %s", name, listed(workloads))
		}
	}
	return nil
}

// mostListed is how many names a sentence has at most.
const mostListed = 10

// listed are the first of some names.
func listed(names []string) string {
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > mostListed:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostListed], ", "), len(names)-mostListed)
	}
	return strings.Join(names, ", ")
}

// andMore is the first of some names.
func andMore(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
}
