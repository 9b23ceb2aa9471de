package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/scenarios"
)

// setting is one side of what compare or gate measures in turns: how its runs are made.
type setting struct {
	name     string   // for people
	flags    []string // of run, that the other settings have otherwise
	runner   *runner
	scenario *scenarios.Scenario
	// program is another meshbench that makes the runs, with arguments of run that stand for
	// the common flags; "" for this one.
	program   string
	arguments []string
}

// one does one run of the setting.
func (s *setting) one(ctx context.Context, to console, j job) error {
	if s.program == "" {
		return s.runner.one(ctx, to, j)
	}
	return runProgram(ctx, to, s.program, slices.Concat([]string{"run"}, s.arguments, s.flags, []string{"--out", j.dir}))
}

// runProgram runs another meshbench. Its exit code is that of its command.
func runProgram(ctx context.Context, to console, program string, args []string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = plain.Raw(to.out), plain.Raw(to.err) // a terminal stays one to it
	// It is not to hear Ctrl-C twice, which would end it without cleaning up; and not to
	// outlive this process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Minute
	// Pdeathsig is sent when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return &exit{exitInterrupted, context.Cause(ctx)}
	case errors.As(err, &ended):
		return &exit{ended.ExitCode(), fmt.Errorf("%s %s: %w", program, args[0], err)}
	case err != nil:
		return fmt.Errorf("cannot start %s: %w", program, err)
	}
	return nil
}

// given are the flags of run that the command line gave, as arguments.
func given(f *pflag.FlagSet) []string {
	known := pflag.NewFlagSet("run", pflag.ContinueOnError)
	(&runner{}).flags(known)
	var args []string
	f.Visit(func(flag *pflag.Flag) {
		if known.Lookup(flag.Name) == nil {
			return
		}
		values := valuesOf(flag)
		if flag.Name == "set" {
			values = strings.Split(values[0], ",")
		}
		for _, v := range values {
			args = append(args, "--"+flag.Name+"="+v)
		}
	})
	slices.Sort(args)
	return args
}

// valuesOf are a flag's values: more than one only of a list.
func valuesOf(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	if f.Value.Type() == "stringToString" { // pflag prints maps in brackets, and does not read them so
		return []string{strings.TrimSuffix(strings.TrimPrefix(f.Value.String(), "["), "]")}
	}
	return []string{f.Value.String()}
}

// prepare makes the setting's runner: the common flags' values with the setting's own
// flags over them.
func (s *setting) prepare(cmd *cobra.Command, common *runner, scenario string) (err error) {
	s.runner = &runner{}
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.runner.flags(f)
	if err := inherit(f, cmd.Flags()); err != nil {
		return err
	}
	if err := f.Parse(s.flags); err != nil {
		return err
	}
	if rest := f.Args(); len(rest) > 0 {
		return fmt.Errorf("%q is not a flag of run", rest[0])
	}
	set := maps.Clone(common.set)
	if set == nil {
		set = map[string]string{}
	}
	maps.Copy(set, s.runner.set)
	s.runner.set = set
	if err := s.runner.read(f); err != nil {
		return err
	}
	if s.scenario, err = s.runner.options.Open(scenario, set); err != nil {
		return err
	}
	return s.runner.options.Check(cmd.Context(), s.scenario)
}

// inherit gives flags the values that flags of the same name were given; a list's own
// values are added to them later. The map of --set is left to the caller, since pflag's
// maps cannot be added to.
func inherit(to, from *pflag.FlagSet) error {
	var errs []error
	from.Visit(func(given *pflag.Flag) {
		if to.Lookup(given.Name) == nil || given.Name == "set" {
			return
		}
		for _, value := range valuesOf(given) {
			errs = append(errs, to.Set(given.Name, value))
		}
	})
	return errors.Join(errs...)
}

// obtain prints the settings' warnings and obtains what they are made of.
func obtain(cmd *cobra.Command, settings []*setting) error {
	// What cannot be had is reported before the first run, and no build heats the machine
	// between two.
	for _, s := range settings {
		s.runner.warn(cmd.ErrOrStderr(), []*scenarios.Scenario{s.scenario})
		p := newProgress(cmd.ErrOrStderr())
		p.Phase("preparing " + s.name)
		options := s.runner.options
		options.Progress, options.Confirm = p, p.Confirm
		_, err := options.Run(cmd.Context(), s.scenario)
		p.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
