package components

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/skip"
)

// tinyDownload is the module of tinyModule on a module proxy instead of in a folder.
func tinyDownload(t *testing.T) (*goModules, http.Handler) {
	t.Helper()
	const goMod = "module example.com/tiny\n\ngo 1.22.0\n"
	proxy := serveModules(t, []fakeModule{{path: "example.com/tiny", version: "v1.2.3", mod: goMod,
		files: map[string]string{"main.go": tinySource, "data/large.txt": strings.Repeat("large ", 1<<22)}}}).Config.Handler
	answer := httptest.NewRecorder()
	proxy.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/example.com/tiny/@v/v1.2.3.zip", nil))
	zipped := filepath.Join(t.TempDir(), "tiny.zip")
	write(t, zipped, answer.Body.String())
	sum, err := dirhash.HashZip(zipped, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	// The hash of a go.mod is that of a folder with this one file.
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), goMod)
	modSum, err := dirhash.HashDir(dir, "", dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	return &goModules{
		mod:      []byte("module example.com/build\n\ngo 1.22.0\n\nrequire example.com/tiny v1.2.3\n"),
		sum:      fmt.Appendf(nil, "example.com/tiny v1.2.3 %s\nexample.com/tiny v1.2.3/go.mod %s\n", sum, modSum),
		programs: map[Name]program{tiny: {pkg: "example.com/tiny", ldflags: "-X main.version=1.2.3"}},
		files:    map[Name][]moduleFiles{"data": {{module: "example.com/tiny", paths: []string{"data"}}}},
	}, proxy
}

// TestNothingHalfMadeStays: whatever goes wrong, it is said with what to do, nothing of
// it is in the cache, and once it is repaired the same command succeeds.
func TestNothingHalfMadeStays(t *testing.T) {
	cut := func(body []byte) []byte { return body[:len(body)/2] }
	for _, tt := range []struct {
		name   string
		tamper func(http.ResponseWriter, []byte) // sends a zip file
		space  string                            // size of the cache's disk, as mount has it; "" for enough
		want   []string
	}{
		{name: "half a download", tamper: func(w http.ResponseWriter, zip []byte) { _, _ = w.Write(cut(zip)) },
			want: []string{"not a valid zip file", "the download was broken"}},
		{name: "a connection that breaks", tamper: func(w http.ResponseWriter, zip []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(zip)))
			_, _ = w.Write(cut(zip))
		}, want: []string{"unexpected EOF", "the download was broken"}},
		{name: "another content", tamper: func(w http.ResponseWriter, _ []byte) {
			answer := httptest.NewRecorder()
			serveModules(t, []fakeModule{{path: "example.com/tiny", version: "v1.2.3", mod: "module example.com/tiny\n\ngo 1.22.0\n",
				files: map[string]string{"main.go": tinySource + "// changed\n"}}}).Config.Handler.
				ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/example.com/tiny/@v/v1.2.3.zip", nil))
			_, _ = w.Write(answer.Body.Bytes())
		}, want: []string{"checksum mismatch", "not what is pinned"}},
		{name: "a proxy that fails", tamper: func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusBadGateway) },
			want: []string{"502 Bad Gateway", "go env GOPROXY"}},
		{name: "no space to compile", space: "200k", want: []string{"no space left on device", "free disk space"}},
		{name: "no space to copy", space: "12m", want: []string{"no space left on device", "free disk space"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, proxy := tinyDownload(t)
			tamper := tt.tamper
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tamper == nil || !strings.HasSuffix(r.URL.Path, ".zip") {
					proxy.ServeHTTP(w, r)
					return
				}
				answer := httptest.NewRecorder()
				proxy.ServeHTTP(answer, r)
				tamper(w, answer.Body.Bytes())
			}))
			t.Cleanup(server.Close)
			moduleEnvironment(t, server.URL)

			root := t.TempDir()
			if tt.space != "" {
				if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755,size="+tt.space); err != nil {
					skip.NotHere(t, "mounting a small disk takes root: %v", err)
				}
				t.Cleanup(func() { _ = unix.Unmount(root, 0) })
			}
			s := tinyStore(root, g)
			s.units[0].add("data", "1.2.3", "example.com/tiny@v1.2.3", "data", false)
			_, err := s.Obtain(t.Context(), nil)
			if err == nil {
				t.Fatal("obtained")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in:\n%v", want, err)
				}
			}
			checkNoWork(t, root)
			if found := s.folders(); len(found) > 0 || s.Complete() {
				t.Errorf("in the cache: %q", found)
			}

			tamper = nil
			if tt.space != "" {
				if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_REMOUNT, "mode=0755,size=64m"); err != nil {
					t.Fatal(err)
				}
			}
			set := obtain(t, s)
			checkRuns(t, set)
			if info, err := os.Stat(filepath.Join(set.Path("data"), "large.txt")); err != nil || info.Size() != 6<<22 {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
}

// TestChangedModules: source that was changed after its download is compiled into nothing.
func TestChangedModules(t *testing.T) {
	for _, tt := range []struct{ file, text string }{
		{"main.go", tinySource + "// changed\n"},
		{"data/large.txt", "small"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			g, proxy := tinyDownload(t)
			server := httptest.NewServer(proxy)
			t.Cleanup(server.Close)
			moduleEnvironment(t, server.URL)
			first := tinyStore(t.TempDir(), g)
			first.units[0].add("data", "1.2.3", "example.com/tiny@v1.2.3", "data", false)
			set := obtain(t, first)
			checkRuns(t, set)

			out, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(strings.TrimSpace(string(out)), "example.com", "tiny@v1.2.3", filepath.FromSlash(tt.file))
			for _, p := range []string{filepath.Dir(path), path} {
				if err := os.Chmod(p, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write(t, path, tt.text)
			second := tinyStore(t.TempDir(), g)
			second.units[0].add("data", "1.2.3", "example.com/tiny@v1.2.3", "data", false)
			_, err = second.Obtain(t.Context(), nil)
			for _, want := range []string{"module example.com/tiny@v1.2.3 in ", "is not what was downloaded", "go clean -modcache"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
			if found := second.folders(); len(found) > 0 {
				t.Errorf("in the cache: %q", found)
			}
		})
	}
}
