package components

import (
	"fmt"
	"slices"
	"strings"
)

// The components of Knative Serving, which are obtained only when [Options] ask for them.
const (
	KnativeController Name = "knative-controller"
	KnativeWebhook    Name = "knative-webhook"
	KnativeAutoscaler Name = "knative-autoscaler"
	KnativeActivator  Name = "knative-activator"
	// KnativeConfig is a folder with what is put into the cluster: folder core of Knative
	// Serving's sources, and beside it the manifests of the two modules to which files there
	// are links.
	KnativeConfig Name = "knative-config"
)

// DefaultKnative is the release of Knative Serving that is used unless another is asked
// for: 0.42 is that of Knative 1.15.
const DefaultKnative = "0.42.2"

// KnativeVersions are the releases of Knative Serving that are pinned here, oldest first:
// each is a file modules/knative-<release>.mod with its .sum.
func KnativeVersions() []string { return pinnedReleases("knative-", ".mod") }

// knativeName is the name of the unit.
const knativeName = "knative"

func knativeUnit(release string) (*unit, error) {
	if known := KnativeVersions(); !slices.Contains(known, release) {
		return nil, fmt.Errorf("Knative Serving %q is not pinned here; there are %s. On a cluster that can take images, another one is installed from its manifest",
			release, strings.Join(known, ", "))
	}
	g, pins, err := readModules("knative-" + release)
	if err != nil {
		return nil, err
	}
	const serving = "knative.dev/serving"
	u := &unit{name: knativeName, version: release, builder: g, compiles: true}
	g.programs = map[Name]program{}
	for _, n := range []Name{KnativeController, KnativeWebhook, KnativeAutoscaler, KnativeActivator} {
		g.programs[n] = program{pkg: serving + "/cmd/" + strings.TrimPrefix(string(n), "knative-"), ldflags: "-s -w"}
		u.add(n, release, serving+"@"+pins[serving], string(n), false)
	}
	g.files = map[Name][]moduleFiles{KnativeConfig: {
		{module: serving, paths: []string{"config/core"}},
		{module: "knative.dev/networking", paths: []string{
			"config/certificate.yaml", "config/domain-claim.yaml", "config/ingress.yaml", "config/serverlessservice.yaml",
			"config/config-network.yaml",
		}},
		{module: "knative.dev/caching", paths: []string{"config/image.yaml"}},
	}}
	u.add(KnativeConfig, release, serving+"@"+pins[serving], "config", false)
	return u, nil
}
