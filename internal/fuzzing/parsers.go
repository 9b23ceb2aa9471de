package main

import (
	"fmt"
	"strings"
)

// parser is a fuzz target and what it reads. A test holds the list against the tree: a target
// that is missing here, or a package that decodes something and has no target.
type parser struct {
	what   string // as a reader of the document would call it
	folder string // of its package
	target string
}

// String is scenarios.FuzzLoad.
func (p parser) String() string { return p.folder + "." + p.target }

var parsers = []parser{
	{"scenario", "scenarios", "FuzzLoad"},
	{"secrets in JSON", "internal/redact", "FuzzJSON"},
	{"expressions in a scenario", "scenarios", "FuzzExpand"},
	{"manifests and lists of kubectl", "manifests", "FuzzLoad"},
	{"imported mesh", "importer", "FuzzMesh"},
	{"archive of bug-report", "importer/bugreport", "FuzzWalk"},
	{"private map of an import", "importer/alias", "FuzzParse"},
	{"texts that get other names", "importer/alias", "FuzzText"},
	{"regular expressions that get other names", "importer/alias", "FuzzRegexp"},
	{"objects that get other names", "importer/alias", "FuzzObject"},
	{"log of a run", "observations", "FuzzRead"},
	{"log, made into a report", "reports/formats", "FuzzBuild"},
	{"store of runs", "reports/store", "FuzzRead"},
	{"rendered scenario of a run", "reports/store", "FuzzHashScenario"},
	{"document with tables of a store", "reports/history", "FuzzInsert"},
	{"order of repeated runs", "reports/compare", "FuzzRepeat"},
	{"plans of comparisons", "cmd/meshbench", "FuzzPlan"},
	{"baseline", "reports/gate", "FuzzParseBaseline"},
	{"limits on the command line", "reports/gate", "FuzzParseLimit"},
	{"cost model", "reports/costmodel", "FuzzParse"},
	{"scenario or manifest for advice", "reports/advice", "FuzzScenarioOf"},
	{"configuration dump and clusters dump: counts", "proxyconfig", "FuzzCount"},
	{"configuration dump: routes", "proxyconfig", "FuzzCountRouting"},
	{"configuration dump: what it is made of", "proxyconfig", "FuzzAttribute"},
	{"clusters dump: hosts", "proxyconfig", "FuzzHosts"},
	{"two configuration dumps", "reports/configdiff", "FuzzCompare"},
	{"access log", "callgraph", "FuzzAccessLog"},
	{"calls in a clusters dump", "callgraph", "FuzzClusters"},
	{"declared calls", "callgraph", "FuzzDeclared"},
	{"Prometheus' text and answers: calls", "callgraph", "FuzzTelemetry"},
	{"Prometheus' answers: memory and CPU", "harness/sample", "FuzzSamples"},
	{"Prometheus' text: istiod", "harness/sample", "FuzzMetrics"},
	{"Prometheus' text: kubelets", "harness/sample", "FuzzResource"},
	{"Envoy's stats", "harness/sample", "FuzzStats"},
	{"answers of istiod's debug pages and Envoy's admin port", "harness/sample", "FuzzAnswers"},
	{"istiod's log", "harness/sample", "FuzzRefusals"},
	{"heap profile as text", "harness/sample", "FuzzParseMemStats"},
	{"heap and CPU profiles", "harness/profiles", "FuzzSummary"},
	{"Helm values", "harness/mesh", "FuzzCommandLine"},
	{"mesh configuration and values of versions", "meshfacts", "FuzzValues"},
	{"fortio's output", "harness/actions", "FuzzFortio"},
	{"a sidecar's log", "harness/actions", "FuzzLineWith"},
	{"prices", "harness/cluster/eks", "FuzzPrices"},
	{"kind: archives of images", "harness/cluster/kind", "FuzzArchive"},
	{"kind: configuration", "harness/cluster/kind", "FuzzConfig"},
	{"kind: costs of the control plane", "harness/cluster/kind", "FuzzCosts"},
	{"record of a run on somebody's cluster", "harness/cluster/existing", "FuzzRecord"},
	{"record of an embedded cluster", "harness/cluster/embedded", "FuzzRecord"},
	{"sandbox: configuration", "harness/cluster/embedded/sandbox", "FuzzConfig"},
	{"sandbox and light proxies: answers", "harness/cluster/embedded/peer", "FuzzCall"},
	{"light proxies: requests", "harness/cluster/embedded/light", "FuzzHandler"},
	{"light proxies: a pod's configuration", "harness/cluster/embedded/light", "FuzzProxyConfig"},
	{"light proxies: responses of XDS", "harness/cluster/embedded/light/ads", "FuzzResponse"},
	{"nodes: environment of a container", "harness/cluster/embedded/kubelet", "FuzzExpand"},
	{"nodes: logs of containers", "harness/cluster/embedded/runtime", "FuzzParseLogLine"},
	{"iptables rules", "harness/cluster/embedded/redirect", "FuzzParse"},
	{"bundle of components", "harness/components", "FuzzUnpack"},
	{"layers of images", "harness/components", "FuzzIndex"},
	{"manifest of a cached component", "harness/components", "FuzzManifest"},
	{"answer of a registry that was kept", "harness/components", "FuzzOrigin"},
	{"go.mod: the go line", "harness/components", "FuzzParseGoLine"},
	{"go.mod: requirements", "harness/components", "FuzzParseRequirement"},
	{"versions that tools print", "harness/components", "FuzzToolVersions"},
	{"annotations of injection", "internal/annotations", "FuzzIsReal"},
	{"annotations of simulated containers", "internal/simulate", "FuzzOf"},
	{"annotations of stand-ins", "internal/standin", "FuzzParse"},
	{"lines of any length", "internal/bounded", "FuzzLine"},
	{"errors of YAML", "internal/yamlerror", "FuzzOf"},
}

// choose are the parsers that words name, all without any.
func choose(all []parser, words []string) ([]parser, error) {
	if len(words) == 0 {
		return all, nil
	}
	var chosen []parser
	for _, word := range words {
		found := false
		for _, p := range all {
			if word == p.target || word == p.String() || word == p.folder || strings.HasSuffix(p.folder, "/"+word) || strings.HasSuffix(p.String(), "/"+word) {
				found = true
				chosen = append(chosen, p)
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no target %s", word)
		}
	}
	return chosen, nil
}
