package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/formats"
)

func reportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "report RUN...",
		Short: "Make the reports of runs again from their logs",
		Long: `Make the reports of runs again from their logs. A log that was cut off, by a crash or
a kill, gives a report that is marked incomplete.`,
		Example: "  meshbench report runs/headless-20261124-061500",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			missed := false
			for _, dir := range args {
				r, err := report(cmd.OutOrStdout(), dir)
				if err != nil {
					return err
				}
				missed = missed || len(r.Missed()) > 0
			}
			if missed {
				return &exit{code: exitMissed}
			}
			return nil
		},
	}
}

// report makes a run's reports from its log, writes them into its folder and the table
// to out.
func report(out io.Writer, dir string) (*reports.Report, error) {
	records, truncated, err := observations.ReadFile(filepath.Join(dir, observations.LogName))
	if err != nil {
		return nil, fmt.Errorf("reading the log of run %s: %w", dir, err)
	}
	r, err := reports.Build(records, truncated)
	if err != nil {
		return nil, fmt.Errorf("making the report of run %s: %w", dir, err)
	}
	files, err := formats.WriteAll(dir, r)
	if err != nil {
		return nil, fmt.Errorf("writing the report of run %s: %w", dir, err)
	}
	f, ok := out.(*os.File)
	colour := ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
	if err := formats.Console(out, r, colour); err != nil {
		return nil, err
	}
	if missing := formats.MissingDumps(dir, r); missing != "" {
		fmt.Fprintln(out, "\n"+missing)
	}
	fmt.Fprintln(out)
	for _, file := range files {
		fmt.Fprintln(out, file)
	}
	return r, nil
}
