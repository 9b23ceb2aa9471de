package redact

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Folder takes secrets out of all files below a folder, which nobody may write to any more: the
// logs of a cluster that has ended. Each file is replaced as a whole, and only where there is
// something in it; its mode stays. Other things than files are passed over, as are files with a
// name to keep. A folder that is missing has no files.
func Folder(dir string, keep ...string) error {
	var errs []error
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if d.Type().IsRegular() && !slices.Contains(keep, d.Name()) {
			errs = append(errs, file(path))
		}
		return nil
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("take secrets out of the logs: %w", err)
	}
	return nil
}

// file does one file.
func file(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	// Looked through first: most files are left as they are.
	found, err := lines(io.Discard, in)
	if err != nil || !found {
		return err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".redacting-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			out.Close()
			os.Remove(out.Name())
		}
	}()
	if _, err := lines(out, in); err != nil {
		return err
	}
	if err := errors.Join(out.Chmod(info.Mode().Perm()), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), path)
}

// longestLine is the longest line that is looked through as a whole: of a longer one each part of
// that length is looked through by itself.
const longestLine = 1 << 20

// lines copies text line by line without secrets, and tells whether there were any. A private key
// is of many lines.
func lines(w io.Writer, r io.Reader) (found bool, err error) {
	in, out := bufio.NewReaderSize(r, longestLine), bufio.NewWriter(w)
	inKey := false
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return found, err
		}
		last := errors.Is(err, io.EOF)
		var clean []byte
		begins := bytes.Contains(line, []byte("-----BEGIN ")) && bytes.Contains(line, []byte("PRIVATE KEY"))
		ends := bytes.Contains(line, []byte("-----END ")) && bytes.Contains(line, []byte("PRIVATE KEY"))
		switch {
		case inKey:
			found = true
			inKey = !ends && (len(bytes.TrimSpace(line)) > 0) && len(line) < 200
		default:
			clean = Bytes(line)
			inKey = begins && !ends
		}
		if !bytes.Equal(clean, line) {
			found = true
			if len(clean) > 0 && bytes.HasSuffix(line, []byte("\n")) && !bytes.HasSuffix(clean, []byte("\n")) {
				clean = append(bytes.Clone(clean), '\n')
			}
		}
		if _, err := out.Write(clean); err != nil {
			return found, err
		}
		if last {
			return found, out.Flush()
		}
	}
}
