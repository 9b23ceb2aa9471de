package formats

import (
	"encoding/json"
	"io"

	"github.com/meshbench/meshbench/reports"
)

// JSON prints the whole report, indented.
func JSON(w io.Writer, r *reports.Report) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
