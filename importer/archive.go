package importer

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/importer/bugreport"
	"github.com/meshbench/meshbench/manifests"
)

// AddFile takes in a file: an export of objects, or an archive of istioctl bug-report. It may be
// read more than once, so a pipe is none.
func (c *Collection) AddFile(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no regular file; give files that kubectl or istioctl bug-report wrote")
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	open := func() (io.ReadCloser, error) { return os.Open(name) }
	head, err := bufio.NewReader(f).Peek(2)
	if err == nil && bugreport.IsArchive(head) {
		return c.AddArchive(name, open, bugreport.DefaultLimits())
	}
	return c.Add(manifests.Source{Name: name, Open: open})
}

// AddArchive takes in an archive of istioctl bug-report: its objects, and of its proxies the
// counts of their configuration. A dump that is not Envoy's is noted and left out.
func (c *Collection) AddArchive(name string, open func() (io.ReadCloser, error), within bugreport.Limits) error {
	in, err := open()
	if err != nil {
		return err
	}
	defer in.Close()
	objects := false
	err = bugreport.Walk(in, within, func(f bugreport.File, r io.Reader) error {
		text := &failing{Reader: r}
		var err error
		switch f.Kind {
		case bugreport.Objects:
			objects = true
			return c.Add(entry(name, f.Name, text, open, within))
		case bugreport.Dump:
			err = c.AddDump(f.Namespace, f.Pod, text)
		case bugreport.Clusters:
			err = c.AddClusters(f.Namespace, f.Pod, text)
		}
		if text.err != nil {
			return text.err // the archive's fault
		}
		if err != nil {
			c.notes.add("answers of proxies that cannot be read are left out: %s", noted{name: f.Name + ": " + err.Error()})
		}
		return nil
	})
	if err == nil && !objects {
		err = errors.New("it holds no objects: bug-report was told to leave them out (--skip-cluster-dump), or it is another archive")
	}
	return err
}

// failing notes what ended reading, if it was not the end.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// errFound ends looking for a file.
var errFound = errors.New("found")

// entry is a file of an archive as a source: its text is at hand the first time, and found again
// in the archive after that, where the place of a problem is looked for.
func entry(archive, name string, text io.Reader, open func() (io.ReadCloser, error), within bugreport.Limits) manifests.Source {
	return manifests.Source{Name: filepath.Base(archive) + ":" + name, Open: func() (io.ReadCloser, error) {
		if text != nil {
			first := io.NopCloser(text)
			text = nil
			return first, nil
		}
		in, err := open()
		if err != nil {
			return nil, err
		}
		again, into := io.Pipe()
		go func() {
			defer in.Close()
			err := bugreport.Walk(in, within, func(f bugreport.File, r io.Reader) error {
				if f.Name != name {
					return nil
				}
				if _, err := io.Copy(into, r); err != nil {
					return err
				}
				return errFound
			})
			if err == nil || errors.Is(err, errFound) {
				err = io.EOF
			}
			into.CloseWithError(err)
		}()
		return again, nil
	}}
}
