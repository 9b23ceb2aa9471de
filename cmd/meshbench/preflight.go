package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/scenarios"
)

func preflightCommand() *cobra.Command {
	var (
		set    map[string]string
		rights bool
		flags  clusterFlags
	)
	cmd := &cobra.Command{
		Use:   "preflight SCENARIO",
		Short: "See whether a scenario can be run on a cluster that is there already",
		Long: `See whether a scenario can be run on a cluster that is there already: whether its API
server answers, whether this user may do what the run does, whether Istio is there, whether
pods would be admitted, and whether there is room. Nothing is changed: what has to be tried
is tried by dry runs. The run itself looks first, too.

With --rights, print the roles that the run needs, for an administrator to apply.`,
		Example: `  meshbench preflight headless --cluster existing
  meshbench preflight headless --cluster existing --use-installed-istio --revision 1-23
  meshbench preflight headless --cluster existing --rights | kubectl apply -f -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.read(cmd.Flags())
			if err != nil {
				return usage(cmd, err)
			}
			s, err := options.Open(args[0], set)
			if err != nil {
				return optionError(cmd.CommandPath(), err)
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.Close()
			options.Progress = p
			if rights {
				return printRights(cmd, options, s)
			}
			if err := options.Preflight(cmd.Context(), s); err != nil {
				return optionError(cmd.CommandPath(), err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s\n", args[0], ready(s))
			return nil
		},
	}
	setFlag(cmd.Flags(), &set)
	cmd.Flags().BoolVar(&rights, "rights", false, "print the roles that the run needs as YAML")
	flags.flags(cmd.Flags())
	return cmd
}

// printRights prints the roles that options need for a scenario.
func printRights(cmd *cobra.Command, options assemble.Options, s *scenarios.Scenario) error {
	text, err := options.Rights(cmd.Context(), s)
	if err == nil {
		_, err = cmd.OutOrStdout().Write(text)
	}
	return optionError(cmd.CommandPath(), err)
}

// ready says what a run will need, which the cluster has.
func ready(s *scenarios.Scenario) string {
	plan := s.Plan()
	return fmt.Sprintf("pods at one time: %d, with sidecars: %d", plan.MostPods, plan.Sidecars(-1))
}
