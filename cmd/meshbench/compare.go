package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/gate"
)

func compareCommand() *cobra.Command {
	var out documentFiles
	cmd := &cobra.Command{
		Use:   "compare A B...",
		Short: "Compare runs of a scenario: medians, differences, and whether they are chance",
		Long: `Compare runs of the same scenario with the first of them: for every step the counts,
which are exact, and the medians of what is noisy, their differences, and whether these
are more than chance; ~ where they are not. Each of A, B, … is the folder of a run, that
of a repeated run (run --repeat), or the file of a baseline.

With four or more runs on both sides their medians are tested. With fewer, the sidecars'
readings are: these are not independent of one another, so a small difference says little.

Runs that differ in what memory depends on (Envoy build, worker threads, way of reading,
what is simulated, …) are compared with a warning that names the difference.`,
		Example: `  meshbench compare runs/headless-20261124-061500 runs/headless-20261124-070000
  meshbench compare runs/old runs/new --html difference.html
  meshbench compare reports/baselines/headless.json runs/headless-... --markdown -`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			sides := make([]*compare.Side, len(args))
			for i, path := range args {
				side, err := readSide(path)
				if err != nil {
					return err
				}
				sides[i] = side
			}
			c, err := compare.Compare(sides)
			if err != nil {
				return err
			}
			return out.write(cmd.OutOrStdout(), c.Document())
		},
	}
	out.flags(cmd)
	return cmd
}

// readSide reads the folder of a run or of a repeated run, or a baseline.
func readSide(path string) (*compare.Side, error) {
	if filepath.Ext(path) != ".json" {
		return compare.ReadRuns(path)
	}
	b, err := gate.ReadBaseline(path)
	if err != nil {
		return nil, err
	}
	return b.Side(path), nil
}

// documentFiles are the flags that say where else a document is written.
type documentFiles struct{ html, markdown string }

func (f *documentFiles) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.html, "html", "", "write it as one self-contained page to `FILE`")
	cmd.Flags().StringVar(&f.markdown, "markdown", "", "write it as Markdown to `FILE`; - prints it in place of the table")
}

// write prints the document and writes its files.
func (f *documentFiles) write(stdout io.Writer, d *compare.Document) error {
	print := d.Console
	if f.markdown == "-" {
		print = d.Markdown
	}
	if err := print(stdout); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{{f.html, d.HTML}, {strings.TrimPrefix(f.markdown, "-"), d.Markdown}} {
		if file.path == "" {
			continue
		}
		var b bytes.Buffer
		if err := file.write(&b); err != nil {
			return fmt.Errorf("writing %s: %w", file.path, err)
		}
		if err := os.WriteFile(file.path, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing the comparison: %w", err)
		}
	}
	return nil
}
