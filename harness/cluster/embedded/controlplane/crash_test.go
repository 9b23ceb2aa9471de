package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The reason of a crash is quoted, however much its goroutines have to say.
func TestTailOfCrash(t *testing.T) {
	const newosproc = "runtime: failed to create new OS thread (have 17 already; errno=11)\nruntime: may need to increase max user processes (ulimit -u)\nfatal error: newosproc\n\n"
	dump := func(n int) string {
		return strings.Repeat("goroutine 7 [select]:\nmain.wait()\n\tmain.go:7 +0x1\n\n", n)
	}
	for name, tt := range map[string]struct {
		log  string
		want []string
		not  string
	}{
		"threads are used up": {"it began\n" + newosproc + dump(20_000), []string{newosproc[:60], "max user processes", "fatal error: newosproc", "\n  ...\n", "main.go:7"}, "it began"},
		"a panic":             {"panic: nil map\n\n" + dump(100), []string{"panic: nil map\n  ...\n"}, ""},
		"the last of two":     {"panic: first\n\n" + dump(50) + "fatal error: all goroutines are asleep\n\n" + dump(50), []string{"asleep"}, "first"},
		"a short one":         {"panic: here\n\ngoroutine 1\n", []string{"panic: here"}, "..."},
		"none":                {"one\ntwo\n", []string{"one\n  two"}, "..."},
	} {
		t.Run(name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "x.log")
			if err := os.WriteFile(log, []byte(tt.log), 0o600); err != nil {
				t.Fatal(err)
			}
			got := Tail(log)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in:\n%.2000s", want, got)
				}
			}
			if tt.not != "" && strings.Contains(got, tt.not) || strings.Count(got, "\n") > tailLines+crashLines+2 {
				t.Errorf("got:\n%.2000s", got)
			}
		})
	}
}
