package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/scenarios"
)

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the built-in scenarios",
		Example: "  meshbench list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := scenarios.Listed()
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(table, "NAME\tSTEPS\tSIZES\tTITLE")
			for _, s := range all {
				fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", s.Name, len(s.Steps), sizes(s), s.Title)
			}
			return table.Flush()
		},
	}
}
