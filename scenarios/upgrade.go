package scenarios

import "fmt"

// Upgrade upgrades Istio in place with Helm. It has taken effect when the new istiod is
// available, no old one is left, and new pods get the new sidecar. Running sidecars keep
// their version until their pods are recreated, by Restart here or by a restart in a later
// step, so that old sidecars can be measured with the new istiod.
type Upgrade struct {
	// Istio is the version, 1.23.2.
	Istio string `yaml:"istio" jsonschema:"required"`
	// Values are Helm values for the istiod chart, over those with which it was installed.
	Values map[string]any `yaml:"values,omitempty"`
	// Restart lists Deployments to restart afterwards, in order.
	Restart []Restart `yaml:"restart,omitempty"`
}

// Word returns upgrade.
func (*Upgrade) Word() string { return "upgrade" }

// String describes the change in a few words.
func (u *Upgrade) String() string {
	text := "upgrade Istio to " + u.Istio
	for _, r := range u.Restart {
		text += fmt.Sprintf(", %s", &r)
	}
	return text
}

func (u *Upgrade) check(c *checker) needs {
	if u.Istio != "" && !version.MatchString(u.Istio) {
		c.wrong("istio", "invalid version %q: want e.g. 1.23.2", u.Istio)
	}
	c.mesh = c.mesh.With(u.Values)
	c.mesh.Istio = u.Istio
	c.helmValues("values", u.Values)
	path := c.path
	for i := range u.Restart {
		c.path = join(path, fmt.Sprintf("restart[%d]", i))
		u.Restart[i].check(c)
	}
	c.path = path
	return needs{istio: u.Istio}
}
