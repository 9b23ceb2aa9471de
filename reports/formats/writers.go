// Package formats prints reports: a file a format. What they say of metrics comes from the
// table of metrics, what they say of topics from the report's sections.
package formats

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/figures"
)

// ExplanationFile is the page beside the report about what its witnesses' configuration takes. It
// is made of the dumps that the run keeps, where a report is of the log alone.
const ExplanationFile = "explain.html"

// Writer prints a report in one format.
type Writer struct {
	Name string // a short word
	File string // in the run's folder; "" for formats that are only printed
	// Write prints the report. The same report gives the same bytes.
	Write func(w io.Writer, r *reports.Report) error
}

// Writers lists the formats of every report. To add a format, add it here.
func Writers() []Writer {
	writers := []Writer{
		{Name: "html", File: "report.html", Write: HTML},
		{Name: "markdown", File: "report.md", Write: Markdown},
		{Name: "json", File: "report.json", Write: JSON},
		{Name: "csv", File: "report.csv", Write: CSV},
		{Name: "junit", File: "report.junit.xml", Write: JUnit},
		{Name: "openmetrics", File: "report.openmetrics.txt", Write: OpenMetrics},
		{Name: "bench", File: "report.bench.txt", Write: Bench},
		{Name: TraceName, File: "report.trace.json", Write: Trace},
		{Name: "console", Write: func(w io.Writer, r *reports.Report) error { return Console(w, r, false) }},
	}
	for _, name := range figures.Names() {
		writers = append(writers, plotWriter(name))
	}
	return writers
}

// Of lists the formats of one report: those of every report, and the plots of its sections.
func Of(r *reports.Report) []Writer {
	writers := Writers()
	for _, s := range r.Sections {
		for _, p := range s.Parts {
			if p.Plot.Name != "" {
				writers = append(writers, plotWriter(p.Plot.Name))
			}
		}
	}
	return writers
}

// filesOf lists the formats that have a file of the report.
func filesOf(r *reports.Report) []Writer {
	return slices.DeleteFunc(Of(r), func(w Writer) bool { return w.File == "" })
}

// WriteAll writes the report in every format that has a file into dir and returns the
// files' paths. A file is replaced as a whole or not at all.
func WriteAll(dir string, r *reports.Report) ([]string, error) {
	var paths []string
	for _, w := range filesOf(r) {
		path := filepath.Join(dir, w.File)
		if sub := filepath.Dir(w.File); sub != "." {
			// Only the folders inside the run's: a run whose folder is missing is a mistake.
			if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return paths, fmt.Errorf("make the folder of %s: %w", path, err)
			}
		}
		if err := writeFile(path, r, w); err != nil {
			return paths, fmt.Errorf("write %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// WriteFile writes the report in one format to a file, which is replaced as a whole or not
// at all.
func WriteFile(path, format string, r *reports.Report) error {
	for _, w := range Of(r) {
		if w.Name == format {
			return writeFile(path, r, w)
		}
	}
	return fmt.Errorf("the report has no format %q", format)
}

func writeFile(path string, r *reports.Report, w Writer) error {
	return atomicfile.From(path, 0o644, func(to io.Writer) error { return w.Write(to, r) })
}

// MissingDumps says in one sentence which of the raw dumps and profiles that the log speaks of are not
// in the run's folder, where the reports' links lead; "" when all are there.
func MissingDumps(dir string, r *reports.Report) string {
	var missing []string
	for _, d := range r.Dumps() {
		if _, err := os.Stat(filepath.Join(dir, d.Path)); err != nil {
			missing = append(missing, d.Path)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d of %d raw dumps and profiles are missing (first: %s), so links to them in the reports are broken: copy the folders dumps and profiles next to the log",
		dir, len(missing), len(r.Dumps()), missing[0])
}
