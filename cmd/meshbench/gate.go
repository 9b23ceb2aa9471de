package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/gate"
)

// Exit codes of gates.
const (
	exitRegression = 5 // runs are worse than, or other than, their baseline or reference
	exitCannotTell = 7 // what was measured does not carry the verdict that was asked for
)

func gateCommand() *cobra.Command {
	var (
		baseline string
		limits   []string
		accept   bool
		why      string
		byPairs  pairs
		reader   compare.Reader
		out      documentFiles
	)
	cmd := &cobra.Command{
		Use:   "gate --baseline FILE RUN... | --reference A --candidate B [--scenario NAME]",
		Short: "Find regressions: against a reference in turns on any machine, or a baseline",
		Long: `Find regressions, by pairs or against a baseline.

By pairs: measure a reference and a candidate in turns on this machine and judge what
differs within the pairs. Each side is KEY=VALUE, comma-separated: istio=VERSION,
envoy=VERSION or path, set=KEY=VALUE (a value of the istiod chart), meshbench=PATH (another
meshbench, such as the last release). All other flags of run are shared. Or judge what was
measured before: folders of runs of one machine, or a store of records.

A count that differs in any pair is a regression at once. Memory regresses if it rises
significantly within pairs and by 2 % or more (--alarm); istiod's memory is shown and not
judged unless it has an --alarm. All steps and metrics of a gate together raise a false
alarm at most 5 % of the time. The verdict names the least rise that so many pairs would
have found; --effect fails a gate that would not have found as much. With more than six
pairs (--repeat 8) the gate looks at 6, 8, … and stops on a regression.

Runs lie in runs/gate-SCENARIO-TIME, with records.jsonl (one line a run), verdict.json,
gate.md and gate.html. After an interruption, the same command with --out goes on.

Against a baseline: RUN is the folder of a run or of a repeated run; several are taken for
repeats of one another.

A count that changed is a regression. Memory that rose by more than its limit, and
significantly, is one; a drop of that size is an improvement and passes. Limits are the
baseline's own, else 3.5 % and 0.5 Mi for memory, 3 % and 0.5 Mi for istiod's live heap. They
are made for repeats: with fewer than four runs on a side they are 1.4 times as wide. istiod's
working set is shown and not judged, unless --limit istiod_memory_bytes=... says how; =off
turns off the limit of its live heap, too.

A baseline keeps a class for each machine: how memory is read, CPUs, the build of Envoy and
the like. On a machine without a class counts alone are judged, which the verdict says.
--accept makes the runs the class of their machine, in place of the one before, with a dated
line in its history that says why; other classes stay. docs/metrics.md lists the metrics.

Exit codes: 0 passed, 1 failure or refused, 2 bad usage, 3 an expectation was missed,
4 the run hit its time limit or is not complete, 5 regression, 6 a step was measured
before the mesh settled (unless --allow-unsettled), 7 the pairs cannot tell. Where there are
several, the first of 4, 3, 6, 5, 7 counts.`,
		Example: `  meshbench gate --reference istio=1.23.2 --candidate istio=1.27.0 --scenario headless
  meshbench gate --reference istio=1.23.2 --candidate istio=1.23.2,set=pilot.env.X=y --scenario headless --repeat 8 --effect 3%
  meshbench gate --reference meshbench=/usr/bin/meshbench --candidate meshbench=bin/meshbench --scenario one-pod
  meshbench gate --reference runs/gate-.../reference --candidate runs/gate-.../candidate
  meshbench gate --store records.jsonl --pairs 1-6

  meshbench gate --baseline reports/baselines/headless.json runs/headless-20261124-061500
  meshbench gate --baseline reports/baselines/headless.json --limit sidecar_memory_bytes=2%,1Mi,p=0.01 runs/nightly
  meshbench gate --baseline reports/baselines/headless.json --accept --why "Istio 1.24" runs/nightly`,
		RunE: func(cmd *cobra.Command, args []string) error {
			unsettled := byPairs.common.unsettled
			if byPairs.wanted() {
				for _, name := range []string{"baseline", "limit", "accept", "why"} {
					if cmd.Flags().Changed(name) {
						return usage(cmd, fmt.Errorf("--%s is for gates against a baseline, not for pairs", name))
					}
				}
				byPairs.withResumed = reader.WithResumed
				return byPairs.run(cmd, args, &out)
			}
			for _, name := range append(flagsOfRun(), flagsOfPairs...) {
				if name != "allow-unsettled" && cmd.Flags().Changed(name) {
					return usage(cmd, fmt.Errorf("--%s is for gates by pairs: give --reference and --candidate", name))
				}
			}
			switch {
			case baseline == "":
				return usage(cmd, errors.New("give the baseline: --baseline reports/baselines/NAME.json, or --reference and --candidate"))
			case len(args) == 0:
				return usage(cmd, errors.New("give the folder of a run"))
			case accept && why == "":
				return usage(cmd, errors.New("--accept needs --why TEXT: the reason for the new baseline, for its history"))
			case !accept && why != "":
				return usage(cmd, errors.New("--why goes with --accept"))
			case accept && reader.WithResumed:
				return usage(cmd, fmt.Errorf("--%s does not go with --accept: a baseline is of runs without an interruption", withResumedFlag))
			case accept && unsettled:
				return usage(cmd, errors.New("--allow-unsettled does not go with --accept: a baseline is of a quiet mesh"))
			}
			given := gate.Limits{}
			for _, text := range limits {
				l, err := gate.ParseLimit(text)
				if err != nil {
					return usage(cmd, err)
				}
				maps.Copy(given, l)
			}
			runs, err := readRuns(args, reader)
			if err != nil {
				return err
			}
			before, err := gate.ReadBaseline(baseline)
			if accept && errors.Is(err, os.ErrNotExist) {
				before, err = nil, nil // the first one
			}
			if err != nil {
				return err
			}
			if accept {
				return acceptRuns(cmd, baseline, before, runs, given, why, &out)
			}
			r, err := gate.Gate(before, baseline, runs, gate.Options{Limits: given, AllowUnsettled: unsettled})
			if err != nil {
				return err
			}
			if err := out.write(cmd.OutOrStdout(), r.Document()); err != nil {
				return err
			}
			return exitOf(r.Kind())
		},
	}
	cmd.Flags().StringVar(&baseline, "baseline", "", "the baseline's `FILE`, reports/baselines/NAME.json")
	cmd.Flags().StringArrayVar(&limits, "limit", nil, "limit of a metric instead of the baseline's: `METRIC=PERCENT,ABSOLUTE,p=P`, e.g. sidecar_memory_bytes=3%,0.5Mi,p=0.05, or METRIC=off (repeatable); --accept keeps them in the baseline")
	cmd.Flags().BoolVar(&accept, "accept", false, "make the runs the new baseline")
	cmd.Flags().StringVar(&why, "why", "", "why, for the baseline's history (`TEXT`)")
	byPairs.flags(cmd)
	out.flags(cmd)
	withResumed(cmd.Flags(), &reader.WithResumed)
	return cmd
}

// readRuns reads runs as one side.
func readRuns(dirs []string, reader compare.Reader) (*compare.Side, error) {
	var sides []*compare.Side
	for _, dir := range dirs {
		side, err := reader.ReadRuns(dir)
		if err != nil {
			return nil, err
		}
		sides = append(sides, side)
	}
	if len(sides) == 1 {
		return sides[0], nil
	}
	return compare.Join(fmt.Sprintf("%d folders from %s on", len(dirs), dirs[0]), sides...)
}

// acceptRuns makes the runs the new baseline and prints how it differs from the one before.
func acceptRuns(cmd *cobra.Command, path string, before *gate.Baseline, runs *compare.Side, limits gate.Limits, why string, out *documentFiles) error {
	b, err := gate.Accept(before, runs, limits, why, time.Now())
	if err != nil {
		return err
	}
	if before != nil {
		c, err := compare.Compare([]*compare.Side{before.SideOf(path+" before", runs.Environment), runs})
		if err != nil {
			return err
		}
		if err := out.write(cmd.OutOrStdout(), c.Document()); err != nil {
			return err
		}
	}
	if err := b.Write(path); err != nil {
		return err
	}
	class := b.Latest()
	last := class.History[len(class.History)-1]
	plural := "s"
	if len(last.Runs) == 1 {
		plural = ""
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is now made of %d run%s: %s, %s\n", path, len(last.Runs), plural, last.Date, last.Why)
	if n := len(b.Classes); n > 1 {
		fmt.Fprintf(cmd.OutOrStdout(), "They are its class of %s; those of other machines are as before (%d)\n", class, n-1)
	}
	return nil
}
