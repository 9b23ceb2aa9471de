package compare

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/meshbench/meshbench/internal/plain"
)

// Chart shows one line over a few places. Markdown has it as a block for Mermaid, which
// GitHub draws in job summaries, issues and files; other forms of a document have the same
// figures in tables.
type Chart struct {
	Title string
	// X are the places' names, YName names the values with their unit.
	X     []string
	YName string
	// Y are the values, one for each place.
	Y []float64
}

// mermaid writes the chart as Markdown. The axis holds 0, so that a change is seen against
// none.
func (c Chart) mermaid(out io.Writer) {
	low, high := 0.0, 0.0
	texts := make([]string, len(c.Y))
	for i, y := range c.Y {
		low, high = min(low, y), max(high, y)
		texts[i] = fmt.Sprintf("%.2f", y)
	}
	names := make([]string, len(c.X))
	for i, x := range c.X {
		names[i] = quoted(x)
	}
	fmt.Fprintf(out, "```mermaid\nxychart-beta\n  title %s\n  x-axis [%s]\n  y-axis %s %g --> %g\n  bar [%s]\n```\n\n",
		quoted(c.Title), strings.Join(names, ", "), quoted(c.YName), math.Floor(low), math.Ceil(max(high, low+1)), strings.Join(texts, ", "))
}

// quoted is a text of Mermaid, which has no escapes.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`"`, "'", "`", "'").Replace(plain.Line(text)) + `"`
}
