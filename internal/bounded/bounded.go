// Package bounded reads what others give, and no more of it than a limit: files that a user
// names, answers of programs, lines of logs. What is longer is refused with an error that says
// how long it may be, before it fills memory. All limits that are shared are here.
package bounded

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Limits, in bytes. Each is several times what was ever seen.
const (
	// Dump is the longest configuration dump and the longest answer to /clusters: 70 MB were
	// seen. They are read piece by piece.
	Dump = 512 << 20
	// Whole is the longest dump that is held in memory as a whole, ten times its size.
	Whole = 256 << 20
	// Answer is the longest answer of istiod, a kubelet, a Prometheus or another process that is
	// held in memory: 1,000 proxies in /debug/syncz take 1 MB.
	Answer = 128 << 20
	// OwnFile is the longest file that this program or its user wrote: baselines, cost models,
	// plans, values, maps of names. The longest that was seen has 3 MB.
	OwnFile = 32 << 20
	// LongestLine is the longest record of a log or of a store of runs: 1 MB was seen.
	LongestLine = 16 << 20
	// Log is the longest log of a run, and Store the longest store of runs.
	Log   = 1 << 30
	Store = 512 << 20
)

// ErrTooLong is what every refusal for its length is.
var ErrTooLong = errors.New("it is too long")

// tooLong is an ErrTooLong that says how long is allowed.
type tooLong struct {
	what string // "it", "the line"
	most int64
}

func (e *tooLong) Error() string {
	return fmt.Sprintf("%s is longer than %s, the most that is read", e.what, sized(e.most))
}

// ofFile is a tooLong that names the file, as other errors of files do.
func ofFile(path string, most int64) error {
	return &fs.PathError{Op: "read", Path: path, Err: &tooLong{"it", most}}
}

func (e *tooLong) Is(target error) bool { return target == ErrTooLong }

// sized is a number of bytes in words.
func sized(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// Reader reads from r, and gives an [ErrTooLong] once it was read beyond most bytes, where
// io.LimitReader gives an end as if the text were whole.
func Reader(r io.Reader, most int64) io.Reader { return &reader{r, most, &tooLong{"it", most}} }

type reader struct {
	in   io.Reader
	left int64
	err  error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.left < 0 {
		return 0, r.err
	}
	if int64(len(p)) > r.left+1 { // one more tells an end from too much
		p = p[:r.left+1]
	}
	n, err := r.in.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return n - 1, r.err
	}
	return n, err
}

// All reads r to its end.
func All(r io.Reader, most int64) ([]byte, error) { return io.ReadAll(Reader(r, most)) }

// Open opens a file for reading. One that is longer than most is refused before a byte of it is
// read; a pipe or a device is when it turns out to be.
func Open(path string, most int64) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > most {
		file.Close()
		return nil, ofFile(path, most)
	}
	return &struct {
		io.Reader
		io.Closer
	}{&reader{file, most, ofFile(path, most)}, file}, nil
}

// File reads a file as os.ReadFile does.
func File(path string, most int64) ([]byte, error) {
	file, err := Open(path, most)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// Line reads to the end of a line as bufio.Reader.ReadBytes('\n') does, and no further than
// most bytes.
func Line(r *bufio.Reader, most int64) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if int64(len(line)+len(part)) > most {
			return nil, &tooLong{"the line", most}
		}
		if line == nil && err == nil {
			return bytes.Clone(part), nil // most lines fit into the buffer
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
