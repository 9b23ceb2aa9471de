package components

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/skip"
)

// hub is a registry in the test process that can be made to fail.
type hub struct {
	host string
	http.Handler
	mu    sync.Mutex
	fault func(http.ResponseWriter, *http.Request) bool // reports whether it answered
	asked []string                                      // methods and paths
}

func newHub(t *testing.T, options ...registry.Option) *hub {
	t.Helper()
	h := &hub{Handler: registry.New(append(options, registry.Logger(log.New(io.Discard, "", 0)))...)}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.host = strings.TrimPrefix(server.URL, "http://")
	return h
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked = append(h.asked, r.Method+" "+r.URL.Path)
	fault := h.fault
	h.mu.Unlock()
	if fault == nil || !fault(w, r) {
		h.Handler.ServeHTTP(w, r)
	}
}

func (h *hub) fail(fault func(http.ResponseWriter, *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault, h.asked = fault, nil
}

// blobs are the digests of what was downloaded since the last fail.
func (h *hub) blobs() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var digests []string
	for _, a := range h.asked {
		if _, digest, ok := strings.Cut(a, "/blobs/"); ok && strings.HasPrefix(a, "GET ") {
			digests = append(digests, digest)
		}
	}
	return digests
}

func (h *hub) push(t *testing.T, repository string, what remote.Taggable) {
	t.Helper()
	tag, err := name.NewTag(h.host + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(tag, what)
	case v1.ImageIndex:
		err = remote.WriteIndex(tag, what)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// makeImage makes an image for this platform of layers, the lowest first.
func makeImage(t *testing.T, all ...v1.Layer) v1.Image {
	t.Helper()
	return forPlatform(t, runtime.GOARCH, all...)
}

func forPlatform(t *testing.T, arch string, all ...v1.Layer) v1.Image {
	t.Helper()
	i, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch})
	if err == nil {
		i, err = mutate.AppendLayers(i, all...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func makeLayer(t *testing.T, items ...item) v1.Layer {
	t.Helper()
	return layerOf(t, archive(t, items))
}

// layerOf makes a layer of an archive, which may be compressed or not.
func layerOf(t *testing.T, b []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func digestOf(t *testing.T, d interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// base is a layer that no component is in.
func base(t *testing.T) v1.Layer { return makeLayer(t, item{name: "etc/os-release", content: "base"}) }

// pushAll puts all published images on the hub; programs hold their own names.
func pushAll(t *testing.T, h *hub, istio string) {
	t.Helper()
	_, kube, err := readModules("kubernetes-" + kubernetesRelease)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range publishedImages(istio, kube) {
		var items []item
		for _, n := range slices.Sorted(maps.Keys(p.files)) { // the same image each time
			items = append(items, item{name: strings.TrimPrefix(p.files[n], "/"), content: string(n)})
		}
		h.push(t, p.name+":"+p.tag, makeImage(t, base(t), makeLayer(t, items...)))
	}
}

// imageStore is a store of all published images on the hub, that tries again at once.
func imageStore(t *testing.T, root string, h *hub, o Options) *Store {
	t.Helper()
	o.Root, o.From, o.WithoutCharts = root, FromImages, true
	if o.Hubs == nil {
		o.Hubs = Hubs{IstioHub: h.host + "/" + IstioHub, KubernetesHub: h.host + "/" + KubernetesHub}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	hurry(s)
	return s
}

// hurry makes attempts follow one another at once.
func hurry(s *Store) {
	for _, u := range s.units {
		if i, ok := u.builder.(*image); ok {
			i.pauses = []time.Duration{time.Millisecond, time.Millisecond}
		}
	}
}

// tinyImage is a store with one component out of one image.
func tinyImage(t *testing.T, root string, h *hub) *Store {
	t.Helper()
	i, err := newImage(publishedImage{name: IstioHub + "/tiny", tag: "1.2.3", files: map[Name]string{tiny: "/usr/local/bin/tiny"}},
		Hubs{IstioHub: h.host + "/mirror"}, filepath.Join(root, referencesDir))
	if err != nil {
		t.Fatal(err)
	}
	u := &unit{name: "tiny-image", version: "1.2.3", builder: i}
	u.add(tiny, "1.2.3", i.ref.String(), "tiny", false)
	s := &Store{root: root, units: []*unit{u}}
	hurry(s)
	return s
}

func tinyItem(content string) item { return item{name: "usr/local/bin/tiny", content: content} }

func checkContent(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s holds %q, %v; want %q", path, b, err, want)
	}
}

// checkNothing checks that no component, whole or not, is in the cache.
func checkNothing(t *testing.T, s *Store) {
	t.Helper()
	checkNoWork(t, s.root)
	if dirs := s.folders(); len(dirs) > 0 {
		t.Errorf("in the cache: %q", dirs)
	}
}

func TestObtainFromImages(t *testing.T) {
	h, root := newHub(t), t.TempDir()
	const istio = "1.99.0" // no version is known here from images
	pushAll(t, h, istio)
	s := imageStore(t, root, h, Options{Istio: istio})
	if s.Complete() {
		t.Error("an empty cache is complete")
	}
	set := obtain(t, s)
	want := map[Name]string{
		PilotDiscovery: istio, PilotAgent: istio, Envoy: istio, BootstrapTemplate: istio,
		KubeAPIServer: "1.31.4", KubeControllerManager: "1.31.4", KubeScheduler: "1.31.4", Etcd: "3.5.15", MetricsServer: "0.7.2",
	}
	if len(set) != len(want) {
		t.Errorf("obtained %v", set.Names())
	}
	for n, v := range want {
		checkContent(t, set.Path(n), string(n))
		if info, err := os.Stat(set.Path(n)); err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s: %v, %v", n, info, err)
		}
		if set.Version(n) != v {
			t.Errorf("%s has version %s, want %s", n, set.Version(n), v)
		}
	}
	if set.ChartsDir() != "" {
		t.Error("there are charts")
	}
	if err := errors.Join(s.Verify(t.Context()), s.Preflight(t.Context())); err != nil {
		t.Error(err)
	}
	checkNoWork(t, s.root)

	// The digest is recorded, as published, in the manifest and for the run.
	tag, _ := name.NewTag(h.host + "/" + IstioHub + "/pilot:" + istio)
	d, err := remote.Head(tag)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := set.Versions()[string(PilotDiscovery)], istio+" docker.io/istio/pilot@"+d.Digest.String(); got != want {
		t.Errorf("recorded is %q, want %q", got, want)
	}
	m, err := readManifest(filepath.Dir(set.Path(PilotDiscovery)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Image == nil || *m.Image != (origin{Reference: tag.String(), Published: "docker.io/istio/pilot", Platform: "linux/" + runtime.GOARCH, Digest: d.Digest.String()}) {
		t.Errorf("the manifest has %+v", m.Image)
	}
	if m.Go != "" || m.Pinned != tag.String() {
		t.Errorf("the manifest is %+v", m)
	}

	// From now on the hub is not needed, and on-demand components come one by one.
	h.fail(func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(http.StatusTeapot); return true })
	again := imageStore(t, root, h, Options{Istio: istio})
	if got := obtain(t, again); got.Path(Envoy) != set.Path(Envoy) || len(h.asked) > 0 {
		t.Errorf("then %s, now %s, asked %q", set.Path(Envoy), got.Path(Envoy), h.asked)
	}
	h.fail(nil)
	set, err = again.Obtain(t.Context(), nil, Kubectl, Istioctl)
	if err != nil {
		t.Fatal(err)
	}
	checkContent(t, set.Path(Kubectl), string(Kubectl))
	checkContent(t, set.Path(Istioctl), string(Istioctl))

	// Another hub with the same images is asked for their digests alone.
	mirror := newHub(t)
	pushAll(t, mirror, istio)
	mirror.fail(nil)
	s = imageStore(t, root, mirror, Options{Istio: istio})
	if got := obtain(t, s); got.Path(Etcd) == "" || len(got) != len(want) {
		t.Errorf("obtained %v", got.Names())
	}
	// One download an image: its configuration.
	if got := len(mirror.blobs()); got != 7 {
		t.Errorf("%d downloads from the mirror", got)
	}

	// Pruning keeps them, cleaning does not.
	if err := s.Prune(t.Context()); err != nil || !s.Complete() {
		t.Error("pruned:", err)
	}
	if err := s.Clean(t.Context()); err != nil {
		t.Error(err)
	}
	checkNothing(t, s)
	if len(s.referenced()) > 0 {
		t.Error("references are left")
	}
}

func TestEnvoyInsteadOfIstios(t *testing.T) {
	h := newHub(t)
	pushAll(t, h, "1.99.0")
	given := Set{Envoy: {Version: "own", Path: "/envoy"}}
	set := obtain(t, imageStore(t, t.TempDir(), h, Options{Istio: "1.99.0", Given: given}))
	if set[Envoy] != given[Envoy] || set.Path(PilotAgent) == "" {
		t.Errorf("%+v", set)
	}
	s := imageStore(t, t.TempDir(), h, Options{Istio: "1.99.0", Envoy: DefaultEnvoy})
	i := slices.IndexFunc(s.List(), func(st Status) bool { return st.Name == Envoy })
	if i < 0 || !strings.Contains(s.List()[i].Pinned, "=="+DefaultEnvoy) {
		t.Errorf("%+v", s.List())
	}
}

func TestChartsOfImages(t *testing.T) {
	for _, tt := range []struct {
		istio   string
		without bool
		want    bool
	}{{DefaultIstio, false, true}, {DefaultIstio, true, false}, {"1.99.0", false, false}} {
		s, err := New(Options{Root: t.TempDir(), From: FromImages, Istio: tt.istio, WithoutCharts: tt.without})
		if err != nil {
			t.Fatal(err)
		}
		modules, err := New(Options{Root: s.Root(), Istio: DefaultIstio})
		if err != nil {
			t.Fatal(err)
		}
		has := func(s *Store) string {
			for _, st := range s.List() {
				if st.Name == Charts {
					return st.Path
				}
			}
			return ""
		}
		if got := has(s); (got != "") != tt.want || got != "" && got != has(modules) {
			t.Errorf("Istio %s, without %t: charts at %q, from modules at %q", tt.istio, tt.without, got, has(modules))
		}
	}
	if _, err := New(Options{Root: t.TempDir(), From: "thin air"}); err == nil || !strings.Contains(err.Error(), "images") {
		t.Errorf("unknown source: %v", err)
	}
	if _, err := New(Options{Root: t.TempDir(), From: FromImages, Istio: "not a version"}); err == nil {
		t.Error("no error for a version that cannot be a tag")
	}
}

// TestOnlyWhatIsNeeded: layers below the last one that is needed are not downloaded.
func TestOnlyWhatIsNeeded(t *testing.T) {
	h := newHub(t)
	low, high := base(t), makeLayer(t, tinyItem("tiny"))
	h.push(t, "mirror/tiny:1.2.3", makeImage(t, low, makeLayer(t, item{name: "x", content: "x"}), high))
	h.fail(nil)
	set := obtain(t, tinyImage(t, t.TempDir(), h))
	checkContent(t, set.Path(tiny), "tiny")
	if blobs := h.blobs(); len(blobs) != 2 || !slices.Contains(blobs, digestOf(t, high)) {
		t.Errorf("downloaded %q", blobs)
	}
	// A link leads further down.
	h.push(t, "mirror/tiny:1.2.3", makeImage(t, makeLayer(t, item{name: "opt/tiny", content: "linked"}), base(t), makeLayer(t, symlink("usr/local/bin", "/opt"))))
	checkContent(t, obtain(t, tinyImage(t, t.TempDir(), h)).Path(tiny), "linked")
}

func TestCompressions(t *testing.T) {
	plain := archive(t, []item{tinyItem("tiny")})
	var squeezed bytes.Buffer
	w, err := zstd.NewWriter(&squeezed)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(plain)
	w.Close()
	none := static.NewLayer(plain, types.OCIUncompressedLayer)
	for what, l := range map[string]v1.Layer{"gzip": layerOf(t, plain), "zstd": layerOf(t, squeezed.Bytes()), "none": none} {
		t.Run(what, func(t *testing.T) {
			h := newHub(t)
			h.push(t, "mirror/tiny:1.2.3", makeImage(t, l))
			checkContent(t, obtain(t, tinyImage(t, t.TempDir(), h)).Path(tiny), "tiny")
		})
	}
}

func TestPlatforms(t *testing.T) {
	other := map[string]string{"amd64": "arm64"}[runtime.GOARCH]
	if other == "" {
		other = "amd64"
	}
	image := func(arch string) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: forPlatform(t, arch, makeLayer(t, tinyItem(arch))),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}}
	}
	h := newHub(t)
	both := mutate.AppendManifests(empty.Index, image(other), image(runtime.GOARCH))
	h.push(t, "mirror/tiny:1.2.3", both)
	set := obtain(t, tinyImage(t, t.TempDir(), h))
	checkContent(t, set.Path(tiny), runtime.GOARCH)
	m, err := readManifest(filepath.Dir(set.Path(tiny)))
	if err != nil || m.Image.Index != digestOf(t, both) || m.Image.Digest != digestOf(t, image(runtime.GOARCH).Add.(v1.Image)) {
		t.Errorf("%+v, %v", m.Image, err)
	}
	for what, tt := range map[string]struct {
		push remote.Taggable
		says string
	}{
		"an index without": {mutate.AppendManifests(empty.Index, image(other)), "no child with platform linux/" + runtime.GOARCH},
		"an image for":     {forPlatform(t, other, makeLayer(t, tinyItem("x"))), "the image is for linux/" + other},
	} {
		t.Run(what, func(t *testing.T) {
			h.push(t, "mirror/tiny:1.2.3", tt.push)
			s := tinyImage(t, t.TempDir(), h)
			_, err := s.Obtain(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "check --hub") {
				t.Errorf("got %v", err)
			}
			checkNothing(t, s)
		})
	}
}

// blob reports whether the request is for the content of a layer.
func blob(r *http.Request, digest string) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+digest)
}

func manifestRequest(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }

func TestHubsThatFail(t *testing.T) {
	content := strings.Repeat("tiny program ", 1000)
	l := makeLayer(t, tinyItem(content))
	digest := digestOf(t, l)
	compressed, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(compressed)
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(whole)
	other[len(other)/2] ^= 1
	status := func(is func(*http.Request) bool, code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if is(r) {
				w.WriteHeader(code)
				return true
			}
			return false
		}
	}
	layer := func(r *http.Request) bool { return blob(r, digest) }
	send := func(b []byte, length int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !layer(r) {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(length))
			w.Write(b)
			return true
		}
	}
	for _, tt := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request) bool
		times int // that it fails; 0 for always
		says  []string
	}{
		{"manifest 500, then well", status(manifestRequest, 500), 3, nil},
		{"manifest 503 always", status(manifestRequest, 503), 0, []string{"ask for image", "503", "(attempt 3)", "has trouble of its own", "--hub HUB"}},
		{"layer 500, then well", status(layer, 500), 3, nil},
		{"layer 500 always", status(layer, 500), 0, []string{"download a layer", "500", "(attempt 3)", "later"}},
		{"no such image", status(manifestRequest, 404), 0, []string{"404", "check the version"}},
		{"not allowed", status(manifestRequest, 403), 0, []string{"403", "docker login"}},
		{"too many requests", status(manifestRequest, 429), 0, []string{"429", "limits how much"}},
		{"cut off, then well", send(whole[:100], len(whole)), 1, nil},
		{"cut off always", send(whole[:100], len(whole)), 0, []string{"download a layer", "EOF", "(attempt 3)", "nothing of it was kept"}},
		{"shorter and said so", send(whole[:100], 100), 0, []string{"download a layer", "nothing of it was kept"}},
		{"longer", send(slices.Concat(whole, whole), 2*len(whole)), 0, []string{"download a layer", fmt.Sprintf("more than %d bytes came", len(whole)), "nothing of it was kept"}},
		{"other content, then well", send(other, len(other)), 1, nil},
		{"other content always", send(other, len(other)), 0, []string{"download a layer", "sha256", digest, "nothing of it was kept"}},
		{"no registry", status(func(*http.Request) bool { return true }, 418), 0, []string{"418"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting for further attempts
			h, root := newHub(t), t.TempDir()
			h.push(t, "mirror/tiny:1.2.3", makeImage(t, base(t), l))
			var failed atomic.Int32
			h.fail(func(w http.ResponseWriter, r *http.Request) bool {
				if tt.times > 0 && int(failed.Load()) >= tt.times {
					return false
				}
				if !tt.fault(w, r) {
					return false
				}
				failed.Add(1)
				return true
			})
			s := tinyImage(t, root, h)
			set, err := s.Obtain(t.Context(), nil)
			if failed.Load() == 0 {
				t.Fatal("nothing failed")
			}
			if tt.says == nil {
				if err != nil {
					t.Fatal(err)
				}
				checkContent(t, set.Path(tiny), content)
				checkNoWork(t, root)
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, says := range append(tt.says, "what to do: ", "mirror/tiny:1.2.3") {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%v\ndoes not say %q", err, says)
				}
			}
			checkNothing(t, s)
			// Once the hub works, the same command does.
			h.fail(nil)
			checkContent(t, obtain(t, tinyImage(t, root, h)).Path(tiny), content)
		})
	}
}

// TestIndexThatLies: what a hub sends for a digest that an index names is compared with it.
func TestIndexThatLies(t *testing.T) {
	h := newHub(t)
	good, bad := makeImage(t, makeLayer(t, tinyItem("good"))), makeImage(t, makeLayer(t, tinyItem("bad")))
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: good, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	h.push(t, "mirror/tiny:1.2.3", index)
	h.push(t, "mirror/tiny:bad", bad)
	lie, err := bad.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	media, err := bad.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	h.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/manifests/"+digestOf(t, good)) {
			return false
		}
		w.Header().Set("Content-Type", string(media))
		w.Header().Set("Docker-Content-Digest", digestOf(t, good))
		w.Write(lie)
		return true
	})
	s := tinyImage(t, t.TempDir(), h)
	_, err = s.Obtain(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "does not match") || !strings.Contains(err.Error(), "nothing of it was kept") {
		t.Errorf("got %v", err)
	}
	checkNothing(t, s)
	if len(s.referenced()) > 0 {
		t.Error("the lie is remembered")
	}
}

func TestImageWithoutTheProgram(t *testing.T) {
	for what, items := range map[string][]item{
		"nothing like it": {{name: "usr/local/bin/other", content: "x"}},
		"a folder":        {folder("usr/local/bin/tiny")},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHub(t)
			h.push(t, "mirror/tiny:1.2.3", makeImage(t, makeLayer(t, items...)))
			s := tinyImage(t, t.TempDir(), h)
			_, err := s.Obtain(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), "/usr/local/bin/tiny") || !strings.Contains(err.Error(), "published as docker.io/istio/tiny") {
				t.Errorf("got %v", err)
			}
			checkNothing(t, s)
		})
	}
	t.Run("a layer that is no archive", func(t *testing.T) {
		h := newHub(t)
		h.push(t, "mirror/tiny:1.2.3", makeImage(t, layerOf(t, bytes.Repeat([]byte("x"), 4096))))
		s := tinyImage(t, t.TempDir(), h)
		if _, err := s.Obtain(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "layer 1 of image") {
			t.Errorf("got %v", err)
		}
		checkNothing(t, s)
	})
}

// TestMovedTag: a tag is asked for once, and again after Refresh.
func TestMovedTag(t *testing.T) {
	h, root := newHub(t), t.TempDir()
	h.push(t, "mirror/tiny:1.2.3", makeImage(t, makeLayer(t, tinyItem("old"))))
	s := tinyImage(t, root, h)
	checkContent(t, obtain(t, s).Path(tiny), "old")
	h.push(t, "mirror/tiny:1.2.3", makeImage(t, makeLayer(t, tinyItem("new"))))
	checkContent(t, obtain(t, tinyImage(t, root, h)).Path(tiny), "old")
	for range 2 {
		if err := s.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	checkContent(t, obtain(t, tinyImage(t, root, h)).Path(tiny), "new")
	// What no tag means any more is of no use.
	if err := s.Prune(t.Context()); err != nil || len(s.folders()) != 1 {
		t.Errorf("%q, %v", s.folders(), err)
	}
}

func TestInterruptedDownloadLeavesNothing(t *testing.T) {
	h, root := newHub(t), t.TempDir()
	l := makeLayer(t, tinyItem("tiny"))
	h.push(t, "mirror/tiny:1.2.3", makeImage(t, l))
	ctx, cancel := context.WithCancelCause(t.Context())
	h.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if !blob(r, digestOf(t, l)) {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		cancel(errors.New("interrupt"))
		<-r.Context().Done()
		return true
	})
	s := tinyImage(t, root, h)
	if _, err := s.Obtain(ctx, nil); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "interrupt") {
		t.Errorf("got %v", err)
	}
	checkNothing(t, s)
}

// TestHubThatStalls: a layer that stops coming is asked for anew.
func TestHubThatStalls(t *testing.T) {
	h := newHub(t)
	l := makeLayer(t, tinyItem("tiny"))
	h.push(t, "mirror/tiny:1.2.3", makeImage(t, l))
	var stalled atomic.Bool
	h.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if !blob(r, digestOf(t, l)) || stalled.Swap(true) {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	s := tinyImage(t, t.TempDir(), h)
	s.units[0].builder.(*image).stall = 100 * time.Millisecond
	checkContent(t, obtain(t, s).Path(tiny), "tiny")
	if !stalled.Load() {
		t.Error("nothing stalled")
	}
}

// TestCredentials: those of the Docker configuration are used, and those of its helpers.
func TestCredentials(t *testing.T) {
	h := newHub(t)
	h.push(t, "mirror/tiny:1.2.3", makeImage(t, makeLayer(t, tinyItem("tiny"))))
	h.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, ok := r.BasicAuth(); ok && user == "somebody" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="hub"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	config := func(text string) {
		dir := t.TempDir()
		t.Setenv("DOCKER_CONFIG", dir)
		write(t, filepath.Join(dir, "config.json"), text)
	}
	config("{}")
	s := tinyImage(t, t.TempDir(), h)
	if _, err := s.Obtain(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "docker login "+h.host) {
		t.Errorf("without credentials: %v", err)
	}
	auth := base64.StdEncoding.EncodeToString([]byte("somebody:secret"))
	config(fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, h.host, auth))
	checkContent(t, obtain(t, tinyImage(t, t.TempDir(), h)).Path(tiny), "tiny")

	config(fmt.Sprintf(`{"credHelpers": {%q: "meshbenchtest"}}`, h.host))
	helper := filepath.Join(t.TempDir(), "docker-credential-meshbenchtest")
	script := "#!/bin/sh\nread host\n[ \"$1 $host\" = \"get " + h.host + "\" ] && echo '{\"ServerURL\":\"\",\"Username\":\"somebody\",\"Secret\":\"secret\"}'\n"
	if err := os.WriteFile(helper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(helper)+":"+os.Getenv("PATH"))
	checkContent(t, obtain(t, tinyImage(t, t.TempDir(), h)).Path(tiny), "tiny")
}

// TestNoRoom: the disk is full when the program is unpacked, which is much larger than
// what is downloaded; and so small that the download is not begun.
func TestNoRoom(t *testing.T) {
	for _, tt := range []struct {
		name string
		size string
		l    v1.Layer
		says string
	}{
		{"unpacking", "size=4m", makeLayer(t, tinyItem(strings.Repeat("\x00", 8<<20))), "no space left on device"},
		{"downloading", "size=256k", makeLayer(t, tinyItem(noise(128<<10))), "are needed once"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			small := t.TempDir()
			if err := unix.Mount("tmpfs", small, "tmpfs", 0, "mode=0755,"+tt.size); err != nil {
				skip.NotHere(t, "mounting a small disk takes root: %v", err)
			}
			defer unix.Unmount(small, unix.MNT_DETACH)
			h := newHub(t)
			h.push(t, "mirror/tiny:1.2.3", makeImage(t, tt.l))
			s := tinyImage(t, small, h)
			_, err := s.Obtain(t.Context(), nil)
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), RootEnv) {
				t.Errorf("got %v", err)
			}
			checkNothing(t, s)
		})
	}
}

// noise is data that cannot be compressed.
func noise(n int) string {
	b := make([]byte, n)
	fill(rand.NewChaCha8([32]byte{}), b)
	return string(b)
}

func fill(r *rand.ChaCha8, b []byte) {
	_, _ = r.Read(b) // never fails
}

// TestLargeImageIsStreamed takes a program of 160 Mi out of an image whose layer is as
// large, and watches how much memory is in use meanwhile.
func TestLargeImageIsStreamed(t *testing.T) {
	const size, limit = 160 << 20, 24 << 20
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "blobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "layer.tar")
	want := writeLargeLayer(t, path, size)
	h := newHub(t, registry.WithBlobHandler(registry.NewDiskBlobHandler(filepath.Join(dir, "blobs"))))
	l, err := tarball.LayerFromFile(path, tarball.WithCompressionLevel(0))
	if err != nil {
		t.Fatal(err)
	}
	h.push(t, "mirror/tiny:1.2.3", makeImage(t, base(t), l))

	s := tinyImage(t, dir, h)
	runtime.GC()
	before := heap()
	var peak atomic.Uint64
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				peak.Store(max(peak.Load(), heap()))
			}
		}
	})
	set := obtain(t, s)
	close(done)
	watch.Wait()
	if sum, err := hashFile(t.Context(), set.Path(tiny)); err != nil || sum != want {
		t.Errorf("sha256 %s, %v; want %s", sum, err, want)
	}
	grown := int64(peak.Load()) - int64(before)
	t.Logf("memory in use grew by %.1f Mi for a layer of %d Mi", float64(grown)/(1<<20), size>>20)
	if grown > limit {
		t.Errorf("memory in use grew by %d Mi, want less than %d", grown>>20, limit>>20)
	}
}

// heap is the memory in use, what is not yet collected included.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// writeLargeLayer writes an archive that holds tiny with size bytes, and returns their
// sha256.
func writeLargeLayer(t *testing.T, path string, size int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Name: "usr/local/bin/tiny", Size: size, Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	sum, random, block := sha256.New(), rand.NewChaCha8([32]byte{}), make([]byte, 1<<20)
	for range size >> 20 {
		fill(random, block)
		sum.Write(block)
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func TestHubs(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		image string
		want  string // where from, or
		fails string
	}{
		{nil, "docker.io/istio/pilot", "docker.io/istio/pilot", ""},
		{[]string{"mirror.example:5000/istio"}, "docker.io/istio/pilot", "mirror.example:5000/istio/pilot", ""},
		{[]string{"mirror.example/istio/"}, "docker.io/istio/pilot", "mirror.example/istio/pilot", ""},
		{[]string{"mirror.example/istio"}, "registry.k8s.io/etcd", "registry.k8s.io/etcd", ""},
		{[]string{"registry.k8s.io=mirror.example/k8s"}, "registry.k8s.io/metrics-server/metrics-server", "mirror.example/k8s/metrics-server/metrics-server", ""},
		{[]string{"registry.k8s.io=a.example/k", "registry.k8s.io/metrics-server=b.example/m"}, "registry.k8s.io/metrics-server/metrics-server", "b.example/m/metrics-server", ""},
		{[]string{"registry.k8s.io/etcd=b.example/my-etcd"}, "registry.k8s.io/etcd", "b.example/my-etcd", ""},
		{[]string{"registry.k8s.io/etc=b.example/x"}, "registry.k8s.io/etcd", "registry.k8s.io/etcd", ""},
		{[]string{"http://mirror.example/istio"}, "docker.io/istio/pilot", "mirror.example/istio/pilot", ""},
		{[]string{"docker.io/istio=docker.io/istio"}, "docker.io/istio/pilot", "docker.io/istio/pilot", ""},
		{[]string{"quay.io=mirror.example"}, "", "", "nothing at quay.io"},
		{[]string{""}, "", "", "give a registry"},
		{[]string{"https://mirror.example"}, "", "", "give a registry"},
		{[]string{"Mirror Example/istio"}, "", "", "give a registry"},
		{[]string{"a.example/istio", "b.example/istio"}, "", "", "give one hub"},
	} {
		hubs, err := ParseHubs(tt.args)
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%q: %v, %v; want %q", tt.args, hubs, err, tt.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		if got := hubs.Image(tt.image); got != tt.want {
			t.Errorf("%q: %s from %s, want %s", tt.args, tt.image, got, tt.want)
		}
	}
	plain, err := Hubs{IstioHub: "http://mirror.example/istio"}.reference("docker.io/istio/pilot", "1.2.3")
	if err != nil || plain.Context().Scheme() != "http" || plain.String() != "mirror.example/istio/pilot:1.2.3" {
		t.Errorf("%v, %v", plain, err)
	}
}
