package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/stats"
)

// Schema is the version of the layout of baselines. Readers accept no other.
const Schema = 1

// Baseline is what a scenario's runs are held against: the file reports/baselines/NAME.json.
type Baseline struct {
	Schema      int                 `json:"schema"`
	Scenario    string              `json:"scenario"`
	Environment compare.Environment `json:"environment"`
	// Limits replace those of Defaults.
	Limits  Limits  `json:"limits,omitempty"`
	Steps   []Step  `json:"steps"`
	History []Entry `json:"history"` // oldest first; the last one made the baseline
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
	data, err := os.ReadFile(path)
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
	if *version.Schema != Schema {
		return nil, fmt.Errorf("it has format version %d, this program reads version %d: make it again with meshbench gate --accept", *version.Schema, Schema)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var b Baseline
	if err := dec.Decode(&b); err != nil {
		return nil, err
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
	for i := range b.Steps {
		s := &b.Steps[i]
		s.Counts, s.Readings = metrics.Current(s.Counts), metrics.Current(s.Readings)
	}
}

// check says the first thing that makes no sense.
func (b *Baseline) check() error {
	if b.Scenario == "" {
		return errors.New("it names no scenario")
	}
	if len(b.Steps) == 0 {
		return errors.New("it has no steps")
	}
	if len(b.History) == 0 {
		return errors.New("it has no history: expected the date of its making, and why")
	}
	for i, e := range b.History {
		if _, err := time.Parse(time.DateOnly, e.Date); err != nil || strings.TrimSpace(e.Why) == "" {
			return fmt.Errorf("entry %d of its history: expected a date like 2026-11-24 and why", i+1)
		}
	}
	seen, known := map[string]bool{}, compare.MetricsByName()
	for i, s := range b.Steps {
		if s.Name == "" || seen[s.Name] {
			return fmt.Errorf("step %d: expected a name that no other step has, got %q", i+1, s.Name)
		}
		seen[s.Name] = true
		for name := range s.Counts {
			if m, err := known.Metric(name); err != nil || !m.Exact {
				return fmt.Errorf("step %s: there is no count %q", s.Name, name)
			}
		}
		for name, runs := range s.Readings {
			if m, err := known.Metric(name); err != nil || m.Exact {
				return fmt.Errorf("step %s: there is no metric %q with readings", s.Name, name)
			}
			if len(runs) == 0 {
				return fmt.Errorf("step %s: %s has no readings", s.Name, name)
			}
			for _, readings := range runs {
				if len(readings) == 0 || slices.ContainsFunc(readings, func(v float64) bool { return v <= 0 }) {
					return fmt.Errorf("step %s: expected readings of %s that are more than 0", s.Name, name)
				}
			}
		}
	}
	return b.Limits.check()
}

// numbers finds the innermost lists, which belong on one line.
var numbers = regexp.MustCompile(`\[[\s\d.,eE+-]+\]`)

// Write writes the baseline's file, as a whole or not at all.
func (b *Baseline) Write(path string) (err error) {
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fmt.Errorf("write a baseline: %w", err)
	}
	data = numbers.ReplaceAllFunc(data, func(list []byte) []byte {
		return []byte(strings.ReplaceAll(strings.Join(strings.Fields(string(list)), ""), ",", ", "))
	})
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write a baseline: %w", err)
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err := temp.Write(append(data, '\n')); err != nil {
		return err
	}
	// CreateTemp makes files that only their owner can read.
	if err := temp.Chmod(0o644); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// Side is the baseline as one side of a comparison.
func (b *Baseline) Side(name string) *compare.Side {
	side := &compare.Side{Name: name, Scenario: b.Scenario, Environment: b.Environment}
	last := b.History[len(b.History)-1]
	for _, run := range last.Runs {
		side.Runs = append(side.Runs, compare.Run{Name: run, Finished: true})
	}
	for _, s := range b.Steps {
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
// and every step measured in a quiet mesh. It takes over the limits and the history of
// the one before, nil for none; limits given are kept with them. Why is for those who
// read the history.
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
	b := &Baseline{Schema: Schema, Scenario: runs.Scenario, Environment: runs.Environment, Limits: limits}
	entry := Entry{Date: now.UTC().Format(time.DateOnly), Why: why}
	for _, r := range runs.Runs {
		entry.Runs = append(entry.Runs, r.Name)
	}
	if before != nil {
		b.Limits = before.Limits.with(limits)
		b.History = slices.Clone(before.History)
	}
	b.History = append(b.History, entry)
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
		b.Steps = append(b.Steps, step)
	}
	return b, nil
}
