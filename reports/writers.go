package reports

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/meshbench/meshbench/reports/revisions"
	"github.com/meshbench/meshbench/reports/sections"
)

// Writer prints a report in one format.
type Writer struct {
	Name string // for --format
	File string // in the run's folder; "" for formats that are only printed
	// Applies says whether a report has anything for the file; nil for always.
	Applies func(r *Report) bool
	// Write prints the report. The same report gives the same bytes.
	Write func(w io.Writer, r *Report) error
}

// Writers lists every format.
func Writers() []Writer {
	writers := []Writer{
		{Name: "html", File: "report.html", Write: HTML},
		{Name: "markdown", File: "report.md", Write: Markdown},
		{Name: "json", File: "report.json", Write: JSON},
		{Name: "csv", File: "report.csv", Write: CSV},
		{Name: "junit", File: "report.junit.xml", Write: JUnit},
		{Name: "openmetrics", File: "report.openmetrics.txt", Write: OpenMetrics},
		{Name: "bench", File: "report.bench.txt", Write: Bench},
		{Name: "console", Write: func(w io.Writer, r *Report) error { return Console(w, r, false) }},
	}
	for _, name := range plotNames {
		writers = append(writers, plotWriter(name, nil))
	}
	for _, name := range revisions.PlotNames() {
		writers = append(writers, plotWriter(name, func(r *Report) bool {
			return r.told(func(s sections.Section) bool {
				return slices.ContainsFunc(s.Parts, func(p sections.Part) bool { return p.Plot.Name == name })
			})
		}))
	}
	return writers
}

// filesOf lists the formats that have a file of the report.
func filesOf(r *Report) []Writer {
	return slices.DeleteFunc(Writers(), func(w Writer) bool { return w.File == "" || w.Applies != nil && !w.Applies(r) })
}

// WriteAll writes the report in every format that has a file into dir and returns the
// files' paths. A file is replaced as a whole or not at all.
func WriteAll(dir string, r *Report) ([]string, error) {
	var paths []string
	for _, w := range filesOf(r) {
		path := filepath.Join(dir, w.File)
		if sub := filepath.Dir(w.File); sub != "." {
			// Only the folders inside the run's: a run whose folder is missing is a mistake.
			if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return paths, fmt.Errorf("making the folder of %s: %w", path, err)
			}
		}
		if err := writeFile(path, r, w); err != nil {
			return paths, fmt.Errorf("writing %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func writeFile(path string, r *Report, w Writer) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(w.File)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	buffer := bufio.NewWriterSize(temp, 1<<16)
	if err := w.Write(buffer, r); err != nil {
		return err
	}
	if err := buffer.Flush(); err != nil {
		return err
	}
	// CreateTemp makes files that only their owner can read.
	if err := temp.Chmod(0o644); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// MissingDumps says in one sentence which of the raw dumps that the log speaks of are not
// in the run's folder, where the reports' links lead; "" when all are there.
func MissingDumps(dir string, r *Report) string {
	var missing []string
	for _, d := range r.dumps() {
		if _, err := os.Stat(filepath.Join(dir, d.Path)); err != nil {
			missing = append(missing, d.Path)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d of %d raw dumps are not here (the first: %s), so the reports' links to them lead nowhere: copy the folder dumps beside the log",
		dir, len(missing), len(r.dumps()), missing[0])
}
