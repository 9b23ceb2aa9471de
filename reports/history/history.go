// Package history follows what was measured over runs: by versions of Istio, by dates, or by
// versions of meshbench. Counts are exact, so that each difference is a step; the level of
// what is noisy changes where package changepoint says so.
//
// Runs stand in one section if they can be compared: the same rendered scenario, and the
// same of all that figures depend on but for what a history is made for, the versions of
// Istio and of Envoy.
package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/words"
)

// Order is in which order runs are followed, and what makes them one block.
type Order string

// Orders.
const (
	ByVersion Order = "version" // of Istio
	ByDate    Order = "date"    // a block for each day, UTC
	ByCommit  Order = "commit"  // version of meshbench, in the order in which they were first run
)

// Orders lists all orders.
func Orders() []Order { return []Order{ByVersion, ByDate, ByCommit} }

// Alpha is the share of histories without any change in which one may be marked.
const Alpha = 0.05

// History is what came of runs.
type History struct {
	By       Order
	Runs     int
	Sections []*Section
	Notes    []string // what was left out or kept apart, and why
}

// Section is one scenario on one kind of machine.
type Section struct {
	Scenario string
	// Apart says what tells the section from others of the same scenario; "" for nothing.
	Apart string
	// Conditions are what the figures depend on, in words.
	Conditions string
	Runs       []Run // in order
	Blocks     []Block
	Steps      []Step
	// Changes are those of counts and of levels, by step.
	Changes []Change
	Notes   []string
}

// Title is the section's, for people.
func (s *Section) Title() string {
	if s.Apart == "" {
		return s.Scenario
	}
	return s.Scenario + " (" + s.Apart + ")"
}

// Block is a stretch of runs that have one label: those from From until before To.
type Block struct {
	Label    string
	From, To int
}

// Step is one step of the scenario.
type Step struct {
	Name   string
	Series []Series // in the order of the table of metrics
}

// Series is one metric at a step.
type Series struct {
	Metric metrics.Metric
	// Values are by run; NaN where it was not read, or not in a quiet mesh.
	Values []float64
	// Testable says that there are enough to look for changes; true for counts.
	Testable bool
	Changes  []Change
}

// Change is where a count or a level became another.
type Change struct {
	Step   string
	Metric metrics.Metric
	At     int // the first run with the new value
	Block  int // the one that run is in
	// Before and After are the values, or the mean levels.
	Before, After float64
	// P is the corrected p-value; 0 for counts, which are exact.
	P float64
	// Within says that a count differs among the runs of one block.
	Within bool
	// With is what else became another at that run, in words.
	With []string
}

// Build follows runs in an order. Of steps that were measured after an interruption it follows
// the counts.
func Build(runs []Run, by Order) *History {
	h := &History{By: by, Runs: len(runs)}
	runs = slices.Clone(runs)
	for i := range runs {
		runs[i].Record = runs[i].Comparable()
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return a.Date.Compare(b.Date) })
	h.gather(runs)
	for _, s := range h.Sections {
		s.order(by)
		s.measure()
	}
	// Every level that is looked at is one more that could be marked by chance.
	levels := 0
	for _, s := range h.Sections {
		levels += s.levels()
	}
	for _, s := range h.Sections {
		s.changes(by, levels)
	}
	return h
}

// gather puts runs that can be compared into one section.
func (h *History) gather(runs []Run) {
	byName := map[string][]*Section{}
	var names []string
	for _, r := range runs {
		if byName[r.Scenario] == nil {
			names = append(names, r.Scenario)
		}
		i := slices.IndexFunc(byName[r.Scenario], func(s *Section) bool {
			return s.Runs[0].ScenarioHash == r.ScenarioHash && len(apart(s.Runs[0], r)) == 0
		})
		if i < 0 {
			i = len(byName[r.Scenario])
			byName[r.Scenario] = append(byName[r.Scenario], &Section{Scenario: r.Scenario, Conditions: conditions(r)})
		}
		s := byName[r.Scenario][i]
		s.Runs = append(s.Runs, r)
	}
	slices.Sort(names)
	for _, name := range names {
		sections := byName[name]
		h.Sections = append(h.Sections, sections...)
		if len(sections) == 1 {
			continue
		}
		hashes := map[string]bool{}
		for _, s := range sections {
			hashes[s.Runs[0].ScenarioHash] = true
		}
		if len(hashes) > 1 {
			h.Notes = append(h.Notes, fmt.Sprintf("Different scenarios are called %s: %d rendered files. Their runs are kept apart.", name, len(hashes)))
		}
		for _, s := range sections {
			of := func(o *Section) bool { return o.Runs[0].ScenarioHash == s.Runs[0].ScenarioHash }
			first := sections[slices.IndexFunc(sections, of)].Runs[0]
			var text []string
			if len(hashes) > 1 {
				text = append(text, "scenario "+cmp.Or(short(s.Runs[0].ScenarioHash), "of unknown hash"))
			}
			differ := apart(first, s.Runs[0])
			for _, d := range differ {
				text = append(text, d.What+": "+d.B)
			}
			if len(differ) > 0 {
				h.Notes = append(h.Notes, fmt.Sprintf("Runs of %s from %s on cannot be compared with the first ones, from %s on, and are kept apart: %s.",
					name, s.Runs[0].Run, first.Run, texts(differ)))
			} else if alike := slices.DeleteFunc(slices.Clone(sections), func(o *Section) bool { return !of(o) }); len(alike) > 1 {
				text = append(text, "as first measured")
			}
			s.Apart = strings.Join(text, "; ")
		}
	}
}

// apart lists what keeps two runs from being compared. Versions of Istio and Envoy do not:
// to follow them is what a history is for.
func apart(a, b Run) []compare.Difference {
	of := func(r Run) compare.Environment {
		e := r.Environment
		e.Envoy, e.EnvoyBuilds = "", nil
		return e
	}
	return slices.DeleteFunc(of(a).Differences(of(b)), func(d compare.Difference) bool { return d.Subject })
}

func texts(differences []compare.Difference) string {
	var all []string
	for _, d := range differences {
		all = append(all, fmt.Sprintf("%s %s, before %s", d.What, d.B, d.A))
	}
	return strings.Join(all, "; ")
}

// short is the beginning of a hash.
func short(hash string) string { return hash[:min(8, len(hash))] }

// conditions are what a run's figures depend on, in words.
func conditions(r Run) string {
	e := r.Environment
	parts := []string{e.Cluster + " cluster"}
	if e.HostCPUs > 0 {
		parts = append(parts, words.Plural(e.HostCPUs, "CPU"))
	}
	if e.MemorySource != "" {
		parts = append(parts, "memory read from "+e.MemorySource)
	}
	real := fmt.Sprint(e.RealPerDeployment)
	if e.RealPerDeployment < 0 {
		real = "all"
	}
	return strings.Join(append(parts, real+" real sidecars a Deployment"), ", ")
}

// order sorts the runs, which are sorted by date, and cuts them into blocks.
func (s *Section) order(by Order) {
	switch by {
	case ByVersion:
		slices.SortStableFunc(s.Runs, func(a, b Run) int { return compareVersions(a.Environment.Istio, b.Environment.Istio) })
	case ByCommit:
		first := map[string]int{}
		for i, r := range s.Runs {
			if _, there := first[r.Meshbench]; !there {
				first[r.Meshbench] = i
			}
		}
		slices.SortStableFunc(s.Runs, func(a, b Run) int { return cmp.Compare(first[a.Meshbench], first[b.Meshbench]) })
	}
	for i, r := range s.Runs {
		label := r.Date.UTC().Format(time.DateOnly)
		switch by {
		case ByVersion:
			label = cmp.Or(r.Environment.Istio, "unknown version")
		case ByCommit:
			label = cmp.Or(r.Meshbench, "unknown version")
		}
		if n := len(s.Blocks) - 1; n >= 0 && s.Blocks[n].Label == label {
			s.Blocks[n].To = i + 1
		} else {
			s.Blocks = append(s.Blocks, Block{label, i, i + 1})
		}
	}
	if by == ByVersion {
		s.shorten()
	}
}

// shorten takes the hash from the label of a version between releases, 1.31.0-alpha.eed52ebb66ad,
// where no other has the same without it.
func (s *Section) shorten() {
	cut := func(label string) string {
		if before, pre, ok := strings.Cut(label, "-"); ok {
			word, _, _ := strings.Cut(pre, ".")
			return before + "-" + word
		}
		return label
	}
	times := map[string]int{}
	for _, b := range s.Blocks {
		times[cut(b.Label)]++
	}
	for i := range s.Blocks {
		if b := &s.Blocks[i]; times[cut(b.Label)] == 1 {
			b.Label = cut(b.Label)
		}
	}
}

// compareVersions orders versions; what is no version comes last.
func compareVersions(a, b string) int {
	va, vb := "v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")
	switch {
	case semver.IsValid(va) && semver.IsValid(vb):
		return cmp.Or(semver.Compare(va, vb), cmp.Compare(a, b))
	case semver.IsValid(va):
		return -1
	case semver.IsValid(vb):
		return 1
	}
	return cmp.Compare(a, b)
}

// measure takes the figures out of the records.
func (s *Section) measure() {
	var names []string
	for _, r := range s.Runs {
		for i, step := range r.Steps {
			if slices.Contains(names, step.Name) {
				continue
			}
			// A step that earlier runs did not get to stands where this run has it.
			at := 0
			if i > 0 {
				at = 1 + slices.Index(names, r.Steps[i-1].Name)
			}
			names = slices.Insert(names, at, step.Name)
		}
		s.say(r)
	}
	table := metrics.In(metrics.Compare)
	for _, name := range names {
		step := Step{Name: name}
		for _, m := range table {
			series, any := Series{Metric: m}, false
			for _, r := range s.Runs {
				value := math.NaN()
				if measured := r.Step(name); measured != nil && measured.Settled {
					if v, ok := measured.Values[m.Name]; ok {
						value, any = v, true
					}
				}
				series.Values = append(series.Values, value)
			}
			if any {
				step.Series = append(step.Series, series)
			}
		}
		s.Steps = append(s.Steps, step)
	}
}

// say notes what a run lacks.
func (s *Section) say(r Run) {
	var unsettled []string
	for _, step := range r.Steps {
		if !step.Settled {
			unsettled = append(unsettled, step.Name)
		}
	}
	if !r.Finished {
		text := fmt.Sprintf("Run %s (%s) is not complete (%s)", r.Run, r.Date.UTC().Format(time.DateOnly), cmp.Or(r.Outcome, "the log was cut off"))
		if len(r.Missing) > 0 {
			text += ", not measured: " + strings.Join(r.Missing, ", ")
		}
		if first, _, _ := strings.Cut(r.Error, "\n"); first != "" {
			text += "; " + first
		}
		s.Notes = append(s.Notes, text+".")
	}
	for _, missed := range r.Missed {
		s.Notes = append(s.Notes, fmt.Sprintf("Run %s (%s) missed an expectation: %s.", r.Run, r.Date.UTC().Format(time.DateOnly), missed))
	}
	if names := r.ResumedSteps(); len(names) > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("Run %s (%s): memory and CPU left out, for they were measured after an interruption: %s.", r.Run, r.Date.UTC().Format(time.DateOnly), strings.Join(names, ", ")))
	}
	if len(unsettled) > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("Run %s (%s): left out, for the mesh was not quiet: %s.", r.Run, r.Date.UTC().Format(time.DateOnly), strings.Join(unsettled, ", ")))
	}
}

// Block is the index of the block that a run is in.
func (s *Section) Block(run int) int {
	return slices.IndexFunc(s.Blocks, func(b Block) bool { return run < b.To })
}
