package existing

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzRecord reads a record of a run that may have been cut: it always names a run, if only by
// the file's name.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"ID":"x7k2p","Namespaces":["ns1-x7k2p"]}`))
	f.Add([]byte(`{"ID":`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "abcde"+recordSuffix)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord(path)
		if err != nil || r.ID == "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
