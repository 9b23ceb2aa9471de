package components

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Names of a layer's entries that hide what lower layers hold.
const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = whiteoutPrefix + whiteoutPrefix + ".opq" // hides all that lower layers have in its folder
)

// These keep a hostile image from taking all memory, disk or time. The published images
// have some thousands of entries.
const (
	maxEntries = 1 << 18
	maxSize    = 2 << 30 // bytes of a file; the largest program has a tenth of that
	maxHops    = 40      // like the kernel's limit for symbolic links
)

// layer is the table of contents of a layer. Paths are clean and without leading slash.
type layer struct {
	entries map[string]entry
	hidden  map[string]bool // whiteouts
	opaque  map[string]bool
}

// entry is a file of a layer, or something else.
type entry struct {
	kind byte   // as in a tar header
	link string // its target
	size int64  // once unpacked, which a sparse file's entry is not in the archive
	nth  int    // its number in the archive
}

// index reads an uncompressed layer to its end.
func index(r io.Reader) (layer, error) {
	l := layer{entries: map[string]entry{}, hidden: map[string]bool{}, opaque: map[string]bool{}}
	archive := tar.NewReader(r)
	for nth := 0; ; nth++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return l, fmt.Errorf("read the layer's archive: %w", err)
		}
		if nth == maxEntries {
			return l, fmt.Errorf("the layer has more than %d entries", maxEntries)
		}
		p := clean(h.Name)
		base := path.Base(p)
		switch {
		case base == opaqueMarker:
			l.opaque[path.Dir(p)] = true
		case strings.HasPrefix(base, whiteoutPrefix):
			l.hidden[path.Join(path.Dir(p), strings.TrimPrefix(base, whiteoutPrefix))] = true
		default:
			l.entries[p] = entry{h.Typeflag, h.Linkname, h.Size, nth} // the last one of a name counts
		}
	}
}

// clean makes /a/b, ./a/b, a/../../a/b into a/b; the root becomes ".".
func clean(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" {
		return "."
	}
	return p
}

// ancestors are the folders above p, the nearest first, the root last.
func ancestors(p string) []string {
	var up []string
	for p != "." {
		p = path.Dir(p)
		up = append(up, p)
	}
	return up
}

// hides reports whether the layer keeps what lower layers have at p from being seen.
func (l layer) hides(p string) bool {
	if l.hidden[p] {
		return true
	}
	for _, a := range ancestors(p) {
		if l.hidden[a] || l.opaque[a] {
			return true
		}
		if e, ok := l.entries[a]; ok && e.kind != tar.TypeDir { // a file took the folder's place
			return true
		}
	}
	return false
}

// layers are an image's layers, the topmost first, as far down as they were read.
type layers []layer

// source is where a file's content is: which layer, and which entry of it.
type source struct{ layer, nth int }

// errAbsent says that no layer read so far has a file.
var errAbsent = errors.New("there is no such file")

// lookup finds what is seen at p; from is the topmost layer that counts.
func (ls layers) lookup(p string, from int) (e entry, at int, ok bool) {
	for i := from; i < len(ls); i++ {
		if e, ok := ls[i].entries[p]; ok {
			return e, i, true
		}
		if ls[i].hides(p) {
			break
		}
	}
	return entry{}, 0, false
}

// find follows links to the content of the file at p. It is errAbsent where layers
// further down may have it, or what is missing on the way.
func (ls layers) find(p string) (source, error) {
	p = clean(p)
	from := 0
	for range maxHops {
		e, at, ok := ls.lookup(p, from)
		switch {
		case ok && e.kind == tar.TypeReg && e.size > maxSize:
			return source{}, fmt.Errorf("/%s has %d Mi, more than any program", p, e.size/bytesPerMebi)
		case ok && e.kind == tar.TypeReg:
			return source{at, e.nth}, nil
		case ok && e.kind == tar.TypeLink:
			// A hard link is to what its own layer or those below have, whatever became of
			// that name further up.
			p, from = clean(e.link), at
		case ok && e.kind == tar.TypeSymlink:
			p, from = target(p, e.link), 0
		case ok:
			return source{}, fmt.Errorf("/%s is not a file", p)
		default:
			next, ok := ls.through(p)
			if !ok {
				return source{}, errAbsent
			}
			p, from = next, 0
		}
	}
	return source{}, fmt.Errorf("more than %d links one after another, the last at /%s", maxHops, p)
}

// through replaces the topmost folder of p that is a symbolic link by its target.
func (ls layers) through(p string) (string, bool) {
	up := ancestors(p)
	for i := len(up) - 1; i >= 0; i-- {
		if e, _, ok := ls.lookup(up[i], 0); ok && e.kind == tar.TypeSymlink {
			return clean(path.Join(target(up[i], e.link), strings.TrimPrefix(p, up[i]+"/"))), true
		}
	}
	return "", false
}

// target is what a symbolic link at p points to; it never leaves the image.
func target(p, link string) string {
	if path.IsAbs(link) {
		return clean(link)
	}
	return clean(path.Join("/", path.Dir(p), link))
}

// extract writes entries of one uncompressed layer to files: entry's number to path. The
// files are executable where the entry is.
func extract(r io.Reader, files map[int][]string) error {
	archive := tar.NewReader(r)
	left := len(files)
	for nth := 0; left > 0; nth++ {
		h, err := archive.Next()
		if err != nil {
			return fmt.Errorf("read the layer's archive: %w", err)
		}
		paths, ok := files[nth]
		if !ok {
			continue
		}
		left--
		if err := writeFiles(paths, archive, 0o644|h.FileInfo().Mode().Perm()&0o111); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles writes the same content to several new files.
func writeFiles(paths []string, r io.Reader, mode os.FileMode) (err error) {
	var all []io.Writer
	for _, p := range paths {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		all = append(all, f)
	}
	_, err = io.Copy(io.MultiWriter(all...), r)
	return err
}
