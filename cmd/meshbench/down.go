package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/cluster"
)

func downCommand() *cobra.Command {
	var name, run string
	var all bool
	var where places
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Delete clusters created by 'meshbench up' and clean up after crashes",
		Long: `Delete clusters created by 'meshbench up' and clean up after crashes, on this machine or,
with --cluster, in a cloud.`,
		Example: `  meshbench down
  meshbench down --name demo
  meshbench down --all
  meshbench down --cluster eks --run eks-nginx-4711`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen, err := where.chosen()
			if err != nil {
				return usage(cmd, err)
			}
			name = cmp.Or(run, name)
			if c, ok := chosen.(cluster.Collector); ok {
				if all {
					return usage(cmd, errors.New("--all is for this machine: meshbench gc deletes what runs left in a cloud"))
				}
				found, err := collect(cmd, c, name, false)
				if err == nil && found == 0 {
					err = fmt.Errorf("cannot delete cluster %s: %w of that name on %s", name, cluster.ErrNoCluster, c.Name())
				}
				return err
			}
			if err := where.foreign(cmd.Flags(), chosen); err != nil {
				return usage(cmd, err)
			}
			sources := where.here()
			if chosen != nil {
				sources = []cluster.Source{chosen}
			}
			names := []string{name}
			var problems []error
			if all {
				var err error
				if names, err = clusterNames(cmd.Context(), sources); err != nil {
					problems = append(problems, err)
				}
			}
			for _, n := range names {
				if err := endCluster(cmd.Context(), sources, n); err != nil {
					problems = append(problems, fmt.Errorf("cannot delete cluster %s: %w", n, err))
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "cluster %s is gone\n", n)
			}
			for _, s := range sources {
				problems = append(problems, s.Sweep(cmd.Context()))
			}
			return errors.Join(problems...)
		},
	}
	cmd.Flags().StringVar(&name, "name", "meshbench", "the cluster's `name`")
	cmd.Flags().BoolVar(&all, "all", false, "delete all clusters of this user")
	cmd.Flags().StringVar(&run, "run", "", "the run's `ID` instead of the cluster's name")
	where.flags(cmd.Flags(), "where the cluster came from (default: all on this machine)")
	cmd.MarkFlagsMutuallyExclusive("name", "all", "run")
	return cmd
}

// clusterNames returns the names of this user's clusters.
func clusterNames(ctx context.Context, sources []cluster.Source) ([]string, error) {
	var names []string
	var problems []error
	for _, s := range sources {
		found, err := s.List(ctx)
		names, problems = append(names, found...), append(problems, err)
	}
	return names, errors.Join(problems...)
}

// endCluster deletes a cluster, whichever source it is of.
func endCluster(ctx context.Context, sources []cluster.Source, name string) error {
	for _, s := range sources {
		if err := s.Delete(ctx, name); !errors.Is(err, cluster.ErrNoCluster) {
			return err
		}
	}
	names, err := clusterNames(ctx, sources)
	there := "there are none"
	if len(names) > 0 {
		there = "there are " + strings.Join(names, ", ")
	}
	return errors.Join(fmt.Errorf("%w of that name; %s", cluster.ErrNoCluster, there), err)
}
