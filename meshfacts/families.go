package meshfacts

import (
	"fmt"
	"slices"
	"strconv"
)

// DualStack returns the values that ask for addresses of both families, for clusters that
// have IPv4 alone: there istiod's Service is refused, or proxies listen on addresses that
// nobody has.
func DualStack(values map[string]any) []Problem {
	var problems []Problem
	add := func(what string, path ...string) {
		problems = append(problems, Problem{path, "asks for " + what + "; this cluster has IPv4 alone"})
	}
	for _, path := range [][]string{
		{"pilot", "env", "ISTIO_DUAL_STACK"}, {"env", "ISTIO_DUAL_STACK"},
		{"meshConfig", "defaultConfig", "proxyMetadata", "ISTIO_DUAL_STACK"},
		{"meshConfig", "defaultConfig", "proxyMetadata", "ISTIO_AGENT_DUAL_STACK"},
	} {
		// As istiod reads it.
		if truth, err := strconv.ParseBool(fmt.Sprint(Lookup(values, path...))); err == nil && truth {
			add("dual-stack", path...)
		}
	}
	for _, prefix := range [][]string{nil, {"pilot"}, {"global"}} {
		policy := append(slices.Clone(prefix), "ipFamilyPolicy")
		if Lookup(values, policy...) == "RequireDualStack" {
			add("a Service with addresses of both families (PreferDualStack takes what there is)", policy...)
		}
		families := append(slices.Clone(prefix), "ipFamilies")
		if list, ok := Lookup(values, families...).([]any); ok && slices.Contains(list, any("IPv6")) {
			add("IPv6", families...)
		}
	}
	return problems
}
