// Package meshfacts knows what versions of Istio do with what they are given: which pods
// their webhooks and their injector choose, which Helm values their charts read, and which
// fields their mesh configuration has. The facts are data, one file for each pinned
// version, which `make generate` reads from Istio's own charts and sources; the rules here
// are applied to them. Nothing is downloaded.
package meshfacts

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// Name stands in the selectors of [Webhooks] for the name of a revision or a tag.
const Name = "NAME"

// Facts are what one version of Istio does.
type Facts struct {
	// Istio is the version.
	Istio string `json:"istio"`
	// Webhooks are those that the chart istiod installs.
	Webhooks Webhooks `json:"webhooks"`
	// Injector holds the injector's own rules, by which it refuses what the webhooks ask of it.
	Injector Injector `json:"injector"`
	// Flat is set if the chart reads every value both at the top and below pilot: since 1.24.
	Flat bool `json:"flat"`
	// Istiod and Base are the values that the charts of those names read.
	Istiod Keys `json:"istiod"`
	Base   Keys `json:"base"`
	// Gateway are the values that the chart gateway reads, which actions gateway install.
	Gateway Keys `json:"gateway"`
	// Others are the top-level values of charts that are not installed, by the chart's name.
	Others map[string][]string `json:"others,omitempty"`
	// Profiles, Platforms and Compatibility are what the values profile, global.platform and
	// compatibilityVersion may be: the files that the charts bring.
	Profiles      []string `json:"profiles"`
	Platforms     []string `json:"platforms,omitempty"`
	Compatibility []string `json:"compatibility"`
	// MeshConfig says in what the version's mesh configuration differs from that of istio.io/api
	// as this program is linked with it; nil if that is not known.
	MeshConfig *MeshConfig `json:"meshConfig,omitempty"`
}

// Webhooks are the selectors of the mutating webhooks, by the values that bring them.
type Webhooks struct {
	// Revision are those of a revision with a name, Default those without one.
	Revision []Webhook `json:"revision"`
	Default  []Webhook `json:"default"`
	// Everywhere are those without a name if sidecarInjectorWebhook.enableNamespacesByDefault
	// is set.
	Everywhere []Webhook `json:"everywhere"`
	// Tag, DefaultTag and DefaultTagEverywhere are those of one of the revisionTags, alike.
	Tag                  []Webhook `json:"tag"`
	DefaultTag           []Webhook `json:"defaultTag"`
	DefaultTagEverywhere []Webhook `json:"defaultTagEverywhere"`
}

// Webhook is one webhook. The selectors are in Kubernetes's own notation, with [Name] in
// place of the revision's or the tag's name; "" selects everything.
type Webhook struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Object    string `json:"object"`
}

// Injector holds what injectRequired in pkg/kube/inject/inject.go of istio.io/istio knows.
type Injector struct {
	// Asks and Refuses are the values of the label sidecar.istio.io/inject, or the annotation,
	// by which a pod asks for a sidecar and refuses one. If Refuses is empty, every other
	// value refuses; otherwise any other one says nothing.
	Asks    []string `json:"asks"`
	Refuses []string `json:"refuses,omitempty"`
	// AnyCase is set if capitals in the value do not matter.
	AnyCase bool `json:"anyCase,omitempty"`
	// Ignored are namespaces whose pods never get a sidecar.
	Ignored []string `json:"ignored"`
}

// MeshConfig lists differences of the messages below MeshConfig and ProxyConfig.
type MeshConfig struct {
	// Lacks are fields and values of enumerations, MESSAGE.name, that the version does not have.
	Lacks []string `json:"lacks,omitempty"`
	// Has are fields that only the version has.
	Has []string `json:"has,omitempty"`
}

//go:embed data/*.json
var data embed.FS

// Versions lists the versions whose facts are part of the program, oldest first.
func Versions() []string {
	files, err := data.ReadDir("data")
	if err != nil {
		panic(err) // it is part of the program
	}
	var versions []string
	for _, f := range files {
		versions = append(versions, strings.TrimSuffix(f.Name(), ".json"))
	}
	slices.SortFunc(versions, compare)
	return versions
}

// Of returns the facts of a version that is part of the program, or nil.
func Of(istio string) *Facts {
	text, err := data.ReadFile("data/" + istio + ".json")
	if err != nil {
		return nil
	}
	var facts Facts
	if err := json.Unmarshal(text, &facts); err != nil {
		panic(fmt.Errorf("facts of Istio %s: %w", istio, err)) // held by a test
	}
	return &facts
}

// Near returns the facts of the newest version that is not newer than the given one, or of
// the oldest: the best guess for a version whose facts are not part of the program.
func Near(istio string) *Facts {
	if facts := Of(istio); facts != nil {
		return facts
	}
	versions := Versions()
	near := versions[0]
	for _, v := range versions {
		if compare(v, istio) <= 0 {
			near = v
		}
	}
	return Of(near)
}

// compare compares versions; one that cannot be read comes last.
func compare(a, b string) int {
	va, errA := version.ParseGeneric(a)
	vb, errB := version.ParseGeneric(b)
	switch {
	case errA != nil && errB != nil:
		return strings.Compare(a, b)
	case errA != nil:
		return 1
	case errB != nil:
		return -1
	case va.LessThan(vb):
		return -1
	case vb.LessThan(va):
		return 1
	}
	return strings.Compare(a, b)
}
