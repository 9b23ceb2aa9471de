package components

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// written is a builder of given files: path below the cache folder to content.
type written struct {
	from  string // what decides the key
	files map[Name]map[string]string
}

func (w written) inputs(Name) []string                      { return []string{w.from} }
func (w written) fetch(context.Context, site, []Name) error { return nil }
func (w written) build(_ context.Context, s site, names []Name) error {
	for _, n := range names {
		for p, text := range w.files[n] {
			p = filepath.Join(s.staged(n), p)
			mode := os.FileMode(0o644)
			if strings.HasPrefix(text, "#!") {
				mode = 0o755
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), mode)); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	program1 Name = "program"
	folder1  Name = "folder"
)

// writtenStore is a store of a unit with a program and a folder, and one with an optional
// program.
func writtenStore(root, from string) *Store {
	b := written{from, map[Name]map[string]string{
		program1: {"program": "#!/bin/sh\necho " + from + "\n"},
		folder1:  {"folder/a.yaml": "a: 1\n", "folder/below/b.yaml": ""},
		"extra":  {"extra": strings.Repeat("extra ", 50_000)},
	}}
	one := &unit{name: "one", version: "1.0", builder: b}
	one.add(program1, "1.0", "example.com/one@v1.0", "program", false)
	one.add(folder1, "1.0", "example.com/one@v1.0", "folder", false)
	two := &unit{name: "two", version: "2.0", builder: b}
	two.add("extra", "2.0", "example.com/two@v2.0", "extra", true)
	return &Store{root: root, units: []*unit{one, two}}
}

func export(t *testing.T, s *Store, want ...Name) string {
	t.Helper()
	if _, err := s.Obtain(t.Context(), nil, want...); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bundle.tar.zst")
	if _, err := s.Export(t.Context(), path, Export{Meshbench: "v9"}, want...); err != nil {
		t.Fatal(err)
	}
	return path
}

func importFile(t *testing.T, s *Store, path string) (*Imported, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return s.Import(t.Context(), f, nil)
}

// tree is what lies below a folder, but for locks and logs: mode and content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && (d.Name() == "locks" || d.Name() == "logs") {
				return fs.SkipDir
			}
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		all[rel] = info.Mode().String() + " " + string(b)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func TestBundleRoundTrip(t *testing.T) {
	from := writtenStore(t.TempDir(), "x")
	path := export(t, from, program1, folder1, "extra")
	to := writtenStore(t.TempDir(), "x")
	got, err := importFile(t, to, path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Added) != 3 || len(got.Present) != 0 || len(got.Unused) != 0 || got.Meshbench != "v9" {
		t.Errorf("%+v", got)
	}
	if want, have := tree(t, from.root), tree(t, to.root); !maps.Equal(want, have) {
		t.Errorf("got\n%q\nwant\n%q", have, want)
	}
	if err := to.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if !to.Complete(program1, folder1, "extra") {
		t.Error("not complete")
	}
	for _, a := range got.Added {
		if !a.Cached || a.Path == "" || a.Bytes == 0 || a.Made.IsZero() {
			t.Errorf("%+v", a)
		}
	}

	// What is there stays, and what is broken is replaced.
	entry := filepath.Join(to.dir(to.units[0], to.units[0].parts[0]), manifestName)
	if err := os.Truncate(entry, 1); err != nil {
		t.Fatal(err)
	}
	if got, err = importFile(t, to, path); err != nil || len(got.Added) != 1 || len(got.Present) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if want, have := tree(t, from.root), tree(t, to.root); !maps.Equal(want, have) {
		t.Errorf("got\n%q\nwant\n%q", have, want)
	}
}

func TestBundleOfDefaultsAndAll(t *testing.T) {
	s := writtenStore(t.TempDir(), "x")
	path := export(t, s)
	if _, err := s.Obtain(t.Context(), nil, "extra"); err != nil {
		t.Fatal(err)
	}
	all := filepath.Join(t.TempDir(), "all")
	made, err := s.Export(t.Context(), all, Export{All: true})
	if err != nil || made.Components != 3 {
		t.Fatalf("%+v, %v", made, err)
	}
	b, err := os.ReadFile(all)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != made.SHA256 || int64(len(b)) != made.Packed {
		t.Errorf("%+v does not say what %d bytes with sha256 %x are", made, len(b), sum)
	}
	for file, want := range map[string]int{path: 2, all: 3} {
		got, err := importFile(t, writtenStore(t.TempDir(), "x"), file)
		if err != nil || len(got.Added) != want {
			t.Errorf("%+v, %v; want %d", got, err, want)
		}
	}
}

func TestImportOfOtherKeys(t *testing.T) {
	path := export(t, writtenStore(t.TempDir(), "x"), program1, folder1, "extra")

	other := writtenStore(t.TempDir(), "y")
	if _, err := importFile(t, other, path); err == nil || !strings.Contains(err.Error(), "meshbench v9") {
		t.Errorf("got %v", err)
	}
	if have := tree(t, other.root); len(have) > 0 {
		t.Errorf("in the cache: %q", have)
	}

	partly := writtenStore(t.TempDir(), "x")
	partly.units[1] = writtenStore("", "y").units[1]
	got, err := importFile(t, partly, path)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"extra 2.0"}; len(got.Added) != 2 || !slices.Equal(got.Unused, want) || !slices.Equal(got.Differ, want) {
		t.Errorf("%+v", got)
	}
	partly.units = partly.units[:1]
	if got, err = importFile(t, partly, path); err != nil || len(got.Unused) != 1 || len(got.Differ) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// bundleItem is one of a bundle's archive.
type bundleItem struct {
	head tar.Header
	body string
}

// raw is a bundle before it is packed.
type raw struct {
	list    bundle
	entries []bundleItem
}

// sound is a bundle as Export writes it.
func sound(t testing.TB) raw {
	t.Helper()
	files := []bundleItem{{tar.Header{Name: "program"}, "#!/bin/sh\necho x\n"}, {tar.Header{Name: "folder/a.yaml"}, "a: 1\n"}, {tar.Header{Name: "folder/below/b.yaml"}, ""}}
	r := raw{list: bundle{Format: bundleFormat, Meshbench: "v9", Platform: bundlePlatform()}}
	u := writtenStore("", "x").units[0]
	for n, own := range map[Name][]bundleItem{program1: files[:1], folder1: files[1:]} {
		c := bundled{Key: u.key(n), manifest: manifest{Name: n, Version: "1.0"}}
		for _, f := range own {
			sum := sha256.Sum256([]byte(f.body))
			c.Files = append(c.Files, file{Path: f.head.Name, Size: int64(len(f.body)), SHA256: hex.EncodeToString(sum[:])})
		}
		r.list.Components = append(r.list.Components, c)
	}
	slices.SortFunc(r.list.Components, func(a, b bundled) int { return strings.Compare(string(b.Name), string(a.Name)) })
	for i, f := range files {
		c := r.list.Components[min(i, 1)]
		f.head = tar.Header{Name: c.folder() + "/" + f.head.Name, Mode: 0o644, Typeflag: tar.TypeReg}
		r.entries = append(r.entries, f)
	}
	return r
}

// archive is the bundle without compression.
func (r raw) archive(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(r.list)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range append([]bundleItem{{tar.Header{Name: bundleName, Mode: 0o644, Typeflag: tar.TypeReg}, string(text)}}, r.entries...) {
		e.head.Size = int64(len(e.body))
		if err := w.WriteHeader(&e.head); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func packed(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(b, nil)
}

func TestImportRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*raw)
		want   string
	}{
		"platform":      {func(r *raw) { r.list.Platform = "linux/s390x" }, `it is for "linux/s390x"`},
		"format":        {func(r *raw) { r.list.Format = 2 }, "it has format 2"},
		"nothing":       {func(r *raw) { r.list.Components = nil }, "no component"},
		"version":       {func(r *raw) { r.list.Meshbench = "v9\x1b[2J" }, "no version of meshbench"},
		"escape":        {func(r *raw) { r.list.Components[0].Files[0].Path = "../../../escaped" }, "no path below"},
		"absolute":      {func(r *raw) { r.list.Components[0].Files[0].Path = "/escaped" }, "no path below"},
		"manifest":      {func(r *raw) { r.list.Components[0].Files[0].Path = manifestName }, "no path below"},
		"name":          {func(r *raw) { r.list.Components[0].Name = "../escaped" }, "no name, version or key"},
		"key":           {func(r *raw) { r.list.Components[0].Key = "a/../../b" }, "no name, version or key"},
		"twice":         {func(r *raw) { r.list.Components = append(r.list.Components, r.list.Components[0]) }, "twice"},
		"file twice":    {func(r *raw) { f := &r.list.Components[1].Files; (*f)[1] = (*f)[0] }, "twice"},
		"no file":       {func(r *raw) { r.list.Components[0].Files = nil }, "lists no file"},
		"negative":      {func(r *raw) { r.list.Components[0].Files[0].Size = -1 }, "-1 bytes"},
		"huge":          {func(r *raw) { r.list.Components[0].Files[0].Size = 1 << 50 }, "at most 8192 Mi"},
		"larger":        {func(r *raw) { r.entries[0].body += "and more" }, "instead of"},
		"smaller":       {func(r *raw) { r.entries[0].body = "#!" }, "has 2 bytes instead of"},
		"altered":       {func(r *raw) { r.entries[0].body = strings.ToUpper(r.entries[0].body) }, "sha256"},
		"altered empty": {func(r *raw) { r.list.Components[1].Files[1].SHA256 = "" }, "sha256"},
		"other name":    {func(r *raw) { r.entries[0].head.Name = "../escaped" }, `holds "../escaped" where`},
		"symbolic link": {func(r *raw) {
			r.entries[0].head.Typeflag, r.entries[0].head.Linkname, r.entries[0].body = tar.TypeSymlink, "/etc/passwd", ""
		}, "a link or something else"},
		"hard link": {func(r *raw) {
			r.entries[2].head.Typeflag, r.entries[2].head.Linkname = tar.TypeLink, r.entries[0].head.Name
		}, "a link or something else"},
		"folder": {func(r *raw) {
			r.entries[2].head.Typeflag = tar.TypeDir
		}, "a link or something else"},
		"one more":  {func(r *raw) { r.entries = append(r.entries, bundleItem{tar.Header{Name: "more"}, ""}) }, `holds "more", too`},
		"one less":  {func(r *raw) { r.entries = r.entries[:2] }, "is missing"},
		"list only": {func(r *raw) { r.entries = nil }, "it is cut"},
		"payload": {func(r *raw) {
			r.list.Components[0].Files[0].Path = "elsewhere"
			r.entries[0].head.Name = r.list.Components[0].folder() + "/elsewhere"
		}, "lacks program"},
		"file as folder": {func(r *raw) {
			r.list.Components[1].Files[1].Path = "folder/a.yaml/b"
			r.entries[2].head.Name = r.list.Components[1].folder() + "/folder/a.yaml/b"
		}, "folder/a.yaml/b"},
	} {
		t.Run(name, func(t *testing.T) {
			r := sound(t)
			c.change(&r)
			refused(t, packed(t, r.archive(t)), c.want)
		})
	}
	whole := packed(t, sound(t).archive(t))
	if got, err := writtenStore(t.TempDir(), "x").Import(t.Context(), bytes.NewReader(whole), nil); err != nil || len(got.Added) != 2 {
		t.Errorf("sound: %+v, %v", got, err)
	}
	for n := 0; n < len(whole); n += 7 {
		refused(t, whole[:n], "")
	}
	refused(t, whole[:len(whole)-1], "it is cut")
	refused(t, append(slices.Clone(whole), packed(t, []byte("more"))...), "goes on after its end")
	refused(t, append(slices.Clone(whole), "more"...), "")
	refused(t, []byte("PK\x03\x04 something else"), "cannot be read as a bundle")
	refused(t, packed(t, []byte("not an archive")), "cut")
	var other bytes.Buffer
	w := tar.NewWriter(&other)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "etc/passwd", Size: 0}), w.Close()); err != nil {
		t.Fatal(err)
	}
	refused(t, packed(t, other.Bytes()), `it begins with "etc/passwd"`)
}

// refused checks that a bundle is refused with a sentence and changes nothing.
func refused(t *testing.T, b []byte, want string) {
	t.Helper()
	root := t.TempDir()
	s := writtenStore(filepath.Join(root, "cache", "components"), "x")
	got, err := s.Import(t.Context(), bytes.NewReader(b), nil)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%d bytes: %+v, %v; want %q", len(b), got, err, want)
	}
	if have := tree(t, root); len(have) > 0 {
		t.Errorf("%d bytes left %q", len(b), have)
	}
}

// TestImportFindsFlippedBits: one byte that differs anywhere is noticed, or changes nothing.
func TestImportFindsFlippedBits(t *testing.T) {
	whole := packed(t, sound(t).archive(t))
	found, tried := 0, 0
	for i := 0; i < len(whole); i += 3 {
		b := slices.Clone(whole)
		b[i] ^= 0x10
		tried++
		s := writtenStore(t.TempDir(), "x")
		if _, err := s.Import(t.Context(), bytes.NewReader(b), nil); err != nil {
			found++
			if have := tree(t, s.root); len(have) > 0 {
				t.Errorf("byte %d: %v left %q", i, err, have)
			}
		} else if err := s.Verify(t.Context()); err != nil {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	if found < tried*9/10 {
		t.Errorf("found %d of %d", found, tried)
	}
}

func TestBundleInterrupted(t *testing.T) {
	from := writtenStore(t.TempDir(), "x")
	path := export(t, from)

	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	to := writtenStore(t.TempDir(), "x")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// A small bundle is read ahead; what is waited for after that still ends.
	held, err := to.lock(t.Context(), "one-1.0", func() {})
	if err != nil {
		t.Fatal(err)
	}
	_, err = to.Import(ctx, f, func(text string) {
		if strings.HasPrefix(text, "waiting") {
			cancel(stop)
		}
	})
	if err == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, stop) {
		t.Errorf("import: %v", err)
	}
	if have := tree(t, to.root); len(have) > 0 {
		t.Errorf("import left %q", have)
	}
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}

	ctx, cancel = context.WithCancelCause(t.Context())
	file := filepath.Join(t.TempDir(), "bundle")
	_, err = from.Export(ctx, file, Export{Say: func(string) { cancel(stop) }})
	if !errors.Is(err, stop) {
		t.Errorf("export: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) > 0 {
		t.Errorf("export left %v, %v", left, err)
	}
}

// TestImportWaits checks that an import takes the locks of builds.
func TestImportWaits(t *testing.T) {
	path := export(t, writtenStore(t.TempDir(), "x"))
	to := writtenStore(t.TempDir(), "x")
	held, err := to.lock(t.Context(), "one-1.0", func() {})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var waited bool
	got, err := to.Import(t.Context(), f, func(text string) {
		if text == "waiting for a run that is obtaining one" && !waited {
			waited = true
			if to.Complete() {
				t.Error("complete while somebody else holds the lock")
			}
			if err := held.Unlock(); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || !waited || len(got.Added) != 2 {
		t.Errorf("%+v, %v, waited: %t", got, err, waited)
	}
}

func TestExportRefuses(t *testing.T) {
	s := writtenStore(t.TempDir(), "x")
	file := filepath.Join(t.TempDir(), "bundle")
	for want, f := range map[string]func() error{
		"not in the cache": func() error { _, err := s.Export(t.Context(), file, Export{}); return err },
		"obtain it first":  func() error { _, err := s.Export(t.Context(), file, Export{All: true}); return err },
		"is no file":       func() error { return CheckExport(filepath.Dir(file)) },
		"no such file":     func() error { return CheckExport(filepath.Join(file, "below", "bundle")) },
		"images": func() error {
			with := &Store{root: s.root, units: []*unit{{name: "i", builder: &image{}}}}
			_, err := with.Export(t.Context(), file, Export{})
			return err
		},
		"its sha256 is": func() error {
			s := writtenStore(t.TempDir(), "x")
			set := obtain(t, s)
			write(t, set.Path(program1), strings.ToUpper("#!/bin/sh\necho x\n"))
			_, err := s.Export(t.Context(), file, Export{})
			return err
		},
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", want, left, err)
		}
	}
}

// TestRemoveHoldsNothingWhileItWaits: a build of Knative holds its lock while it waits for
// Istio to be compiled. Somebody who waits for Knative's must not hold Istio's.
func TestRemoveHoldsNothingWhileItWaits(t *testing.T) {
	s := writtenStore(t.TempDir(), "x")
	free, err := s.lock(t.Context(), "a", func() {})
	if err != nil {
		t.Fatal(err)
	}
	held, err := s.lock(t.Context(), "b", func() {})
	if err != nil {
		t.Fatal(err)
	}
	if err := free.Unlock(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Clean(t.Context()) }()
	time.Sleep(2 * lockRetry) // a remove that holds a while it waits has it by now
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	a, err := s.lock(ctx, "a", func() {})
	if err != nil {
		t.Fatalf("a is held by somebody who waits for b: %v", err)
	}
	if err := errors.Join(a.Unlock(), held.Unlock(), <-done); err != nil {
		t.Error(err)
	}
}

// FuzzUnpack: whatever an archive holds, it is refused and leaves nothing, or what it puts
// into the cache is whole.
func FuzzUnpack(f *testing.F) {
	r := sound(f)
	whole := r.archive(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(nil))
	for _, change := range []func(*raw){
		func(r *raw) { r.entries[0].head.Name = "../../escaped" },
		func(r *raw) { r.list.Components[0].Files[0].Path = "../escaped" },
		func(r *raw) {
			r.entries[0].head.Typeflag, r.entries[0].head.Linkname, r.entries[0].body = tar.TypeSymlink, "/tmp", ""
		},
		func(r *raw) { r.list.Components[0].Key = "000000000000" },
		func(r *raw) { r.list.Platform = "plan9/mips" },
	} {
		r := sound(f)
		change(&r)
		f.Add(r.archive(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		root := t.TempDir()
		s := writtenStore(filepath.Join(root, "cache", "components"), "x")
		got, err := s.unpack(t.Context(), bytes.NewReader(b), s.units, func(string) {})
		have := tree(t, root)
		if err != nil {
			if len(have) > 0 {
				t.Errorf("%v left %q", err, have)
			}
			return
		}
		if err := s.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		for p := range have {
			if !slices.ContainsFunc(got.Added, func(c Status) bool { return strings.HasPrefix(filepath.Join(root, p), c.Path+"/") }) {
				t.Errorf("%s is in none of %+v", p, got.Added)
			}
		}
		for _, c := range got.Added {
			if _, err := os.Stat(filepath.Join(c.Path, manifestName)); err != nil {
				t.Error(fmt.Errorf("%s: %w", c.Name, err))
			}
		}
	})
}
