package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/skip"
)

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.md")
	for _, text := range []string{"first", strings.Repeat("second ", 1<<16), ""} {
		if err := Write(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != text {
			t.Errorf("%d bytes, want %d", len(got), len(text))
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	none := filepath.Join(t.TempDir(), "none", "x")
	if err := Write(none, nil, 0o644); !errors.Is(err, os.ErrNotExist) || err.Error() != "write "+none+": no such file or directory" {
		t.Errorf("got %v", err)
	}
}

// Links lead to what is replaced, and what is no file is written to.
func TestOthers(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("before"), 0o600), os.Symlink("file", link), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte("after"), 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 || content(t, file) != "after" {
		t.Errorf("%v, %v: %q", info, err, content(t, file))
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info, err)
	}
	got := make(chan string)
	go func() {
		b, _ := os.ReadFile(pipe)
		got <- string(b)
	}()
	if err := Write(pipe, []byte("through"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "through" {
		t.Errorf("read %q", text)
	}
}

// What fails leaves what was there, and nothing else.
func TestFailure(t *testing.T) {
	broken := errors.New("broken")
	small := func(t *testing.T) string {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
			skip.NotHere(t, "mounting a small disk takes root: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		return dir
	}
	for name, tt := range map[string]struct {
		dir   func(*testing.T) string
		write func(io.Writer) error
		want  error
	}{
		"a writer that fails": {(*testing.T).TempDir, func(w io.Writer) error {
			_, err := w.Write([]byte("half"))
			return errors.Join(err, broken)
		}, broken},
		"a full disk": {small, func(w io.Writer) error {
			_, err := w.Write(make([]byte, 1<<20))
			return err
		}, unix.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tt.dir(t)
			path := filepath.Join(dir, "report.md")
			if err := Write(path, []byte("before"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := From(path, 0o644, tt.write); !errors.Is(err, tt.want) || !errors.Is(tt.want, broken) && !strings.Contains(err.Error(), "write "+path+": ") {
				t.Errorf("got %v", err)
			}
			if got := content(t, path); got != "before" {
				t.Errorf("now it holds %q", got)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
