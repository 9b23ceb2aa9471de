package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/e2e/cases"
)

// TestCases validates every input of e2e/cases, as its user does.
func TestCases(t *testing.T) {
	all, err := cases.All()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("MESHBENCH_CACHE", filepath.Join(t.TempDir(), "empty")) // validate downloads and builds nothing
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			file := c.Name + ".yaml"
			if err := os.WriteFile(file, c.Text, 0o644); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			code := run([]string{"validate", file}, &stdout, &stderr)
			warnings := 0
			for line := range strings.Lines(stderr.String()) {
				if strings.HasPrefix(line, "warning: ") {
					warnings++
				}
			}
			if c.Refused == nil {
				if code != exitOK {
					t.Fatalf("exit code %d, want %d:\n%s", code, exitOK, &stderr)
				}
				for _, words := range c.Warns {
					if !strings.Contains(stderr.String(), words) {
						t.Errorf("no warning says %q:\n%s", words, &stderr)
					}
				}
				if len(c.Warns) == 0 && warnings > 0 {
					t.Errorf("warnings:\n%s", &stderr)
				}
				return
			}
			if code != exitUsage {
				t.Fatalf("exit code %d, want %d:\n%s", code, exitUsage, &stderr)
			}
			if n := strings.Count(strings.TrimSpace(stderr.String()), "\n") + 1; n > 2 {
				t.Errorf("%d lines for one fault:\n%s", n, &stderr)
			}
			place := fmt.Sprintf("%s:%d:", file, c.Refused.Line)
			for _, words := range append([]string{place, c.Refused.Field}, c.Refused.Says...) {
				if !strings.Contains(stderr.String(), words) {
					t.Errorf("nothing says %q:\n%s", words, &stderr)
				}
			}
		})
	}
}
