// Package sections is what a topic adds to a report, handed over by value: findings,
// tables, plots and metrics. Formats print whatever sections a report has and know none of
// the topics; a topic knows no format.
package sections

import (
	"strings"

	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/plot"
)

// Finding is a fact that a reader must not miss, in words.
type Finding struct {
	Level string `json:"level"` // info, warning, error
	// Kind is a short stable word: incomplete, missed, published, unsettled, an
	// event's kind, rejected, disagree, unread, growth, revisions, limit, reconnect, witness,
	// sidecars, simulated, memory, lines, builds.
	Kind string `json:"kind"`
	Step string `json:"step,omitempty"`
	Text string `json:"text"`
}

// String is the finding with its step.
func (f Finding) String() string {
	if f.Step != "" {
		return f.Step + ": " + f.Text
	}
	return f.Text
}

// Table is a table with a title.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string // as many cells as Header
}

// Numbers says of each column whether it holds nothing but numbers.
func (t Table) Numbers() []bool {
	all := make([]bool, len(t.Header))
	for i := range all {
		all[i] = true
		for _, row := range t.Rows {
			all[i] = all[i] && (row[i] == "" || strings.ContainsAny(row[i][:1], "0123456789+-"))
		}
	}
	return all
}

// Plot is a plot with its name, which is that of its file too.
type Plot struct {
	Name    string
	Caption string // what to see in it, in words
	Half    bool   // on the page, two stand beside one another
	plot.Figure
}

// Section is one topic's part of a report.
type Section struct {
	// Name is a short word for names that machines read: growth.
	Name     string
	Findings []Finding
	// Summary is the topic in one table. The last column may be long.
	Summary Table
	Notes   []string // under the summary
	// Parts are the figures behind the summary.
	Parts []Part
	// Samples are the topic's metrics; those of a step name it.
	Samples []metrics.Sample
	// Properties are the topic for JUnit: names and values.
	Properties [][2]string

	// SidecarEnds says that the findings tell of the ends of sidecars, with what led to
	// them: the events alone need not be told again.
	SidecarEnds bool
	// Changed are the steps whose change of configuration the findings tell of.
	Changed map[string]bool
	// Mixed says that the workloads differ in what is tried, so that a median over all of
	// them says little.
	Mixed bool
}

// Part is a plot with the tables behind it.
type Part struct {
	// Title stands over the plot; "" for none. A table of the same title is the plot's own.
	Title  string
	Plot   Plot // without a name for none
	Tables []Table
}
