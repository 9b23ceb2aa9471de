package formats

import (
	"bytes"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// logBytes are records as the file holds them.
func logBytes(t testing.TB, records []observations.Record) []byte {
	t.Helper()
	b, err := reportstest.Bytes(records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// build makes the report of records by way of a log file's bytes.
func build(t testing.TB, records []observations.Record) *reports.Report {
	t.Helper()
	read, truncated, err := observations.Read(bytes.NewReader(logBytes(t, records)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := reports.Build(read, truncated)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// printed is a report in one format.
func printed(t testing.TB, r *reports.Report, format string) string {
	t.Helper()
	for _, w := range Of(r) {
		if w.Name == format {
			var b strings.Builder
			if err := w.Write(&b, r); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
	}
	t.Fatalf("no format %q", format)
	return ""
}

func ptr[T any](v T) *T { return &v }
