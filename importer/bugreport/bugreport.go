// Package bugreport reads the archive that `istioctl bug-report` writes: which files of it hold
// what of the mesh (tools/bug-report of istio.io/istio, 1.9 to 1.31), in one pass and without
// writing anything to disk.
//
// The archive is somebody else's: it may be cut, or made to fill memory. What is read of it is
// limited, by file and in all, and by how much longer the text is than the archive. Nothing is
// unpacked, so paths and links in it lead nowhere. Secrets are not opened.
package bugreport

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Kind is what a file of the archive holds.
type Kind int

const (
	// Other is of no use.
	Other Kind = iota
	// Objects are objects of the API as kubectl writes them.
	Objects
	// Dump is a proxy's configuration.
	Dump
	// Clusters is a proxy's answer to /clusters.
	Clusters
	// Secrets are not to be opened.
	Secrets
)

// File is a file of the archive.
type File struct {
	// Name is its path in the archive.
	Name string
	Kind Kind
	// Namespace and Pod are those of the proxy of a Dump or Clusters.
	Namespace, Pod string
}

// Of says what a file of the archive holds by its path: bug-report/cluster/k8s-resources. The
// first folder is left out of archives of a folder that the user named.
func Of(name string) File {
	f := File{Name: name}
	parts := strings.Split(strings.TrimPrefix(path.Clean("/"+name), "/"), "/")
	if parts[0] == "bug-report" {
		parts = parts[1:]
	}
	switch {
	case len(parts) == 2 && parts[0] == "cluster":
		switch parts[1] {
		case "k8s-resources", "k8s-cluster-resources", "crs", "nodes", "pods":
			f.Kind = Objects
		case "secrets":
			f.Kind = Secrets
		}
	case len(parts) == 4 && parts[0] == "proxies":
		f.Namespace, f.Pod = parts[1], parts[2]
		// The file's name is the path that Envoy was asked for.
		switch question, _, _ := strings.Cut(parts[3], "?"); question {
		case "config_dump":
			f.Kind = Dump
		case "clusters":
			f.Kind = Clusters
		}
	}
	return f
}

// Limits are how much of an archive is read, in bytes of text.
type Limits struct {
	// File is the longest file, and All that of all that are read or passed over.
	File, All int64
	// Ratio is how many times longer than the archive the text may be, once it is longer than
	// Free.
	Ratio, Free int64
}

// DefaultLimits are far beyond what bug-report writes: text in gzip becomes 10 to 40 times
// shorter, and it ends itself at archives of 500 MB.
func DefaultLimits() Limits {
	return Limits{File: 4 << 30, All: 32 << 30, Ratio: 200, Free: 256 << 20}
}

var (
	errBomb = errors.New("the text is too long for its archive, as no bug-report's is")
	errCut  = errors.New("the archive ends in the middle; is the file whole?")
)

// IsArchive reports whether a text begins as gzip does.
func IsArchive(head []byte) bool { return len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b }

// Walk reads an archive from its beginning to its end and calls visit with each file that holds
// something, whose text is read from r. What visit does not read is passed over. Files that are
// no regular files, links among them, are refused by name: bug-report writes none.
func Walk(archive io.Reader, within Limits, visit func(f File, r io.Reader) error) error {
	packed := &counter{Reader: archive}
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(packed, 1<<16))
	if err != nil {
		return fmt.Errorf("it is no archive of istioctl bug-report, which is tar in gzip: %w", cut(err))
	}
	text := &limited{Reader: unzipped, packed: packed, within: within}
	files := tar.NewReader(text)
	for found := 0; ; found++ {
		header, err := files.Next()
		switch {
		case errors.Is(err, io.EOF):
			if found == 0 {
				return errors.New("it is no archive of istioctl bug-report: it holds no files")
			}
			// The rest of the text is padding; gzip's checksum stands behind it.
			if _, err := io.Copy(io.Discard, text); err != nil {
				return cut(err)
			}
			return nil
		case err != nil:
			return cut(err)
		}
		if err := check(header, within); err != nil {
			return fmt.Errorf("%q: %w", header.Name, err)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		f := Of(header.Name)
		if f.Kind == Other || f.Kind == Secrets {
			continue
		}
		if err := visit(f, files); err != nil {
			return fmt.Errorf("%s: %w", f.Name, cut(err))
		}
	}
}

// check refuses what bug-report does not write.
func check(h *tar.Header, within Limits) error {
	switch {
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeXGlobalHeader:
		return errors.New("it is a link or a device, and bug-report writes files alone")
	case slices.Contains(strings.Split(h.Name, "/"), "..") || strings.HasPrefix(h.Name, "/"):
		return errors.New("its path leads out of the archive, and bug-report's do not")
	case h.Size > within.File:
		return fmt.Errorf("it is %d bytes long, and at most %d are read", h.Size, within.File)
	}
	return nil
}

// cut says that an archive is cut, where that is what is wrong.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errCut
	}
	return err
}

// counter counts what is read of the archive itself.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// limited ends reading a text that is too long.
type limited struct {
	io.Reader
	packed *counter
	within Limits
	n      int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	l.n += int64(n)
	if l.n > l.within.All || l.n > l.within.Free && l.n > l.packed.n*l.within.Ratio {
		return n, errBomb
	}
	return n, err
}
