package main

import (
	"errors"
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
	var unsettled bool
	cmd := &cobra.Command{
		Use:   "report RUN...",
		Short: "Regenerate reports from run logs",
		Long: `Regenerate the reports of runs from their logs. A log that was cut off by a crash or a
kill gives a report that is marked incomplete.

Exit codes: 0 all expectations hold, 1 failure, 2 bad usage, 3 an expectation was missed,
6 a step was measured before the mesh settled.`,
		Example: "  meshbench report runs/headless-20261124-061500",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			code := exitOK
			for _, dir := range args {
				r, err := report(cmd.OutOrStdout(), dir)
				if err != nil {
					return err
				}
				// The report itself says what is wrong.
				var coded *exit
				if errors.As(judge(r, unsettled), &coded) {
					code = worse(code, coded.code)
				}
			}
			if code != exitOK {
				return &exit{code: code}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&unsettled, "allow-unsettled", false, "accept steps that were measured before the mesh settled (exit code 6 otherwise)")
	return cmd
}

// report makes a run's reports from its log, writes them into its folder and the table
// to out.
func report(out io.Writer, dir string) (*reports.Report, error) {
	records, truncated, err := observations.ReadFile(filepath.Join(dir, observations.LogName))
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of run %s: %w", dir, err)
	}
	r, err := reports.Build(records, truncated)
	if err != nil {
		return nil, fmt.Errorf("cannot make the report of run %s: %w", dir, err)
	}
	files, err := formats.WriteAll(dir, r)
	if err != nil {
		return nil, fmt.Errorf("cannot write the report of run %s: %w", dir, err)
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
