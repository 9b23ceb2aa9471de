package compare

import (
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/reports/metrics"
)

// changes says whether the counts of side i have changed since the first step as those of
// the first side. Clusters hold other things before a scenario begins, which shifts all
// absolute counts; "" where both began alike.
func (c *Comparison) changes(i int) string {
	began := map[string]Row{} // by metric
	shifted := false
	var all int
	var differ []string
	for _, row := range c.Rows {
		old, now := row.Cells[0], row.Cells[i]
		if !row.Metric.Exact || old == nil || now == nil {
			continue
		}
		if row.Step == c.Sides[0].Steps[0].Name {
			began[row.Metric.Name] = row
			shifted = shifted || old.Center != now.Center
			continue
		}
		from, ok := began[row.Metric.Name]
		if !ok {
			continue
		}
		all++
		a, b := old.Center-from.Cells[0].Center, now.Center-from.Cells[i].Center
		if a != b {
			differ = append(differ, fmt.Sprintf("%s at %s (%s and %s)", row.Metric.Title, row.Step, metrics.Plain.Signed(a), metrics.Plain.Signed(b)))
		}
	}
	if !shifted || all == 0 {
		return ""
	}
	letters := []string{Letter(i), Letter(0)}
	if len(differ) == 0 {
		return fmt.Sprintf("%s began with other counts than %s; since the first step all %d counts have changed alike.", letters[0], letters[1], all)
	}
	// A handful shows the kind.
	more := max(0, len(differ)-6)
	text := fmt.Sprintf("%s began with other counts than %s; since the first step %d of %d have changed otherwise: %s", letters[0], letters[1], len(differ), all, strings.Join(differ[:len(differ)-more], ", "))
	if more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text + "."
}
