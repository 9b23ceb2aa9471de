package scenarios

import (
	"fmt"
	"maps"
	"strings"

	"github.com/meshbench/meshbench/meshfacts"
)

// Upgrade upgrades Istio with Helm: in place, or, with a value revision that no istiod has
// yet, by a second istiod beside the first. It has taken effect when the new istiod is
// available, no old one of the revision is left, and new pods get the new sidecar. Running
// sidecars keep their version until their pods are recreated, by Restart here or by a
// restart in a later step, so that old sidecars can be measured with the new istiod.
type Upgrade struct {
	// Istio is the version, 1.23.2.
	Istio string `yaml:"istio" jsonschema:"required"`
	// Values are Helm values for the istiod chart, over those with which Istio was installed.
	Values map[string]any `yaml:"values,omitempty"`
	// Namespaces are given the label that selects the upgraded revision for injection, in
	// place of the one that they have, before Restart.
	Namespaces []string `yaml:"namespaces,omitempty"`
	// Restart lists Deployments to restart afterwards, in order.
	Restart []Restart `yaml:"restart,omitempty"`

	// selector is the label for Namespaces, {key, value}, once it is known.
	selector [2]string
}

// InjectionLabel returns the label that selects the upgraded revision.
func (u *Upgrade) InjectionLabel() (key, value string) {
	if u.selector[0] == "" {
		return meshfacts.InjectionLabel, "enabled"
	}
	return u.selector[0], u.selector[1]
}

// Word returns upgrade.
func (*Upgrade) Word() string { return "upgrade" }

// String describes the change in a few words.
func (u *Upgrade) String() string {
	text := "upgrade Istio to " + u.Istio
	if revision := (Mesh{Values: u.Values}).revision(); revision != "" {
		text += " as revision " + revision
	}
	if len(u.Namespaces) > 0 {
		text += ", for namespaces " + strings.Join(u.Namespaces, ", ")
	}
	for _, r := range u.Restart {
		text += fmt.Sprintf(", %s", &r)
	}
	return text
}

func (u *Upgrade) place(p *placement) {
	u.Values = p.names.Values(u.Values)
	if u.Namespaces != nil {
		p.renameAll(&u.Namespaces)
	}
	for i := range u.Restart {
		u.Restart[i].place(p)
	}
}

func (u *Upgrade) check(c *checker) needs {
	if u.Istio != "" && !version.MatchString(u.Istio) {
		c.wrong("istio", "invalid version %q: want e.g. 1.23.2", u.Istio)
	}
	next := c.upgrade(u.Istio, u.Values)
	c.warnUnchecked(join(c.path, "istio"), u.Istio)
	c.helmValues("values", u.Values)
	c.meshNames("values", u.Values)
	key, value := c.rules.InjectionLabel([]Mesh{next})
	u.selector = [2]string{key, value}
	for i, name := range u.Namespaces {
		if !c.namespace(fmt.Sprintf("namespaces[%d]", i), name) {
			continue
		}
		labels := maps.Clone(c.namespaceLabels[name])
		if labels == nil {
			labels = map[string]string{}
		}
		delete(labels, meshfacts.InjectionLabel)
		delete(labels, meshfacts.RevisionLabel)
		labels[key] = value
		c.namespaceLabels[name] = labels
	}
	path := c.path
	for i := range u.Restart {
		c.path = join(path, fmt.Sprintf("restart[%d]", i))
		u.Restart[i].check(c)
	}
	c.path = path
	return needs{istio: u.Istio}
}
