package compare

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzRepeat reads the order of repeated runs: runs of its own are among all, in their order, and
// the words for it are one line.
func FuzzRepeat(f *testing.F) {
	f.Add([]byte(`{"scenario":"headless","seed":7,"order":["out/headless/run-02","out/one-pod/run-01","out/headless/run-01"]}`))
	f.Add([]byte(`{"order":[""]}`))
	f.Add([]byte(`{"scenario":"a"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, RepeatFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := readRepeat(dir)
		if err != nil {
			if !strings.Contains(err.Error(), RepeatFile) {
				t.Errorf("error %v", err)
			}
			return
		}
		for _, r := range all {
			own := r.own()
			if len(own) > len(r.Order) {
				t.Errorf("%d of %d runs are its own", len(own), len(r.Order))
			}
			for _, name := range own {
				if !slices.ContainsFunc(r.Order, func(run string) bool { return strings.HasSuffix(path.Clean(filepath.ToSlash(run)), name) }) {
					t.Errorf("run %q is not in the order %q", name, r.Order)
				}
			}
			_ = r.String()
		}
	})
}
