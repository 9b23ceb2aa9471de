package harness

import (
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/observations"
)

// rejections tell which configuration Envoys have refused since the last look.
type rejections struct {
	counted map[string]float64 // refused updates by istiod's pod, as it counted them last
}

// since looks at what each istiod has counted and at the refusals that still stand
// ([sample.Quiet]), and returns each in words. What was refused and then replaced by
// something that was accepted is only known by its number. An istiod that was not seen
// before has counted from zero.
func (r *rejections) since(control []observations.Istiod, standing []string) []string {
	var more float64
	counted := map[string]float64{}
	for _, c := range control {
		more += max(0, c.Rejected-r.counted[c.Pod])
		counted[c.Pod] = c.Rejected
	}
	r.counted = counted
	var texts []string
	for _, s := range standing {
		texts = append(texts, "Envoy refused configuration: "+s)
	}
	if len(texts) == 0 && more > 0 {
		texts = append(texts, fmt.Sprintf("Envoy refused configuration %g times and accepted what came after it; istiod's log says what it was", more))
	}
	return texts
}

// refusedError is the end of a run for refused configuration.
func refusedError(texts []string) error {
	more := ""
	if n := len(texts) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return fmt.Errorf("%s%s: measured configuration differs from the requested one; use --allow-rejected to continue",
		strings.TrimRight(texts[0], ".\n"), more)
}
