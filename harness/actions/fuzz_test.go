package actions

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzFortio reads what fortio printed: of a load, or an error. What is taken of it lies between
// the begin and the end of the program.
func FuzzFortio(f *testing.F) {
	files, err := filepath.Glob("testdata/fortio/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`log {"Version":"1","ActualDuration":9223372036854775807}`))
	begin := time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, output []byte) {
		r, err := parseFortio(output)
		if err != nil {
			return
		}
		if !bytes.Contains(output, []byte(`"Version"`)) && !bytes.Contains(bytes.ToLower(output), []byte("version")) && !bytes.Contains(output, []byte(`\u`)) {
			t.Error("a load without a version")
		}
		end := begin.Add(time.Minute)
		first, last := r.span(begin, end)
		if first.Before(begin) || last.After(end) || last.Before(first) {
			t.Errorf("from %s to %s, within %s to %s", first, last, begin, end)
		}
		if math.IsNaN(r.ActualQPS) || math.IsInf(r.ActualQPS, 0) {
			t.Errorf("%g a second", r.ActualQPS)
		}
	})
}

// FuzzLineWith looks for a line of an access log: it is a line of it that has the text.
func FuzzLineWith(f *testing.F) {
	f.Add("a\nb id-7 502 block_all direct_response\nc", "id-7")
	f.Add("a\r\n", "a")
	f.Fuzz(func(t *testing.T, log, text string) {
		line, err := lineWith(strings.NewReader(log), text)
		if err != nil {
			return
		}
		if line == "" {
			if text != "" && strings.Contains(log, text) && !strings.ContainsAny(text, "\r\n") {
				t.Errorf("%q is in the log and was not found", text)
			}
			return
		}
		if !strings.Contains(line, text) || !strings.Contains(log, line) || strings.Contains(line, "\n") {
			t.Errorf("found %q", line)
		}
		_ = blockedLine(line)
	})
}
