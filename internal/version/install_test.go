package version_test

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/meshbench/meshbench/internal/skip"
	"github.com/meshbench/meshbench/internal/version"
)

const (
	mod     = "github.com/meshbench/meshbench"
	program = mod + "/cmd/meshbench"
)

// TestInstallVersion installs the tree as go install MODULE/cmd/meshbench@VERSION does for
// somebody who has no checkout: from the module's zip, which leaves files out that a
// checkout has, so that what is embedded must be in there.
func TestInstallVersion(t *testing.T) {
	if testing.Short() {
		skip.NotHere(t, "installs programs, which takes a minute: left out by -short")
	}
	v := fmt.Sprintf("v0.0.1-test.%d", time.Now().UnixNano())
	cache := strings.TrimSpace(run(t, "", nil, "go", "env", "GOMODCACHE"))
	t.Cleanup(func() {
		if err := os.RemoveAll(filepath.Join(cache, mod+"@"+v)); err != nil {
			t.Error(err)
		}
		left, err := filepath.Glob(filepath.Join(cache, "cache/download", mod, "@v", v+".*"))
		if err != nil {
			t.Error(err)
		}
		for _, file := range left {
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
		}
	})
	bin := t.TempDir()
	run(t, t.TempDir(), append(flags(t, "-modcacherw"), "GOBIN="+bin,
		// The other modules come from where they come from otherwise.
		"GOPROXY=file://"+proxy(t, v)+","+strings.TrimSpace(run(t, "", nil, "go", "env", "GOPROXY")),
		// The checksum database does not know the version, and need not be reachable for
		// the rest, whose sums ordinary builds check.
		"GOSUMDB=off"),
		"go", "install", program+"@"+v)
	if got := works(t, bin); got != v {
		t.Errorf("the installed program names its version %q, want %q", got, v)
	}
}

// TestInstallCheckout installs from a checkout: without history, at a commit, at a tag, and
// with a changed file.
func TestInstallCheckout(t *testing.T) {
	if testing.Short() {
		skip.NotHere(t, "installs programs, which takes a minute: left out by -short")
	}
	if _, err := exec.LookPath("git"); err != nil {
		skip.Missing(t, "git is not installed")
	}
	dir, bin := t.TempDir(), t.TempDir()
	for _, f := range files(t) {
		copyFile(t, filepath.Join(dir, f.Path()), f)
	}
	git := func(args ...string) {
		t.Helper()
		run(t, dir, []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"}, "git",
			append([]string{"-c", "user.name=test", "-c", "user.email=test@localhost"}, args...)...)
	}
	for _, test := range []struct {
		name    string
		prepare func()
		want    string
	}{
		{"no history", func() {}, regexp.QuoteMeta(version.Unknown)},
		{"commit", func() {
			git("init", "-q")
			git("add", "--all", "--force")
			git("commit", "-q", "-m", "all")
		}, `v0\.0\.0-\d{14}-[0-9a-f]{12}`},
		{"tag", func() { git("tag", "v0.4.2") }, `v0\.4\.2`},
		{"changed", func() {
			if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("changed\n"), 0o666); err != nil {
				t.Fatal(err)
			}
		}, `v0\.4\.2\+dirty`},
	} {
		test.prepare()
		run(t, dir, append(flags(t, "-buildvcs=auto"), "GOBIN="+bin), "go", "install", "./cmd/meshbench")
		if got := works(t, bin); !regexp.MustCompile("^" + test.want + "$").MatchString(got) {
			t.Errorf("%s: the installed program names its version %q, want %s", test.name, got, test.want)
		}
	}
}

// works runs what needs no cluster in an empty folder and a new home, and returns the
// version that the program in bin names.
func works(t *testing.T, bin string) string {
	t.Helper()
	empty, env := t.TempDir(), []string{"HOME=" + t.TempDir(), "XDG_CACHE_HOME=", "MESHBENCH_CACHE="}
	meshbench := filepath.Join(bin, "meshbench")
	if list := run(t, empty, env, meshbench, "list"); !strings.Contains(list, "one-pod") {
		t.Errorf("list knows no one-pod:\n%s", list)
	}
	run(t, empty, env, meshbench, "validate", "one-pod")
	words := strings.SplitN(run(t, empty, env, meshbench, "--version"), " ", 3)
	if len(words) != 3 || words[0] != "meshbench" || words[1] != "version" {
		t.Fatalf("unexpected output of --version: %q", words)
	}
	return strings.TrimSpace(words[2])
}

// flags are the go command's for an installed program: the build cache is shared with the
// other builds, symbols are left out to save time.
func flags(t *testing.T, more string) []string {
	t.Helper()
	return []string{"GOFLAGS=-trimpath -ldflags=-w " + more, "CGO_ENABLED=0", "GOWORK=off"}
}

// proxy makes a file tree that serves the module at the version, as a GOPROXY does.
func proxy(t *testing.T, v string) string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, mod, "@v")
	if err := os.MkdirAll(at, 0o777); err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(at, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	info, err := json.Marshal(map[string]any{"Version": v, "Time": time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	write("list", []byte(v+"\n"))
	write(v+".info", info)
	write(v+".mod", gomod)
	out, err := os.Create(filepath.Join(at, v+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	// What belongs in a module's zip is decided there: nested modules do not.
	if err := zip.Create(out, module.Version{Path: mod, Version: v}, files(t)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// files are the tree's, without what make and runs leave there.
func files(t *testing.T) []zip.File {
	t.Helper()
	top := root(t)
	var all []zip.File
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		if slices.Contains([]string{".git", "bin", "runs", "dist"}, name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() {
			all = append(all, file{top, filepath.ToSlash(name)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// file is one of the tree's.
type file struct{ top, name string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join(f.top, f.name)) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(f.top, f.name)) }

func copyFile(t *testing.T, to string, f zip.File) {
	t.Helper()
	in, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// root is the tree's first folder.
func root(t *testing.T) string {
	t.Helper()
	return filepath.Dir(strings.TrimSpace(run(t, "", nil, "go", "env", "GOMOD")))
}

// run runs a command in dir and returns what it wrote to stdout.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
