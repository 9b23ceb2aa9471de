package components

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meshbench/meshbench/internal/skip"
)

const tiny Name = "tiny"

// tinyModule is a Go module with one program, and the goModules that builds it by a
// replace to a folder: real builds without network.
func tinyModule(t *testing.T, source string) *goModules {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		skip.Missing(t, "needs the go command: %v", err)
	}
	src := t.TempDir()
	write(t, filepath.Join(src, "go.mod"), "module example.com/tiny\n\ngo 1.22.0\n")
	write(t, filepath.Join(src, "main.go"), source)
	write(t, filepath.Join(src, "data", "file.txt"), "data\n")
	mod := fmt.Sprintf("module example.com/build\n\ngo 1.22.0\n\nrequire example.com/tiny v1.2.3\n\nreplace example.com/tiny => %s\n", src)
	return &goModules{mod: []byte(mod), programs: map[Name]program{
		tiny: {pkg: "example.com/tiny", ldflags: "-s -w -X main.version=1.2.3"},
	}}
}

const tinySource = "package main\n\nvar version = \"unset\"\n\nfunc main() { println(version) }\n"

func tinyStore(root string, b builder) *Store {
	u := &unit{name: "tinies", version: "1.2.3", builder: b, compiles: true}
	u.add(tiny, "1.2.3", "example.com/tiny@v1.2.3", "tiny", false)
	return &Store{root: root, units: []*unit{u}}
}

// watched lets a test look into and stop a builder.
type watched struct {
	builder
	builds atomic.Int32
	before func() // called at the start of each build
}

func (w *watched) build(ctx context.Context, s site, names []Name) error {
	w.builds.Add(1)
	if w.before != nil {
		w.before()
	}
	return w.builder.build(ctx, s, names)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func obtain(t *testing.T, s *Store) Set {
	t.Helper()
	set, err := s.Obtain(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// checkRuns checks that the obtained program runs and has its version linked in.
func checkRuns(t *testing.T, set Set) {
	t.Helper()
	out, err := exec.Command(set.Path(tiny)).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != set.Version(tiny) {
		t.Errorf("%s says %q, %v; want %s", set.Path(tiny), out, err, set.Version(tiny))
	}
}

func checkNoWork(t *testing.T, root string) {
	t.Helper()
	left, _ := filepath.Glob(filepath.Join(root, "work", "*"))
	if len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

func TestObtainBuildsOnceAndKeeps(t *testing.T) {
	root := t.TempDir()
	s := tinyStore(root, tinyModule(t, tinySource))
	if s.Complete() {
		t.Error("an empty cache is complete")
	}
	var events []Event
	set, err := s.Obtain(t.Context(), ProgressFunc(func(e Event) { events = append(events, e) }))
	if err != nil {
		t.Fatal(err)
	}
	checkRuns(t, set)
	checkNoWork(t, root)
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}

	var phases []Phase
	for _, e := range events {
		if len(phases) == 0 || phases[len(phases)-1] != e.Phase {
			phases = append(phases, e.Phase)
		}
	}
	if got, want := fmt.Sprint(phases), fmt.Sprint([]Phase{Downloading, Compiling, Linking, Ready}); got != want {
		t.Errorf("phases %s, want %s", got, want)
	}
	last := events[len(events)-1]
	if last.Component != tiny || last.Ready != 1 || last.Of != 1 || last.Unit != "tinies 1.2.3" {
		t.Errorf("last event %+v", last)
	}

	// From now on neither tools nor a writable cache are needed.
	t.Setenv("PATH", "")
	if err := s.Preflight(t.Context()); err != nil {
		t.Error("nothing is missing, but:", err)
	}
	if got := obtain(t, tinyStore(root, s.units[0].builder)); got.Path(tiny) != set.Path(tiny) {
		t.Errorf("then %s, now %s", set.Path(tiny), got.Path(tiny))
	}
	if !s.Complete() {
		t.Error("not complete")
	}
	list := s.List()
	if len(list) != 1 || !list[0].Cached || !list[0].Current || list[0].Bytes < 1<<16 || list[0].Made.IsZero() {
		t.Errorf("list: %+v", list)
	}
}

func TestObtainCopiesFilesOfModules(t *testing.T) {
	g := tinyModule(t, tinySource)
	src := strings.Fields(string(g.mod))
	dir := src[len(src)-1]
	write(t, filepath.Join(dir, "more", "b.txt"), "b\n")
	for _, tt := range []struct {
		name  string
		paths []string
		want  []string
	}{
		{"one folder", []string{"data"}, []string{"file.txt"}},
		{"two folders", []string{"data", "more"}, []string{"data/file.txt", "more/b.txt"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "out")
			if err := (moduleFiles{paths: tt.paths}).copy(dir, dst, len(tt.paths) == 1); err != nil {
				t.Fatal(err)
			}
			for _, f := range tt.want {
				if _, err := os.Stat(filepath.Join(dst, f)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("one file", func(t *testing.T) {
		dst := filepath.Join(t.TempDir(), "out")
		if err := (moduleFiles{paths: []string{"data/file.txt"}}).copy(dir, dst, true); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(dst); err != nil || string(b) != "data\n" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestWhatIsBuiltFromChangesThePlace(t *testing.T) {
	base := goModules{mod: []byte("m"), sum: []byte("s"), programs: map[Name]program{tiny: {pkg: "p", ldflags: "f"}}}
	key := func(change func(*goModules)) string {
		g := base
		g.programs = map[Name]program{tiny: base.programs[tiny]}
		change(&g)
		return (&unit{builder: &g}).key(tiny)
	}
	seen := map[string]string{}
	for what, change := range map[string]func(*goModules){
		"nothing": func(*goModules) {},
		"mod":     func(g *goModules) { g.mod = []byte("m2") },
		"sum":     func(g *goModules) { g.sum = []byte("s2") },
		"flags":   func(g *goModules) { g.programs[tiny] = program{pkg: "p", ldflags: "f2"} },
		"package": func(g *goModules) { g.programs[tiny] = program{pkg: "p2", ldflags: "f"} },
		"patch": func(g *goModules) {
			g.programs[tiny] = program{pkg: "p", ldflags: "f", patch: &patch{edits: []string{"a", "b"}}}
		},
		// The boundary between inputs counts too.
		"boundary": func(g *goModules) { g.mod, g.sum = []byte("ms"), nil },
	} {
		k := key(change)
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s give the same key", what, other)
		}
		seen[k] = what
	}
}

func TestTwoRunsShareOneBuild(t *testing.T) {
	root := t.TempDir()
	second := make(chan struct{})
	w := &watched{builder: tinyModule(t, tinySource), before: func() { <-second }}
	first := make(chan struct{})
	var once, told sync.Once
	var wg sync.WaitGroup
	run := func(e func(Event)) {
		defer wg.Done()
		set, err := tinyStore(root, w).Obtain(t.Context(), ProgressFunc(e))
		if err != nil {
			t.Error(err)
			return
		}
		checkRuns(t, set)
	}
	wg.Add(2)
	go run(func(e Event) {
		if e.Phase == Downloading {
			once.Do(func() { close(first) })
		}
	})
	<-first // the first holds the lock
	go run(func(e Event) {
		if e.Phase == Waiting { // the first builds only once the second waits
			told.Do(func() { close(second) })
		}
	})
	wg.Wait()
	if n := w.builds.Load(); n != 1 {
		t.Errorf("%d builds", n)
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	root := t.TempDir()
	s := tinyStore(root, tinyModule(t, tinySource))
	l, err := s.lock(t.Context(), s.units[0].id(), func() { t.Error("waited") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = s.Obtain(ctx, ProgressFunc(func(e Event) {
		if e.Phase == Waiting {
			cancel(errors.New("interrupt"))
		}
	}))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "interrupt") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	root := t.TempDir()
	s := tinyStore(root, tinyModule(t, tinySource))
	for _, phase := range []Phase{Downloading, Compiling, Linking} {
		t.Run(string(phase), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := s.Obtain(ctx, ProgressFunc(func(e Event) {
				if e.Phase == phase {
					cancel()
				}
			}))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			checkNoWork(t, root)
			if found := s.folders(); len(found) > 0 {
				t.Errorf("in the cache: %q", found)
			}
		})
	}
	checkRuns(t, obtain(t, s))
}

// TestKilledBuild kills a process in the middle of a build with SIGKILL.
func TestKilledBuild(t *testing.T) {
	const child = "COMPONENTS_TEST_KILLED"
	if root := os.Getenv(child); root != "" {
		w := &watched{builder: tinyModule(t, tinySource), before: func() {
			write(t, filepath.Join(root, "work", "tinies-1.2.3", "out", "tiny", "tiny"), "half")
			fmt.Println("building")
			select {} // until killed
		}}
		_, err := tinyStore(root, w).Obtain(t.Context(), nil)
		t.Fatal("went on:", err)
	}
	root := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledBuild$")
	cmd.Env = append(os.Environ(), child+"="+root, "TMPDIR="+t.TempDir()) // which it cannot remove
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("building\n"))
	if _, err := out.Read(line); err != nil || string(line) != "building\n" {
		t.Errorf("child: %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed

	s := tinyStore(root, tinyModule(t, tinySource))
	if s.Complete() {
		t.Error("the half-made component counts as there")
	}
	checkRuns(t, obtain(t, s))
	checkNoWork(t, root)
}

func TestBrokenCacheIsMadeAgain(t *testing.T) {
	root := t.TempDir()
	w := &watched{builder: tinyModule(t, tinySource)}
	s := tinyStore(root, w)
	program := obtain(t, s).Path(tiny)
	manifestPath := filepath.Join(filepath.Dir(program), manifestName)
	whole, err := os.ReadFile(manifestPath)
	if err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func() error{
		"no manifest":          func() error { return os.Remove(manifestPath) },
		"half a manifest":      func() error { return os.WriteFile(manifestPath, whole[:len(whole)/2], 0o644) },
		"empty manifest":       func() error { return os.WriteFile(manifestPath, []byte("{}"), 0o644) },
		"no program":           func() error { return os.Remove(program) },
		"half a program":       func() error { return os.Truncate(program, 100) },
		"folder for a program": func() error { return errors.Join(os.Remove(program), os.Mkdir(program, 0o755)) },
		"path outside": func() error {
			return os.WriteFile(manifestPath, bytes.ReplaceAll(whole, []byte(`"tiny"`), []byte(`"../tiny"`)), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.builds.Load()
			if err := breakIt(); err != nil {
				t.Fatal(err)
			}
			if s.Complete() {
				t.Error("counts as whole")
			}
			checkRuns(t, obtain(t, s))
			if n := w.builds.Load() - before; n != 1 {
				t.Errorf("%d builds", n)
			}
		})
	}

}

// What is changed without a change of its size is found by reading it, named, and never run.
func TestDamagedCacheIsMadeAgain(t *testing.T) {
	root := t.TempDir()
	w := &watched{builder: tinyModule(t, tinySource)}
	program := obtain(t, tinyStore(root, w)).Path(tiny)
	change := func(t *testing.T) {
		b, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-1] ^= 1
		// Another file, as the old one may have further names.
		if err := errors.Join(os.Remove(program), os.WriteFile(program, b, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	add := func(t *testing.T) { write(t, filepath.Join(filepath.Dir(program), "templates", "more.yaml"), "a: b\n") }
	cut := func(t *testing.T) {
		if err := os.Truncate(program, 100); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(*testing.T)
		want   string
	}{
		{"changed", change, program + ": sha256 is "},
		{"with one more file", add, "more.yaml was not there when tiny was made"},
		{"cut", cut, "is not the file of "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.damage(t)
			if err := tinyStore(root, w).Verify(t.Context()); tt.name != "cut" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Verify: %v", err)
			}
			s := tinyStore(root, w)
			before := w.builds.Load()
			if err := s.Examine(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s.Complete() {
				t.Error("counts as whole")
			}
			var said []string
			set, err := s.Obtain(t.Context(), ProgressFunc(func(e Event) {
				if e.Phase == Damaged {
					said = append(said, e.String())
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			checkRuns(t, set)
			if n := w.builds.Load() - before; n != 1 || !s.Complete() {
				t.Errorf("%d builds, complete %v", n, s.Complete())
			}
			if len(said) != 1 || !strings.Contains(said[0], tt.want) || !strings.Contains(said[0], "damaged in the cache, made again: tiny") {
				t.Errorf("said %q", said)
			}
		})
	}

	// Where it cannot be made again it is named, and there is no path to run.
	change(t)
	t.Setenv("PATH", "")
	s := tinyStore(root, w.builder)
	set, err := s.Obtain(t.Context(), nil)
	if err == nil || set.Path(tiny) != "" || !strings.Contains(err.Error(), "damaged in the cache: "+program) {
		t.Errorf("%v, %v", set, err)
	}
	if err := s.Preflight(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged in the cache: "+program) {
		t.Errorf("Preflight: %v", err)
	}
}

func TestFailedBuildShowsItsLog(t *testing.T) {
	root := t.TempDir()
	s := tinyStore(root, tinyModule(t, "package main\n\nfunc main() { undefinedThing() }\n"))
	_, err := s.Obtain(t.Context(), nil)
	if err == nil {
		t.Fatal("built")
	}
	log := filepath.Join(root, "logs", "tinies-1.2.3.log")
	for _, want := range []string{"undefined: undefinedThing", log, "what to do: ", "tinies 1.2.3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if b, err := os.ReadFile(log); err != nil || !bytes.Contains(b, []byte("undefinedThing")) || !bytes.Contains(b, []byte("+ go build")) {
		t.Errorf("log: %q, %v", b, err)
	}
	checkNoWork(t, root)
	if s.Complete() {
		t.Error("complete")
	}
}

func TestFailureStopsTheOthers(t *testing.T) {
	s := tinyStore(t.TempDir(), tinyModule(t, "package main\n\nfunc main() { undefinedThing() }\n"))
	after := &watched{builder: tinyModule(t, tinySource)}
	u := &unit{name: "later", version: "1", builder: after, compiles: true}
	u.add("later", "1", "", "tiny", false)
	s.units = append(s.units, u)
	if _, err := s.Obtain(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "undefinedThing") {
		t.Errorf("got %v", err)
	}
	if n := after.builds.Load(); n != 0 {
		t.Error("the unit after a failed one was built")
	}
}

func TestObtainByName(t *testing.T) {
	s := tinyStore(t.TempDir(), tinyModule(t, tinySource))
	s.units[0].parts[0].onDemand = true
	if set := obtain(t, s); len(set) != 0 {
		t.Errorf("%v, not asked for", set)
	}
	if set, err := s.Obtain(t.Context(), nil, tiny); err != nil || set.Path(tiny) == "" {
		t.Errorf("%v, %v", set, err)
	}
	if _, err := s.Obtain(t.Context(), nil, "huge"); err == nil || !strings.Contains(err.Error(), `"huge"`) {
		t.Errorf("got %v", err)
	}
	if err := s.Preflight(t.Context(), "huge"); err == nil {
		t.Error("Preflight: no error")
	}
}

func TestPruneAndClean(t *testing.T) {
	root := t.TempDir()
	s := tinyStore(root, tinyModule(t, tinySource))
	set := obtain(t, s)
	old := filepath.Join(root, "tiny", "1.0.0-abc")
	if err := os.CopyFS(old, os.DirFS(filepath.Dir(set.Path(tiny)))); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(root, "work", "tinies-1.2.3", "tmp", "x")
	write(t, half, "x")
	if list := s.List(); len(list) != 2 || list[1].Current || list[1].Path != old {
		t.Errorf("list: %+v", list)
	}
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{old: false, half: false, set.Path(tiny): true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("after Prune, %s: %v", path, err)
		}
	}
	if err := s.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Complete() || len(s.folders()) > 0 {
		t.Errorf("after Clean: %q", s.folders())
	}
	if err := tinyStore(filepath.Join(root, "nowhere"), s.units[0].builder).Clean(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSetSurvivesJSON(t *testing.T) {
	set := Set{Charts: {Version: "1.23.2", Path: "/c"}, BootstrapTemplate: {Path: "/b"}}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var got Set
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.ChartsDir() != "/c" || got.BootstrapTemplate() != "/b" || got.Version(Charts) != "1.23.2" || got.Path(Etcd) != "" {
		t.Errorf("%v", got)
	}
	if n := got.Names(); len(n) != 2 || n[0] != BootstrapTemplate {
		t.Errorf("names %v", n)
	}
}

// TestCommandEndsItsGroup checks that what a cancelled child started is gone too.
func TestCommandEndsItsGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pid int
	// A shell's background processes ignore the interrupt.
	err := command{args: []string{"sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $! >&2; wait"}, line: func(l string) {
		fmt.Sscan(l, &pid)
		cancel()
	}}.run(ctx, &bytes.Buffer{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for range 100 { // it dies asynchronously
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %d still runs", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}
