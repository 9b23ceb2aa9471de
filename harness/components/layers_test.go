package components

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// item is an entry of a test's layer: a file with content, or a link, a folder, a
// whiteout by its name.
type item struct {
	name, content, link string
	kind                byte // a file when 0
}

// archive makes the uncompressed layer of items.
func archive(t testing.TB, items []item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h := &tar.Header{Name: i.name, Linkname: i.link, Typeflag: i.kind, Size: int64(len(i.content)), Mode: 0o755}
		if i.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func symlink(name, to string) item  { return item{name: name, link: to, kind: tar.TypeSymlink} }
func hardlink(name, to string) item { return item{name: name, link: to, kind: tar.TypeLink} }
func folder(name string) item       { return item{name: name, kind: tar.TypeDir} }
func whiteout(name string) item     { return item{name: name} }

// TestFind looks for /usr/bin/prog in layers, the lowest first as in an image.
func TestFind(t *testing.T) {
	prog := func(content string) item { return item{name: "usr/bin/prog", content: content} }
	for _, tt := range []struct {
		name   string
		layers [][]item
		want   string // content, or
		fails  string // part of the error
	}{
		{"plain", [][]item{{prog("a")}}, "a", ""},
		{"names with dots and slashes", [][]item{{{name: "./usr/bin/../bin/prog", content: "a"}}}, "a", ""},
		{"a leading slash", [][]item{{{name: "/usr/bin/prog", content: "a"}}}, "a", ""},
		{"the upper layer counts", [][]item{{prog("a")}, {prog("b")}}, "b", ""},
		{"the last entry of a layer counts", [][]item{{prog("a"), prog("b")}}, "b", ""},
		{"below an unrelated layer", [][]item{{prog("a")}, {{name: "etc/x", content: "x"}}}, "a", ""},
		{"whiteout", [][]item{{prog("a")}, {whiteout("usr/bin/.wh.prog")}}, "", "no such file"},
		{"whiteout of a folder", [][]item{{prog("a")}, {whiteout("usr/.wh.bin")}}, "", "no such file"},
		{"whiteout of another file", [][]item{{prog("a")}, {whiteout("usr/bin/.wh.pro")}}, "a", ""},
		{"whiteout and new in one layer", [][]item{{prog("a")}, {prog("b"), whiteout("usr/bin/.wh.prog")}}, "b", ""},
		{"new above a whiteout", [][]item{{prog("a")}, {whiteout("usr/bin/.wh.prog")}, {prog("c")}}, "c", ""},
		{"opaque folder", [][]item{{prog("a")}, {whiteout("usr/.wh..wh..opq")}}, "", "no such file"},
		{"opaque root", [][]item{{prog("a")}, {whiteout(".wh..wh..opq")}}, "", "no such file"},
		{"opaque folder with the file", [][]item{{prog("a")}, {whiteout("usr/bin/.wh..wh..opq"), prog("b")}}, "b", ""},
		{"opaque sibling", [][]item{{prog("a")}, {whiteout("usr/lib/.wh..wh..opq")}}, "a", ""},
		{"the folder became a file", [][]item{{prog("a")}, {{name: "usr/bin", content: "x"}}}, "", "no such file"},
		{"a folder instead", [][]item{{folder("usr/bin/prog")}}, "", "not a file"},
		{"a device instead", [][]item{{{name: "usr/bin/prog", kind: tar.TypeChar}}}, "", "not a file"},
		{"symbolic link", [][]item{{{name: "opt/real", content: "a"}, symlink("usr/bin/prog", "/opt/real")}}, "a", ""},
		{"relative symbolic link", [][]item{{{name: "usr/lib/real", content: "a"}, symlink("usr/bin/prog", "../lib/real")}}, "a", ""},
		{"symbolic link to a lower layer", [][]item{{{name: "opt/real", content: "a"}}, {symlink("usr/bin/prog", "/opt/real")}}, "a", ""},
		{"symbolic link to an upper layer", [][]item{{symlink("usr/bin/prog", "/opt/real")}, {{name: "opt/real", content: "b"}}}, "b", ""},
		{"symbolic link over a file", [][]item{{prog("a"), {name: "opt/real", content: "b"}}, {symlink("usr/bin/prog", "/opt/real")}}, "b", ""},
		{"symbolic link that dangles", [][]item{{symlink("usr/bin/prog", "/opt/real")}}, "", "no such file"},
		{"symbolic link out of the image", [][]item{{{name: "etc/passwd", content: "a"}, symlink("usr/bin/prog", "../../../../../etc/passwd")}}, "a", ""},
		{"symbolic link to itself", [][]item{{symlink("usr/bin/prog", "prog")}}, "", "links one after another"},
		{"two symbolic links in a ring", [][]item{{symlink("usr/bin/prog", "other"), symlink("usr/bin/other", "prog")}}, "", "links one after another"},
		{"folder that is a symbolic link", [][]item{{symlink("usr", "system"), {name: "system/bin/prog", content: "a"}}}, "a", ""},
		{"merged folder in a lower layer", [][]item{{symlink("usr/bin", "/bin")}, {{name: "bin/prog", content: "b"}}}, "b", ""},
		{"through two linked folders", [][]item{{symlink("usr", "x"), symlink("x/bin", "/y"), {name: "y/prog", content: "a"}}}, "a", ""},
		{"written through a linked folder", [][]item{{symlink("usr/bin", "/bin")}, {prog("b")}}, "b", ""},
		{"folders that link in a ring", [][]item{{symlink("usr", "usr")}}, "", "links one after another"},
		{"hard link", [][]item{{{name: "opt/real", content: "a"}, hardlink("usr/bin/prog", "opt/real")}}, "a", ""},
		{"hard link with a slash", [][]item{{{name: "opt/real", content: "a"}, hardlink("usr/bin/prog", "/opt/real")}}, "a", ""},
		{"hard link to a lower layer", [][]item{{{name: "opt/real", content: "a"}}, {hardlink("usr/bin/prog", "opt/real")}}, "a", ""},
		{"hard link whose other name was replaced", [][]item{{{name: "opt/real", content: "a"}, hardlink("usr/bin/prog", "opt/real")}, {{name: "opt/real", content: "b"}}}, "a", ""},
		{"hard link whose other name was removed", [][]item{{{name: "opt/real", content: "a"}, hardlink("usr/bin/prog", "opt/real")}, {whiteout("opt/.wh.real")}}, "a", ""},
		{"hard link to a symbolic link", [][]item{{{name: "opt/real", content: "a"}, symlink("opt/sym", "real"), hardlink("usr/bin/prog", "opt/sym")}}, "a", ""},
		{"hard link to nothing", [][]item{{hardlink("usr/bin/prog", "opt/real")}}, "", "no such file"},
		{"hard link to itself", [][]item{{hardlink("usr/bin/prog", "usr/bin/prog")}}, "", "links one after another"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var contents layers
			var archives [][]byte
			for i := len(tt.layers) - 1; i >= 0; i-- {
				archives = append(archives, archive(t, tt.layers[i]))
				l, err := index(bytes.NewReader(archives[len(archives)-1]))
				if err != nil {
					t.Fatal(err)
				}
				contents = append(contents, l)
			}
			found, err := contents.find("/usr/bin/prog")
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("found %+v, %v; want %q", found, err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "folder", "out")
			if err := extract(bytes.NewReader(archives[found.layer]), map[int][]string{found.nth: {out}}); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(out); err != nil || string(b) != tt.want {
				t.Errorf("%q, %v; want %q", b, err, tt.want)
			}
		})
	}
}

func TestExtractGivesSeveralFilesAndModes(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, mode := range map[string]int64{"a": 0o4755, "b": 0o600} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: 1, Mode: mode}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, name)
	}
	w.Close()
	l, err := index(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[int][]string{
		l.entries["a"].nth: {filepath.Join(dir, "a1"), filepath.Join(dir, "a2")},
		l.entries["b"].nth: {filepath.Join(dir, "b1")},
	}
	if err := extract(bytes.NewReader(b.Bytes()), files); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"a1": 0o755, "a2": 0o755, "b1": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want || info.Size() != 1 {
			t.Errorf("%s: %v, %v; want mode %v", name, info, err, want)
		}
	}
	// What is there already, perhaps a link, is never written to.
	if err := extract(bytes.NewReader(b.Bytes()), files); !errors.Is(err, os.ErrExist) {
		t.Errorf("the second time: %v", err)
	}
}

func TestIndexRefuses(t *testing.T) {
	whole := archive(t, []item{{name: "a", content: strings.Repeat("x", 4096)}})
	for name, b := range map[string][]byte{"cut off": whole[:2048], "no archive": bytes.Repeat([]byte("x"), 2048)} {
		if _, err := index(bytes.NewReader(b)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSparseFileOfManyGigabytes(t *testing.T) {
	// A terabyte that takes a few hundred bytes: GNU tar's sparse format 1.0.
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: "usr/bin/prog", Size: 512, Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{}}
	for k, v := range map[string]string{"major": "1", "minor": "0", "realsize": "1099511627776", "name": "usr/bin/prog"} {
		h.PAXRecords["MSH.sparse."+k] = v // the writer refuses the real name
	}
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	holes := make([]byte, 512)
	copy(holes, "1\n1099511627776\n0\n")
	w.Write(holes)
	w.Close()
	raw := bytes.ReplaceAll(b.Bytes(), []byte(" MSH.sparse."), []byte(" GNU.sparse."))
	l, err := index(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (layers{l}).find("usr/bin/prog"); err == nil || !strings.Contains(err.Error(), "more than any program") {
		t.Errorf("got %v", err)
	}
}

// FuzzIndex: whatever a layer holds, reading and searching it end.
func FuzzIndex(f *testing.F) {
	f.Add(archive(f, []item{{name: "usr/bin/prog", content: "a"}, whiteout("usr/bin/.wh.x"), whiteout("usr/.wh..wh..opq")}), "/usr/bin/prog")
	f.Add(archive(f, []item{symlink("usr", "usr"), symlink("bin", "../.."), hardlink("a", "b"), hardlink("b", "a")}), "usr/a")
	f.Add(archive(f, []item{symlink("a", "/b/../a/c"), folder("./b/")}), "../a")
	f.Fuzz(func(t *testing.T, b []byte, p string) {
		l, err := index(bytes.NewReader(b))
		if err != nil {
			return
		}
		ls := layers{l, l}
		found, err := ls.find(p)
		if err != nil || slices.ContainsFunc(slices.Collect(maps.Values(l.entries)), func(e entry) bool { return e.size > 1<<20 }) {
			return
		}
		if found.layer < 0 || found.layer > 1 || found.nth < 0 {
			t.Errorf("found %+v", found)
		}
		if err := extract(bytes.NewReader(b), map[int][]string{found.nth: {filepath.Join(t.TempDir(), "out")}}); err != nil {
			t.Errorf("found, but: %v", err)
		}
	})
}
