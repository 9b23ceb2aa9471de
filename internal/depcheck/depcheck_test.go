package depcheck

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/meshbench/meshbench"

// A rule says what the packages of some folders may import of this module, or may not.
// Folders stand for what lies below them too.
type rule struct {
	about   string
	folders []string
	// only are all folders that may be imported; nil allows all but never.
	only  []string
	never []string
}

var rules = []rule{
	{
		about:   "scenarios and reports work without a cluster and without what makes one",
		folders: []string{"scenarios", "reports"},
		never:   []string{"harness", "cmd", "e2e"},
	},
	{
		about:   "formats and figures are made of the model, which knows none of them",
		folders: []string{"reports/metrics", "reports/words", "reports/sections", "reports/stats"},
		never:   []string{"reports/formats", "reports/figures", "reports/compare", "reports/gate"},
	},
	{
		about:   "the log and the instance types are the lowest layer, for others to import",
		folders: []string{"observations", "instances"},
		only:    []string{"internal"},
	},
	{
		about:   "a manifest is read alike by whoever checks it and whoever applies it",
		folders: []string{"manifests"},
		only:    []string{"internal"},
	},
	{
		about:   "what must come out of a mesh is not asked of the program that is tested",
		folders: []string{"e2e/cases"},
		only:    []string{"internal"},
	},
	{
		about:   "what versions of Istio do is known without a cluster and without scenarios",
		folders: []string{"meshfacts"},
		only:    []string{"internal"},
	},
	{
		about:   "a proxy's configuration is counted in the log's terms, and needs nothing else",
		folders: []string{"proxyconfig"},
		only:    []string{"observations", "internal", "proxyconfig"},
	},
	{
		about:   "who calls whom is read without a cluster, and without knowing what is made of it",
		folders: []string{"callgraph"},
		only:    []string{"proxyconfig", "observations", "internal"},
	},
	{
		about:   "a mesh is imported from files without a cluster",
		folders: []string{"importer"},
		never:   []string{"harness", "cmd", "e2e", "reports"},
	},
	{
		about:   "names get others without knowing what a mesh is",
		folders: []string{"importer/alias", "importer/bugreport"},
		only:    []string{"internal"},
	},
	{
		about:   "a scenario knows nothing of what is reported of its runs",
		folders: []string{"scenarios"},
		never:   []string{"reports"},
	},
	{
		about:   "nothing is built on the commands or on what belongs to no room",
		folders: []string{"harness", "observations", "instances", "proxyconfig", "meshfacts", "internal"},
		never:   []string{"cmd", "e2e", "reports"},
	},
}

// TestImports holds the packages' dependencies, through whatever lies between, against the
// rules. Tests may import more: they are linked into nobody's program.
func TestImports(t *testing.T) {
	packages := list(t)
	for _, r := range rules {
		for _, folder := range r.folders {
			if !slices.ContainsFunc(packages, func(p pkg) bool { return in(p.folder(), folder) }) {
				t.Errorf("a rule speaks of %s, where no package is: %s", folder, r.about)
			}
		}
	}
	for _, b := range breaches(packages) {
		t.Error(b)
	}
}

// breaches says which rules are broken, and by what.
func breaches(packages []pkg) []string {
	var all []string
	for _, r := range rules {
		for _, p := range packages {
			if !within(p.folder(), r.folders) {
				continue
			}
			for _, dep := range p.Deps {
				folder, ours := strings.CutPrefix(dep, module+"/")
				if !ours && dep != module {
					continue
				}
				if within(folder, r.never) || r.only != nil && folder != p.folder() && !within(folder, r.only) {
					all = append(all, p.folder()+" needs "+folder+p.by(packages, dep)+": "+r.about)
				}
			}
		}
	}
	return all
}

// mostPackages is how many packages the program may be made of, so that what is heavy does
// not come unseen: it has 1,336, which take 220 s of CPU time to compile, part of everybody's
// first run.
const mostPackages = 1430

// heavy are packages that come with hundreds of others, for little that is needed of them.
var heavy = []string{
	"k8s.io/apiserver/pkg/server", // by nodeutil of virtual-kubelet: 445 packages, 91 s
	"k8s.io/client-go/informers",  // 116 packages, 34 s: harness/kube/informers has a few kinds
	"go.etcd.io/etcd/client/v3",
	"github.com/google/cel-go/cel",
	"github.com/aws/aws-sdk-go-v2/aws",
}

// TestWeight holds the program to what compiles soon.
func TestWeight(t *testing.T) {
	program := module + "/cmd/meshbench"
	const instead = "import less of it, or make what needs it a program of its own (CONTRIBUTING.md, A dependency)"
	for _, p := range list(t) {
		if p.ImportPath != program {
			continue
		}
		if n := len(p.Deps) + 1; n > mostPackages {
			t.Errorf("the program is made of %d packages, at most %d are allowed: %s", n, mostPackages, instead)
		}
		for _, h := range heavy {
			if slices.Contains(p.Deps, h) {
				t.Errorf("the program imports %s%s: %s", h, p.by(list(t), h), instead)
			}
		}
		return
	}
	t.Errorf("there is no package %s", program)
}

// TestProvidersAreReachedByTheirTable holds that nobody but the table of package providers
// knows a provider: a new one is a folder and a line there.
func TestProvidersAreReachedByTheirTable(t *testing.T) {
	const seam, table = module + "/harness/cluster/", module + "/harness/cluster/providers"
	// The embedded cluster is the program itself, started again by these first arguments.
	hooks := []string{seam + "embedded/sandbox", seam + "embedded/runtime", seam + "embedded/light"}
	found := 0
	for _, p := range list(t) {
		for _, i := range p.Imports {
			provider, below := strings.CutPrefix(i, seam)
			if !below || i == table {
				continue
			}
			found++
			provider, _, _ = strings.Cut(provider, "/")
			if p.ImportPath != table && !in(p.folder(), "harness/cluster/"+provider) &&
				!(p.folder() == "cmd/meshbench" && slices.Contains(hooks, i)) &&
				// By that argument a test knows a cluster's processes.
				!(p.folder() == "e2e/footprint" && i == hooks[0]) {
				t.Errorf("%s imports %s: reach providers through %s", p.ImportPath, i, table)
			}
		}
	}
	if found == 0 {
		t.Error("no provider is imported by anybody: this test looks in the wrong place")
	}
}

func TestBreaches(t *testing.T) {
	of := func(folder string, imports, deps []string) pkg {
		p := pkg{ImportPath: module + "/" + folder}
		for _, i := range imports {
			p.Imports = append(p.Imports, module+"/"+i)
		}
		for _, d := range append(deps, imports...) {
			p.Deps = append(p.Deps, module+"/"+d)
		}
		return p
	}
	got := breaches([]pkg{
		of("scenarios", []string{"instances"}, []string{"internal/spelling"}),
		of("reports/gate", []string{"reports/middle"}, []string{"harness/sample"}),
		of("reports/middle", []string{"harness/sample"}, nil),
		of("instances", []string{"internal/spelling"}, nil),
		of("observations", []string{"reports"}, nil),
		of("proxyconfig", []string{"observations", "scenarios"}, nil),
		of("harness", []string{"observations", "scenarios"}, nil),
		of("harnessed", []string{"cmd/meshbench"}, nil),
	})
	want := []string{
		"reports/gate needs harness/sample (imported by reports/middle)",
		"reports/middle needs harness/sample",
		"observations needs reports",
		"proxyconfig needs scenarios",
		"observations needs reports", // by the last rule too
	}
	for i := range got {
		got[i], _, _ = strings.Cut(got[i], ": ")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// within reports whether the folder is one of those or lies below one.
func within(folder string, of []string) bool {
	return slices.ContainsFunc(of, func(f string) bool { return in(folder, f) })
}

func in(folder, of string) bool { return folder == of || strings.HasPrefix(folder, of+"/") }

// pkg is what the go command lists of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string // all, through others too; without those of tests
}

// folder is the package's in the tree.
func (p pkg) folder() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// by names the package of ours in between that imports what p only needs through it.
func (p pkg) by(all []pkg, dep string) string {
	if slices.Contains(p.Imports, dep) {
		return ""
	}
	for _, other := range all {
		if slices.Contains(p.Deps, other.ImportPath) && slices.Contains(other.Imports, dep) {
			return " (imported by " + other.folder() + ")"
		}
	}
	return ""
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("the go command lists %d packages, so the rules would hold of anything", len(packages))
	}
	return packages
}

const (
	most = 450 // lines of a file
	// near is by which line the sentence stands.
	near = 40
)

var (
	// written are the files that somebody writes and reads.
	written = regexp.MustCompile(`\.(go|sh|bash|py|js|css|tmpl|mk|md)$|(^|/)(Makefile|run)$`)
	// sentence says why a file is long.
	sentence = regexp.MustCompile(`(//|#|\*|<!--) ?Long because \S+ \S+`)
	// generated is Go's convention, in any language's comment.
	generated = regexp.MustCompile(`(?m)^\W+ Code generated .* DO NOT EDIT\.`)
)

// TestLength holds files to a length at which they are read in one go, unless they say why
// not. Tests are tables, and data are not read.
func TestLength(t *testing.T) {
	top, seen := root(t), 0
	err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "testdata" || slices.Contains([]string{".git", "bin", "runs", "dist"}, name) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go") || !written.MatchString(filepath.ToSlash(name)) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		if lines := bytes.Count(content, []byte("\n")); lines > most && !excused(content) {
			t.Errorf("%s has %d lines, and at most %d are allowed: cut it by topic, or say why it is whole in its first %d lines: // Long because ...",
				name, lines, most, near)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Errorf("found %d files, so nearly any tree would pass", seen)
	}
}

// excused reports whether a file may be long: it says why, or a program wrote it.
func excused(content []byte) bool {
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 0; n < near && lines.Scan(); n++ {
		if sentence.Match(lines.Bytes()) || generated.Match(lines.Bytes()) {
			return true
		}
	}
	return false
}

func TestExcused(t *testing.T) {
	for content, want := range map[string]bool{
		"package x\n\n// Long because all of it is one table.\n": true,
		"#!/bin/bash\n# Long because it runs alone.\n":           true,
		"// Code generated by x. DO NOT EDIT.\n":                 true,
		"// Long because\n":                                      false, // no reason
		"// It is long.\n":                                       false,
		strings.Repeat("\n", near) + "// Long because of this.":  false, // nobody finds it
	} {
		if got := excused([]byte(content)); got != want {
			t.Errorf("%q: got %v, want %v", content, got, want)
		}
	}
}

// root is the tree's first folder.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}
