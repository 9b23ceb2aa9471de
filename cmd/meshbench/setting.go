package main

import (
	"cmp"
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

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/scenarios"
)

// setting is one side of a comparison that is yet to be measured: how its runs are made.
type setting struct {
	name     string   // for people
	flags    []string // of run, that the other settings have otherwise
	runner   *runner
	cmd      *cobra.Command
	scenario *scenarios.Scenario
}

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
	c.common.flags(cmd)
	f := cmd.Flags()
	for _, name := range lists {
		f.Lookup(name).Usage += "; several, separated by commas, are compared"
	}
	f.StringVar(&c.scenario, "scenario", "", "measure this `scenario` with each setting, then compare")
	f.StringArrayVar(&c.vary, "vary", nil, "compare `FLAG=A,B` of run, or mesh-set=KEY=A,B, set=KEY=A,B; given several times, all combinations")
	f.StringArrayVar(&c.cases, "case", nil, "compare `\"NAME: FLAGS\"` of run, separated by spaces, with the other cases")
	f.IntVar(&c.repeat, "repeat", 1, "`times` that the scenario is run with each setting")
	f.StringVar(&c.out, "out", "", "the `folder` for the runs (default runs/compare-SCENARIO-TIME)")
}

// settings are all combinations of what varies, each ready to be run.
func (c *comparison) settings(cmd *cobra.Command) ([]*setting, error) {
	if c.repeat < 1 {
		return nil, fmt.Errorf("--repeat %d: give 1 or more", c.repeat)
	}
	axes, common, err := c.axes(cmd.Flags())
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
		return nil, errors.New("nothing to compare: give two or more settings, as --istio 1.22.3,1.23.2, --vary mesh-set=KEY=true,false or two --case")
	}
	for _, s := range all {
		if err := s.prepare(cmd, c.scenario, slices.Concat(common, s.flags)); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return all, nil
}

// axes are the lists of settings that are combined, and the flags that all have.
func (c *comparison) axes(given *pflag.FlagSet) (axes [][]setting, common []string, err error) {
	known := &cobra.Command{}
	(&runner{}).flags(known)
	given.Visit(func(f *pflag.Flag) {
		if known.Flags().Lookup(f.Name) == nil {
			return
		}
		for _, value := range flagValues(f) {
			common = append(common, "--"+f.Name+"="+value)
		}
	})
	var cases []setting
	for _, text := range c.cases {
		name, flags, ok := strings.Cut(text, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, nil, fmt.Errorf(`--case %q: give a name, a colon and flags of run, as "large: --set replicas=200"`, text)
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
		if known.Flags().Lookup(name) == nil {
			return nil, nil, fmt.Errorf("--vary %s: run has no flag --%s", text, name)
		}
		prefix := ""
		if name == "set" || name == "mesh-set" {
			key, list, ok := strings.Cut(values, "=")
			if !ok {
				return nil, nil, fmt.Errorf("--vary %s: give %s=KEY=A,B", text, name)
			}
			prefix, values = key+"=", list
		}
		var axis []setting
		for _, value := range strings.Split(values, ",") {
			if value == "" {
				return nil, nil, fmt.Errorf("--vary %s: a value is missing; a case (--case) can leave a flag out", text)
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
	return axes, common, nil
}

// flagValues are the values to give for the flag to become what it is.
func flagValues(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	if f.Value.Type() == "stringToString" {
		return []string{strings.Trim(f.Value.String(), "[]")} // in the form in which it is read
	}
	return []string{f.Value.String()}
}

// prepare reads the setting's flags, as those of run.
func (s *setting) prepare(parent *cobra.Command, scenario string, args []string) (err error) {
	s.runner = &runner{}
	// The runs' tables are in their folders; what is printed is the comparison.
	s.cmd = &cobra.Command{Use: parent.Name()}
	(&cobra.Command{Use: parent.Root().Name()}).AddCommand(s.cmd) // for its path in messages
	s.cmd.SetOut(io.Discard)
	s.cmd.SetErr(parent.ErrOrStderr())
	s.cmd.SetContext(parent.Context())
	s.runner.flags(s.cmd)
	if err := s.cmd.ParseFlags(args); err != nil {
		return err
	}
	if rest := s.cmd.Flags().Args(); len(rest) > 0 {
		return fmt.Errorf("%q is no flag of run", rest[0])
	}
	if s.scenario, err = scenarios.Open(scenario, s.runner.set); err != nil {
		return err
	}
	if s.runner.real, err = s.runner.setup.realPods(); err != nil {
		return err
	}
	if s.runner.setup.provider != kindName {
		setup := &s.runner.setup
		for _, v := range append(s.scenario.Plan().Upgrades, cmp.Or(setup.build.istio, s.scenario.Mesh.Istio, components.DefaultIstio)) {
			if _, err := setup.store(s.cmd.Context(), v); err != nil {
				return err
			}
		}
	}
	return err
}

// planFile lies in the folder of a comparison that was measured.
const planFile = "compare.json"

// plan says what lies where, and in which order it was measured.
type plan struct {
	Scenario string     `json:"scenario"`
	Sides    []planSide `json:"sides"`
	// Order are the runs' folders.
	Order []string `json:"order"`
}

type planSide struct {
	Folder string   `json:"folder"`
	Name   string   `json:"name"`
	Flags  []string `json:"flags"`
}

// measure runs the scenario with each setting in turn, A B A B, so that a drift of the
// machine hits all alike, and gives the folder of the runs. An error beside a folder is
// of the runs: what there is can be compared.
func (c *comparison) measure(cmd *cobra.Command) (dir string, err error) {
	settings, err := c.settings(cmd)
	if err != nil {
		return "", usage(cmd, err)
	}
	// What cannot be had is said before the first run, and no build heats the machine
	// between two.
	for _, s := range settings {
		p := newProgress(cmd.ErrOrStderr())
		p.Phase("preparing " + s.name)
		_, err := s.runner.parts(s.cmd, p, s.scenario, func(error) {})
		p.Close()
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.name, err)
		}
	}
	out := c.out
	if out == "" {
		out = filepath.Join("runs", "compare-"+settings[0].scenario.Name+"-"+time.Now().Format("20060102-150405"))
	}
	if out, err = filepath.Abs(out); err != nil {
		return "", fmt.Errorf("finding the comparison's folder: %w", err)
	}
	p := plan{Scenario: settings[0].scenario.Name}
	var jobs []job
	of := map[string]*setting{}
	for i := range c.repeat {
		for n, s := range settings {
			letter := compare.Letter(n)
			if i == 0 {
				p.Sides = append(p.Sides, planSide{letter, s.name, s.flags})
			}
			run := filepath.Join(letter, fmt.Sprintf("run-%02d", i+1))
			p.Order = append(p.Order, run)
			jobs = append(jobs, job{s.scenario, filepath.Join(out, run)})
			of[jobs[len(jobs)-1].dir] = s
		}
	}
	if err := p.keep(out); err != nil {
		return "", err
	}
	return out, runAll(cmd, jobs, func(_ *cobra.Command, j job) error { return of[j.dir].runner.one(of[j.dir].cmd, j) })
}

// keep writes the plan, once.
func (p plan) keep(dir string) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the comparison's plan: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the comparison's folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, planFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s holds a comparison already: give another folder with --out", dir)
	}
	if err == nil {
		_, err = file.Write(append(text, '\n'))
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("keeping the comparison's plan: %w", err)
	}
	return nil
}

// holdsPlan says whether the folder is that of a comparison that was measured.
func holdsPlan(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, planFile))
	return err == nil
}

// readPlan reads the sides of the comparison in a folder. What is missing, of runs that
// failed or were never made, is left out and said in the notes, with the runs' order.
func readPlan(dir string) (sides []*compare.Side, notes []string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, planFile))
	var p plan
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the plan of the comparison in %s: %w", dir, err)
	}
	notes = []string{"The runs were made in the order " + strings.Join(p.Order, ", ") + "."}
	for _, s := range p.Sides {
		var runs []*compare.Side
		for _, run := range p.Order {
			if filepath.Dir(run) != s.Folder {
				continue
			}
			if !filepath.IsLocal(run) {
				return nil, nil, fmt.Errorf("reading the plan of the comparison in %s: %s is no folder in it", dir, run)
			}
			side, err := compare.ReadRuns(filepath.Join(dir, run))
			if err != nil {
				notes = append(notes, fmt.Sprintf("Run %s of %s is left out: %v", run, s.Name, err))
				continue
			}
			runs = append(runs, side)
		}
		if len(runs) == 0 {
			continue
		}
		side, err := compare.Join(s.Name, runs...)
		if err != nil {
			return nil, nil, err
		}
		side.Setting = true
		sides = append(sides, side)
	}
	if len(sides) < 2 {
		return nil, nil, fmt.Errorf("%s holds runs of fewer than two settings: nothing can be compared\n%s", dir, strings.Join(notes, "\n"))
	}
	return sides, notes, nil
}
