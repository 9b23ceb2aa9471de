package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/reports/history"
	"github.com/meshbench/meshbench/reports/store"
)

// follow are the flags of history.
type follow struct {
	by       string
	html     string
	markdown string
	insert   string
	store    string
	mend     bool
	report   string
	resumed  bool
}

func historyCommand() *cobra.Command {
	var f follow
	var orders []string
	for _, o := range history.Orders() {
		orders = append(orders, string(o))
	}
	cmd := &cobra.Command{
		Use:   "history RUNS...",
		Short: "Follow counts and memory over many runs, and mark where they changed",
		Long: `Follow what was measured over any number of runs: for each scenario and step the counts
and the memory, ordered by the version of Istio, by date, or by the version of meshbench
(--by commit). RUNS are folders of runs, folders that hold such, however deep, and stores.

Counts are exact: each difference is a change. Where the level of a noisy figure changed is
found by seeded binary segmentation with a t-test. All levels of one history together have a
false alarm in at most 5 % of the cases. A level needs 3 runs on each side, or 5 where each
version or day has one; a day counts once, by the median of its runs.

Runs that cannot be compared are kept apart: other scenarios of the same name, other
machines, other settings. Steps of a mesh that was not quiet are left out. What is left out
or kept apart is reported.

--append adds the runs to a store, one line for each run, and follows all that the store then
has. Old lines are never changed, a run that is there is not added again, and several
programs may append at a time. A failed run is kept with the steps it measured.
--html writes one page without scripts. Its points lead to the runs' reports: to those in
the folders, else to the addresses that --report-url gave the store.
--insert replaces the text between two lines of a Markdown file, which stay:
  <!-- meshbench history: what follows is generated -->
  <!-- meshbench history: end -->`,
		Example: `  meshbench history runs/
  meshbench history runs/ --by date --html history.html
  meshbench history runs/nightly --append data/nightly.jsonl --by date --html history.html
  meshbench history docs/data/versions.jsonl --insert docs/versions.md`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !slices.Contains(orders, f.by):
				return usage(cmd, fmt.Errorf("--by %s: give one of %s", f.by, strings.Join(orders, ", ")))
			case f.mend && f.store == "":
				return usage(cmd, errors.New("--mend goes with --append: it mends that store"))
			case f.report != "" && f.store == "":
				return usage(cmd, errors.New("--report-url goes with --append: the store keeps it"))
			case f.report != "" && !store.IsAddress(f.report):
				return usage(cmd, fmt.Errorf("--report-url %s: give an address that begins with https:// or http://", f.report))
			}
			return f.run(cmd.OutOrStdout(), cmd.ErrOrStderr(), args)
		},
	}
	cmd.Flags().StringVar(&f.by, "by", string(history.ByVersion), "`ORDER` of the runs: "+strings.Join(orders, ", "))
	cmd.Flags().StringVar(&f.html, "html", "", "write one self-contained page to `FILE`")
	cmd.Flags().StringVar(&f.markdown, "markdown", "", "write it as Markdown to `FILE`; - prints it in place of the table")
	cmd.Flags().StringVar(&f.insert, "insert", "", "insert it as Markdown into `FILE`, between the lines that mark the place")
	cmd.Flags().StringVar(&f.store, "append", "", "add the runs to the store `FILE`, and follow what it then has")
	cmd.Flags().BoolVar(&f.mend, "mend", false, "with --append: first remove the half of a record that a store which was cut off ends with")
	cmd.Flags().StringVar(&f.report, "report-url", "", "with --append: the address `URL` where the runs' reports are, for links from pages of the store")
	withResumed(cmd.Flags(), &f.resumed)
	return cmd
}

func (f *follow) run(stdout, stderr io.Writer, paths []string) error {
	runs, notes, err := history.Read(paths)
	if err != nil {
		return err
	}
	if f.store != "" {
		if err := f.append(stderr, runs); err != nil {
			return err
		}
		// Folders come first: they have the reports.
		all, more, err := history.Read(append(slices.Clone(paths), f.store))
		if err != nil {
			return err
		}
		runs, notes = all, more
	}
	if f.resumed {
		for i := range runs {
			runs[i].Record = runs[i].WithResumed()
		}
	}
	h := history.Build(runs, history.Order(f.by))
	h.Notes = append(notes, h.Notes...)
	d := h.Document()
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
	}{
		{f.html, func(w io.Writer) error { return h.HTML(w, filepath.Dir(f.html)) }},
		{strings.TrimPrefix(f.markdown, "-"), d.Markdown},
	} {
		if file.path == "" {
			continue
		}
		var b bytes.Buffer
		if err := file.write(&b); err != nil {
			return fmt.Errorf("cannot write %s: %w", file.path, err)
		}
		if err := atomicfile.Write(file.path, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("cannot write the history: %w", err)
		}
	}
	if f.insert != "" {
		return insertHistory(f.insert, h)
	}
	return nil
}

// append adds runs to the store and says how many.
func (f *follow) append(stderr io.Writer, runs []history.Run) error {
	if f.mend {
		switch removed, err := store.Mend(f.store); {
		case errors.Is(err, os.ErrNotExist): // a store begins with its first run
		case err != nil:
			return err
		case removed > 0:
			fmt.Fprintf(stderr, "%s: removed half a record at its end, %d bytes\n", f.store, removed)
		}
	}
	var records []*store.Record
	for _, r := range runs {
		record := *r.Record
		record.Report = cmp.Or(f.report, record.Report)
		records = append(records, &record)
	}
	added, err := store.AppendOnce(f.store, records...)
	if errors.Is(err, store.ErrCut) {
		return fmt.Errorf("%w; nothing was added: --mend removes the half of a record and nothing else", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "%s: %d of %d runs added", f.store, added, len(runs))
	if old := len(runs) - added; old > 0 {
		fmt.Fprintf(stderr, ", %d were there", old)
	}
	fmt.Fprintln(stderr)
	return nil
}

// insertHistory writes the history into a document that is otherwise written by hand.
func insertHistory(path string, h *history.History) error {
	document, err := bounded.File(path, bounded.OwnFile)
	if err != nil {
		return fmt.Errorf("insert the history: %w", err)
	}
	var generated bytes.Buffer
	if err := h.Document().Markdown(&generated); err != nil {
		return fmt.Errorf("insert the history: %w", err)
	}
	document, err = history.Insert(document, generated.String())
	if err != nil {
		return fmt.Errorf("cannot insert the history into %s: %w", path, err)
	}
	if err := atomicfile.Write(path, document, 0o644); err != nil {
		return fmt.Errorf("insert the history: %w", err)
	}
	return nil
}
