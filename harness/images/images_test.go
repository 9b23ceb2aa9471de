package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/skip"
)

// The images by their default names.
const (
	pilot   = "docker.io/istio/pilot:1.23.2"
	proxy   = "docker.io/istio/proxyv2:1.23.2"
	metrics = "registry.k8s.io/metrics-server/metrics-server:v0.7.2"
)

// set is made of files that hold their component's name.
func set(t *testing.T) components.Set {
	t.Helper()
	s, dir := components.Set{}, t.TempDir()
	for n, version := range map[components.Name]string{components.PilotDiscovery: "1.23.2", components.PilotAgent: "1.23.2",
		components.Envoy: "1.40.0", components.BootstrapTemplate: "1.23.2", components.MetricsServer: "0.7.2"} {
		s[n] = components.Component{Version: version, Path: filepath.Join(dir, string(n))}
		write(t, s.Path(n), string(n))
	}
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// rootfs is a folder with what is asked of a root file system, and something of every kind.
func rootfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []string{"usr/sbin/xtables-nft-multi", "etc/passwd", "dev/console", "proc/cmdline", "sys/x"} {
		write(t, filepath.Join(dir, f), f)
	}
	err := errors.Join(
		os.Symlink("xtables-nft-multi", filepath.Join(dir, "usr/sbin/iptables-save")),
		os.Symlink("xtables-nft-multi", filepath.Join(dir, "usr/sbin/iptables-restore")),
		os.Symlink("usr/sbin", filepath.Join(dir, "sbin")),
		os.Link(filepath.Join(dir, "etc/passwd"), filepath.Join(dir, "etc/passwd-")),
		os.Mkdir(filepath.Join(dir, "tmp"), 0o755), os.Chmod(filepath.Join(dir, "tmp"), fs.ModeSticky|0o777),
		os.Chmod(filepath.Join(dir, "usr/sbin/xtables-nft-multi"), fs.ModeSetuid|0o755),
		syscall.Mkfifo(filepath.Join(dir, "etc/fifo"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func archive(t *testing.T, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	o.Work = t.TempDir()
	if _, err := Write(t.Context(), &b, o); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(o.Work); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	return b.Bytes()
}

// read opens an image of an archive by its name, as docker load does.
func read(t *testing.T, b []byte, image string) v1.Image {
	t.Helper()
	tag, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	i, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }, &tag)
	if err == nil {
		err = validate.Image(i)
	}
	if err != nil {
		t.Fatalf("%s: %v", image, err)
	}
	return i
}

// files lists the files of an image: their headers, and their content in Linkname of
// regular files.
func files(t *testing.T, i v1.Image) map[string]tar.Header {
	t.Helper()
	r := mutate.Extract(i)
	defer r.Close()
	all := map[string]tar.Header{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s: time %s, owner %q, group %q", h.Name, h.ModTime, h.Uname, h.Gname)
		}
		if h.Typeflag == tar.TypeReg {
			b, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			h.Linkname = string(b)
		}
		all[strings.TrimSuffix(h.Name, "/")] = *h
	}
}

func TestWrite(t *testing.T) {
	b := archive(t, Options{Components: []components.Set{set(t)}, RootFS: rootfs(t)})
	for image, want := range map[string]struct {
		user, entrypoint string
		files            map[string]string
		absent           []string
	}{
		pilot: {"1337:1337", "/usr/local/bin/pilot-discovery", map[string]string{"usr/local/bin/pilot-discovery": "pilot-discovery", template: "bootstrap-template"}, nil},
		proxy: {"", "/usr/local/bin/pilot-agent", map[string]string{
			"usr/local/bin/pilot-agent": "pilot-agent", "usr/local/bin/envoy": "envoy", template: "bootstrap-template",
			"usr/sbin/xtables-nft-multi": "usr/sbin/xtables-nft-multi", "etc/passwd": "etc/passwd",
			"sbin": "usr/sbin", "usr/sbin/iptables-restore": "xtables-nft-multi", "etc/passwd-": "etc/passwd",
		}, []string{"dev/console", "proc/cmdline", "sys/x", "etc/fifo"}},
		metrics: {"65534", "/metrics-server", map[string]string{"metrics-server": "metrics-server"}, nil},
	} {
		t.Run(image, func(t *testing.T) {
			i := read(t, b, image)
			config, err := i.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if c := config.Config; c.User != want.user || !slices.Equal(c.Entrypoint, []string{want.entrypoint}) || len(c.Cmd) > 0 {
				t.Errorf("user %q, entrypoint %q, command %q", c.User, c.Entrypoint, c.Cmd)
			}
			if config.OS != "linux" || config.Architecture != runtime.GOARCH {
				t.Errorf("for %s/%s", config.OS, config.Architecture)
			}
			got := files(t, i)
			for name, content := range want.files {
				if got[name].Linkname != content {
					t.Errorf("%s: %q, want %q", name, got[name].Linkname, content)
				}
			}
			for _, name := range append(want.absent, "") {
				if _, ok := got[name]; ok {
					t.Errorf("%q is there", name)
				}
			}
			program := got[strings.TrimPrefix(want.entrypoint, "/")]
			if program.Mode != 0o755 || program.Uid != 0 || program.Gid != 0 {
				t.Errorf("entrypoint has mode %o, owner %d:%d", program.Mode, program.Uid, program.Gid)
			}
			if tmp := got["tmp"]; tmp.Mode&0o7777 != 0o1777 || tmp.Typeflag != tar.TypeDir {
				t.Errorf("tmp: %+v", tmp)
			}
		})
	}
	if got := files(t, read(t, b, proxy)); got["usr/sbin/xtables-nft-multi"].Mode != 0o4755 {
		t.Errorf("mode %o", got["usr/sbin/xtables-nft-multi"].Mode)
	}
}

// TestLayout checks what containerd looks at: the index of the OCI layout.
func TestLayout(t *testing.T) {
	b := archive(t, Options{Components: []components.Set{set(t)}, RootFS: rootfs(t)})
	contents := map[string][]byte{}
	var order []string
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, h.Name)
		contents[h.Name], _ = io.ReadAll(r)
	}
	if !slices.IsSorted(order) {
		t.Errorf("not sorted: %q", order)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(contents["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range index.Manifests {
		names = append(names, d.Annotations["io.containerd.image.name"])
		raw := contents["blobs/sha256/"+d.Digest.Hex]
		digest, size, err := v1.SHA256(bytes.NewReader(raw))
		if err != nil || digest != d.Digest || size != d.Size {
			t.Errorf("manifest %s: %s of %d bytes, %v", d.Digest, digest, size, err)
		}
		m, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range append(m.Layers, m.Config) {
			if digest, size, err := v1.SHA256(bytes.NewReader(contents["blobs/sha256/"+l.Digest.Hex])); err != nil || digest != l.Digest || size != l.Size {
				t.Errorf("blob %s: %s of %d bytes, %v", l.Digest, digest, size, err)
			}
		}
		if !strings.HasPrefix(string(m.Config.MediaType), "application/vnd.oci.") || !strings.HasPrefix(string(d.MediaType), "application/vnd.oci.") {
			t.Errorf("media types %s, %s", d.MediaType, m.Config.MediaType)
		}
	}
	if !slices.Equal(names, []string{pilot, proxy, metrics}) {
		t.Errorf("names %q", names)
	}
}

func TestSameInputSameArchive(t *testing.T) {
	s, root := set(t), rootfs(t)
	first := archive(t, Options{Components: []components.Set{s}, RootFS: root})
	// Other times, other paths, and another order of what was written.
	later := time.Now().Add(time.Hour)
	for _, c := range s {
		if err := os.Chtimes(c.Path, later, later); err != nil {
			t.Fatal(err)
		}
	}
	if second := archive(t, Options{Components: []components.Set{set(t)}, RootFS: rootfs(t)}); !bytes.Equal(first, second) {
		t.Error("the archives differ")
	}
	write(t, s.Path(components.PilotAgent), "another")
	if third := archive(t, Options{Components: []components.Set{s}, RootFS: root}); bytes.Equal(first, third) {
		t.Error("the archives of different programs are the same")
	}
}

func TestHubsNameImages(t *testing.T) {
	hubs, err := components.ParseHubs([]string{"mirror.example:5000/istio", "registry.k8s.io=mirror.example:5000/k8s"})
	if err != nil {
		t.Fatal(err)
	}
	b := archive(t, Options{Components: []components.Set{set(t)}, RootFS: rootfs(t), Hubs: hubs})
	read(t, b, "mirror.example:5000/istio/pilot:1.23.2")
	read(t, b, "mirror.example:5000/istio/proxyv2:1.23.2")
	read(t, b, "mirror.example:5000/k8s/metrics-server/metrics-server:v0.7.2")
}

// TestSeveralVersions: what versions share is in the archive once.
func TestSeveralVersions(t *testing.T) {
	first, second := set(t), set(t)
	for _, n := range []components.Name{components.PilotDiscovery, components.PilotAgent} {
		second[n] = components.Component{Version: "1.24.0", Path: second.Path(n)}
		write(t, second.Path(n), string(n)+" 1.24.0")
	}
	b := archive(t, Options{Components: []components.Set{first, second, first}, RootFS: rootfs(t)})
	for image, want := range map[string]string{proxy: "pilot-agent", "docker.io/istio/proxyv2:1.24.0": "pilot-agent 1.24.0"} {
		if got := files(t, read(t, b, image))["usr/local/bin/pilot-agent"].Linkname; got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
	read(t, b, pilot)
	read(t, b, "docker.io/istio/pilot:1.24.0")
	read(t, b, metrics)
	blobs := 0
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		if strings.HasPrefix(h.Name, "blobs/sha256/") && h.Typeflag == tar.TypeReg {
			blobs++
		}
	}
	// Manifest, configuration and layer of five images; the proxies share one layer more.
	if want := 3*5 + 1; blobs != want {
		t.Errorf("%d blobs, want %d", blobs, want)
	}
}

// TestEnvoyLabel: upstream's Envoy is told from Istio's.
func TestEnvoyLabel(t *testing.T) {
	for content, want := range map[string]string{"envoy": UpstreamEnvoy, "envoy with istio_stats": ""} {
		s := set(t)
		write(t, s.Path(components.Envoy), content)
		config, err := read(t, archive(t, Options{Components: []components.Set{s}, RootFS: rootfs(t)}), proxy).ConfigFile()
		if err != nil || config.Config.Labels[EnvoyLabel] != want {
			t.Errorf("%q: labels %q, %v", content, config.Config.Labels, err)
		}
	}
}

// tarOf packs a folder as tar does; links to one file become hard links.
func tarOf(t *testing.T, dir string) []byte {
	t.Helper()
	l, err := writeLayer(filepath.Join(t.TempDir(), "layer"), func(w *layerWriter) error {
		return (&rootFS{place: dir, seen: map[string]bool{}}).folder(context.Background(), w)
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRootFSAsArchive(t *testing.T) {
	s, dir := set(t), rootfs(t)
	want := archive(t, Options{Components: []components.Set{s}, RootFS: dir})
	plain := tarOf(t, dir)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(plain)
	w.Close()
	for what, b := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes()} {
		file := filepath.Join(t.TempDir(), "rootfs.tar")
		write(t, file, string(b))
		if got := archive(t, Options{Components: []components.Set{s}, RootFS: file}); !bytes.Equal(got, want) {
			t.Errorf("%s: not what the folder gives", what)
		}
	}
}

func TestRootFSThatWillNotDo(t *testing.T) {
	good := rootfs(t)
	without := func(names ...string) string {
		dir := rootfs(t)
		for _, n := range names {
			if err := os.Remove(filepath.Join(dir, n)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	file := func(b []byte) string {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, string(b))
		return path
	}
	saved := archive(t, Options{Components: []components.Set{set(t)}, RootFS: good})
	// An executable of this machine that has a loader stands for Envoy.
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	asked, err := loader(shell)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, root, envoy string
		says              []string
	}{
		{"not there", filepath.Join(t.TempDir(), "nowhere"), "", []string{"no such file", "mmdebstrap"}},
		{"empty folder", t.TempDir(), "", []string{"iptables-save, iptables-restore", "mmdebstrap"}},
		{"one program missing", without("usr/sbin/iptables-restore"), "", []string{"has no iptables-restore"}},
		{"empty file", file(nil), "", []string{"cannot be read as a tar archive", "docker export"}},
		{"no archive", file(bytes.Repeat([]byte("x"), 4096)), "", []string{"cannot be read as a tar archive"}},
		{"cut off", file(tarOf(t, good)[:1536]), "", []string{"file system"}},
		{"images", file(saved), "", []string{"is an archive of images", "docker export"}},
		{"no glibc", good, shell, []string{asked, "glibc"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := set(t)
			if tt.envoy != "" {
				if asked == "" {
					skip.NotHere(t, "/bin/sh is static here")
				}
				s[components.Envoy] = components.Component{Version: "1.40.0", Path: tt.envoy}
			}
			o := Options{Components: []components.Set{s}, RootFS: tt.root, Work: t.TempDir()}
			_, err := Write(t.Context(), io.Discard, o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, says := range tt.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%v\ndoes not say %q", err, says)
				}
			}
			if left, _ := os.ReadDir(o.Work); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestWriteNeedsAllComponents(t *testing.T) {
	s := set(t)
	delete(s, components.MetricsServer)
	if _, err := Write(t.Context(), io.Discard, Options{Components: []components.Set{s}, RootFS: rootfs(t), Work: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "metrics-server") {
		t.Errorf("got %v", err)
	}
}

func TestInterruptedWriteLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt"))
	work := t.TempDir()
	_, err := Write(ctx, io.Discard, Options{Components: []components.Set{set(t)}, RootFS: rootfs(t), Work: work})
	if err == nil || !strings.Contains(err.Error(), "interrupt") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(work); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestRoundTrip pushes what is in an archive to a registry and takes the programs out of
// it again.
func TestRoundTrip(t *testing.T) {
	made := set(t)
	b := archive(t, Options{Components: []components.Set{made}, RootFS: rootfs(t)})
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, image := range []string{pilot, proxy, metrics} {
		tag, err := name.NewTag(host + "/" + image)
		if err == nil {
			err = remote.Write(tag, read(t, b, image))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hubs, err := components.ParseHubs([]string{host + "/docker.io/istio", "registry.k8s.io=" + host + "/registry.k8s.io"})
	if err != nil {
		t.Fatal(err)
	}
	store, err := components.New(components.Options{Root: t.TempDir(), From: components.FromImages, Hubs: hubs})
	if err != nil {
		t.Fatal(err)
	}
	got, err := store.Obtain(t.Context(), nil, Needed()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range Needed() {
		want, err := os.ReadFile(made.Path(n))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(got.Path(n)); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s: %q, %v; want %q", n, b, err, want)
		}
	}
}
