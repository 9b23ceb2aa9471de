package components

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/meshbench/meshbench/internal/childenv"
)

// goModules builds components from one pinned set of Go modules.
type goModules struct {
	mod, sum []byte
	// tags are build tags, comma-separated. Packages that no tag concerns are shared with
	// other units all the same.
	tags     string
	programs map[Name]program
	files    map[Name][]moduleFiles
}

// program is a main package and its link flags.
type program struct {
	pkg     string
	ldflags string
	// patch, when set, makes pkg, which then belongs to the module being built itself.
	patch *patch
	// source, when set, is the text of the main package, which then belongs to the module
	// being built itself.
	source string
}

// patch makes a main package from that of a module whose source does not fit the other
// modules' versions as it is.
type patch struct {
	module string   // the module's path
	pkg    string   // its main package
	edits  []string // old and new text in turn; each old text must be there
}

// moduleFiles are files or folders of a module. A component that is made of one of them is
// that file or folder, one that is made of more is a folder that holds them.
type moduleFiles struct {
	module string
	paths  []string
}

// goFlags are the flags that decide what the compiler makes, for all units the same:
// packages that two units share are then compiled once. -trimpath makes the result
// independent of where the caches lie, -pgo=off of profiles some main packages have,
// which would make all they import different. Debug information would be dropped by the
// linker (-s -w) anyway; not making it saves a tenth of the compile time. The Makefile has
// the same, less -pgo=off, for meshbench has no profiles: most of what both share is the
// standard library.
var goFlags = []string{"-trimpath", "-pgo=off", "-gcflags=all=-dwarf=false"}

// flags are goFlags and the unit's tags.
func (g *goModules) flags() []string {
	if g.tags == "" {
		return goFlags
	}
	return append(slices.Clone(goFlags), "-tags="+g.tags)
}

// inputs is everything that decides what a component becomes.
func (g *goModules) inputs(n Name) []string {
	in := []string{string(g.mod), string(g.sum)}
	if p, ok := g.programs[n]; ok {
		in = append(in, strings.Join(g.flags(), " "), runtime.Version(), p.pkg, p.ldflags)
		if p.patch != nil {
			in = append(in, p.patch.edits...)
		}
		if p.source != "" {
			in = append(in, p.source)
		}
		return in
	}
	for _, f := range g.files[n] {
		in = append(in, f.module, strings.Join(f.paths, " "))
	}
	return in
}

// release is the form of a released Go version, as GOTOOLCHAIN takes it.
var release = regexp.MustCompile(`^go1\.\d+(\.\d+|rc\d+)?$`)

// compilerGOGC lets compilers collect their garbage more rarely: k8s.io/client-go/kubernetes
// from an empty cache takes 99 s instead of 118 s on two cores, and no less with 800. What is
// compiled is the same. The Makefile builds this program so, too.
const compilerGOGC = "300"

// goEnv is the environment of the go command: what it needs of the user's, less what would
// change the result. Components are built by the Go release that built this program, so the key
// in the cache is known without asking the go command; go fetches that release by
// itself should it be another one.
func goEnv(tmp string) []string {
	env := append(childenv.Go(),
		"CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "GO111MODULE=on",
		"GOWORK=off", "GOFLAGS=-mod=readonly", "GOTMPDIR="+tmp)
	if v := runtime.Version(); release.MatchString(v) {
		env = append(env, "GOTOOLCHAIN="+v)
	}
	if os.Getenv("GOGC") == "" {
		env = append(env, "GOGC="+compilerGOGC)
	}
	return env
}

// fetch downloads the modules and says which packages are to be compiled.
func (g *goModules) fetch(ctx context.Context, s site, names []Name) error {
	dir := s.path("module")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), g.mod, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), g.sum, 0o644); err != nil {
		return err
	}
	s.report(Event{Phase: Downloading})
	for _, n := range names {
		for _, f := range g.files[n] {
			if _, err := g.moduleDir(ctx, s, f.module); err != nil {
				return err
			}
		}
		p := g.programs[n]
		if p.source != "" {
			if err := p.write(dir); err != nil {
				return fmt.Errorf("write the main package of %s: %w", n, err)
			}
		}
		if p.patch != nil {
			src, err := g.moduleDir(ctx, s, p.patch.module)
			if err != nil {
				return err
			}
			if err := p.patch.apply(src, dir, p.pkg); err != nil {
				return fmt.Errorf("adapt %s: %w", n, err)
			}
		}
	}
	if _, err := g.stale(ctx, s, names); err != nil {
		return err
	}
	return g.verify(ctx, s, names)
}

// build compiles and links all programs in one go, and copies files.
func (g *goModules) build(ctx context.Context, s site, names []Name) error {
	if err := g.compile(ctx, s, names); err != nil {
		return err
	}
	for _, n := range names {
		files, ok := g.files[n]
		if !ok {
			continue
		}
		s.report(Event{Phase: Copying, Component: n})
		single := len(files) == 1 && len(files[0].paths) == 1
		for _, f := range files {
			dir, err := g.moduleDir(ctx, s, f.module)
			if err != nil {
				return err
			}
			if err := f.copy(dir, s.out(n), single); err != nil {
				return fmt.Errorf("copy %s from module %s: %w", n, f.module, err)
			}
		}
	}
	return nil
}

func (g *goModules) compile(ctx context.Context, s site, names []Name) error {
	pkgs, byPkg := g.mainPackages(names)
	if len(pkgs) == 0 {
		return nil
	}
	stale, err := g.stale(ctx, s, names)
	if err != nil {
		return err
	}
	bin := s.path("bin")
	args := append([]string{"go", "build", "-v", "-o", bin + "/"}, g.flags()...)
	for _, pkg := range pkgs {
		args = append(args, "-ldflags="+pkg+"="+g.programs[byPkg[pkg]].ldflags)
	}
	e := Event{Phase: Compiling, OfPackages: stale}
	s.report(e)
	err = command{args: append(args, pkgs...), dir: s.path("module"), env: goEnv(s.path("tmp")), line: func(line string) {
		kind, arg := parseGoLine(line)
		if kind != goPackage {
			return
		}
		e.Packages = min(e.Packages+1, stale)
		// The linker says nothing: a main package is linked once it is compiled.
		if n, ok := byPkg[arg]; ok {
			e.Phase, e.Component = Linking, n
		} else {
			e.Phase, e.Component = Compiling, ""
		}
		s.report(e)
	}}.run(ctx, s.log)
	if err != nil {
		return err
	}
	for pkg, n := range byPkg {
		if err := os.MkdirAll(filepath.Dir(s.out(n)), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(bin, executable(pkg)), s.out(n)); err != nil {
			return err
		}
	}
	return nil
}

func (g *goModules) mainPackages(names []Name) (pkgs []string, byPkg map[string]Name) {
	byPkg = map[string]Name{}
	for _, n := range names {
		if p, ok := g.programs[n]; ok {
			pkgs = append(pkgs, p.pkg)
			byPkg[p.pkg] = n
		}
	}
	return pkgs, byPkg
}

// stale downloads what the programs import and returns how many packages the build
// cache does not have yet.
func (g *goModules) stale(ctx context.Context, s site, names []Name) (int, error) {
	pkgs, _ := g.mainPackages(names)
	if len(pkgs) == 0 {
		return 0, nil
	}
	var out bytes.Buffer
	args := append([]string{"go", "list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, g.flags()...)
	err := g.list(ctx, s, &out, append(args, pkgs...))
	return len(strings.Fields(out.String())), err
}

// moduleDir is the folder of a module's source, downloaded if need be.
func (g *goModules) moduleDir(ctx context.Context, s site, module string) (string, error) {
	var out bytes.Buffer
	err := g.list(ctx, s, &out, []string{"go", "mod", "download", "-json", module})
	var m struct{ Path, Version, Dir, Error string } // what is wrong is told here, not on standard error
	if e := json.Unmarshal(out.Bytes(), &m); err != nil {
		if m.Error != "" {
			err = fmt.Errorf("%w: %s", err, m.Error)
		}
		return "", err
	} else if e != nil {
		return "", fmt.Errorf("go mod download -json %s: %w", module, e)
	}
	if m.Dir == "" {
		return "", fmt.Errorf("go mod download -json %s: no folder in %q", module, out.String())
	}
	return m.Dir, g.verifyModule(downloaded{m.Path, m.Version, m.Dir})
}

func (g *goModules) list(ctx context.Context, s site, out io.Writer, args []string) error {
	return command{args: args, dir: s.path("module"), env: goEnv(s.path("tmp")), stdout: out, line: func(line string) {
		if kind, arg := parseGoLine(line); kind == goDownload {
			s.report(Event{Phase: Downloading, Detail: arg})
		}
	}}.run(ctx, s.log)
}

// The kinds of lines that `go build -v` and `go list` write.
const (
	goOther    = iota
	goDownload // what is downloaded: a module or toolchain and its version
	goPackage  // the import path of a package that is now compiled
)

// parseGoLine tells what a line of the go command's standard error is, and of what.
func parseGoLine(line string) (kind int, arg string) {
	if rest, ok := strings.CutPrefix(line, "go: downloading "); ok {
		return goDownload, rest
	}
	if line == "" || strings.ContainsAny(line, " \t:#\"\\") || strings.HasPrefix(line, ".") || path.Clean(line) != line {
		return goOther, ""
	}
	return goPackage, line
}

// majorSuffix is the last element of the path of a module at version 2 or later.
var majorSuffix = regexp.MustCompile(`^v[2-9][0-9]*$|^v1[0-9]+$`)

// executable is the name that go build gives a main package's program.
func executable(pkg string) string {
	base := path.Base(pkg)
	if majorSuffix.MatchString(base) {
		return path.Base(path.Dir(pkg))
	}
	return base
}

// write puts the source of the main package where the module in dir has it.
func (p program) write(dir string) error {
	mod, err := modulePath(dir)
	if err != nil {
		return err
	}
	to := filepath.Join(dir, strings.TrimPrefix(p.pkg, mod+"/"))
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "main.go"), []byte(p.source), 0o644)
}

// apply copies the main package and what lies below it from the module's folder src to
// where the module in dst has pkg, and edits it.
func (p *patch) apply(src, dst, pkg string) error {
	mod, err := modulePath(dst)
	if err != nil {
		return err
	}
	to := filepath.Join(dst, strings.TrimPrefix(pkg, mod+"/"))
	if err := copyTree(filepath.Join(src, strings.TrimPrefix(p.pkg, p.module)), to); err != nil {
		return err
	}
	missing := map[string]bool{}
	for i := 0; i < len(p.edits); i += 2 {
		missing[p.edits[i]] = true
	}
	edit := strings.NewReplacer(append([]string{`"` + p.pkg + "/", `"` + pkg + "/"}, p.edits...)...)
	err = filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for old := range missing {
			if bytes.Contains(b, []byte(old)) {
				delete(missing, old)
			}
		}
		return os.WriteFile(path, []byte(edit.Replace(string(b))), 0o644)
	})
	if err != nil {
		return err
	}
	for old := range missing {
		return fmt.Errorf("%s does not contain %q any more: compare with upstream", p.pkg, old)
	}
	return nil
}

func modulePath(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	return modfile.ModulePath(b), nil
}

// copy copies the files from a module's folder into dst, or a single one to be dst. The
// module cache is read-only, the copy is not.
func (f moduleFiles) copy(dir, dst string, single bool) error {
	for _, p := range f.paths {
		to := dst
		if !single {
			to = filepath.Join(dst, path.Base(p))
		}
		if err := copyTree(filepath.Join(dir, filepath.FromSlash(p)), to); err != nil {
			return err
		}
	}
	return nil
}

func copyTree(src, dst string) error {
	return filepath.WalkDir(src, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	})
}
