package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded"
	"github.com/meshbench/meshbench/harness/cluster/kind"
)

func downCommand() *cobra.Command {
	var name string
	var all bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End a cluster that 'meshbench up' left running, and sweep what crashes left",
		Example: `  meshbench down
  meshbench down --name demo
  meshbench down --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names := []string{name}
			if all {
				living, err := embedded.List()
				if err != nil {
					return err
				}
				if names, err = kindNames(); err != nil {
					return err
				}
				for _, c := range living {
					names = append(names, c.Name)
				}
			}
			var problems []error
			for _, n := range names {
				found, err := endKind(cmd.Context(), n)
				if !found {
					var c *embedded.Cluster
					if c, err = embedded.Attach(n); err == nil {
						err = c.Delete(cmd.Context())
					}
				}
				if err != nil {
					problems = append(problems, fmt.Errorf("ending cluster %s: %w", n, err))
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "cluster %s is gone\n", n)
			}
			problems = append(problems, embedded.Sweep(), kind.Sweep(cmd.Context()))
			return errors.Join(problems...)
		},
	}
	cmd.Flags().StringVar(&name, "name", "meshbench", "the cluster's `name`")
	cmd.Flags().BoolVar(&all, "all", false, "end all clusters of this user")
	cmd.MarkFlagsMutuallyExclusive("name", "all")
	return cmd
}

// deleteAfter deletes a cluster because of err, even when ctx is over.
func deleteAfter(ctx context.Context, c cluster.Cluster, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(err, c.Delete(ctx))
}
