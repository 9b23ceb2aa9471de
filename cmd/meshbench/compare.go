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
	"github.com/meshbench/meshbench/reports/configdiff"
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

What differs in the sidecars' configuration is listed, from the dumps that runs keep: which
listeners, clusters, routes and so on came, went or changed at the same step.

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
			d, err := document(sides)
			if err != nil {
				return err
			}
			return out.write(cmd.OutOrStdout(), d)
		},
	}
	out.flags(cmd)
	return cmd
}

// document is the comparison of sides, with what differs in the sidecars' configurations.
func document(sides []*compare.Side) (*compare.Document, error) {
	c, err := compare.Compare(sides)
	if err != nil {
		return nil, err
	}
	d := c.Document()
	var first *configdiff.Run
	for i, side := range sides {
		run, notes, err := configuration(side, compare.Letter(i))
		if err != nil {
			return nil, err
		}
		d.Notes = append(d.Notes, notes...)
		if i == 0 {
			first = run
		}
		if i == 0 || run == nil || first == nil {
			continue
		}
		diff := configdiff.Compare(first, run)
		a, b := compare.Letter(0), compare.Letter(i)
		for _, section := range diff.Sections(a, b) {
			d.Lists = append(d.Lists, compare.List(section))
		}
		if n := len(diff.Changes); n > 0 {
			d.Lines = append(d.Lines, fmt.Sprintf("The sidecars' configuration of %s differs from that of %s in %d ways", b, a, n))
		} else if diff.Compared > 0 {
			d.Lines = append(d.Lines, fmt.Sprintf("The sidecars' configuration of %s is that of %s.", b, a))
		}
	}
	return d, nil
}

// configuration is that of a side's first finished run, nil for a baseline, which keeps no
// dumps. The notes tell what is missing, and of what the side's other runs differ in.
func configuration(side *compare.Side, letter string) (first *configdiff.Run, notes []string, err error) {
	for _, r := range side.Runs {
		if r.Dir == "" || !r.Finished {
			continue
		}
		run, err := configdiff.Read(r.Dir)
		if err != nil {
			return nil, nil, err
		}
		for _, path := range run.Missing {
			notes = append(notes, fmt.Sprintf("configuration of %s: %s is not there any more", letter, filepath.Join(r.Dir, path)))
		}
		if first == nil {
			first = run
		} else if n := len(configdiff.Compare(first, run).Changes); n > 0 {
			notes = append(notes, fmt.Sprintf("configuration of %s: run %s differs from %s, which is compared, in %d ways: compare the two", letter, r.Name, filepath.Base(first.Dir), n))
		}
	}
	if first == nil {
		notes = append(notes, fmt.Sprintf("configuration of %s: not compared: %s has no finished run with its dumps", letter, side.Name))
	}
	return first, notes, nil
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
