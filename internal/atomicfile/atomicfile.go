// Package atomicfile writes files as a whole or not at all: a full disk or a kill in between
// leaves what was there before.
package atomicfile

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Write writes data to path, which it makes or replaces. A new file has the given mode, whatever
// the umask says; one that is replaced keeps its own. What is there and is no file, as a pipe or
// a terminal, is written to as it is. The error is a [fs.PathError] that names path.
func Write(path string, data []byte, mode os.FileMode) error {
	return From(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// From is Write with what write writes, whose own error is returned as it is.
func From(path string, mode os.FileMode, write func(io.Writer) error) (err error) {
	final, err := filepath.EvalSymlinks(path) // the link itself stays
	if err != nil {
		final = path
	}
	info, err := os.Stat(final)
	switch {
	case err == nil && info.Mode().IsRegular():
		mode = info.Mode().Perm()
	case err == nil && !info.IsDir():
		return through(final, write)
	}
	// Beside it, for a rename works within one file system only.
	temp, err := os.CreateTemp(filepath.Dir(final), "."+filepath.Base(final)+".*")
	if err != nil {
		return named(path, err)
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	if err := buffered(temp, write); err != nil {
		return inFile(temp.Name(), path, err)
	}
	// CreateTemp makes files that only their owner can read. Brought to the disk before the
	// rename: after a power cut the name must not lead to an empty file.
	for _, do := range []func() error{func() error { return temp.Chmod(mode) }, temp.Sync, temp.Close} {
		if err := do(); err != nil {
			return named(path, err)
		}
	}
	return named(path, os.Rename(temp.Name(), final))
}

// through writes to what is no file.
func through(path string, write func(io.Writer) error) error {
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(buffered(out, write), out.Close())
}

func buffered(to io.Writer, write func(io.Writer) error) error {
	buffer := bufio.NewWriterSize(to, 1<<16)
	if err := write(buffer); err != nil {
		return err
	}
	return buffer.Flush()
}

// inFile gives an error about the temporary file the name of the one that was to be written.
func inFile(temp, path string, err error) error {
	var of *fs.PathError
	if errors.As(err, &of) && of.Path == temp {
		return named(path, err)
	}
	return err
}

// named is an error of the operating system about path.
func named(path string, err error) error {
	var of *fs.PathError
	var link *os.LinkError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &of):
		err = of.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return &fs.PathError{Op: "write", Path: path, Err: err}
}
