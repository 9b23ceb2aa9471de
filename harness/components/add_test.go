package components

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/meshbench/meshbench/internal/skip"
)

// fakeModule is a module on a fake module proxy.
type fakeModule struct {
	path, version string
	queries       []string // commits and tags that resolve to the version
	mod           string
	files         map[string]string
}

const (
	fakeCommit = "0123456789ab"
	fakeIstio  = "v0.0.0-20250102030405-" + fakeCommit
)

// fakeModules is an Istio 1.99.0 that imports a module of Kubernetes' too, in a lower
// version than is pinned, and one that has a replacement.
func fakeModules(apis string) []fakeModule {
	main := "package main\n\nimport (\n\t_ \"istio.io/api\"\n\t_ \"istio.io/client-go\"\n\t_ \"example.com/one\"\n\t_ \"sigs.k8s.io/yaml\"\n)\n\nfunc main() {}\n"
	pkg := func(name string) map[string]string { return map[string]string{name + ".go": "package " + name + "\n"} }
	return []fakeModule{
		{
			path: istioModule, version: fakeIstio, queries: []string{fakeCommit, "1.99.0"},
			mod: "module istio.io/istio\n\ngo 1.22.0\n\nrequire (\n\texample.com/one v1.0.0\n\texample.com/unused v1.0.0\n\tistio.io/api " + apis + "\n\tistio.io/client-go " + apis +
				"\n\tsigs.k8s.io/yaml v1.0.0\n)\n\nreplace example.com/one => example.com/one v1.0.1\n",
			files: map[string]string{
				"pilot/cmd/pilot-discovery/main.go": main, "pilot/cmd/pilot-agent/main.go": main,
				"istioctl/cmd/istioctl/main.go": main, "istioctl/cmd/istioctl/more_arm64.go": "package main\n\nimport _ \"example.com/arm\"\n",
			},
		},
		{path: "istio.io/api", version: "v1.99.0", files: pkg("api")},
		{path: "istio.io/client-go", version: "v1.99.0", files: pkg("client")},
		{path: "sigs.k8s.io/yaml", version: "v1.0.0", files: pkg("yaml")},
		{path: "sigs.k8s.io/yaml", version: "v1.4.0", files: pkg("yaml")},
		{path: "example.com/one", version: "v1.0.0", files: pkg("one")},
		{path: "example.com/one", version: "v1.0.1", files: pkg("one")},
		{path: "example.com/unused", version: "v1.0.0", files: pkg("unused")},
		{path: "example.com/arm", version: "v1.0.0", files: pkg("arm")},
	}
}

// serveModules is a module proxy, and a checksum database that has nothing.
func serveModules(t *testing.T, modules []fakeModule) *httptest.Server {
	t.Helper()
	served := map[string][]byte{"/sumdb/sum.golang.org/supported": nil}
	for _, m := range modules {
		if m.mod == "" {
			m.mod = "module " + m.path + "\n\ngo 1.22.0\n"
		}
		var z bytes.Buffer
		w := zip.NewWriter(&z)
		m.files["go.mod"] = m.mod
		for name, text := range m.files {
			f, err := w.Create(m.path + "@" + m.version + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(f, text)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		info := fmt.Appendf(nil, `{"Version":%q,"Time":"2025-01-02T03:04:05Z"}`, m.version)
		for _, q := range append(m.queries, m.version) {
			served[path.Join("/", m.path, "@v", q+".info")] = info
		}
		served[path.Join("/", m.path, "@v", m.version+".mod")] = []byte(m.mod)
		served[path.Join("/", m.path, "@v", m.version+".zip")] = z.Bytes()
		list := path.Join("/", m.path, "@v", "list")
		if !strings.HasPrefix(m.version, "v0.0.0-") {
			served[list] = append(served[list], m.version+"\n"...)
		} else {
			served[list] = nil
		}
	}
	pins, err := kubernetesRequires()
	if err != nil {
		t.Fatal(err)
	}
	kubernetes := map[module.Version]bool{}
	for _, m := range pins {
		kubernetes[m] = true
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := served[r.URL.Path]
		// Of what Kubernetes pins, nothing more than the go.mod is asked for.
		if name, version, isMod := strings.Cut(strings.TrimSuffix(r.URL.Path, ".mod"), "/@v/"); !ok && isMod && strings.HasSuffix(r.URL.Path, ".mod") {
			if name, err := module.UnescapePath(name[1:]); err == nil && kubernetes[module.Version{Path: name, Version: version}] {
				body, ok = []byte("module "+name+"\n"), true
			}
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s
}

// moduleEnvironment makes the go command use a proxy and a cache of its own.
func moduleEnvironment(t *testing.T, proxy string) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		skip.Missing(t, "needs the go command: %v", err)
	}
	cache := t.TempDir()
	t.Cleanup(func() { // the module cache is read-only
		_ = filepath.WalkDir(cache, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(p, 0o755)
			}
			return err
		})
	})
	t.Setenv("GOMODCACHE", cache)
	t.Setenv("GOPROXY", proxy)
	t.Setenv("GOSUMDB", "sum.golang.org")
	t.Setenv("GONOSUMDB", "example.com/unused") // the user's own is kept
	t.Setenv("GOPRIVATE", "")
	t.Setenv("GONOPROXY", "")
}

func addFake(t *testing.T, release, commit string) (*Pinned, string, error) {
	t.Helper()
	dir := t.TempDir()
	p, err := AddIstio(t.Context(), release, commit, dir, func(string) {})
	return p, dir, err
}

func TestAddIstio(t *testing.T) {
	moduleEnvironment(t, serveModules(t, fakeModules("v1.98.0-alpha")).URL)
	for _, commit := range []string{"", fakeCommit, fakeIstio} {
		p, dir, err := addFake(t, "1.99.0", commit)
		if err != nil {
			t.Fatalf("commit %q: %v", commit, err)
		}
		mod, err := os.ReadFile(filepath.Join(dir, "istio-1.99.0.mod"))
		if err != nil {
			t.Fatal(err)
		}
		want := `// Istio 1.99.0: istiod, pilot-agent, istioctl and the charts. Versions that the
// Kubernetes programs use too are theirs where these are higher, so that what both
// import is compiled once. README.md beside this file says how it is made.
//
// Not in the checksum database, so as the module proxy sent it:
// example.com/arm
// example.com/one
// istio.io/api
// istio.io/client-go
// istio.io/istio
// sigs.k8s.io/yaml
module meshbench.invalid/istio

go 1.22.0

require istio.io/istio ` + fakeIstio + `

require (
	example.com/arm v1.0.0 // indirect
	example.com/one v1.0.0 // indirect
	istio.io/api v1.99.0 // indirect
	istio.io/client-go v1.99.0 // indirect
	sigs.k8s.io/yaml v1.4.0 // indirect
)

replace example.com/one => example.com/one v1.0.1
`
		if string(mod) != want {
			t.Errorf("commit %q:\n%s\nwant\n%s", commit, mod, want)
		}
		sum, err := os.ReadFile(filepath.Join(dir, "istio-1.99.0.sum"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{istioModule + " " + fakeIstio, "example.com/one v1.0.1", "example.com/arm v1.0.0", "sigs.k8s.io/yaml v1.4.0"} {
			if !bytes.Contains(sum, []byte(m+" h1:")) {
				t.Errorf("the sum has no %s", m)
			}
		}
		if p.Version != fakeIstio || len(p.Files) != 2 || len(p.Unverified) != 6 {
			t.Errorf("%+v", p)
		}
	}
}

func TestAddIstioBetweenReleases(t *testing.T) {
	modules := fakeModules("v1.99.0")
	moduleEnvironment(t, serveModules(t, modules).URL)
	_, dir, err := addFake(t, "1.99.0-alpha.one", fakeCommit)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "istio-1.99.0-alpha.one.mod"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse("mod", mod, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Require {
		if r.Mod.Path == "istio.io/api" && r.Mod.Version != "v1.99.0" {
			t.Errorf("istio.io/api %s", r.Mod.Version)
		}
	}
}

// TestAddIstioFails: what cannot be had is said, and nothing is written.
func TestAddIstioFails(t *testing.T) {
	moduleEnvironment(t, serveModules(t, fakeModules("v1.99.0")).URL)
	for _, tt := range []struct{ release, commit, want string }{
		{"1.99.1", "", "--from images"},
		{"1.99.0", "fedcba987654", "v0.0.0-TIME-COMMIT"},
		{"1.99", "", "write it as 1.27.0"},
		{"v1.99.0", "", "write it as 1.27.0"},
		{"../1.99.0", "", "write it as 1.27.0"},
		{"1.98.0", fakeCommit, "module istio.io/api of Istio 1.98.0 cannot be had"},
	} {
		_, dir, err := addFake(t, tt.release, tt.commit)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: %v, want %q", tt.release, tt.commit, err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), "write it as") && !strings.Contains(err.Error(), "--from images") {
			t.Errorf("%s %s does not name the way by images: %v", tt.release, tt.commit, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s %s left %v", tt.release, tt.commit, left)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := AddIstio(ctx, "1.99.0", "", t.TempDir(), func(string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := AddIstio(t.Context(), "1.99.0", "", filepath.Join(t.TempDir(), "none"), func(string) {}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestLocalEnvoy(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const build = "30b7eb1d/1.36.2/Clean/RELEASE/BoringSSL"
	good := script("envoy", "#!/bin/sh\necho\necho \"$0  version: "+build+"\"\n", 0o755)
	c, err := LocalEnvoy(t.Context(), good)
	if err != nil || c.Version != build || c.Path != good {
		t.Errorf("%+v, %v", c, err)
	}
	for _, tt := range []struct{ path, want string }{
		{filepath.Join(dir, "none"), "no such file"},
		{dir, "no file that can be run"},
		{script("plain", "x", 0o644), "no file that can be run"},
		{script("other", "#!/bin/sh\necho other 1.2\n", 0o755), "not which Envoy"},
		{script("broken", "#!/bin/sh\nexit 3\n", 0o755), "exit status 3"},
	} {
		if _, err := LocalEnvoy(t.Context(), tt.path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.path, err, tt.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := LocalEnvoy(ctx, script("slow", "#!/bin/sh\nexec sleep 600\n", 0o755)); err == nil {
		t.Error("a program that says nothing is taken for Envoy")
	}
}

func TestGivenEnvoy(t *testing.T) {
	given := Set{Envoy: {Version: "abc/1.36.2/Clean", Path: "/opt/envoy"}}
	s, err := New(Options{Root: t.TempDir(), Envoy: "none", Given: given})
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.Obtain(t.Context(), nil, Envoy)
	if err != nil || set[Envoy] != given[Envoy] {
		t.Errorf("%v, %v", set, err)
	}
	if s.Complete() {
		t.Error("complete with nothing but Envoy")
	}
	for _, st := range s.List() {
		if st.Name == Envoy {
			t.Errorf("%+v would be obtained", st)
		}
	}
}

func TestHasIstioFilters(t *testing.T) {
	file := func(text []byte) string {
		p := filepath.Join(t.TempDir(), "envoy")
		if err := os.WriteFile(p, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, at := range []int{0, 5, 1<<20 - 3, 1 << 20, 3<<20 - 7} {
		text := bytes.Repeat([]byte{'i'}, 3<<20)
		has, err := HasIstioFilters(file(text))
		if has || err != nil {
			t.Fatalf("without: %v, %v", has, err)
		}
		has, err = HasIstioFilters(file(append(text[:at:at], "istio_stats and more"...)))
		if !has || err != nil {
			t.Errorf("at %d: %v, %v", at, has, err)
		}
	}
	if _, err := HasIstioFilters(t.TempDir()); err == nil {
		t.Error("a folder is an Envoy")
	}
}
