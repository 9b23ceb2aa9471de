package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/configdiff"
	"github.com/meshbench/meshbench/reports/gate"
)

func compareCommand() *cobra.Command {
	var out documentFiles
	var steps []string
	var reader compare.Reader
	c := &comparison{}
	cmd := &cobra.Command{
		Use:   "compare [A B...]",
		Short: "Compare runs or settings: medians, differences and their significance",
		Long: `Compare runs of the same scenario with the first one. Every step shows the counts, which
are exact, and the medians of noisy figures, their differences, and whether these are
significant (~ marks those that are not). Each of A, B, … is the folder of a run, of a
repeated run (run --repeat), of an earlier comparison, or the file of a baseline.

With --scenario, settings are measured first: versions of Istio (--istio A,B) or of Envoy,
values of any other flag of run (--vary), or any two sets of flags (--case). All other
flags are shared. The runs take turns, A B A B, so that a drift of the machine hits all
sides. They are kept in runs/compare-SCENARIO-TIME/A/run-01, …, with the comparison. After
an interruption, compare that folder to see what was measured until then; the same command
with --out and that folder goes on with the runs that are missing.

With --steps, steps of one run are compared with one another: what an upgrade changed.

With four or more runs on both sides, their medians are tested. With fewer, the readings of
their sidecars are; these depend on one another, so a small difference says little.

Differences in the sidecars' configuration are listed from the dumps that runs keep:
listeners, clusters, routes and so on that were added, removed or changed at the same step.

If runs differ in something that memory depends on (Envoy build, worker threads, how memory
was read, what was simulated, …), a warning names the difference.`,
		Example: `  meshbench compare runs/headless-20261124-061500 runs/headless-20261124-070000
  meshbench compare runs/old runs/new --html difference.html
  meshbench compare reports/baselines/headless.json runs/headless-... --markdown -

  # steps of one run: old sidecars, the same with the new istiod, new ones
  meshbench compare runs/upgrade-... --steps before,istiod,sidecars

  # two versions of Istio; the same one twice shows what is chance
  meshbench compare --scenario headless --istio 1.22.3,1.23.2 --repeat 3
  meshbench compare --scenario headless --istio 1.23.2,1.23.2 --repeat 4

  # an option of the mesh, a size, both in all combinations
  meshbench compare --scenario headless --vary mesh-set=meshConfig.defaultConfig.proxyMetadata.ISTIO_DELTA_XDS=true,false
  meshbench compare --scenario headless --vary set=replicas=50,100 --vary envoy=1.38.3,1.40.0

  # any flags; all other flags are shared
  meshbench compare --scenario headless --case "default:" --case "lean: --mesh-set pilot.env.PILOT_ENABLE_ALPN_FILTER=false --real 5"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.scenario != "" {
				return c.run(cmd, args, &out)
			}
			if steps != nil {
				d, err := compareSteps(cmd, args, steps, reader)
				if err != nil {
					return err
				}
				return out.write(cmd.OutOrStdout(), d)
			}
			// A comparison's folder holds several sides.
			if len(args) == 0 || len(args) == 1 && !holdsPlan(args[0]) {
				return usage(cmd, errors.New("give two or more runs, or a scenario to measure with --scenario"))
			}
			var odd error
			cmd.Flags().Visit(func(f *pflag.Flag) {
				if f.Name != "html" && f.Name != "markdown" && f.Name != "steps" && f.Name != withResumedFlag {
					odd = fmt.Errorf("--%s is for new runs: name their scenario with --scenario", f.Name)
				}
			})
			if odd != nil {
				return usage(cmd, odd)
			}
			d, err := compareFolders(args, reader)
			if err != nil {
				return err
			}
			return out.write(cmd.OutOrStdout(), d)
		},
	}
	c.flags(cmd)
	out.flags(cmd)
	withResumed(cmd.Flags(), &reader.WithResumed)
	cmd.Flags().StringSliceVar(&steps, "steps", nil, "compare these `steps` of one run with the first of them: A,B")
	return cmd
}

// withResumedFlag takes in what is left out of comparisons otherwise.
const withResumedFlag = "with-resumed"

func withResumed(f *pflag.FlagSet, to *bool) {
	f.BoolVar(to, withResumedFlag, false, "take in memory and CPU of steps that were measured after an interruption, which have another past")
}

// run measures settings and compares them.
func (c *comparison) run(cmd *cobra.Command, args []string, out *documentFiles) error {
	if len(args) > 0 {
		return usage(cmd, fmt.Errorf("%s: --scenario makes new runs: leave out either it or the folders", args[0]))
	}
	dir, err := c.measure(cmd)
	if dir == "" {
		return err
	}
	var coded *exit
	if errors.As(err, &coded) && coded.code == exitInterrupted {
		return &exit{exitInterrupted, fmt.Errorf("%w\nWhat was measured until then is in %s: compare it with '%s %s'; the same command with --out %s goes on", err, dir, cmd.CommandPath(), shellWord(dir), shellWord(dir))}
	}
	d, e := compareFolders([]string{dir}, compare.Reader{})
	if e != nil {
		if coded != nil {
			return &exit{coded.code, errors.Join(err, e)}
		}
		return errors.Join(err, e)
	}
	files := documentFiles{html: filepath.Join(dir, "compare.html"), markdown: filepath.Join(dir, "compare.md")}
	if e := errors.Join(files.write(io.Discard, d), out.write(cmd.OutOrStdout(), d)); e != nil {
		return errors.Join(err, e)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n%s\n", files.html, files.markdown)
	return err
}

// compareFolders compares what was measured before.
func compareFolders(paths []string, reader compare.Reader) (*compare.Document, error) {
	var sides []*compare.Side
	var notes []string
	for _, path := range paths {
		if holdsPlan(path) {
			read, said, err := readPlan(path, reader)
			if err != nil {
				return nil, err
			}
			sides, notes = append(sides, read...), append(notes, said...)
			continue
		}
		side, err := readSide(path, reader)
		if err != nil {
			return nil, err
		}
		sides = append(sides, side)
	}
	d, err := document(sides, nil)
	if err != nil {
		return nil, err
	}
	d.Legend = append(d.Legend, notes...)
	return d, nil
}

// compareSteps compares steps of one run.
func compareSteps(cmd *cobra.Command, paths, steps []string, reader compare.Reader) (*compare.Document, error) {
	if len(paths) != 1 || len(steps) < 2 {
		return nil, usage(cmd, errors.New("--steps compares two or more steps of one run: give its folder and --steps A,B"))
	}
	run, err := readSide(paths[0], reader)
	if err != nil {
		return nil, err
	}
	var sides []*compare.Side
	for _, name := range steps {
		side, err := run.At(name)
		if err != nil {
			return nil, usage(cmd, err)
		}
		sides = append(sides, side)
	}
	return document(sides, steps)
}

// document is the comparison of sides, with what differs in the sidecars' configurations.
// steps are those that the sides are of, where they are steps of one run.
func document(sides []*compare.Side, steps []string) (*compare.Document, error) {
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
		if steps != nil && run != nil {
			run = run.At(steps[i])
		}
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
			d.Lines = append(d.Lines, fmt.Sprintf("The sidecars' configuration of %s differs from that of %s (kinds of change listed below: %d).", b, a, n))
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
			notes = append(notes, fmt.Sprintf("configuration of %s: run %s differs from %s, which is compared (kinds of change: %d): compare the two", letter, r.Name, filepath.Base(first.Dir), n))
		}
	}
	if first == nil {
		notes = append(notes, fmt.Sprintf("configuration of %s: not compared: %s has no finished run with its dumps", letter, side.Name))
	}
	return first, notes, nil
}

// readSide reads the folder of a run or of a repeated run, or a baseline.
func readSide(path string, reader compare.Reader) (*compare.Side, error) {
	if filepath.Ext(path) != ".json" {
		return reader.ReadRuns(path)
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
	d.LinkFrom(filepath.Dir(f.html))
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{{f.html, d.HTML}, {strings.TrimPrefix(f.markdown, "-"), d.Markdown}} {
		if file.path == "" {
			continue
		}
		var b bytes.Buffer
		if err := file.write(&b); err != nil {
			return fmt.Errorf("cannot write %s: %w", file.path, err)
		}
		if err := atomicfile.Write(file.path, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("cannot write the comparison: %w", err)
		}
	}
	return nil
}
