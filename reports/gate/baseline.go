package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/stats"
)

// Schema is the version of the layout of baselines. Readers accept that of before classes,
// too, and no other.
const (
	Schema        = 2
	beforeClasses = 1
)

// Baseline is what a scenario's runs are held against: the file reports/baselines/NAME.json.
type Baseline struct {
	Schema   int    `json:"schema"`
	Scenario string `json:"scenario"`
	// Limits replace those of Defaults.
	Limits Limits `json:"limits,omitempty"`
	// Classes are one for each class of machine; the last one was accepted last.
	Classes []Class `json:"classes"`
}

// Step holds what was measured at one step. The names of metrics are those of package
// metrics; files may have those of before.
type Step struct {
	Name   string         `json:"name"`
	Counts map[string]int `json:"counts"`
	// Readings holds those of each run apart: bytes, or seconds.
	Readings map[string][][]float64 `json:"readings"`
}

// Entry says when and why the baseline was made anew.
type Entry struct {
	Date string   `json:"date"` // 2026-11-24
	Why  string   `json:"why"`
	Runs []string `json:"runs"` // the folders' names
}

// ReadBaseline reads a baseline's file. Errors name the file and what was expected.
func ReadBaseline(path string) (*Baseline, error) {
	data, err := bounded.File(path, bounded.OwnFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such baseline; make it with `meshbench gate --baseline %s --accept --why TEXT RUN`: %w", path, path, os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read a baseline: %w", err)
	}
	b, err := parseBaseline(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read baseline %s: %w", path, err)
	}
	return b, nil
}

func parseBaseline(data []byte) (*Baseline, error) {
	var version struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("expected JSON: %w", err)
	}
	if version.Schema == nil {
		return nil, errors.New("it has no schema; expected what meshbench gate --accept writes")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var b Baseline
	switch *version.Schema {
	case Schema:
		if err := dec.Decode(&b); err != nil {
			return nil, err
		}
	case beforeClasses:
		var old struct {
			Schema   int    `json:"schema"`
			Scenario string `json:"scenario"`
			Limits   Limits `json:"limits"`
			Class
		}
		if err := dec.Decode(&old); err != nil {
			return nil, err
		}
		b = Baseline{Schema: Schema, Scenario: old.Scenario, Limits: old.Limits, Classes: []Class{old.Class}}
	default:
		return nil, fmt.Errorf("it has format version %d, this program reads version %d: make it again with meshbench gate --accept", *version.Schema, Schema)
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	b.rename()
	return &b, nil
}

// rename gives metrics today's names: baselines of before 2026-11-29 have others.
func (b *Baseline) rename() {
	b.Limits = metrics.Current(b.Limits)
	for _, c := range b.Classes {
		for i := range c.Steps {
			s := &c.Steps[i]
			s.Counts, s.Readings = metrics.Current(s.Counts), metrics.Current(s.Readings)
		}
	}
}

// check says the first thing that makes no sense.
func (b *Baseline) check() error {
	if b.Scenario == "" {
		return errors.New("it names no scenario")
	}
	if len(b.Classes) == 0 {
		return errors.New("it has no class of machines")
	}
	for i := range b.Classes {
		c := &b.Classes[i]
		err := c.check()
		for j := range b.Classes[:i] {
			if o := &b.Classes[j]; err == nil && o.same(c.Environment) {
				err = fmt.Errorf("it is of the same machines as class %d: %s", j+1, c)
			}
		}
		if err != nil && len(b.Classes) > 1 {
			return fmt.Errorf("class %d: %w", i+1, err)
		}
		if err != nil {
			return err
		}
	}
	return b.Limits.check()
}

// numbers finds the innermost lists, which belong on one line.
var numbers = regexp.MustCompile(`\[[\s\d.,eE+-]+\]`)

// Write writes the baseline's file, as a whole or not at all.
func (b *Baseline) Write(path string) error {
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fmt.Errorf("write a baseline: %w", err)
	}
	data = numbers.ReplaceAllFunc(data, func(list []byte) []byte {
		return []byte(strings.ReplaceAll(strings.Join(strings.Fields(string(list)), ""), ",", ", "))
	})
	if err := atomicfile.Write(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write a baseline: %w", err)
	}
	return nil
}

// Side is the class accepted last as one side of a comparison.
func (b *Baseline) Side(name string) *compare.Side { return b.side(name, b.Latest()) }

// SideOf is the class of an environment as one side of a comparison, or the class accepted
// last, where there is none.
func (b *Baseline) SideOf(name string, e compare.Environment) *compare.Side {
	class, _ := b.of(e)
	return b.side(name, class)
}

// side is a class as one side of a comparison.
func (b *Baseline) side(name string, c *Class) *compare.Side {
	side := &compare.Side{Name: name, Scenario: b.Scenario, Environment: c.Environment}
	last := c.History[len(c.History)-1]
	for _, run := range last.Runs {
		side.Runs = append(side.Runs, compare.Run{Name: run, Finished: true})
	}
	for _, s := range c.Steps {
		step := compare.Step{Name: s.Name, Counts: map[string][]float64{}, Readings: map[string]stats.Sample{}}
		for metric, n := range s.Counts {
			step.Counts[metric] = []float64{float64(n)}
		}
		for metric, runs := range s.Readings {
			step.Readings[metric] = runs
		}
		side.Steps = append(side.Steps, step)
	}
	return side
}

// Accept makes a baseline of runs, which must be complete, with every expectation met
// and every step measured in a quiet mesh. It takes over the limits of the one before, nil
// for none, and its classes, of which it replaces the one of the runs' machine and keeps the
// history; limits given are kept with them. Why is for those who read the history.
func Accept(before *Baseline, runs *compare.Side, limits Limits, why string, now time.Time) (*Baseline, error) {
	if err := limits.check(); err != nil {
		return nil, err
	}
	limits = metrics.Current(limits)
	why = strings.Join(strings.Fields(why), " ")
	if why == "" {
		return nil, errors.New("say why there is a new baseline: others read its history")
	}
	if before != nil && before.Scenario != runs.Scenario {
		return nil, fmt.Errorf("the baseline is of scenario %s, %s of %s: it cannot take its place", before.Scenario, runs.Name, runs.Scenario)
	}
	if said := runs.Incomplete(); len(said) > 0 {
		return nil, fmt.Errorf("%s cannot become a baseline: %s", runs.Name, strings.Join(said, "; "))
	}
	for _, r := range runs.Runs {
		if len(r.Missed) > 0 {
			return nil, fmt.Errorf("%s cannot become a baseline: run %s missed an expectation: %s", runs.Name, r.Name, r.Missed[0])
		}
	}
	if len(runs.Mixed) > 0 {
		return nil, fmt.Errorf("%s cannot become a baseline: its runs differ among themselves in %s", runs.Name, runs.Mixed[0].In("one", "another"))
	}
	b := &Baseline{Schema: Schema, Scenario: runs.Scenario, Limits: limits}
	class := Class{Environment: runs.Environment}
	if before != nil {
		b.Limits = before.Limits.with(limits)
		for _, c := range before.Classes {
			if c.same(runs.Environment) {
				class.History = slices.Clone(c.History)
			} else {
				b.Classes = append(b.Classes, c)
			}
		}
	}
	entry := Entry{Date: now.UTC().Format(time.DateOnly), Why: why}
	for _, r := range runs.Runs {
		entry.Runs = append(entry.Runs, r.Name)
	}
	class.History = append(class.History, entry)
	for _, s := range runs.Steps {
		step := Step{Name: s.Name, Counts: map[string]int{}, Readings: map[string][][]float64{}}
		for name, values := range s.Counts {
			if low, high := slices.Min(values), slices.Max(values); low != high {
				return nil, fmt.Errorf("%s cannot become a baseline: its runs disagree on %s at step %s: %g to %g", runs.Name, name, s.Name, low, high)
			}
			step.Counts[name] = int(math.Round(values[0]))
		}
		for name, sample := range s.Readings {
			step.Readings[name] = sample
		}
		class.Steps = append(class.Steps, step)
	}
	b.Classes = append(b.Classes, class)
	return b, nil
}
