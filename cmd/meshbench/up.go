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
		setup setup
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make a cluster with Istio and leave it running",
		Long: `Make a cluster with Istio and leave it running, for kubectl, istioctl and k9s on this
machine. It prints the path of a kubeconfig file. 'meshbench down' ends it.`,
		Example: `  export KUBECONFIG=$(meshbench up --nodes m6i.large=3)
  kubectl get nodes
  kubectl create namespace demo && kubectl label namespace demo istio-injection=enabled
  kubectl -n demo create deployment web --image=nginx --replicas=10
  kubectl -n demo top pod --containers
  meshbench down`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			groups, err := parseNodes(nodes)
			if err != nil {
				return usage(cmd, err)
			}
			real, err := setup.realPods()
			if err != nil {
				return usage(cmd, err)
			}
			if logs == "" {
				logs = filepath.Join("runs", "up-"+name)
			}
			if logs, err = filepath.Abs(logs); err != nil {
				return fmt.Errorf("finding the folder for logs: %w", err)
			}
			if err := os.MkdirAll(logs, 0o755); err != nil {
				return fmt.Errorf("making the folder for logs: %w", err)
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.Close()
			spec := cluster.Spec{Name: name, Nodes: groups, RealPerDeployment: real, Dir: logs, Detached: true}
			parts, err := setup.assemble(cmd, p, spec, nil, "", nil, nil)
			if err != nil {
				return err
			}
			p.Phase("cluster")
			c, err := parts.provider.Create(cmd.Context(), spec)
			if err != nil {
				return fmt.Errorf("making the cluster: %w", err)
			}
			p.Phase("mesh")
			installer, err := parts.mesh(c.RESTConfig())
			if err == nil {
				_, err = installer.Install(cmd.Context())
			}
			if err != nil {
				return fmt.Errorf("installing the mesh: %w", deleteAfter(cmd.Context(), c, err))
			}
			if setup.serving.from != "" {
				p.Phase("knative")
				serving, err := parts.knative(setup.serving, p)(c.RESTConfig())
				if err == nil {
					_, err = serving.Install(cmd.Context())
				}
				if err != nil {
					return fmt.Errorf("installing Knative Serving: %w", deleteAfter(cmd.Context(), c, err))
				}
			}
			p.Note("cluster %s is up; logs are in %s; end it with: meshbench down --name %s", name, logs, name)
			fmt.Fprintln(cmd.OutOrStdout(), c.Kubeconfig())
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "meshbench", "the cluster's `name`")
	cmd.Flags().StringArrayVar(&nodes, "nodes", []string{"m6i.large=1"}, "`TYPE=NUMBER` of nodes, as m6i.large=3; may be given several times")
	cmd.Flags().StringVar(&logs, "logs", "", "`folder` for the cluster's logs (default runs/up-NAME)")
	setup.serving.flag(cmd, "also install Knative Serving")
	setup.flags(cmd)
	return cmd
}
