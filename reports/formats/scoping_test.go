package formats

import (
	"testing"

	"github.com/meshbench/meshbench/reports/reportstest"
)

func TestScopingGolden(t *testing.T) {
	for _, format := range []string{"console", "markdown", "openmetrics"} {
		golden(t, "scoping", format, printed(t, build(t, reportstest.Scoping()), format))
	}
}
