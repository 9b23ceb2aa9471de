package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeLog(t *testing.T, chunks ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pod", "0.log")
	log, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	out := log.stream("stdout")
	for _, chunk := range chunks {
		if _, err := out.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadLogs(t *testing.T) {
	long := strings.Repeat("x", 2*maxLine+5)
	path := writeLog(t, "one\ntw", "o\n", "\n", long+"\n", "end")
	for _, test := range []struct {
		name    string
		options LogOptions
		want    string
	}{
		{"all", LogOptions{Tail: -1}, "one\ntwo\n\n" + long + "\nend\n"},
		{"none", LogOptions{Tail: 0}, ""},
		{"last", LogOptions{Tail: 1}, "end\n"},
		{"more than there is", LogOptions{Tail: 1000}, "one\ntwo\n\n" + long + "\nend\n"},
		{"limit", LogOptions{Tail: -1, LimitBytes: 6}, "one\ntw"},
		{"limit above", LogOptions{Tail: 1, LimitBytes: 100}, "end\n"},
		{"future", LogOptions{Tail: -1, Since: time.Now().Add(time.Hour)}, ""},
		{"past", LogOptions{Tail: 1, Since: time.Now().Add(-time.Hour)}, "end\n"},
		{"follow an ended container", LogOptions{Tail: 1, Follow: true, Done: closed()}, "end\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := readLog(t, path, test.options); got != test.want {
				t.Errorf("got %.60q (%d), want %.60q (%d)", got, len(got), test.want, len(test.want))
			}
		})
	}
	t.Run("timestamps", func(t *testing.T) {
		lines := strings.Split(readLog(t, path, LogOptions{Tail: -1, Timestamps: true}), "\n")
		if len(lines) != 6 {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines[:5] {
			when, _, _ := strings.Cut(line, " ")
			if _, err := time.Parse(time.RFC3339Nano, when); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("missing", func(t *testing.T) {
		if _, err := ReadLogs(t.Context(), path+".none", LogOptions{}); !os.IsNotExist(unwrap(err)) {
			t.Errorf("error is %v", err)
		}
	})
}

func unwrap(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	log, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	out := log.stream("stdout")
	fmt.Fprintln(out, "before")
	done := make(chan struct{})
	reader, err := ReadLogs(context.Background(), path, LogOptions{Tail: -1, Follow: true, Done: done})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		for n := 0; n < len(got); {
			m, err := reader.Read(got[n:])
			if n += m; err != nil {
				t.Fatalf("%v after %q", err, got[:n])
			}
		}
		if string(got) != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	expect("before\n")
	fmt.Fprintln(out, "meanwhile")
	expect("meanwhile\n")
	log.size = maxLog // as if it were that long
	fmt.Fprintln(out, "in the next file")
	expect("in the next file\n")
	if old := readLog(t, path+".1", LogOptions{Tail: -1}); old != "before\nmeanwhile\n" {
		t.Errorf("the log put aside holds %q", old)
	}
	fmt.Fprint(out, "last words")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	close(done)
	expect("last words\n")
	if n, err := reader.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v after the end", n, err)
	}
}

func FuzzParseLogLine(f *testing.F) {
	f.Add("2016-10-06T00:17:09.669794202Z stdout F The content of the log entry\n")
	f.Add("2016-10-06T00:17:09.669794202Z stderr P piece")
	f.Add("")
	f.Fuzz(func(t *testing.T, line string) {
		when, content, partial, err := parseLogLine([]byte(line))
		if err != nil {
			return
		}
		if when.IsZero() && !strings.HasPrefix(line, "0001") {
			t.Errorf("no time in %q", line)
		}
		if end := strings.TrimSuffix(line, "\n"); !strings.HasSuffix(end, " "+string(content)) || partial && !strings.Contains(end, " P ") {
			t.Errorf("%q reads as %q, %v", line, content, partial)
		}
	})
}
