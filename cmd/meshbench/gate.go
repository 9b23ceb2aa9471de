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

// exitRegression is for runs that are worse than, or other than, their baseline.
const exitRegression = 5

func gateCommand() *cobra.Command {
	var (
		baseline  string
		limits    []string
		accept    bool
		why       string
		unsettled bool
		out       documentFiles
	)
	cmd := &cobra.Command{
		Use:   "gate --baseline FILE RUN...",
		Short: "Compare runs with a baseline, or accept them as the new baseline",
		Long: `Compare runs with the baseline of their scenario. RUN is the folder of a run or of a
repeated run; several are taken for repeats of one another.

A count that changed is a regression. Memory that rose by more than its limit, and
significantly, is one; a drop of that size is an improvement and passes. Limits are the
baseline's own, else 3.5 % and 0.5 Mi for memory, 3 % and 0.5 Mi for istiod's live heap. They
are made for repeats: with fewer than four runs on a side they are 1.4 times as wide. istiod's
working set is shown and not judged, unless --limit istiod_memory_bytes=... says how; =off
turns off the limit of its live heap, too.

Runs that differ from the baseline in what memory depends on are refused; on another
machine counts alone can be judged, with --limit sidecar_memory_bytes=off
--limit istiod_memory_bytes=off. docs/metrics.md lists the metrics.
--accept makes the runs the new baseline, with a dated line in its history that says why.

Exit codes: 0 passed, 1 failure or refused, 2 bad usage, 3 an expectation was missed,
4 the run hit its time limit or is not complete, 5 regression, 6 a step was measured
before the mesh settled (unless --allow-unsettled). Where there are several, the first of
4, 3, 6, 5 counts.`,
		Example: `  meshbench gate --baseline reports/baselines/headless.json runs/headless-20261124-061500
  meshbench gate --baseline reports/baselines/headless.json --limit sidecar_memory_bytes=2%,1Mi,p=0.01 runs/nightly
  meshbench gate --baseline reports/baselines/headless.json --accept --why "Istio 1.24" runs/nightly`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case baseline == "":
				return usage(cmd, errors.New("give the baseline: --baseline reports/baselines/NAME.json"))
			case accept && why == "":
				return usage(cmd, errors.New("--accept needs --why TEXT: the reason for the new baseline, for its history"))
			case !accept && why != "":
				return usage(cmd, errors.New("--why goes with --accept"))
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
			runs, err := readRuns(args)
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
			switch r.Kind() {
			case gate.TimedOut, gate.Unfinished:
				return &exit{code: exitTimeout}
			case gate.Missed:
				return &exit{code: exitMissed}
			case gate.Unsettled:
				return &exit{code: exitUnsettled}
			case gate.Regression:
				return &exit{code: exitRegression}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&baseline, "baseline", "", "the baseline's `FILE`, reports/baselines/NAME.json")
	cmd.Flags().StringArrayVar(&limits, "limit", nil, "limit of a metric instead of the baseline's: `METRIC=PERCENT,ABSOLUTE,p=P`, e.g. sidecar_memory_bytes=3%,0.5Mi,p=0.05, or METRIC=off (repeatable); --accept keeps them in the baseline")
	cmd.Flags().BoolVar(&accept, "accept", false, "make the runs the new baseline")
	cmd.Flags().BoolVar(&unsettled, "allow-unsettled", false, "judge steps that were measured before the mesh settled (exit code 6 otherwise)")
	cmd.Flags().StringVar(&why, "why", "", "why, for the baseline's history (`TEXT`)")
	out.flags(cmd)
	return cmd
}

// readRuns reads runs as one side.
func readRuns(dirs []string) (*compare.Side, error) {
	var sides []*compare.Side
	for _, dir := range dirs {
		side, err := compare.ReadRuns(dir)
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
		c, err := compare.Compare([]*compare.Side{before.Side(path + " before"), runs})
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
	last := b.History[len(b.History)-1]
	plural := "s"
	if len(last.Runs) == 1 {
		plural = ""
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is now made of %d run%s: %s, %s\n", path, len(last.Runs), plural, last.Date, last.Why)
	return nil
}
