package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
)

// comparison is the command compare where it measures first.
type comparison struct {
	scenario string
	vary     []string
	cases    []string
	repeat   int
	out      string
	common   runner // the flags that all settings have in common
}

// lists are flags that take several values in compare: each is a setting.
var lists = []string{"istio", "envoy", "from"}

func (c *comparison) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	c.common.flags(f)
	for _, name := range lists {
		f.Lookup(name).Usage += " (comma-separated: all are compared)"
	}
	f.StringVar(&c.scenario, "scenario", "", "measure this `scenario` with each setting, then compare")
	f.StringArrayVar(&c.vary, "vary", nil, "compare `FLAG=A,B` of run, or mesh-set=KEY=A,B, set=KEY=A,B (repeatable: all combinations)")
	f.StringArrayVar(&c.cases, "case", nil, "compare `\"NAME: FLAGS\"` of run, separated by spaces, with the other cases (repeatable)")
	f.IntVar(&c.repeat, "repeat", 1, "`times` that the scenario is run with each setting")
	f.StringVar(&c.out, "out", "", "the `folder` for the runs (default runs/compare-SCENARIO-TIME)")
}

// settings are all combinations of what varies, each ready to be run.
func (c *comparison) settings(cmd *cobra.Command) ([]*setting, error) {
	if c.repeat < 1 {
		return nil, fmt.Errorf("--repeat %d: give 1 or more", c.repeat)
	}
	axes, err := c.axes(cmd.Flags())
	if err != nil {
		return nil, err
	}
	all := []*setting{{}}
	for _, axis := range axes {
		var combined []*setting
		for _, s := range all {
			for _, value := range axis {
				combined = append(combined, &setting{
					name:  strings.TrimPrefix(s.name+", "+value.name, ", "),
					flags: slices.Concat(s.flags, value.flags),
				})
			}
		}
		all = combined
	}
	if len(all) < 2 {
		return nil, errors.New("nothing to compare: give two or more settings, e.g. --istio 1.22.3,1.23.2, --vary mesh-set=KEY=true,false or two --case")
	}
	for _, s := range all {
		if err := s.prepare(cmd, &c.common, c.scenario); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return all, nil
}

// axes are the lists of settings that are combined.
func (c *comparison) axes(given *pflag.FlagSet) (axes [][]setting, err error) {
	known := pflag.NewFlagSet("run", pflag.ContinueOnError)
	(&runner{}).flags(known)
	var cases []setting
	for _, text := range c.cases {
		name, flags, ok := strings.Cut(text, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf(`--case %q: give a name, a colon and flags of run, e.g. "large: --set replicas=200"`, text)
		}
		cases = append(cases, setting{name: name, flags: strings.Fields(flags)})
	}
	if cases != nil {
		axes = append(axes, cases)
	}
	vary := slices.Clone(c.vary)
	for _, name := range lists {
		if value := given.Lookup(name).Value.String(); strings.Contains(value, ",") {
			vary = append(vary, name+"="+value)
		}
	}
	for _, text := range vary {
		name, values, _ := strings.Cut(text, "=")
		if known.Lookup(name) == nil {
			return nil, fmt.Errorf("--vary %s: run has no flag --%s", text, name)
		}
		prefix := ""
		if name == "set" || name == "mesh-set" {
			key, list, ok := strings.Cut(values, "=")
			if !ok {
				return nil, fmt.Errorf("--vary %s: give %s=KEY=A,B", text, name)
			}
			prefix, values = key+"=", list
		}
		var axis []setting
		for _, value := range strings.Split(values, ",") {
			if value == "" {
				return nil, fmt.Errorf("--vary %s: a value is missing; use --case to leave a flag out", text)
			}
			label := name + " "
			switch {
			case prefix != "":
				label = prefix
			case name == "istio" || name == "envoy":
				label = strings.ToUpper(name[:1]) + name[1:] + " "
			}
			axis = append(axis, setting{name: label + value, flags: []string{"--" + name + "=" + prefix + value}})
		}
		axes = append(axes, axis)
	}
	return axes, nil
}

// planFile lies in the folder of a comparison that was measured.
const planFile = "compare.json"

// plan says what lies where, and in which order it was measured.
type plan struct {
	Scenario string     `json:"scenario"`
	Sides    []planSide `json:"sides"`
	// Order are the runs' folders.
	Order []string `json:"order"`
	// Meshbench is the version that makes them, and Resuming what the flags say that the sides
	// have in common: a command that goes on must have the same.
	Meshbench string                 `json:"meshbench,omitempty"`
	Resuming  *observations.Resuming `json:"resuming,omitempty"`
}

type planSide struct {
	Folder string   `json:"folder"`
	Name   string   `json:"name"`
	Flags  []string `json:"flags"`
	// Hash is the SHA-256 of the rendered scenario.
	Hash string `json:"hash,omitempty"`
}

// measure runs the scenario with each setting in turn, A B A B, so that a drift of the
// machine hits all alike, and gives the folder of the runs. An error beside a folder is
// of the runs: what there is can be compared.
func (c *comparison) measure(cmd *cobra.Command) (dir string, err error) {
	settings, err := c.settings(cmd)
	if err != nil {
		return "", usage(cmd, err)
	}
	if err := obtain(cmd, settings); err != nil {
		return "", err
	}
	out := c.out
	if out == "" {
		out = filepath.Join("runs", "compare-"+settings[0].scenario.Name+"-"+time.Now().Format("20060102-150405"))
	}
	if out, err = filepath.Abs(out); err != nil {
		return "", fmt.Errorf("cannot find the comparison's folder: %w", err)
	}
	p := plan{Scenario: settings[0].scenario.Name, Meshbench: version}
	if p.Resuming, err = resumingOf(cmd.Flags(), ofRun); err != nil {
		return "", err
	}
	var jobs []job
	of := map[string]*setting{}
	for i := range c.repeat {
		for n, s := range settings {
			letter := compare.Letter(n)
			if i == 0 {
				hash, err := hashOfScenario(s.scenario)
				if err != nil {
					return "", err
				}
				p.Sides = append(p.Sides, planSide{letter, s.name, s.flags, hash})
			}
			run := filepath.Join(letter, fmt.Sprintf("run-%02d", i+1))
			p.Order = append(p.Order, run)
			jobs = append(jobs, job{scenario: s.scenario, dir: filepath.Join(out, run), part: true})
			of[jobs[len(jobs)-1].dir] = s
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the comparison's folder: %w", err)
	}
	lock, err := lockSeries(out)
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	if jobs, err = p.begin(cmd.ErrOrStderr(), out, jobs); err != nil {
		return "", err
	}
	// The runs' tables are in their folders; what is printed is the comparison.
	to := consoleOf(cmd)
	to.out = io.Discard
	return out, runAll(cmd.Context(), to, jobs, func(ctx context.Context, to console, j job) error {
		err := of[j.dir].runner.one(ctx, to, j)
		return errors.Join(err, keepReason(j.dir, err))
	})
}

// reasonFile lies in the folder of a comparison's run that ended before its log's first record.
const reasonFile = "why.txt"

// keepReason keeps why a run of a comparison has no log, for the comparison to say.
func keepReason(dir string, err error) error {
	if err == nil {
		return nil
	}
	if _, e := compare.ReadRuns(dir); e == nil {
		return nil // the log says it
	}
	e := os.MkdirAll(dir, 0o755)
	if e == nil {
		e = atomicfile.Write(filepath.Join(dir, reasonFile), []byte(err.Error()+"\n"), 0o644)
	}
	if e != nil {
		return fmt.Errorf("cannot keep why a run failed: %w", e)
	}
	return nil
}

// reason is why a run of a comparison could not be read: what it ended with, else err.
func reason(dir string, err error) string {
	if text, e := bounded.File(filepath.Join(dir, reasonFile), bounded.OwnFile); e == nil {
		err = errors.New(string(text))
	}
	first, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return first
}

// ofRun says that a flag is one of run's.
func ofRun(name string) bool { return slices.Contains(flagsOfRun(), name) }

// begin keeps the plan, or goes on with the same one: it returns the runs that are to be made.
// Those that were interrupted are set aside.
func (p plan) begin(to io.Writer, dir string, jobs []job) ([]job, error) {
	if !holdsPlan(dir) {
		return jobs, p.keep(dir)
	}
	text, err := bounded.File(filepath.Join(dir, planFile), bounded.OwnFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the plan of the comparison in %s: %w", dir, err)
	}
	now, err := p.text()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(text, now) {
		return nil, &exit{exitUsage, fmt.Errorf("%s already holds a comparison of other settings: give another folder with --out, or go on with the command that began it", dir)}
	}
	missing := slices.DeleteFunc(slices.Clone(jobs), func(j job) bool { return finished(j.dir) })
	for _, j := range missing {
		if err := setAside(j.dir); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(to, "%s goes on: %d of %d runs are finished\n", dir, len(jobs)-len(missing), len(jobs))
	return missing, nil
}

func (p plan) text() ([]byte, error) {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot write the comparison's plan: %w", err)
	}
	return append(text, '\n'), nil
}

// keep writes the plan, once.
func (p plan) keep(dir string) error {
	text, err := p.text()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the comparison's folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, planFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already holds a comparison: give another folder with --out", dir)
	}
	if err == nil {
		_, err = file.Write(text)
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(file.Name())) // half a plan is none
		}
	}
	if err != nil {
		return fmt.Errorf("cannot keep the comparison's plan: %w", err)
	}
	return nil
}

// holdsPlan reports whether the folder is that of a comparison that was measured.
func holdsPlan(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, planFile))
	return err == nil
}

// readPlan reads the sides of the comparison in a folder. Runs that are missing, since they
// failed or were never made, are left out and said in the notes, with the runs' order; a
// side without any run says why.
func readPlan(dir string, reader compare.Reader) (sides []*compare.Side, notes []string, err error) {
	text, err := bounded.File(filepath.Join(dir, planFile), bounded.OwnFile)
	var p plan
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the plan of the comparison in %s: %w", dir, err)
	}
	notes = []string{"The runs were made in the order " + strings.Join(p.Order, ", ") + "."}
	readable := 0
	for _, s := range p.Sides {
		var runs []*compare.Side
		refused := ""
		for _, run := range p.Order {
			if filepath.Dir(run) != s.Folder {
				continue
			}
			if !filepath.IsLocal(run) {
				return nil, nil, fmt.Errorf("cannot read the plan of the comparison in %s: %s is not a folder in it", dir, run)
			}
			side, err := reader.ReadRuns(filepath.Join(dir, run))
			if err != nil {
				why := reason(filepath.Join(dir, run), err)
				notes = append(notes, fmt.Sprintf("Run %s of %s is left out: %s", run, s.Name, why))
				refused = cmp.Or(refused, why)
				continue
			}
			runs = append(runs, side)
		}
		if len(runs) == 0 {
			sides = append(sides, &compare.Side{Name: s.Name, Setting: true, Refused: cmp.Or(refused, "none of its runs was made")})
			continue
		}
		readable++
		side, err := compare.Join(s.Name, runs...)
		if err != nil {
			return nil, nil, err
		}
		side.Setting = true
		sides = append(sides, side)
	}
	if readable == 0 || len(sides) < 2 {
		return nil, nil, fmt.Errorf("%s holds no runs of two settings: nothing to compare\n%s", dir, strings.Join(notes, "\n"))
	}
	for _, side := range sides {
		for _, other := range sides {
			side.Scenario = cmp.Or(side.Scenario, other.Scenario)
		}
	}
	return sides, notes, nil
}
