package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/words"
)

// ConfigKind is one kind of configuration object in words, and how many there are.
type ConfigKind struct {
	Title string
	Count int
}

// configGrowth says which objects made the configuration grow or shrink between two steps,
// the largest change first, and how the median memory changed where that is asked for; ""
// when the configuration was not read in both.
func configGrowth(before, now *Step, memory bool) string {
	if before.ConfigObjects == nil || now.ConfigObjects == nil {
		return ""
	}
	was, is := before.Kinds, now.Kinds
	var changed []int
	for i := range is {
		if is[i].Count != was[i].Count {
			changed = append(changed, i)
		}
	}
	size := func(i int) int { return max(is[i].Count-was[i].Count, was[i].Count-is[i].Count) }
	slices.SortStableFunc(changed, func(i, j int) int { return size(j) - size(i) })
	parts := make([]string, len(changed))
	for n, i := range changed {
		parts[n] = fmt.Sprintf("%s %+d (%d to %d)", is[i].Title, is[i].Count-was[i].Count, was[i].Count, is[i].Count)
	}
	if routing := routingText(before.witnessRouting(), now.witnessRouting()); routing != "" {
		parts = append(parts, routing)
	}
	text := cmp.Or(strings.Join(parts, ", "), "configuration unchanged")
	d := now.ConfigDumpBytes - before.ConfigDumpBytes
	switch {
	case len(parts) > 0 && d != 0:
		text += fmt.Sprintf("; dump %+.0f kB", float64(d)/1e3)
	case max(d, -d) > before.ConfigDumpBytes/20:
		// Counts leave out what is on its way in or out; a dump does not.
		text += fmt.Sprintf(", yet dump %+.0f kB: it also holds what is being replaced (listeners that drain)", float64(d)/1e3)
	}
	if memory && before.Memory.Samples > 0 && now.Memory.Samples > 0 {
		text += fmt.Sprintf("; median memory %+.1f Mi", float64(now.Memory.MedianBytes-before.Memory.MedianBytes)/words.Mi)
	}
	return text
}
