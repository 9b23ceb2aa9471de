package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// figureWidth is that of plots in files, in pixels.
const figureWidth = 760

func fitCommand() *cobra.Command {
	var out string
	var grown, resumed bool
	cmd := &cobra.Command{
		Use:   "fit RUN...",
		Short: "Fit a model of what a sidecar and istiod cost",
		Long: `Fit a model of a sidecar's memory to the objects in its configuration (clusters,
listeners, filter chains, route configurations, virtual hosts, endpoints) and of
istiod's, in each state of the mesh (at rest, as all proxies connect, under churn), to
Services, pods, proxies, endpoints and the filter chains sent to all proxies, by least squares
over the settled steps of runs. On top of a
sidecar's model, what routes of VirtualServices, subsets, hash rings, ServiceEntries,
EnvoyFilters, policies and access logs add is fitted to what that leaves over. The scenarios
cost-model, cost-model-headless and cost-model-proxies, for istiod's states istiod-cost, and for
routing routing-cost and routing-cost-entries, are made for it.

Only sidecars that started in their step count, since those that lived through changes
keep some memory of them. Columns that always moved together are named, and their
effect is not split. Beside the model's file lie plots of the residuals.`,
		Example: `  meshbench run cost-model --out runs/cost
  meshbench fit runs/cost -o model.json
  meshbench fit runs/cost runs/routing runs/entries -o model.json
  meshbench predict --model model.json --services 400 --pods-per-service 3`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			logs, err := readLogs(args, resumed)
			if err != nil {
				return err
			}
			m, err := costmodel.Fit(logs, costmodel.Options{Grown: grown})
			if err != nil {
				return err
			}
			files, err := writeModel(m, out)
			if err != nil {
				return fmt.Errorf("cannot write the model: %w", err)
			}
			if err := m.Print(cmd.OutOrStdout()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout())
			for _, f := range files {
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "model.json", "the model's `file`; plots of the residuals are named after it")
	withResumed(cmd.Flags(), &resumed)
	cmd.Flags().BoolVar(&grown, "grown", false, "also fit sidecars and an istiod that lived through changes, but through no deletion")
	return cmd
}

// writeModel writes the model's file and the figures beside it.
func writeModel(m *costmodel.Model, path string) (files []string, err error) {
	if err := atomicfile.From(path, 0o644, m.Write); err != nil {
		return nil, err
	}
	files = append(files, path)
	figures := m.Figures()
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		svg, err := figures[name].SVG(figureWidth, true)
		if err != nil {
			return nil, fmt.Errorf("cannot draw %s: %w", name, err)
		}
		file := strings.TrimSuffix(path, filepath.Ext(path)) + "-" + name
		if err := atomicfile.Write(file, svg, 0o644); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}
