// Package compare sets runs beside one another: for every step and metric the medians,
// their difference, and whether it is more than chance. See package stats for what is
// taken for one observation.
package compare

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/stats"
)

// Side is one side of a comparison: one or more runs of the same scenario, or the
// baseline made of them.
type Side struct {
	Name        string // for people
	Scenario    string
	Environment Environment
	// Setting says that the side was measured for its comparison, in turns with the others:
	// what its environment differs in from theirs was asked for.
	Setting bool
	// Observed says that its runs measured a mesh as it ran, without a scenario.
	Observed bool
	// Mixed lists what the side's own runs differ in, against the first of them.
	Mixed []Difference
	Runs  []Run
	// Refused says why the side has no run that can be read; "" where it has one. It stands
	// in the comparison without a value.
	Refused string
	// Repeats say in which order the runs of each repeated one were made.
	Repeats []Repeat
	Steps   []Step // in the scenario's order
}

// Run is what is said of one run as a whole.
type Run struct {
	Name    string // of its folder
	Dir     string // its folder; "" for a baseline's
	Started time.Time
	// Outcome is the word the run ended with (observations.End); "" when cut off.
	Outcome string
	Error   string
	// Finished says that every step was measured and the log was closed.
	Finished bool
	// Missing names the steps that were not measured, Unsettled those that were
	// measured in a mesh that was not quiet.
	Missing   []string
	Unsettled []string
	// Resumed names the steps that were measured after an interruption: of them only counts are
	// compared.
	Resumed []string
	Missed  []reports.Miss // expectations that do not hold
}

// Step is what was measured at one step.
type Step struct {
	Name string
	// Counts holds the values of exact metrics, one a run, Readings those of the noisy
	// ones, those of each run apart. A run that did not read a metric has no entry.
	Counts   map[string][]float64
	Readings map[string]stats.Sample
}

// Step is the side's step of that name; nil for none.
func (s *Side) Step(name string) *Step {
	for i := range s.Steps {
		if s.Steps[i].Name == name {
			return &s.Steps[i]
		}
	}
	return nil
}

// At is the side as if it had that step only, for comparisons of steps with one another.
func (s *Side) At(step string) (*Side, error) {
	found := s.Step(step)
	if found == nil {
		var names []string
		for _, s := range s.Steps {
			names = append(names, s.Name)
		}
		return nil, fmt.Errorf("%s has no measured step %q; it has %s", s.Name, step, strings.Join(names, ", "))
	}
	one := *s
	one.Name, one.Repeats, one.Setting = "step "+step, nil, true
	one.Steps = []Step{{Name: "measured", Counts: found.Counts, Readings: found.Readings}}
	return &one, nil
}

// Reader reads runs.
type Reader struct {
	// WithResumed takes in all that was measured after an interruption, whose memory has another
	// past than in a run without one; else only its counts are.
	WithResumed bool
}

// ReadRuns is that of the zero [Reader].
func ReadRuns(dir string) (*Side, error) { return Reader{}.ReadRuns(dir) }

// ReadRuns reads the folder of a run, or of a repeated run with all runs in it. Errors
// name the folder and what was expected.
func (r Reader) ReadRuns(dir string) (*Side, error) {
	dirs, err := RunFolders(dir)
	if err != nil {
		return nil, err
	}
	side := &Side{Name: filepath.Clean(dir)}
	if side.Repeats, err = readRepeat(dir); err != nil {
		return nil, err
	}
	for _, d := range dirs {
		if err := side.add(d, r); err != nil {
			return nil, err
		}
	}
	return side, nil
}

// Join makes one side of several: the repeats of one version lie in folders of their own.
func Join(name string, sides ...*Side) (*Side, error) {
	joined := &Side{Name: name}
	for _, s := range sides {
		if err := joined.merge(s); err != nil {
			return nil, err
		}
	}
	return joined, nil
}

// RunFolders are the folders of the runs in dir, which is one itself or that of a
// repeated run.
func RunFolders(dir string) ([]string, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such folder; give a run's folder, e.g. one in runs/", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read a run: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: give the folder of a run", dir)
	}
	if exists(filepath.Join(dir, observations.LogName)) {
		return []string{dir}, nil
	}
	// Glob would take characters of the folder's own name for a pattern.
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read a run: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "run-") {
			dirs = append(dirs, filepath.Join(dir, e.Name()))
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("%s is not the folder of a run: it holds neither %s nor folders run-01, run-02, … of a repeated run", dir, observations.LogName)
	}
	return dirs, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// add takes in the run in dir.
func (s *Side) add(dir string, reader Reader) error {
	records, truncated, err := observations.ReadFile(filepath.Join(dir, observations.LogName))
	if err != nil {
		return err
	}
	if reader.WithResumed {
		records = observations.WithResumed(records)
	}
	side, err := FromLog(filepath.Base(filepath.Clean(dir)), records, truncated)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	side.Runs[0].Dir = dir
	return s.merge(side)
}

// Comparable is an error for a run that cannot be compared for how it was made.
func Comparable(r *reports.Report) error {
	why := ""
	switch env := r.Environment; {
	case env.CPUProfile:
		why = "--profile, which costs istiod time and memory"
	case env.CountsOnly:
		why = "--counts-only, which reads no memory"
	default:
		return nil
	}
	return fmt.Errorf("run %s was made with %s: it cannot be compared; run it again without", r.Run, why)
}

// FromLog is the side that one run's log makes; truncated is what reading it said. Of steps that
// were measured after an interruption it has the counts.
func FromLog(name string, records []observations.Record, truncated bool) (*Side, error) {
	r, err := reports.Build(records, truncated)
	if err != nil {
		return nil, err
	}
	if err := Comparable(r); err != nil {
		return nil, err
	}
	run := Run{
		Name: name, Started: r.Started, Outcome: r.Outcome, Error: r.Error,
		Finished: r.Finished, Missing: r.Missing, Missed: r.Missed(),
	}
	side := &Side{Name: name, Scenario: r.Scenario, Environment: EnvironmentOf(r, records), Observed: r.Environment.Observed != nil}
	all := Metrics()
	for i := range r.Steps {
		s := &r.Steps[i]
		if !s.Measured {
			continue // what was read of it is of no known state
		}
		if !s.Settled {
			run.Unsettled = append(run.Unsettled, s.Name)
		}
		if s.Resumed {
			run.Resumed = append(run.Resumed, s.Name)
		}
		step := Step{Name: s.Name, Counts: map[string][]float64{}, Readings: map[string]stats.Sample{}}
		for _, m := range all {
			if f, ok := s.Metrics[m.Name]; ok && (m.Exact || !s.Resumed) {
				m.take(&step, f)
			}
		}
		side.Steps = append(side.Steps, step)
	}
	side.Runs = []Run{run}
	return side, nil
}

// merge takes in the runs of another side.
func (s *Side) merge(o *Side) error {
	if len(s.Runs) == 0 {
		s.Scenario, s.Environment, s.Observed = o.Scenario, o.Environment, o.Observed
	}
	if s.Scenario != o.Scenario {
		return fmt.Errorf("%s holds runs of different scenarios, %s (%s) and %s (%s): give them separately", s.Name,
			s.Scenario, s.Runs[0].Name, o.Scenario, o.Runs[0].Name)
	}
	for _, d := range append(s.Environment.Differences(o.Environment), o.Mixed...) {
		if !slices.ContainsFunc(s.Mixed, func(m Difference) bool { return m.What == d.What }) {
			s.Mixed = append(s.Mixed, d)
		}
	}
	s.Runs = append(s.Runs, o.Runs...)
	s.Repeats = append(s.Repeats, o.Repeats...)
	for i, step := range o.Steps {
		mine := s.Step(step.Name)
		if mine == nil {
			// A step that earlier runs did not get to stands where this run has it.
			at := 0
			if i > 0 {
				at = 1 + slices.IndexFunc(s.Steps, func(other Step) bool { return other.Name == o.Steps[i-1].Name })
			}
			s.Steps = slices.Insert(s.Steps, at, Step{Name: step.Name, Counts: map[string][]float64{}, Readings: map[string]stats.Sample{}})
			mine = &s.Steps[at]
		}
		for name, values := range step.Counts {
			mine.Counts[name] = append(mine.Counts[name], values...)
		}
		for name, sample := range step.Readings {
			mine.Readings[name] = append(mine.Readings[name], sample...)
		}
	}
	return nil
}

// Incomplete says in words what each run lacks: it was cut off or failed, and why, or a step
// was measured in a mesh that was not quiet.
func (s *Side) Incomplete() []string {
	var said []string
	if s.Refused != "" {
		said = append(said, "nothing was measured: "+s.Refused)
	}
	for _, r := range s.Runs {
		if !r.Finished {
			why := cmp.Or(r.Outcome, "the log was cut off")
			text := fmt.Sprintf("run %s is not complete (%s)", r.Name, why)
			if len(r.Missing) > 0 {
				text += ": not measured: " + strings.Join(r.Missing, ", ")
			}
			if first, _, _ := strings.Cut(r.Error, "\n"); first != "" {
				text += ": " + first
			}
			said = append(said, text)
		}
		if len(r.Resumed) > 0 {
			said = append(said, fmt.Sprintf("run %s was interrupted and resumed: memory and CPU of %s have another past and are left out (--with-resumed takes them in)", r.Name, strings.Join(r.Resumed, ", ")))
		}
		if len(r.Unsettled) > 0 {
			said = append(said, fmt.Sprintf("run %s: the mesh was not quiet at %s", r.Name, strings.Join(r.Unsettled, ", ")))
		}
	}
	return said
}
