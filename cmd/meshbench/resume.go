package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/scenarios"
)

// notRecorded are flags of run that are no part of what a run is: where it is kept, what is
// printed, and what is agreed to each time. Parameters (set) are in the rendered scenario.
var notRecorded = []string{"out", "repeat", "seed", "resume", "trace", "set", "yes", otherVersionFlag, "help"}

// free are flags of run that may be given anew when a run is resumed.
var free = []string{"resume", "trace", "timeout", "allow-unsettled", "yes", otherVersionFlag}

const otherVersionFlag = "allow-other-version"

// unhashed says that what a flag names may change while a run is what it was: credentials, and
// where a cluster is.
func unhashed(flag string) bool {
	return flag == "kubeconfig" || strings.HasPrefix(flag, "prometheus-")
}

// resumingOf is what a run's log says of those flags that has takes, for going on after an
// interruption.
func resumingOf(f *pflag.FlagSet, has func(name string) bool) (*observations.Resuming, error) {
	directory, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("cannot find the working directory: %w", err)
	}
	r := &observations.Resuming{Flags: []string{}, Directory: directory}
	var errs []error
	f.Visit(func(flag *pflag.Flag) {
		if slices.Contains(notRecorded, flag.Name) || !has(flag.Name) {
			return
		}
		for _, value := range valuesOf(flag) {
			r.Flags = append(r.Flags, "--"+flag.Name+"="+value)
			if unhashed(flag.Name) {
				continue
			}
			// IMAGE=PATH, too.
			_, behind, _ := strings.Cut(value, "=")
			for _, path := range []string{value, behind} {
				if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
					continue
				}
				sum, err := hashOf(path)
				errs = append(errs, err)
				if r.Files == nil {
					r.Files = map[string]string{}
				}
				r.Files[path] = sum
			}
		}
	})
	slices.Sort(r.Flags)
	return r, errors.Join(errs...)
}

// hashOf is the SHA-256 of a file, in hexadecimal digits.
func hashOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read a file that a flag names: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("cannot read a file that a flag names: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// hashOfScenario is the SHA-256 of a scenario as it is rendered.
func hashOfScenario(s *scenarios.Scenario) (string, error) {
	text, err := s.Render()
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

// refusal makes an error that a run cannot go on for one of the command line.
func refusal(err error) error {
	var refused *harness.Refusal
	if errors.As(err, &refused) {
		return &exit{exitUsage, err}
	}
	return err
}

// goOn resumes an interrupted run in its folder.
func (r *series) goOn(cmd *cobra.Command, args []string, dir string) error {
	interrupted, err := harness.Interrupt(dir)
	if err != nil {
		return refusal(err)
	}
	j, err := r.reopen(cmd, args, dir, interrupted)
	if err != nil {
		return errors.Join(err, interrupted.Release())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s goes on after %s\n", dir, stepsOf(interrupted.Completed, len(interrupted.Run.Steps)))
	return r.one(cmd.Context(), consoleOf(cmd), j)
}

func stepsOf(done, all int) string { return fmt.Sprintf("%d of %d steps", done, all) }

// reopen makes the runner that of the run that is to go on.
func (r *series) reopen(cmd *cobra.Command, args []string, dir string, interrupted *harness.Interrupted) (job, error) {
	run := &interrupted.Run
	refuse := func(err error) (job, error) {
		return job{}, &exit{exitUsage, fmt.Errorf("cannot resume %s: %w", dir, err)}
	}
	if len(args) > 0 {
		return refuse(fmt.Errorf("it goes on with its own scenario, %s: leave %s out", run.Scenario, strings.Join(args, " ")))
	}
	if run.Meshbench != version && !r.otherVersion {
		return refuse(fmt.Errorf("it was begun by meshbench %s, and this is %s, which may settle and read otherwise: use that one, or accept it with --%s, which marks the run", run.Meshbench, version, otherVersionFlag))
	}
	if err := r.asBegun(cmd, run); err != nil {
		return refuse(err)
	}
	r.options.Visit = run.Resuming.Visit
	scenario, err := r.kept(dir, run.Resuming.Scenario)
	if err != nil {
		return refuse(err)
	}
	r.warn(cmd.ErrOrStderr(), []*scenarios.Scenario{scenario})
	return job{scenario: scenario, dir: dir, resume: interrupted}, nil
}

// asBegun sets the flags to what they were when the run began. An error says what would be
// otherwise.
func (r *series) asBegun(cmd *cobra.Command, run *observations.Run) error {
	if err := contradicts(cmd.Flags(), run); err != nil {
		return fmt.Errorf("%w: leave the flag out, a run goes on as it began", err)
	}
	if len(run.Resuming.Flags) > 0 {
		if err := os.Chdir(run.Resuming.Directory); err != nil {
			return fmt.Errorf("the directory that its flags are of is not there any more: %w", err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(run.Resuming.Files)) {
		now, err := hashOf(path)
		if err != nil {
			return err
		}
		if now != run.Resuming.Files[path] {
			return fmt.Errorf("%s is not what it was when the run began: bring that back", path)
		}
	}
	if err := setAsRecorded(cmd.Flags(), run.Resuming.Flags); err != nil {
		return err
	}
	return r.read(cmd.Flags())
}

// kept is the rendered scenario in a folder, which must be of that hash.
func (r *series) kept(dir, sum string) (*scenarios.Scenario, error) {
	path := filepath.Join(dir, harness.ScenarioName)
	is, err := hashOf(path)
	if err != nil {
		return nil, err
	}
	if is != sum {
		return nil, fmt.Errorf("%s is not the scenario that it began with: bring that back", path)
	}
	scenario, err := r.options.Open(path, nil)
	if err != nil {
		return nil, err
	}
	// What is kept beside the rendered scenario is named there by its hash.
	now, err := hashOfScenario(scenario)
	if err != nil {
		return nil, err
	}
	if now != sum {
		return nil, fmt.Errorf("a manifest that %s names is not the one that it began with: bring that back", path)
	}
	return scenario, nil
}

// contradicts names the first flag on the command line that is not as the run was made.
func contradicts(f *pflag.FlagSet, run *observations.Run) (err error) {
	recorded := map[string][]string{}
	for _, text := range run.Resuming.Flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(text, "--"), "=")
		recorded[name] = append(recorded[name], value)
	}
	f.Visit(func(flag *pflag.Flag) {
		switch {
		case err != nil || slices.Contains(free, flag.Name):
		case flag.Name == "set":
			err = contradictsSet(flag, run)
		case slices.Contains(notRecorded, flag.Name):
			err = fmt.Errorf("--%s is for runs that begin", flag.Name)
		default:
			was, given := recorded[flag.Name]
			if !given {
				was = []string{flag.DefValue}
			}
			now := valuesOf(flag)
			slices.Sort(was)
			slices.Sort(now)
			if !slices.Equal(was, now) {
				err = fmt.Errorf("--%s %s: the run was made with %s", flag.Name, strings.Join(now, ", "), strings.Join(was, ", "))
				if !given {
					err = fmt.Errorf("--%s %s: the run was made without", flag.Name, strings.Join(now, ", "))
				}
			}
		}
	})
	return err
}

// contradictsSet is contradicts for parameters.
func contradictsSet(flag *pflag.Flag, run *observations.Run) error {
	for _, text := range strings.Split(strings.Trim(flag.Value.String(), "[]"), ",") {
		name, value, _ := strings.Cut(text, "=")
		was, known := run.Choices[name]
		if n, sized := run.Parameters[name]; sized {
			was, known = strconv.Itoa(n), true
		}
		if !known || was != value {
			return fmt.Errorf("--set %s: the run was made with other parameters", text)
		}
	}
	return nil
}

// setAsRecorded sets the flags as a run was made, but for those that were given.
func setAsRecorded(f *pflag.FlagSet, recorded []string) error {
	given := map[string]bool{}
	f.Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
	for _, text := range recorded {
		name, value, _ := strings.Cut(strings.TrimPrefix(text, "--"), "=")
		if given[name] {
			continue
		}
		if err := f.Set(name, value); err != nil {
			return fmt.Errorf("it was made with %s: %w", text, err)
		}
	}
	return nil
}

// howToGoOn is how an interrupted run is resumed, in words after its error; "" for one that
// cannot go on.
func howToGoOn(dir string, run *reports.Report) string {
	if run == nil || run.Environment.Resuming == nil {
		return ""
	}
	done := 0
	for done < len(run.Steps) && run.Steps[done].Measured && run.Steps[done].Number == done+1 {
		done++
	}
	kept := stepsOf(done, len(run.Environment.Steps)) + " are measured and kept"
	if done == 0 {
		kept = "No step was measured"
	}
	return fmt.Sprintf("\n%s. Go on with: meshbench run --resume %s", kept, shellWord(dir))
}

// shellWord is a path as a word for a shell.
func shellWord(path string) string {
	if strings.ContainsFunc(path, func(c rune) bool {
		return !strings.ContainsRune("/._-+:@%", c) && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
