package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/harness/components"
)

func exportCommand() *cobra.Command {
	var programs assemble.Programs
	var knative string
	var all, traffic bool
	cmd := &cobra.Command{
		Use:   "export FILE [NAME...]",
		Short: "Write the components into one file for other machines",
		Long: `Write what the embedded cluster needs into one file, which 'meshbench components import'
puts into the cache of another machine of the same platform: for machines without network,
Go or Python, and for those that should not build. What is missing is obtained first.

The file holds programs as they were built for this version of meshbench and its version of
Go. Another version of meshbench takes from it only what it would build in the same way.`,
		Example: `  meshbench components export bundle.tar.zst
  meshbench components export bundle.tar.zst --istio 1.27.0
  meshbench components export clients.tar.zst kubectl istioctl
  meshbench components export traffic.tar.zst --traffic
  meshbench components export everything.tar.zst --all    # all versions that are in the cache`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 1 {
				return usage(cmd, errors.New("give --all or names of components, not both"))
			}
			if components.Source(programs.From) != components.FromModules || strings.Contains(programs.Envoy, "/") {
				return usage(cmd, errors.New("a bundle holds what is pinned and built from modules, without --from images and an Envoy of your own"))
			}
			options, err := programs.Options(cmd.Context())
			if err != nil {
				return &exit{exitUsage, err}
			}
			options.Knative, options.Traffic = knative, traffic
			store, err := components.New(options)
			if err != nil {
				return &exit{exitUsage, err}
			}
			if err := components.CheckExport(args[0]); err != nil {
				return err
			}
			var want []components.Name
			for _, a := range args[1:] {
				want = append(want, components.Name(a))
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.Close()
			if !all {
				if _, err := assemble.Obtain(cmd.Context(), p, store, want...); err != nil {
					return err
				}
			}
			p.Phase("export")
			made, err := store.Export(cmd.Context(), args[0], components.Export{
				Meshbench: version, All: all, Say: func(text string) { p.Status("%s", text) },
			}, want...)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d components, %.1f Mi packed into %.1f Mi, sha256 %s\n",
				args[0], made.Components, float64(made.Bytes)/(1<<20), float64(made.Packed)/(1<<20), made.SHA256)
			return nil
		},
	}
	programFlags(cmd.Flags(), &programs)
	knativeFlag(cmd.Flags(), &knative)
	trafficFlag(cmd.Flags(), &traffic)
	cmd.Flags().BoolVar(&all, "all", false, "everything in the cache that this meshbench uses, of all versions; obtains nothing")
	return cmd
}

func importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Put components from a file into the cache",
		Long: `Put components that 'meshbench components export' wrote into the cache, so that nothing
has to be built or downloaded. FILE may be - for standard input.

All of the file is checked before anything is put there: its platform, and the size and
sha256 of every file. What is in the cache stays. What this version of meshbench would not
use is left out and named. The hashes find damage, not malice: import files from people
whose programs you would run.`,
		Example: `  meshbench components import bundle.tar.zst
  curl -L https://example.com/bundle.tar.zst | meshbench components import -
  MESHBENCH_CACHE=/srv/meshbench meshbench components import bundle.tar.zst`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := components.New(components.Options{})
			if err != nil {
				return err
			}
			from, name := cmd.InOrStdin(), "standard input"
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("cannot import components: %w", err)
				}
				defer f.Close()
				from, name = f, args[0]
			}
			p := newProgress(cmd.ErrOrStderr())
			p.Phase("import")
			made, err := store.Import(cmd.Context(), from, func(text string) { p.Status("%s", text) })
			p.Close()
			if err != nil {
				return fmt.Errorf("cannot import components from %s: %w", name, err)
			}
			printImported(cmd.OutOrStdout(), cmd.ErrOrStderr(), made)
			return nil
		},
	}
}

// printImported prints what was put into the cache, and what was left out and why.
func printImported(out, notes io.Writer, made *components.Imported) {
	for _, c := range made.Added {
		fmt.Fprintf(out, "%s %s %s\n", c.Name, c.Version, c.Path)
	}
	if n := len(made.Present); n > 0 {
		fmt.Fprintf(notes, "%d in the cache already, left as they are\n", n)
	}
	if len(made.Unused) > 0 {
		fmt.Fprintf(notes, "this bundle was made by meshbench %s; this is meshbench %s, built by %s, which does not use what it has of %s\n",
			made.Meshbench, version, runtime.Version(), strings.Join(made.Unused, ", "))
	}
	if len(made.Differ) > 0 {
		fmt.Fprintf(notes, "%s differ and will be built when needed\n", strings.Join(made.Differ, ", "))
	}
}
