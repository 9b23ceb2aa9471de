package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/inventory"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/harness/trial"
	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/advice"
	"github.com/meshbench/meshbench/scenarios"
)

// verifying are the flags of a trial.
type verifying struct {
	scenario string
	set      map[string]string
	real     string
	istio    string
	timeout  time.Duration
}

// verificationFile is what a trial writes beside the advice.
const verificationFile = "verification.json"

func (v *verifying) flags(f *pflag.FlagSet) {
	f.StringVar(&v.scenario, "verify", "", "run this `SCENARIO` on the embedded cluster, apply what is proposed, and show predicted beside measured")
	f.StringToStringVar(&v.set, "set", nil, "a parameter of the scenario, `NAME=VALUE` (repeatable)")
	f.StringVar(&v.real, "real", "2", "sidecars to run per Deployment: a `number`, or all; memory is read of those that are not dumped")
	f.StringVar(&v.istio, "istio", "", "Istio `version` (default: the scenario's)")
	f.DurationVar(&v.timeout, "timeout", 30*time.Minute, "limit of the run")
}

// check says what is wrong with the flags.
func (v *verifying) check(cmd *cobra.Command, a *advising) error {
	if v.scenario == "" {
		for _, name := range []string{"set", "real", "istio", "timeout"} {
			if cmd.Flags().Changed(name) {
				return fmt.Errorf("--%s is for --verify SCENARIO", name)
			}
		}
		return nil
	}
	switch {
	case a.mesh.live || len(a.mesh.files) > 0 || len(a.calls.from) > 0:
		return errors.New("--verify makes the mesh of its scenario: leave out --kubeconfig, --context, --mesh and --from")
	case a.mesh.apply:
		return errors.New("--verify applies to its own cluster: leave --apply out")
	case a.json:
		return errors.New("--verify writes JSON into its folder: leave --json out")
	}
	return nil
}

// verified tries scopes out.
func (a *advising) verified(cmd *cobra.Command) error {
	out := a.out
	if out == "" {
		out = filepath.Join("runs", "advise-"+time.Now().Format("20060102-150405"))
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("cannot find the run's folder: %w", err)
	}
	options, err := a.verify.options()
	if err != nil {
		return usage(cmd, err)
	}
	base, err := options.Open(a.verify.scenario, a.verify.set)
	if err != nil {
		return &exit{exitUsage, err}
	}
	declared, err := a.calls.read(cmd.Context(), callgraph.Names{}, nil)
	if err != nil {
		return err
	}
	declared = callgraph.Join(declared, trial.Declared(base))
	if len(declared.Seen) == 0 {
		return usage(cmd, fmt.Errorf("scenario %s has no action graph, which declares calls: say who calls whom with --calls", base.Name))
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("cannot make the folder for the run: %w", err)
	}
	t, s, err := trial.Make(base, declared, out, func(path string) (*scenarios.Scenario, error) { return options.Open(path, nil) })
	if err != nil {
		return optionError(cmd.CommandPath(), err)
	}
	v := &verification{advising: a, trial: t, declared: declared, dir: filepath.Join(out, "run"), made: t.Made()}
	r := &runner{options: options, timeout: a.verify.timeout, settle: settleStrict, forcedGC: true, prepare: v.prepare}
	r.source.Through = memorySources[0]
	outcome, err := r.measure(cmd.Context(), consoleOf(cmd), job{scenario: s, dir: v.dir, part: true})
	if outcome == "" {
		return optionError(cmd.CommandPath(), err)
	}
	if err := r.conclude(io.Discard, job{scenario: s, dir: v.dir, part: true}, outcome, err); err != nil {
		var coded *exit
		if !errors.As(err, &coded) || coded.code != exitMissed && coded.code != exitUnsettled {
			return err // the run's end; missed expectations are of the calls, and are told below
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "meshbench: "+err.Error())
	}
	return v.conclude(cmd, out)
}

// options are those of the embedded cluster.
func (v *verifying) options() (assemble.Options, error) {
	all := bindSources(pflag.NewFlagSet("", pflag.ContinueOnError), func(s cluster.Source, f *pflag.FlagSet) { s.Flags(f) }) // which sets the defaults
	source, err := all.named("embedded")
	if err != nil {
		return assemble.Options{}, err
	}
	real, err := share("--real", "sidecars", v.real)
	return assemble.Options{Source: source, Shares: scenarios.Shares{Real: real}, Programs: assemble.Programs{Istio: v.istio}}, err
}

// verification is a trial on its way.
type verification struct {
	*advising
	trial    *trial.Trial
	declared *callgraph.Graph
	made     *callgraph.Graph // the calls that are made
	dir      string           // the run's

	advised *advice.Advice
	sources []advice.SourceScopes
}

// prepare proposes scopes once the calls were made unscoped, and has them applied.
func (v *verification) prepare(ctx context.Context, at harness.Preparing) ([]scenarios.Change, error) {
	if at.Step != trial.StepScoped {
		return nil, nil
	}
	objects, err := inventory.Read(ctx, at.Client)
	if err != nil {
		return nil, fmt.Errorf("read the mesh: %w", err)
	}
	mesh := advice.MeshOf(advice.Items(objects))
	v.advised = advice.Advise(mesh, v.declared, advice.Options{By: v.by})
	model, err := v.prices.model.read()
	if err != nil {
		return nil, err
	}
	dumps, err := dumpsOfRun(v.dir)
	if err != nil {
		return nil, err
	}
	v.advised.Price(model, dumps)
	if err := v.find(ctx, at, mesh); err != nil {
		return nil, err
	}
	scopes, resources := proposed(v.advised)
	refused, err := inventory.DryRun(ctx, at.Client, resources)
	if err != nil {
		return nil, err
	}
	for i, s := range scopes {
		if why := refused[i]; why != nil {
			return nil, fmt.Errorf("the API server refuses the scope of namespace %s: %w", s.Namespace, why)
		}
		s.Checked = "the embedded cluster"
	}
	if len(scopes) == 0 {
		return nil, errors.New("no scope is proposed: declare what the scenario's namespaces call with --calls")
	}
	var text strings.Builder
	if err := v.advised.WriteYAML(&text); err != nil {
		return nil, err
	}
	return []scenarios.Change{&scenarios.Apply{Manifest: text.String()}}, nil
}

// find looks for the same calls in the access logs and in what the witnesses' Envoys count.
func (v *verification) find(ctx context.Context, at harness.Preparing, mesh *advice.Mesh) error {
	names := mesh.Names()
	pods, _, err := inventory.Proxies(ctx, at.Sampler, nil, 0)
	if err != nil {
		return err
	}
	logged, err := readEach(names, callgraph.AccessLog, func(read func(sample.Pod, io.Reader) error) error {
		return inventory.Logs(ctx, at.Client, pods, read)
	})
	if err != nil {
		return err
	}
	files, err := clustersOfRun(v.dir)
	if err != nil {
		return err
	}
	counted, err := callgraph.ReadFiles(files, names, callgraph.Clusters)
	if err != nil {
		return err
	}
	v.sources = []advice.SourceScopes{
		advice.Compare(v.advised, v.made, "access logs", logged),
		advice.Compare(v.advised, v.made, "what the witnesses' Envoys count by endpoint (/clusters)", counted),
	}
	return nil
}

// conclude compares what was predicted with what was measured.
func (v *verification) conclude(cmd *cobra.Command, out string) error {
	records, _, err := observations.ReadFile(filepath.Join(v.dir, observations.LogName))
	if err != nil {
		return fmt.Errorf("cannot read the run: %w", err)
	}
	found := advice.Verify(v.advised, records, advice.Trial{
		Before: v.trial.Before, Scoped: trial.StepScoped, Restarted: trial.StepRestarted,
		Asked: []string{trial.StepAsked, trial.StepScopedAsk, trial.StepAskedAgain},
	})
	found.Sources = v.sources
	for _, s := range v.trial.Skipped {
		found.NotAsked = append(found.NotAsked, advice.NotAsked{Call: s.Call.From.String() + " to " + s.Call.To.String(), Why: s.Why})
	}
	text, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the verification: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(out, verificationFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("cannot write the verification: %w", err)
	}
	v.out = out
	if err := v.write(cmd.OutOrStdout(), v.advised, nil); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout())
	if err := found.Print(cmd.OutOrStdout()); err != nil {
		return err
	}
	cut, never := found.Broken()
	differ := slices.ContainsFunc(found.Sources, func(s advice.SourceScopes) bool { return len(s.Differ) > 0 })
	switch {
	case len(cut)+len(never) > 0:
		return &exit{exitMissed, fmt.Errorf("%d calls are cut by the scopes, %d failed without them; see above", len(cut), len(never))}
	case differ:
		return &exit{exitMissed, errors.New("access logs or /clusters lead to other scopes than the declared calls; see above")}
	}
	return nil
}
