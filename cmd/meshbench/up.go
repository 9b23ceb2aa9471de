package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/cluster"
)

func upCommand() *cobra.Command {
	var (
		name  string
		nodes []string
		logs  string
		flags clusterFlags
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Create a cluster with Istio and leave it running",
		Long: `Create a cluster with Istio and leave it running, for kubectl, istioctl and k9s on this
machine. The command prints the path of a kubeconfig file. Delete the cluster with
'meshbench down'.`,
		Example: `  export KUBECONFIG=$(meshbench up --nodes m6i.large=3)
  kubectl get nodes
  kubectl create namespace demo && kubectl label namespace demo istio-injection=enabled
  kubectl -n demo create deployment web --image=nginx --replicas=10
  kubectl -n demo top pod --containers
  meshbench down

  meshbench up --no-mesh --istio 1.22.3,1.23.2    # for an Istio of your own`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			groups, err := parseNodes(nodes)
			if err != nil {
				return usage(cmd, err)
			}
			options, err := flags.read(cmd.Flags())
			if err != nil {
				return usage(cmd, err)
			}
			if logs == "" {
				logs = filepath.Join("runs", "up-"+name)
			}
			if logs, err = filepath.Abs(logs); err != nil {
				return fmt.Errorf("cannot find the folder for logs: %w", err)
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.Close()
			options.Progress, options.Confirm = p, p.Confirm
			spec := cluster.Spec{Name: name, Nodes: groups, RealPerDeployment: options.Shares.Real, LightPerDeployment: options.Shares.Light, RealFor: options.Shares.RealFor, Dir: logs, Detached: true}
			provisioning, err := options.Cluster(cmd.Context(), spec)
			if err != nil {
				return optionError(cmd.CommandPath(), err)
			}
			// Not before: what is refused leaves nothing.
			if err := os.MkdirAll(logs, 0o755); err != nil {
				return fmt.Errorf("cannot make the folder for logs: %w", err)
			}
			made, err := provisioning.Provision(cmd.Context(), spec)
			if err != nil {
				return fmt.Errorf("%w\nLogs are in %s", err, logs)
			}
			p.Note("cluster %s is up; logs are in %s; delete it with: meshbench down%s --name %s", name, logs, flags.downFlag(options.Source), name)
			fmt.Fprintln(cmd.OutOrStdout(), made.Cluster.Kubeconfig())
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "meshbench", "the cluster's `name`")
	cmd.Flags().StringArrayVar(&nodes, "nodes", []string{"m6i.large=1"}, "`TYPE=NUMBER` of nodes, e.g. m6i.large=3 (repeatable)")
	cmd.Flags().StringVar(&logs, "logs", "", "`folder` for the cluster's logs (default runs/up-NAME)")
	flags.flags(cmd.Flags())
	cmd.Flags().BoolVar(&flags.options.WithoutMesh, "no-mesh", false, "leave Istio out; the cluster can run the images of the versions in --istio (comma-separated)")
	flags.knativeFlag(cmd.Flags(), "also install Knative Serving")
	return cmd
}
