package formats

import (
	"fmt"
	"io"
	"strings"

	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/figures"
)

// plotWidth is the width of a plot's file and of the wide one on the page, in pixels.
const plotWidth = 1040

// nothingRead stands where a plot would be empty.
const nothingRead = "No data in the log."

// plotWriter writes one of the report's plots as a file of its own.
func plotWriter(name string) Writer {
	return Writer{Name: "plot-" + name, File: "plots/" + name + ".svg", Write: func(w io.Writer, r *reports.Report) error {
		for _, f := range figures.Of(r) {
			if f.Name != name {
				continue
			}
			if f.Empty() {
				f.Note = strings.TrimSpace(nothingRead + " " + f.Note)
			}
			svg, err := f.SVG(plotWidth, true)
			if err != nil {
				return err
			}
			_, err = w.Write(svg)
			return err
		}
		return fmt.Errorf("the report has no plot %q", name)
	}}
}
