package components

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/meshbench/meshbench/internal/bounded"
)

const manifestName = "manifest.json"

// manifest describes one folder of the cache. It is written last, so a folder without
// a whole one is not used.
type manifest struct {
	Name    Name      `json:"name"`
	Version string    `json:"version"`
	Pinned  string    `json:"pinned"`          // module@version, package==version or an image with its tag
	Go      string    `json:"go,omitempty"`    // toolchain that built it
	Image   *origin   `json:"image,omitempty"` // the image it was taken out of
	Made    time.Time `json:"made"`
	Files   []file    `json:"files"`
}

type file struct {
	Path   string `json:"path"` // slash-separated, below the folder
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Executable is for bundles; in the cache the file's mode says it.
	Executable bool `json:"executable,omitempty"`
}

// mode is that of the file where a bundle says whether it is executable.
func (f file) mode() os.FileMode {
	if f.Executable {
		return 0o755
	}
	return 0o644
}

// size is the bytes of all files.
func (m manifest) size() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// readManifest reads the manifest of a cache folder and checks that every file is
// there with its size: enough to notice what was cut off, without reading it all.
func readManifest(dir string) (manifest, error) {
	var m manifest
	b, err := bounded.File(filepath.Join(dir, manifestName), bounded.OwnFile)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s: %w", filepath.Join(dir, manifestName), err)
	}
	if len(m.Files) == 0 {
		return m, fmt.Errorf("%s lists no file", filepath.Join(dir, manifestName))
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return m, fmt.Errorf("%s: %q is not below it", dir, f.Path)
		}
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err != nil {
			return m, err
		}
		if !info.Mode().IsRegular() || info.Size() != f.Size {
			return m, fmt.Errorf("%s: %s is not the file of %d bytes that was put there", dir, f.Path, f.Size)
		}
	}
	return m, nil
}

// verify also compares the content of every file, and that there is no other: a chart with one
// more template is another chart.
func verify(ctx context.Context, dir string) error {
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	known := map[string]bool{manifestName: true}
	for _, f := range m.Files {
		known[f.Path] = true
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		sum, err := hashFile(ctx, path)
		if err != nil {
			return err
		}
		if sum != f.SHA256 {
			return fmt.Errorf("%s: sha256 is %s, was %s when it was put there", path, sum, f.SHA256)
		}
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil && !known[filepath.ToSlash(rel)] {
			err = fmt.Errorf("%s was not there when %s was made", path, m.Name)
		}
		return err
	})
}

// seal writes the manifest of a finished folder and brings all of it to the disk.
func seal(dir string, m manifest) error {
	m.Files = nil
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == filepath.Join(dir, manifestName) {
			return err
		}
		if d.IsDir() {
			dirs = append(dirs, path)
			return nil
		}
		sum, err := hashFile(context.Background(), path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, file{Path: filepath.ToSlash(rel), Size: info.Size(), SHA256: sum})
		return syncPath(path)
	})
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := syncPath(path); err != nil {
		return err
	}
	for _, d := range dirs {
		if err := syncPath(d); err != nil {
			return err
		}
	}
	return nil
}

// publish moves a sealed folder to its place. What is broken there goes to trash, which
// lies on the same file system, so that no moment shows a mixture.
func publish(staged, final, trash string) error {
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return err
	}
	if err := os.Rename(final, trash); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(staged, final); err != nil {
		return err
	}
	return syncPath(filepath.Dir(final))
}

// hashFile is the sha256 of a file, which is read until ctx is done.
func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, until{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
