package controlplane

import (
	"bytes"
	"io"
	"os"
	"regexp"
)

// A Go program that crashes says why, and then what all of its goroutines did, which may be
// thousands of lines.
const (
	// crashBytes is how much of a log's end is searched for the reason.
	crashBytes = 4 << 20
	crashLines = 5
)

// crashed begins the reason: runtime/panic.go and runtime/os_linux.go of Go 1.26.
var crashed = regexp.MustCompile(`(?m)^(runtime: .*\n)*(fatal error|panic): .*$`)

// crash is the reason of the last crash of a Go program in a log, without what its goroutines
// did; nil where there is none.
func crash(log string) [][]byte {
	f, err := os.Open(log)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > crashBytes {
		_, _ = f.Seek(-crashBytes, io.SeekEnd)
	}
	text, _ := io.ReadAll(f)
	found := crashed.FindAllIndex(text, -1)
	if len(found) == 0 {
		return nil
	}
	last := found[len(found)-1]
	reason, _, _ := bytes.Cut(text[last[0]:], []byte("\n\n"))
	lines := bytes.Split(reason, []byte("\n"))
	return lines[:min(len(lines), crashLines)]
}
