package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/providers"
)

func downCommand() *cobra.Command {
	var name string
	var all bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Delete clusters created by 'meshbench up' and clean up after crashes",
		Example: `  meshbench down
  meshbench down --name demo
  meshbench down --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources := providers.Table()
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
	cmd.MarkFlagsMutuallyExclusive("name", "all")
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
