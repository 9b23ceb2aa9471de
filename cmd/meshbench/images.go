package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/images"
)

func imagesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "images",
		Short: "Build container images of the components",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(imagesBuildCommand())
	return cmd
}

func imagesBuildCommand() *cobra.Command {
	var programs assemble.Programs
	var out, rootfs string
	cmd := &cobra.Command{
		Use:   "build --out FILE --rootfs FOLDER|TAR",
		Short: "Write an archive with the images that a cluster with real nodes needs",
		Long: `Write one archive with the images istio/pilot, istio/proxyv2 and metrics-server, made of
the same programs that the embedded cluster runs, so that kind can run Istio on a machine
without an image registry. The same components and root file system make the same archive.

The proxy's image stands on a root file system of yours, a folder or a tar archive, with
glibc and iptables. Two ways to make one:

  mmdebstrap --variant=minbase --include=iptables,ca-certificates bookworm rootfs.tar
  docker export $(docker create IMAGE-WITH-IPTABLES) > rootfs.tar

Images are named as they are published; --hub renames them. An image with upstream's Envoy
bears the label ` + images.EnvoyLabel + `=` + images.UpstreamEnvoy + `.`,
		Example: `  meshbench images build --rootfs rootfs.tar --out images.tar
  meshbench images build --rootfs rootfs.tar --out images.tar --istio 1.22.3,1.23.2
  kind load image-archive images.tar
  meshbench run eks-nginx --cluster kind --image-archive images.tar`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" || rootfs == "" {
				return usage(cmd, errors.New("give --out FILE, the archive to write, and --rootfs, a folder or tar archive with the root file system of the proxy's image"))
			}
			if _, err := os.Stat(rootfs); err != nil {
				return usage(cmd, fmt.Errorf("--rootfs: %w", err))
			}
			options, err := programs.Options(cmd.Context())
			if err != nil {
				return usage(cmd, err)
			}
			var stores []*components.Store
			for _, options.Istio = range strings.Split(options.Istio, ",") {
				store, err := components.New(options)
				if err != nil {
					return usage(cmd, err)
				}
				stores = append(stores, store)
			}
			made, err := buildImages(cmd, stores, out, images.Options{RootFS: rootfs, Hubs: options.Hubs})
			if err != nil {
				return err
			}
			for _, i := range made {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", i.Name, i.Digest)
			}
			return nil
		},
	}
	programFlags(cmd.Flags(), &programs)
	cmd.Flags().Lookup("istio").Usage = "Istio `version`, or several (comma-separated; default " + components.DefaultIstio + ")"
	cmd.Flags().Lookup("hub").Usage = "registry and path to name Istio's images after, or, as " + components.KubernetesHub + "=`HUB`, metrics-server's (repeatable); with --from images they are also taken from there"
	cmd.Flags().StringVar(&out, "out", "", "`file` to write the archive to")
	cmd.Flags().StringVar(&rootfs, "rootfs", "", "`folder or tar` archive with a root file system, for the proxy's image")
	return cmd
}

// buildImages obtains the components and writes the archive.
func buildImages(cmd *cobra.Command, stores []*components.Store, out string, o images.Options) ([]images.Image, error) {
	p := newProgress(cmd.ErrOrStderr())
	defer p.Close()
	for _, store := range stores {
		set, err := assemble.Obtain(cmd.Context(), p, store, images.Needed()...)
		if err != nil {
			return nil, err
		}
		o.Components = append(o.Components, set)
	}
	p.Phase("images")
	o.Progress = func(text string) { p.Status("%s", text) }
	return writeImages(cmd.Context(), out, o)
}

// writeImages writes the archive, whole or not at all.
func writeImages(ctx context.Context, out string, o images.Options) (_ []images.Image, err error) {
	if o.Work, err = filepath.Abs(filepath.Dir(out)); err != nil {
		return nil, fmt.Errorf("cannot find the folder of %s: %w", out, err)
	}
	f, err := os.CreateTemp(o.Work, ".images-")
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w: name a file in a folder that can be written to", out, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	defer f.Close()
	made, err := images.Write(ctx, f, o)
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(f.Name(), out)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", out, err)
	}
	return made, nil
}
