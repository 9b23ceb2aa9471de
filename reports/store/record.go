// Package store keeps what runs measured after their folders are gone: a file of JSON
// lines, one record a run, which is only ever appended to. A gate can be judged from it, and
// a history drawn.
//
// A record has everything that decides whether two runs may be compared (the scenario's
// hash, the machine, the environment) and one value for each step and metric, but no single
// readings.
package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
)

// Schema is the version of the layout of records. Readers accept no other, and ignore
// fields that they do not know.
const Schema = 1

// Record is one run.
type Record struct {
	Schema   int    `json:"schema"`
	Run      string `json:"run"` // name of the run's folder
	Scenario string `json:"scenario"`
	// ScenarioHash is that of the rendered scenario (HashScenario): two scenarios can have
	// one name. "" where it is not known.
	ScenarioHash string    `json:"scenarioHash,omitempty"`
	Meshbench    string    `json:"meshbench"` // version of the program, by git describe where it was built from a checkout
	Date         time.Time `json:"date"`      // when the run began, UTC
	Seconds      float64   `json:"seconds"`   // how long it took
	// Machine is what it ran on, Environment what its figures depend on beside that.
	Machine     observations.Host   `json:"machine"`
	Environment compare.Environment `json:"environment"`
	// Report is the address of the run's report on the web, or of what holds it; "" for none.
	Report string `json:"report,omitempty"`
	// Pair says which run this one was measured in turns with; nil for none.
	Pair *Pair `json:"pair,omitempty"`
	// Outcome is the word that the run ended with (observations.End); "" when cut off.
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
	// Finished says that every step was measured and the log was closed.
	Finished bool `json:"finished"`
	// Missing names the steps that were not measured.
	Missing []string `json:"missing,omitempty"`
	// Missed are the expectations that do not hold, for people.
	Missed []string `json:"missed,omitempty"`
	// Steps are those that were measured, in the scenario's order.
	Steps []Step `json:"steps"`
}

// Step is what was measured at one step.
type Step struct {
	Name string `json:"name"`
	// Settled says that the mesh was quiet before the step was measured, and stayed so.
	Settled bool `json:"settled"`
	// Resumed says that it was measured after an interruption, so that its memory has another
	// past than in a run without one.
	Resumed bool `json:"resumed,omitempty"`
	// Values are by the names of package metrics and in their units: the median over the
	// real sidecars, the sum over types, or the value itself. What was not read is not in it.
	Values map[string]float64 `json:"values"`
}

// Step is the record's step of that name; nil for none.
func (r *Record) Step(name string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return &r.Steps[i]
		}
	}
	return nil
}

// Words for the sides of a pair.
const (
	Reference = "reference"
	Candidate = "candidate"
)

// Pair is a run's place among runs that were measured in turns: reference and candidate one
// right after the other on one machine.
type Pair struct {
	// Set names the measurement that the pair belongs to.
	Set string `json:"set"`
	// Number counts the pairs of a set, from 1.
	Number int `json:"number"`
	// Side is Reference or Candidate.
	Side string `json:"side"`
	// Position is 1 for the run that was measured first, else 2.
	Position int `json:"position"`
	// Seed is the number that determined the order within all pairs of the set.
	Seed uint64 `json:"seed"`
	// Planned is the number of pairs that the set was to have at most, which its looks depend
	// on; 0 where it was measured without a verdict.
	Planned int `json:"planned,omitempty"`
	// Asked is how the side was to be measured, as the command line had it: istio=1.27.0.
	Asked string `json:"asked,omitempty"`
}

// PairFile lies in the folder of a run that is one of a pair. It holds a [Pair].
const PairFile = "pair.json"

// FromFolder makes the record of the run in a folder, from its log, its rendered scenario
// and its pair, where it has one.
func FromFolder(dir string) (*Record, error) {
	records, truncated, err := observations.ReadFile(dir)
	if err != nil {
		return nil, err
	}
	report, err := reports.Build(records, truncated)
	if err == nil {
		err = compare.Comparable(report)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	r := FromReport(report, records)
	text, err := bounded.File(filepath.Join(dir, "scenario.yaml"), bounded.OwnFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read the rendered scenario: %w", err)
	default:
		if r.ScenarioHash, err = HashScenario(text); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	text, err = bounded.File(filepath.Join(dir, PairFile), bounded.OwnFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read a run's pair: %w", err)
	default:
		r.Pair = &Pair{}
		if err := json.Unmarshal(text, r.Pair); err != nil {
			return nil, fmt.Errorf("%s: expected what meshbench gate writes: %w", filepath.Join(dir, PairFile), err)
		}
		if err := r.Pair.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, PairFile), err)
		}
	}
	return r, nil
}

// FromReport makes the record of a report and of the log that it was built from. The
// scenario's hash and the pair, which the log does not hold, are left for the caller.
func FromReport(report *reports.Report, records []observations.Record) *Record {
	r := &Record{
		Schema: Schema, Run: report.Run, Scenario: report.Scenario, Meshbench: report.Environment.Meshbench,
		Date: report.Started.UTC(), Seconds: report.Seconds,
		Machine: report.Environment.Host, Environment: compare.EnvironmentOf(report, records),
		Outcome: report.Outcome, Error: report.Error, Finished: report.Finished, Missing: report.Missing,
		Steps: []Step{},
	}
	for _, m := range report.Missed() {
		r.Missed = append(r.Missed, m.String())
	}
	table := kept()
	for i := range report.Steps {
		s := &report.Steps[i]
		if !s.Measured {
			continue // what was read of it is of no known state
		}
		step := Step{Name: s.Name, Settled: s.Settled, Resumed: s.Resumed, Values: map[string]float64{}}
		for _, m := range table {
			if f, ok := s.Metrics[m.Name]; ok && !math.IsNaN(f.Value) && !math.IsInf(f.Value, 0) {
				step.Values[m.Name] = f.Value
			}
		}
		r.Steps = append(r.Steps, step)
	}
	return r
}

// kept are the metrics that records hold: those that were measured at a step. States and
// judgements are fields.
func kept() []metrics.Metric {
	var all []metrics.Metric
	for _, m := range metrics.Table() {
		if m.Read != nil && (m.In(metrics.Compare) || m.In(metrics.Bench)) {
			all = append(all, m)
		}
	}
	return all
}

// HashScenario is the hash of a rendered scenario, SHA-256 in hexadecimal digits, of what it
// does: not of how it is written, nor of what it tells its readers (title, description, and
// what a step is said to do).
func HashScenario(text []byte) (string, error) {
	var scenario map[string]any
	if err := yaml.Unmarshal(text, &scenario); err != nil {
		return "", fmt.Errorf("read the rendered scenario: %w", err)
	}
	delete(scenario, "title")
	delete(scenario, "description")
	steps, _ := scenario["steps"].([]any)
	for _, step := range steps {
		if step, ok := step.(map[string]any); ok {
			delete(step, "do")
		}
	}
	canonical, err := json.Marshal(scenario)
	if err != nil {
		return "", fmt.Errorf("read the rendered scenario: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

// check says the first thing of a pair that makes no sense.
func (p *Pair) check() error {
	switch {
	case p.Set == "":
		return errors.New("a pair names the set that it belongs to")
	case p.Number < 1:
		return fmt.Errorf("pair number %d: expected 1 or more", p.Number)
	case p.Side != Reference && p.Side != Candidate:
		return fmt.Errorf("side %q of a pair: expected %s or %s", p.Side, Reference, Candidate)
	case p.Planned < 0:
		return fmt.Errorf("%d planned pairs: expected 0 or more", p.Planned)
	case p.Position != 1 && p.Position != 2:
		return fmt.Errorf("position %d in a pair: expected 1 or 2", p.Position)
	}
	return nil
}

// IsAddress says whether a text is an address on the web, which a page may link to.
func IsAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// check says the first thing of a record that makes no sense.
func (r *Record) check() error {
	switch {
	case r.Schema != Schema:
		return fmt.Errorf("it has format version %d, this program reads version %d", r.Schema, Schema)
	case r.Scenario == "":
		return errors.New("it names no scenario")
	case r.Date.IsZero():
		return errors.New("it has no date")
	}
	if r.Report != "" && !IsAddress(r.Report) {
		return fmt.Errorf("report %q: expected an address that begins with https:// or http://", r.Report)
	}
	seen := map[string]bool{}
	for i, s := range r.Steps {
		if s.Name == "" || seen[s.Name] {
			return fmt.Errorf("step %d: expected a name that no other step has, got %q", i+1, s.Name)
		}
		seen[s.Name] = true
	}
	if r.Pair != nil {
		return r.Pair.check()
	}
	return nil
}
