package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/scenarios"
)

func runCommand() *cobra.Command {
	var (
		set         map[string]string
		out         string
		timeout     time.Duration
		settleLimit time.Duration
		setup       setup
	)
	cmd := &cobra.Command{
		Use:   "run SCENARIO",
		Short: "Run a scenario: cluster, mesh, steps, report",
		Long: `Run a scenario, one of the built-in ones (meshbench list) or a file: make a cluster,
install Istio, do the steps, measure after each, and print the report. Everything lies
in the run's folder afterwards; the cluster is gone, however the run ends.

Exit codes: 0 all expectations hold, 1 failure, 2 bad usage or a bad scenario file,
3 an expectation was missed, 4 the time limit was hit, 130 interrupted.`,
		Example: `  meshbench run headless
  meshbench run headless --set replicas=30 --real 5
  meshbench run eks-nginx --real all --out runs/all-real
  meshbench run ./my-experiment.yaml --mesh-set pilot.env.PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES=true`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			scenario, err := scenarios.Open(args[0], set)
			if err != nil {
				return &exit{exitUsage, err}
			}
			real, err := setup.realPods()
			if err != nil {
				return usage(cmd, err)
			}
			if out == "" {
				out = filepath.Join("runs", scenario.Name+"-"+time.Now().Format("20060102-150405"))
			}
			if out, err = filepath.Abs(out); err != nil {
				return fmt.Errorf("finding the run's folder: %w", err)
			}
			p := newProgress(cmd.ErrOrStderr())
			outcome, err := func() (string, error) {
				defer p.Close()
				// A cluster that breaks ends the run.
				ctx, broken := context.WithCancelCause(cmd.Context())
				defer broken(nil)
				spec := cluster.Spec{Nodes: harness.NodeGroups(scenario.Cluster.Nodes), RealPerDeployment: real}
				parts, err := setup.assemble(cmd, p, spec, broken, scenario.Mesh.Istio, scenario.Mesh.Values)
				if err != nil {
					return "", err
				}
				return harness.Run(ctx, harness.Options{
					Scenario: scenario, Provider: parts.provider, Mesh: parts.installer,
					Dir: out, Real: real, Timeout: timeout, SettleLimit: settleLimit,
					Components: parts.set.Versions(), Meshbench: version, Command: os.Args[1:],
					Progress: p,
				})
			}()
			if outcome == "" {
				return err // before anything was started
			}
			return conclude(cmd, out, outcome, err)
		},
	}
	setFlag(cmd, &set)
	cmd.Flags().StringVar(&out, "out", "", "the run's `folder` (default runs/SCENARIO-TIME)")
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Minute, "limit of the whole run")
	cmd.Flags().DurationVar(&settleLimit, "settle-limit", harness.DefaultSettleLimit, "longest wait for a quiet mesh at each step that sets none")
	setup.flags(cmd)
	return cmd
}

// conclude reports on what the log holds and turns the outcome into an exit code.
func conclude(cmd *cobra.Command, dir, outcome string, err error) error {
	r, e := report(cmd.OutOrStdout(), dir)
	if e != nil && outcome == harness.Finished {
		return e
	}
	// A run that ended before its first record has no report; why it ended says more.
	code := map[string]int{harness.TimedOut: exitTimeout, harness.Interrupted: exitInterrupted, harness.Failed: exitFailure}[outcome]
	if err != nil {
		return &exit{max(code, exitFailure), fmt.Errorf("%w\nLogs are in %s", err, filepath.Join(dir, "cluster"))}
	}
	if missed := r.Missed(); len(missed) > 0 {
		lines := make([]string, len(missed))
		for i, m := range missed {
			lines[i] = m.String()
		}
		return &exit{exitMissed, errors.New("expectations were missed:\n  " + strings.Join(lines, "\n  "))}
	}
	return nil
}
