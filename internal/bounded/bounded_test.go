package bounded

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAll(t *testing.T) {
	for _, test := range []struct {
		text string
		most int64
		ok   bool
	}{{"", 0, true}, {"abc", 3, true}, {"abc", 4, true}, {"abc", 2, false}, {"a", 0, false}} {
		for name, in := range map[string]io.Reader{"at once": strings.NewReader(test.text), "byte by byte": iotest.OneByteReader(strings.NewReader(test.text))} {
			got, err := All(in, test.most)
			if test.ok != (err == nil) || test.ok && string(got) != test.text {
				t.Errorf("%q of at most %d, %s: %q, %v", test.text, test.most, name, got, err)
			}
			if !test.ok && (!errors.Is(err, ErrTooLong) || int64(len(got)) != test.most) {
				t.Errorf("%q of at most %d, %s: %d bytes and %v", test.text, test.most, name, len(got), err)
			}
		}
	}
	if err := iotest.TestReader(Reader(strings.NewReader("some text"), 100), []byte("some text")); err != nil {
		t.Error(err)
	}
}

// endless never ends.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestWhatNeverEndsEnds(t *testing.T) {
	if text, err := All(endless('a'), 1<<20); !errors.Is(err, ErrTooLong) || len(text) != 1<<20 || err.Error() != "it is longer than 1 MiB, the most that is read" {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if line, err := Line(bufio.NewReader(endless('a')), 1<<20); !errors.Is(err, ErrTooLong) || line != nil {
		t.Errorf("%d bytes, %v", len(line), err)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := File(path, 4); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := File(path, 3); !errors.Is(err, ErrTooLong) {
		t.Errorf("error %v", err)
	}
	if _, err := File(filepath.Join(dir, "none"), 3); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := File("/dev/zero", 1<<16); !errors.Is(err, ErrTooLong) {
		t.Errorf("error of a device without an end: %v", err)
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("a\nbc\n\nd"), 16, 2)
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz\n"), 16, 26)
	f.Fuzz(func(t *testing.T, text []byte, buffer, most int) {
		if buffer < 0 || buffer > 1<<16 || most < 0 {
			return
		}
		in := bufio.NewReaderSize(bytes.NewReader(text), buffer)
		oracle := bufio.NewReader(bytes.NewReader(text))
		for {
			got, err := Line(in, int64(most))
			want, wantErr := oracle.ReadBytes('\n')
			if len(want) > most {
				if !errors.Is(err, ErrTooLong) || got != nil {
					t.Fatalf("a line of %d bytes of at most %d: %q, %v", len(want), most, got, err)
				}
				return
			}
			if !bytes.Equal(got, want) || !errors.Is(err, wantErr) {
				t.Fatalf("got %q, %v, want %q, %v", got, err, want, wantErr)
			}
			if err != nil {
				return
			}
		}
	})
}
