package scenarios

import (
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/meshfacts"
)

// Defaults of Istio 1.22 to 1.31: drainDuration and terminationDrainDuration of
// pkg/config/mesh/mesh.go, PILOT_DEBOUNCE_AFTER and PILOT_DEBOUNCE_MAX of
// pilot/pkg/features/tuning.go in istio.io/istio.
const (
	DefaultDrain            = 45 * time.Second
	DefaultTerminationDrain = 5 * time.Second
	DefaultDebounceAfter    = 100 * time.Millisecond
	DefaultDebounceMax      = 10 * time.Second
)

// settleRoom is what settling takes at most beside draining and debouncing: rollouts that
// end, pushes, and windows of memory.
const settleRoom = 135 * time.Second

// Waits is how long a mesh waits by its own settings. The zero value stands for Istio's
// defaults.
type Waits struct {
	// Drain is how long a listener that is gone goes on (drainDuration), TerminationDrain
	// how long a proxy whose pod ends does (terminationDrainDuration). Where several
	// workloads have different ones it is the longest.
	Drain, TerminationDrain time.Duration
	// DebounceAfter is how long istiod waits after a change before it pushes
	// (PILOT_DEBOUNCE_AFTER), and DebounceMax how long it waits under a stream of changes
	// (PILOT_DEBOUNCE_MAX).
	DebounceAfter, DebounceMax time.Duration
}

// DefaultWaits are Istio's.
func DefaultWaits() Waits {
	return Waits{DefaultDrain, DefaultTerminationDrain, DefaultDebounceAfter, DefaultDebounceMax}
}

// Longest is, for each wait, the longer of two.
func (w Waits) Longest(other Waits) Waits {
	return Waits{
		max(w.Drain, other.Drain), max(w.TerminationDrain, other.TerminationDrain),
		max(w.DebounceAfter, other.DebounceAfter), max(w.DebounceMax, other.DebounceMax),
	}
}

// SettleLimit is the longest wait for quiet of a step that sets no limit: 3 minutes, and as
// much more as the mesh drains and debounces longer than by default. What istiod took in
// during one push is pushed after another debounce, so that counts twice.
func (w Waits) SettleLimit() time.Duration {
	w = w.Longest(DefaultWaits())
	return settleRoom + w.Drain + (w.TerminationDrain - DefaultTerminationDrain) + 2*(w.DebounceAfter-DefaultDebounceAfter)
}

// Short says, in one sentence for each, which waits a limit for settling does not cover.
func (w Waits) Short(limit time.Duration) []string {
	var short []string
	for _, x := range []struct {
		what, setting string
		takes         time.Duration
	}{
		{"draining listeners", "drainDuration", w.Drain},
		{"draining proxies whose pods end", "terminationDrainDuration", w.TerminationDrain},
		{"istiod's debounce", "PILOT_DEBOUNCE_AFTER", w.DebounceAfter},
	} {
		if limit < x.takes {
			short = append(short, fmt.Sprintf("%s takes %s (%s), which is longer than the limit, %s: a step that waits for it is measured before the mesh settled",
				x.what, x.takes, x.setting, limit))
		}
	}
	return short
}

// Waits returns how long the mesh waits by the values of the scenario, of its upgrades and
// of the [Loader], and by the annotations of its pods. Values that are not durations are
// left out.
func (s *Scenario) Waits() Waits { return s.waits }

// Warnings returns what is probably not meant but can be run, sorted by line.
func (s *Scenario) Warnings() []Problem { return s.warnings }

// warnAt notes something about the field at the path that is no error.
func (c *checker) warnAt(path, format string, args ...any) {
	n := c.at[path]
	if n == nil {
		n = &yaml.Node{}
	}
	c.warnings = append(c.warnings, Problem{c.file, max(n.Line, 1), max(n.Column, 1), path, fmt.Sprintf(format, args...)})
}

// settleLimits finds out how long the mesh waits, and warns of limits that are shorter.
func (c *checker) settleLimits(s *Scenario) {
	waits := Waits{}
	mesh := s.Mesh
	count := func() { waits = waits.Longest(mesh.With(c.loader.Values).waits()) }
	count()
	for _, r := range s.Mesh.Revisions {
		waits = waits.Longest(Mesh{Values: r.Values}.With(c.loader.Values).waits())
	}
	for _, step := range s.Steps {
		for _, a := range step.Actions {
			if u, ok := a.Change.(*Upgrade); ok {
				mesh = mesh.With(u.Values)
				count()
			}
		}
	}
	for _, m := range c.made {
		waits = waits.Longest(proxyWaits(m.template.annotations[proxyConfigAnnotation]))
	}
	s.waits = waits
	for i, step := range s.Steps {
		if step.Settle.Limit <= 0 {
			continue
		}
		for _, text := range waits.Short(step.Settle.Limit) {
			c.warnAt(fmt.Sprintf("steps[%d].settle.limit", i), "%s", text)
		}
	}
	s.warnings = slices.Clip(c.warnings.sorted())
}

// waits returns how long a mesh with these values waits.
func (m Mesh) waits() Waits {
	w := DefaultWaits()
	values := meshfacts.Mesh{Values: m.Values}
	setDuration(&w.Drain, m.value("meshConfig", "defaultConfig", "drainDuration"))
	setDuration(&w.TerminationDrain, m.value("meshConfig", "defaultConfig", "terminationDrainDuration"))
	setDuration(&w.DebounceAfter, values.Environment("PILOT_DEBOUNCE_AFTER"))
	setDuration(&w.DebounceMax, values.Environment("PILOT_DEBOUNCE_MAX"))
	return w
}

// proxyWaits returns the waits that the annotation proxy.istio.io/config of a pod sets.
func proxyWaits(annotation string) (w Waits) {
	var config map[string]any
	if annotation == "" || yaml.Unmarshal([]byte(annotation), &config) != nil {
		return w
	}
	setDuration(&w.Drain, meshfacts.Field(config, "drainDuration"))
	setDuration(&w.TerminationDrain, meshfacts.Field(config, "terminationDrainDuration"))
	return w
}

// setDuration sets a duration to one in Go's notation, which covers that of MeshConfig
// (300s).
func setDuration(to *time.Duration, value any) {
	text, _ := value.(string)
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		*to = d
	}
}
