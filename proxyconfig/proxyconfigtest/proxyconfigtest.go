// Package proxyconfigtest reads the recorded answers of Envoys for tests.
package proxyconfigtest

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Recorded reads NAME.ANSWER.json.gz in a folder of recorded answers, which is package
// proxyconfig's testdata as the calling test reaches it. Answers are config_dump and clusters.
func Recorded(tb testing.TB, dir, name, answer string) []byte {
	tb.Helper()
	file, err := os.Open(filepath.Join(dir, name+"."+answer+".json.gz"))
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
