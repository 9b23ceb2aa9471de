package components

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/meshbench/meshbench/internal/skip"
)

func requires(t *testing.T, name string) map[string]string {
	t.Helper()
	_, pins, err := readModules(name)
	if err != nil {
		t.Fatal(err)
	}
	return pins
}

// TestFlags holds the flags of everything else that builds meshbench against those of
// components: with others, what both are made of is compiled twice.
func TestFlags(t *testing.T) {
	for _, file := range []string{"Makefile", ".goreleaser.yaml", ".ci/before", ".github/action/setup.sh"} {
		b, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range goFlags {
			// meshbench has no profiles, with which alone -pgo=off makes a difference.
			if flag != "-pgo=off" && !bytes.Contains(b, []byte(flag)) {
				t.Errorf("%s builds without %s", file, flag)
			}
		}
	}
	if found, err := filepath.Glob("../../cmd/*/default.pgo"); err != nil || len(found) > 0 {
		t.Errorf("there are profiles: %q, %v", found, err)
	}
}

// TestPins checks that the versions which components report are those of the .mod files,
// and that the names of the files tell the truth.
func TestPins(t *testing.T) {
	kube := requires(t, "kubernetes-"+kubernetesRelease)
	if got := kube["k8s.io/kubernetes"]; got != "v"+kubernetesRelease {
		t.Errorf("kubernetes-%s.mod requires k8s.io/kubernetes %s", kubernetesRelease, got)
	}
	if got, want := kube["k8s.io/api"], "v0"+strings.TrimPrefix(kubernetesRelease, "1"); got != want {
		t.Errorf("k8s.io/api is %s, want %s", got, want)
	}
	for _, istio := range IstioVersions() {
		t.Run("istio "+istio, func(t *testing.T) {
			s, err := New(Options{Root: t.TempDir(), Istio: istio})
			if err != nil {
				t.Fatal(err)
			}
			mods := requires(t, "istio-"+istio)
			if got := mods["istio.io/api"]; semver.MajorMinor(got) != semver.MajorMinor("v"+istio) {
				t.Errorf("istio-%s.mod requires istio.io/api %s", istio, got)
			}
			want := map[Name]string{
				Etcd:                  kube["go.etcd.io/etcd/server/v3"],
				KubeAPIServer:         kube["k8s.io/kubernetes"],
				KubeControllerManager: kube["k8s.io/kubernetes"],
				KubeScheduler:         kube["k8s.io/kubernetes"],
				Kubectl:               kube["k8s.io/kubernetes"],
				MetricsServer:         kube["sigs.k8s.io/metrics-server"],
				PilotDiscovery:        "v" + istio, PilotAgent: "v" + istio, Istioctl: "v" + istio,
				Charts: "v" + istio, BootstrapTemplate: "v" + istio, Envoy: "v" + DefaultEnvoy,
				Addons: "v" + istio, GatewayAPI: mods["sigs.k8s.io/gateway-api"],
			}
			list := s.List()
			if len(list) != len(want) {
				t.Errorf("%d components, want %d", len(list), len(want))
			}
			for _, st := range list {
				if "v"+st.Version != want[st.Name] {
					t.Errorf("%s reports %s, pinned is %s", st.Name, st.Version, want[st.Name])
				}
				if _, version, ok := strings.Cut(strings.ReplaceAll(st.Pinned, "==", "@"), "@"); !ok || version == "" {
					t.Errorf("%s: pinned is %q", st.Name, st.Pinned)
				}
				if needed := !slices.Contains([]Name{Kubectl, Istioctl, Addons, GatewayAPI}, st.Name); st.Needed != needed || st.Cached || !st.Current {
					t.Errorf("%+v", st)
				}
			}
		})
	}
}

// TestSumsCoverMods: with a line missing in a .sum the build stops, or worse asks a
// checksum database.
func TestSumsCoverMods(t *testing.T) {
	entries, err := pinned.ReadDir("modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".mod")
		if !ok {
			continue
		}
		g, _, err := readModules(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := modfile.Parse(e.Name(), g.mod, nil)
		if err != nil {
			t.Fatal(err)
		}
		replaced := map[string]modfile.Replace{}
		for _, r := range f.Replace {
			replaced[r.Old.Path] = *r
			if r.New.Version == "" {
				t.Errorf("%s: %s is replaced by a folder", e.Name(), r.Old.Path)
			}
		}
		for _, r := range f.Require {
			m := r.Mod
			if x, ok := replaced[m.Path]; ok {
				m = x.New
			}
			if !bytes.Contains(g.sum, []byte(fmt.Sprintf("%s %s h1:", m.Path, m.Version))) {
				t.Errorf("%s.sum does not have %s", name, m)
			}
		}
	}
}

// TestSharedModulesAgree: packages are compiled once only when both sets of modules have
// the same versions. Other Istio releases may need others and cost more time.
func TestSharedModulesAgree(t *testing.T) {
	own := map[string]bool{
		"github.com/prometheus/prometheus": true, // metrics-server 0.7 compiles with 0.48 only
	}
	kube, istio := requires(t, "kubernetes-"+kubernetesRelease), requires(t, "istio-"+DefaultIstio)
	shared := 0
	for mod, v := range istio {
		switch other, ok := kube[mod]; {
		case !ok || own[mod]:
		case v != other:
			t.Errorf("%s is %s for Istio and %s for Kubernetes", mod, v, other)
		default:
			shared++
		}
	}
	if shared < 80 {
		t.Errorf("only %d modules are shared", shared)
	}
}

func TestUnknownIstio(t *testing.T) {
	_, err := New(Options{Root: t.TempDir(), Istio: "1.2.3"})
	if err == nil || !strings.Contains(err.Error(), "1.2.3") || !strings.Contains(err.Error(), DefaultIstio) {
		t.Errorf("got %v", err)
	}
}

func TestRoot(t *testing.T) {
	t.Setenv(RootEnv, "")
	t.Setenv("XDG_CACHE_HOME", "/xdg")
	for want, set := range map[string]func() Options{
		"/xdg/meshbench": func() Options { return Options{} },
		"/env":           func() Options { t.Setenv(RootEnv, "/env"); return Options{} },
		"/option":        func() Options { return Options{Root: "/option"} },
	} {
		t.Setenv(RootEnv, "")
		s, err := New(set())
		if err != nil || s.Root() != want {
			t.Errorf("%v, %v; want %s", s.Root(), err, want)
		}
	}
}

func TestPreflightNamesEverything(t *testing.T) {
	root := t.TempDir()
	s, err := New(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	err = s.Preflight(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no go command", "no python3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	// Of what is asked for only.
	if err := s.Preflight(t.Context(), Envoy); err == nil || strings.Contains(err.Error(), "go command") {
		t.Errorf("Envoy alone: %v", err)
	}
}

func TestPreflightTools(t *testing.T) {
	for _, tt := range []struct {
		name, tool, script, want string
	}{
		{"old go", "go", `echo '{"GOVERSION": "go1.20.1"}'`, "too old"},
		{"broken go", "go", "echo broken >&2; exit 1", "does not work"},
		{"no pip", "python3", "echo 'No module named pip' >&2; exit 1", "has no pip"},
		{"old pip", "python3", "echo 'pip 19.0 from x (python 3.7)'", "too old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, tt.tool), []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin)
			s, err := New(Options{Root: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Preflight(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSpaces(t *testing.T) {
	dir := t.TempDir()
	huge := uint64(1) << 61
	got := errors.Join(checkSpaces([]space{{filepath.Join(dir, "a", "b"), huge, "A"}, {dir, huge, "B"}})...)
	if got == nil || !strings.Contains(got.Error(), fmt.Sprint(2*huge/bytesPerMebi)) || !strings.Contains(got.Error(), "A, B") {
		t.Errorf("got %v, want one problem with the sum", got)
	}
	if got := checkSpaces([]space{{dir, 1, "A"}}); len(got) > 0 {
		t.Error(got)
	}
}

func TestPatch(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "cmd", "x", "main.go"), `import "up.stream/m/cmd/x/app"; old()`)
	write(t, filepath.Join(src, "cmd", "x", "app", "a.go"), `import "up.stream/m/pkg"; gone`)
	p := &patch{module: "up.stream/m", pkg: "up.stream/m/cmd/x", edits: []string{"old()", "new()", "gone", "here"}}
	dst := t.TempDir()
	write(t, filepath.Join(dst, "go.mod"), "module our/m\n")
	if err := p.apply(src, dst, "our/m/x"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"x/main.go":  `import "our/m/x/app"; new()`,
		"x/app/a.go": `import "up.stream/m/pkg"; here`,
	} {
		if b, err := os.ReadFile(filepath.Join(dst, path)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v; want %q", path, b, err, want)
		}
	}
	p.edits = append(p.edits, "not there", "")
	if err := p.apply(src, dst, "our/m/y"); err == nil || !strings.Contains(err.Error(), "not there") {
		t.Errorf("got %v", err)
	}
}

// TestWheel has the real pip take a package from a folder.
func TestWheel(t *testing.T) {
	if err := exec.Command("python3", "-m", "pip", "--version").Run(); err != nil {
		skip.Missing(t, "needs python3 -m pip (Debian: apt-get install python3-pip): %v", err)
	}
	index := t.TempDir()
	t.Setenv("PIP_NO_INDEX", "1")
	t.Setenv("PIP_FIND_LINKS", index)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{
		"thing/_bin/thing":             "#!/bin/sh\necho thing",
		"thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nRequires-Python: >=4\n",
		"thing-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"thing-1.0.dist-info/RECORD":   "",
	} {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(index, "thing-1.0-py3-none-any.whl"), b.String())

	store := func(requirement, member string, hash [32]byte) *Store {
		w := &wheel{requirements: []byte(fmt.Sprintf("%s \\\n    --hash=sha256:%x\n", requirement, hash)), name: tiny, member: member}
		u := &unit{name: "wheels", version: "1.0", builder: w}
		u.add(tiny, "1.0", requirement, "thing", false)
		return &Store{root: t.TempDir(), units: []*unit{u}}
	}
	right := sha256.Sum256(b.Bytes())
	set := obtain(t, store("thing==1.0", "thing/_bin/thing", right))
	if out, err := exec.Command(set.Path(tiny)).Output(); err != nil || string(out) != "thing\n" {
		t.Errorf("%q, %v", out, err)
	}
	for name, tt := range map[string]struct {
		store *Store
		want  string
	}{
		"other content": {store("thing==1.0", "thing/_bin/thing", sha256.Sum256(nil)), "not what is pinned"},
		"no such":       {store("thing==2.0", "thing/_bin/thing", right), "glibc"},
		"no such file":  {store("thing==1.0", "thing/_bin/other", right), "thing/_bin/other"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tt.store.Obtain(t.Context(), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			checkNoWork(t, tt.store.root)
			if found := tt.store.folders(); len(found) > 0 {
				t.Errorf("in the cache: %q", found)
			}
		})
	}
}

// TestObtainedProgramsTellTheirVersions asks the programs in this machine's cache; it
// obtains none.
func TestObtainedProgramsTellTheirVersions(t *testing.T) {
	s, err := New(Options{Traffic: true})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, st := range s.List() {
		args, ok := map[Name][]string{
			Etcd: {"--version"}, KubeAPIServer: {"--version"}, KubeControllerManager: {"--version"}, KubeScheduler: {"--version"},
			MetricsServer: {"--version"}, PilotDiscovery: {"version"}, PilotAgent: {"version"}, Envoy: {"--version"},
			Kubectl: {"version", "--client"}, Istioctl: {"version", "--remote=false"},
			CoreDNS: {"-version"}, Fortio: {"buildinfo"},
		}[st.Name]
		if !ok || !st.Cached || !st.Current {
			continue
		}
		asked++
		set := obtainNamed(t, s, st.Name)
		out, err := exec.Command(set.Path(st.Name), args...).CombinedOutput()
		if err != nil || !regexp.MustCompile(`(^|[^0-9.])v?`+regexp.QuoteMeta(st.Version)+`([^0-9.]|$)`).Match(out) {
			t.Errorf("%s is to be %s, says %q, %v", st.Name, st.Version, out, err)
		}
	}
	if asked == 0 {
		skip.Missing(t, "no component is in this machine's cache yet: make components obtains them")
	}
}

func obtainNamed(t *testing.T, s *Store, n Name) Set {
	t.Helper()
	set, err := s.Obtain(t.Context(), nil, n)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
