package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/explanation"
	"github.com/meshbench/meshbench/reports/formats"
)

func reportCommand() *cobra.Command {
	var unsettled bool
	var trace string
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
			if trace != "" && len(args) > 1 {
				return usage(cmd, errOneTrace)
			}
			code := exitOK
			for _, dir := range args {
				r, err := report(cmd.OutOrStdout(), dir)
				if err != nil {
					return err
				}
				if err := writeTrace(trace, r); err != nil {
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
	traceFlag(cmd.Flags(), &trace)
	return cmd
}

func traceFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "trace", "", "write the phases of the run to `FILE` as a trace of OpenTelemetry (OTLP JSON)")
}

// errOneTrace is of --trace with several runs.
var errOneTrace = errors.New("--trace is for one run: each run's folder has a report.trace.json of its own")

// writeTrace writes a run's phases to file; "" for nowhere.
func writeTrace(file string, r *reports.Report) error {
	if file == "" {
		return nil
	}
	if err := formats.WriteFile(file, formats.TraceName, r); err != nil {
		return fmt.Errorf("cannot write the trace: %w", err)
	}
	return nil
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
	raw := plain.Raw(out) // colours are orders to a terminal, which the report's own text has none of
	f, ok := raw.(*os.File)
	colour := ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
	if err := formats.Console(raw, r, colour); err != nil {
		return nil, err
	}
	if missing := formats.MissingDumps(dir, r); missing != "" {
		fmt.Fprintln(out, "\n"+missing)
	}
	fmt.Fprintln(out)
	if page, err := explainRun(dir, r); err != nil {
		fmt.Fprintf(out, "There is no %s: %v\n\n", formats.ExplanationFile, err)
	} else if page != "" {
		files = append(files, page)
	}
	for _, file := range files {
		fmt.Fprintln(out, file)
	}
	return r, nil
}

// explainRun writes the page about what the configuration of a run's witnesses takes, by the
// built-in model, and returns its file; "" where the run has no dumps.
func explainRun(dir string, r *reports.Report) (string, error) {
	model, err := costmodel.Default()
	if err != nil {
		return "", err
	}
	scope, err := proxyconfig.ParseEgress(defaultScope)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := explanation.RunPage(&b, dir, r, model, scope); errors.Is(err, explanation.ErrNoDumps) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	path := filepath.Join(dir, formats.ExplanationFile)
	return path, atomicfile.Write(path, b.Bytes(), 0o644)
}

// judge turns what a finished run's report holds into an error with an exit code: missed
// expectations, and steps that were measured before the mesh was quiet, unless these are
// accepted. Both are named; missed expectations decide the code.
func judge(run *reports.Report, unsettled bool) error {
	var problems []string
	code := exitOK
	if names := run.Unsettled(); len(names) > 0 && !unsettled {
		code = exitUnsettled
		problems = append(problems, "steps measured before the mesh settled:\n  "+strings.Join(names, "\n  ")+
			"\nRaise --settle-limit, or accept them with --allow-unsettled")
	}
	if missed := run.Missed(); len(missed) > 0 {
		code = exitMissed
		lines := make([]string, len(missed))
		for i, m := range missed {
			lines[i] = m.String()
		}
		problems = append(problems, "expectations were missed:\n  "+strings.Join(lines, "\n  "))
	}
	if code == exitOK {
		return nil
	}
	return &exit{code, errors.New(strings.Join(problems, "\n"))}
}
