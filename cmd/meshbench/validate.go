package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/scenarios"
)

func validateCommand() *cobra.Command {
	var set map[string]string
	cmd := &cobra.Command{
		Use:   "validate SCENARIO...",
		Short: "Validate scenario files and list all problems",
		Example: `  meshbench validate my-experiment.yaml
  meshbench validate headless --set replicas=30`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var problems []error
			for _, name := range args {
				s, err := scenarios.Loader{Set: set, Render: assemble.Renderer()}.Open(name)
				if err != nil {
					problems = append(problems, err)
					continue
				}
				warnings(cmd.ErrOrStderr(), s)
				fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %d steps, sizes %s\n", name, len(s.Steps), sizes(s))
			}
			if len(problems) > 0 {
				return &exit{exitUsage, errors.Join(problems...)}
			}
			return nil
		},
	}
	setFlag(cmd.Flags(), &set)
	return cmd
}

// setFlag adds --set.
func setFlag(f *pflag.FlagSet, set *map[string]string) {
	f.StringToStringVar(set, "set", nil, "a `size` or choice of the scenario, e.g. replicas=30 (repeatable)")
}

// sizes are a scenario's parameters in words.
func sizes(s *scenarios.Scenario) string {
	all := s.Choices()
	for name, size := range s.Sizes() {
		all[name] = strconv.Itoa(size)
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		words = append(words, name+"="+all[name])
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}
