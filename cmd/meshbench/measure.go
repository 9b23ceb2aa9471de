package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/providers"
	"github.com/meshbench/meshbench/scenarios"
)

// observing is the command measure: a mesh as it runs, without a scenario.
type observing struct {
	runner
	observation harness.Observation
	duration    time.Duration
	out         string
	yes         bool
	rights      bool
	clusters    cluster.Source
}

// limitBeyond is how much longer than its pause an observation may take.
const limitBeyond = 15 * time.Minute

func measureCommand() *cobra.Command {
	o := &observing{}
	cmd := &cobra.Command{
		Use:   "measure",
		Short: "Measure the mesh that runs now on any cluster",
		Long: `Measure the mesh that runs now on the cluster of a kubeconfig, without a scenario: memory
and CPU of its sidecars and gateways, istiod's cost, and the configuration counts of a few
proxies. Nothing is changed. The run's folder is one that report, compare, gate and fit
read.

Reading a proxy's configuration makes its Envoy grow until it is restarted. So it is asked
for first, only --witnesses proxies are read, and never one whose pod has the annotation
meshbench.dev/dump: "false". With --metrics-only nothing is read but the API server's own
answers: memory and CPU are known then, counts are not.`,
		Example: `  meshbench measure
  meshbench measure --context prod --namespace shop --for 10m --yes
  meshbench measure --revision 1-23 --witnesses 3 --workload shop/cart
  meshbench measure --metrics-only`,
		Args: cobra.NoArgs,
		RunE: o.run,
	}
	f := cmd.Flags()
	for _, s := range providers.Table() {
		if s.Name() != "existing" {
			continue
		}
		o.clusters = s
		own := pflag.NewFlagSet(s.Name(), pflag.ContinueOnError)
		s.Flags(own)
		own.VisitAll(func(flag *pflag.Flag) {
			switch flag.Name {
			case "kubeconfig", "context", "revision":
				flag.Usage = strings.TrimPrefix(flag.Usage, s.Name()+": ")
				f.AddFlag(flag)
			case "use-installed-istio":
				_ = flag.Value.Set("true") // a bool takes it
			}
		})
	}
	f.StringArrayVar(&o.observation.Namespaces, "namespace", nil, "`namespace` whose proxies are measured (repeatable; default: all)")
	f.StringArrayVar(&o.observation.Of, "workload", nil, "`NAMESPACE/NAME` of a workload to read configuration from (repeatable; default: any)")
	f.IntVar(&o.observation.Witnesses, "witnesses", 1, "`number` of proxies at most whose configuration is read; 0 for none")
	f.DurationVar(&o.duration, "for", 0, "go on for this `time`, and measure again at its end")
	f.BoolVar(&o.observation.MemoryOnly, "metrics-only", false, "read memory and CPU alone, which needs no connection into pods")
	f.BoolVar(&o.yes, "yes", false, "read configurations without asking")
	f.BoolVar(&o.rights, "rights", false, "print the roles that this needs as YAML, and measure nothing")
	f.Uint64Var(&o.observation.Seed, "seed", 0, "`number` that determines which proxies are read (default: random)")
	f.DurationVar(&o.settleLimit, "settle-limit", time.Minute, "longest wait for proxies to acknowledge and for memory to stand still; what does not is measured and marked")
	f.StringVar(&o.settle, "settle", settleStrict, "`how` to know that proxies have their configuration: strict, or blind where istiod does not tell")
	o.memory.flags(f)
	f.StringVar(&o.out, "out", "", "the run's `folder` (default runs/measure-TIME)")
	traceFlag(f, &o.trace)
	return cmd
}

func (o *observing) run(cmd *cobra.Command, _ []string) error {
	if err := o.check(cmd.Flags()); err != nil {
		return usage(cmd, err)
	}
	o.options = assemble.Options{Source: o.clusters, Shares: scenarios.Shares{Real: -1}, Observe: &o.observation}
	scenario := o.observation.Scenario(o.duration)
	if o.rights {
		return printRights(cmd, o.options, scenario)
	}
	dir := o.out
	if dir == "" {
		dir = filepath.Join("runs", "measure-"+time.Now().Format("20060102-150405"))
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot find the run's folder: %w", err)
	}
	if err := o.ask(cmd); err != nil {
		return err
	}
	o.timeout, o.unsettled = o.duration+limitBeyond, true
	return o.one(cmd.Context(), consoleOf(cmd), job{scenario: scenario, dir: dir})
}

// check says what is wrong with the flags.
func (o *observing) check(f *pflag.FlagSet) error {
	if err := checkSettle(o.settle); err != nil {
		return err
	}
	switch {
	case o.observation.Witnesses < 0:
		return fmt.Errorf("--witnesses %d: give 0 or more", o.observation.Witnesses)
	case o.duration < 0 || o.duration%time.Second != 0:
		return fmt.Errorf("--for %s: give whole seconds, e.g. 10m", o.duration)
	case o.observation.MemoryOnly && (len(o.observation.Of) > 0 || f.Changed("witnesses") && o.observation.Witnesses > 0):
		return errors.New("--metrics-only reads no configuration: leave --workload and --witnesses out")
	case len(o.observation.Of) > 0 && o.observation.Witnesses == 0:
		return errors.New("--workload says whose configuration is read: --witnesses 0 reads none")
	}
	if i := slices.IndexFunc(o.observation.Of, func(w string) bool {
		namespace, name, ok := strings.Cut(w, "/")
		return !ok || namespace == "" || name == ""
	}); i >= 0 {
		return fmt.Errorf("--workload %s: give NAMESPACE/NAME", o.observation.Of[i])
	}
	if o.observation.MemoryOnly {
		o.observation.Witnesses = 0
	}
	if !f.Changed("seed") {
		o.observation.Seed = rand.Uint64()
	}
	var err error
	o.source, err = o.memory.read(f)
	return err
}

// ask asks whether configurations may be read, if any are to be.
func (o *observing) ask(cmd *cobra.Command) error {
	n := o.observation.Witnesses
	if n == 0 || o.yes {
		return nil
	}
	proxies := "1 proxy"
	if n > 1 {
		proxies = fmt.Sprintf("up to %d proxies", n)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "The configuration of %s will be read. Each one's Envoy grows by that until it is restarted:\nby about five times the size of its configuration (20 MiB for 4 MB were seen).\n", proxies)
	yes, err := confirm(cmd.Context(), cmd.ErrOrStderr(), "Go on?")
	switch {
	case errors.Is(err, errNobody):
		return usage(cmd, fmt.Errorf("%w, or read none with --witnesses 0", err))
	case err != nil:
		return err
	case !yes:
		return &exit{code: exitFailure, err: errors.New("nothing was read: --witnesses 0 measures without configurations")}
	}
	return nil
}
