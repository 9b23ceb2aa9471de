// Package metrics is the one table of what meshbench measures. A row says what a metric is
// called, in which unit, how it is read from a step's records, and which formats leave it
// out and why. JSON, CSV, OpenMetrics, the benchmark format, compare, gate and the tables
// of the page and of Markdown go through the table, so that a metric has one name in all
// of them, and a new row is in all of them at once.
//
// To add a metric, let package harness/sample read it and harness record it, then add a
// row to [Table]. docs/metrics.md is printed from the table (go test -update).
package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/words"
)

// Unit is the unit of a metric's values. A name ends with it, but for counts.
type Unit string

// Units.
const (
	Count   Unit = "" // of objects; 1 and 0 for yes and no
	Bytes   Unit = "bytes"
	Seconds Unit = "seconds"
	Cores   Unit = "cores" // CPU seconds in a second
)

// Shown is the unit in which people see a value.
type Shown string

// Units for people.
const (
	Plain      Shown = ""
	Mi         Shown = "Mi"
	KB         Shown = "kB"
	S          Shown = "s"
	Millis     Shown = "ms"
	Millicores Shown = "m"
)

// scale is one unit in what values hold.
func (s Shown) scale() float64 {
	switch s {
	case Mi:
		return words.Mi
	case KB:
		return 1000
	case Millis, Millicores:
		return 1e-3
	}
	return 1
}

// Raw is the value for v of the unit: bytes for Mi and kB, seconds for s and ms.
func (s Shown) Raw(v float64) float64 { return v * s.scale() }

// Format is a value in the unit, with one or two decimals or none, and without its name.
func (s Shown) Format(v float64) string { return fmt.Sprintf(s.verb(false), v/s.scale()) }

// Signed is Format with a sign, + for what is printed as 0.
func (s Shown) Signed(v float64) string {
	text := fmt.Sprintf(s.verb(true), v/s.scale())
	if strings.Trim(text, "-0.") == "" {
		text = "+" + text[1:]
	}
	return text
}

// With is a value in the unit with that many decimals.
func (s Shown) With(decimals int, v float64) string {
	return fmt.Sprintf("%.*f", decimals, v/s.scale())
}

func (s Shown) verb(sign bool) string {
	decimals := ".1f"
	switch s {
	case Plain:
		decimals = "g"
	case S:
		decimals = ".2f"
	}
	if sign {
		return "%+" + decimals
	}
	return "%" + decimals
}

// Better is the direction in which a metric improves.
type Better string

// Directions.
const (
	Neither Better = "" // a change is a change
	Lower   Better = "lower"
	Higher  Better = "higher"
)

// Format is one way of printing metrics.
type Format string

// Formats.
const (
	JSON        Format = "JSON"
	CSV         Format = "CSV"
	OpenMetrics Format = "OpenMetrics"
	Bench       Format = "benchmark format"
	// Compare is what compare shows and gate judges.
	Compare Format = "compare and gate"
	// Tables are those of report.html and report.md.
	Tables Format = "tables"
)

// Formats lists all formats.
func Formats() []Format { return []Format{JSON, CSV, OpenMetrics, Bench, Compare, Tables} }

// What the values of one metric at one step are of.
const (
	OfStep = ""     // the whole step: one value
	OfPod  = "pod"  // a value for each pod that was read; together they have a median
	OfType = "type" // a value for each type of something; together they have a sum
)

// Metric is one row of the table.
type Metric struct {
	// Name is what it is called in every format. OpenMetrics puts meshbench_ before it.
	Name  string
	Title string // for people, without the unit
	Help  string // one sentence
	Unit  Unit
	Shown Shown
	// Exact says that the value is a count which is the same whenever nothing has changed.
	Exact  bool
	Better Better
	// Source is where it is read.
	Source string
	// Of is what single values are of: OfStep, OfPod, OfType, or for metrics that reports
	// hand over themselves (without Read) the label that tells their values apart.
	Of string
	// Repeated says that a step has so many readings of it that they tell of noise: one
	// for each sidecar. A single run tells nothing of the noise of others.
	Repeated bool
	// ByWorkload says that CSV and the tables give it for each workload, too.
	ByWorkload bool
	// Word is what scenarios and published tables call it; "" where they have no word.
	Word string
	// Without says why a format leaves the metric out. What is not in it is printed.
	Without map[Format]string
	// Column is its place in the tables of the page and of Markdown.
	Column Column
	// Floor is the difference that repeats of the same version show anyway, as a share:
	// what is smaller is never called a difference, whatever a test says. It is made for
	// medians of stats.MinRuns runs or more; see stats.Comparison.Exceeds. 0 for counts.
	Floor float64
	// Limit is how far it may move before gate calls it a regression, where a baseline says
	// nothing else; with the zero Limit and no LimitAs a metric is compared and not judged.
	Limit Limit
	// LimitAs names the metric whose limit it has, where neither a baseline nor the command
	// gives it its own: that one's turned off turns it off. Of a metric with a Limit it is
	// only that.
	LimitAs string
	// Collected says that it depends on whether garbage is collected by force at the end of
	// each step (observations.Run.ForcedGC): runs that differ in it are not compared by it.
	Collected bool
	// Alarm is the smallest rise, as a share, that a gate of pairs raises an alarm for; with 0
	// and no LimitAs such a gate shows the metric and does not judge it.
	Alarm float64
	// Spread is the standard deviation of a run's value around that of its version, as a
	// share: what the number of pairs is planned by. 0 where it is not known.
	Spread float64
	// Was are its names before 2026-11-29. Those of Compare are still read in baselines and
	// in --limit.
	Was []Old
	// Trend says that history draws it over runs, for each step; it judges all that Compare has.
	Trend bool
	// Rare says that its column stands only in reports that have a value of it.
	Rare bool
	// Read takes the values out of a step's records; none where it was not read. It is nil
	// for metrics that a report hands over, for they are not of a step's records alone.
	Read func(*Step) []Value
}

// Limit is how far a noisy metric may move.
type Limit struct {
	Relative float64 // a share: 0.03 is 3 %
	Absolute float64 // in the metric's unit
}

// Old is a name that a metric had in one format.
type Old struct {
	Format Format
	Name   string
}

// TableName is a table of the page and of Markdown.
type TableName string

// Tables of metrics, each with a row for a step.
const (
	ConfigTable  TableName = "configuration"
	SidecarTable TableName = "sidecars"
	IstiodTable  TableName = "istiod"
	WorkTable    TableName = "steps"
)

// Column is a metric's column in a table; the zero Column is for none.
type Column struct {
	Table    TableName
	Title    string // without the unit
	Decimals int
}

// Header is the column's title with the unit of its values.
func (m Metric) Header() string { return strings.TrimSpace(m.Column.Title + " " + string(m.Shown)) }

// In says whether the format prints the metric.
func (m Metric) In(f Format) bool { return m.Without[f] == "" }

// Improved says whether a change for the better has that sign.
func (m Metric) Improved(change float64) bool {
	return m.Better == Lower && change < 0 || m.Better == Higher && change > 0
}

// Value is one reading of a metric.
type Value struct {
	Of             string // a pod (namespace/name) or a type; "" for the whole step
	Workload, Node string // of a pod
	Witness        bool   // the pod's configuration had been dumped before
	Value          float64
}

// In lists the metrics that a format prints, in the table's order.
func In(f Format) []Metric {
	return slices.DeleteFunc(Table(), func(m Metric) bool { return !m.In(f) })
}

// Columns lists the metrics of a table, in its order.
func Columns(t TableName) []Metric {
	return slices.DeleteFunc(In(Tables), func(m Metric) bool { return m.Column.Table != t })
}

// Current is a map by names of metrics with those of before 2026-11-29 replaced by today's;
// names that no metric has stay. Where a metric is there by both, today's name is kept.
func Current[V any](byName map[string]V) map[string]V {
	if byName == nil {
		return nil
	}
	current := maps.Clone(byName)
	for _, m := range Table() {
		for _, old := range m.Was {
			v, ok := byName[old.Name]
			if old.Format != Compare || !ok || old.Name == m.Name {
				continue
			}
			delete(current, old.Name)
			if _, twice := byName[m.Name]; !twice {
				current[m.Name] = v
			}
		}
	}
	return current
}
