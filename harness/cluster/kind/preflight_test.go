package kind

import (
	"archive/tar"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube/metricsserver"
)

// mesh are the images that a run needs; registered is a registry with all of them.
var (
	meshImages = []string{"docker.io/istio/pilot:1.23.2", "docker.io/istio/proxyv2:1.23.2"}
	registered = append(fakeRegistry{"kindest/node:v1.31.4", metricsserver.Image + metricsserver.Tag, "docker.io/library/nginx:latest"}, meshImages...)
)

// archive writes a tar file.
func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "images.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(file)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// saved is an archive as docker writes it.
func saved(t *testing.T, arch string, names ...string) string {
	return archive(t, map[string]string{
		"manifest.json": `[{"Config":"c.json","RepoTags":["` + strings.Join(names, `","`) + `"],"Layers":["l/layer.tar"]}]`,
		"c.json":        `{"architecture":"` + arch + `","config":{"Labels":{"meshbench.dev/envoy":"upstream"}}}`,
		"l/layer.tar":   "not JSON",
	})
}

func TestPreflight(t *testing.T) {
	spec := cluster.Spec{Name: "one", Nodes: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 1}}, Sidecars: 10, Images: []string{"nginx"}}
	const preloadedLine = "docker run --rm --security-opt seccomp=unconfined --entrypoint bash kindest/node:v1.31.4 -c "
	for name, c := range map[string]struct {
		m        func(*fakeMachine)
		registry fakeRegistry
		clusters []string
		o        func(t *testing.T, o *Options)
		spec     func(*cluster.Spec)
		words    []string // of the error
		notes    []string
	}{
		"all from registries": {registry: registered, notes: []string{"kindest/node:v1.31.4: a registry", "docker.io/istio/pilot:1.23.2: a registry", "docker.io/library/nginx:latest: a registry"}},
		"nothing to be had": {words: []string{"--image-archive", "kindest/node:v1.31.4: docker has no such node image", "docker.io/istio/proxyv2:1.23.2: it was not given",
			metricsserver.Image + metricsserver.Tag + ": it was not given", "docker.io/library/nginx:latest: it was not given"}},
		"without a registry": {
			m: func(m *fakeMachine) {
				m.with("kindest/node:v1.31.4", "amd64").with("docker.io/library/nginx:latest", "amd64")
				m.said[preloadedLine+preloadedScript] = "registry.k8s.io/pause:3.10\n" + metricsserver.Image + metricsserver.Tag
			},
			o: func(t *testing.T, o *Options) {
				o.Archives = []string{saved(t, "amd64", "istio/pilot:1.23.2", "docker.io/istio/proxyv2:1.23.2")}
				o.Load = []string{"nginx"}
			},
			notes: []string{"kindest/node:v1.31.4: docker", "docker.io/istio/pilot:1.23.2: archive ", metricsserver.Image + metricsserver.Tag + ": the node image", "docker.io/library/nginx:latest: docker"},
		},
		"from a mirror": {registry: fakeRegistry{"kindest/node:v1.31.4", "mirror.example/k8s/metrics-server" + metricsserver.Tag, "docker.io/library/nginx:latest"},
			o: func(_ *testing.T, o *Options) {
				o.Images, o.Moved = nil, func(image string) string {
					return strings.Replace(image, "registry.k8s.io/metrics-server", "mirror.example/k8s", 1)
				}
			}, notes: []string{"mirror.example/k8s/metrics-server" + metricsserver.Tag + ": a registry"}},
		"the engine has it": {registry: registered[:2], m: func(m *fakeMachine) { m.with("docker.io/library/nginx:latest", "amd64") },
			words: []string{"docker has it: add --load-image docker.io/library/nginx:latest"}},
		"node image of another machine": {registry: registered, m: func(m *fakeMachine) { m.with("kindest/node:v1.31.4", "arm64") },
			words: []string{"this node image is for arm64 and this machine is amd64", "--node-image"}},
		"archive of another machine": {registry: registered, o: func(t *testing.T, o *Options) { o.Archives = []string{saved(t, "arm64", "istio/pilot:1.23.2")} },
			words: []string{"docker.io/istio/pilot:1.23.2 is for arm64"}},
		"archive that is none": {registry: registered, o: func(t *testing.T, o *Options) {
			o.Archives = []string{archive(t, map[string]string{"readme": "hello"})}
		},
			words: []string{"names no image", "docker save"}},
		"archive that is missing": {registry: registered, o: func(t *testing.T, o *Options) { o.Archives = []string{"/nowhere.tar"} },
			words: []string{"/nowhere.tar", "no such file"}},
		"image to load is missing": {registry: registered, o: func(t *testing.T, o *Options) { o.Load = []string{"nginx"} },
			words: []string{"--load-image nginx: docker has no such image"}},
		"image to load under another name": {registry: registered, m: func(m *fakeMachine) { m.with("nginx", "amd64") }, o: func(t *testing.T, o *Options) { o.Load = []string{"nginx"} },
			words: []string{"docker tag nginx docker.io/library/nginx:latest"}},
		"somebody else's cluster": {registry: registered, clusters: []string{"two", "one"}, words: []string{"kind cluster named one that meshbench did not make", "kind delete cluster --name one"}},
		"too little memory": {registry: registered, m: func(m *fakeMachine) { m.files["/proc/meminfo"] = "MemAvailable: 2000000 kB\n" },
			words: []string{"not enough memory", "10 pods", "replicas"}},
		"too few inotify instances": {registry: registered, m: func(m *fakeMachine) { m.files["/proc/sys/fs/inotify/max_user_instances"] = "128" },
			spec: func(s *cluster.Spec) { s.Sidecars = 100 }, words: []string{"fs.inotify.max_user_instances is 128", "sysctl -w fs.inotify.max_user_instances="}},
		"too few inotify watches": {registry: registered, m: func(m *fakeMachine) { m.files["/proc/sys/fs/inotify/max_user_watches"] = "8192" },
			words: []string{"fs.inotify.max_user_watches is 8192"}},
		"docker's firewall beside podman": {registry: registered, m: func(m *fakeMachine) {
			m.said["docker -v"], m.said["podman -v"] = "podman version 4.3.1", "podman version 4.3.1"
			m.said[podmanInfo] = "amd64 2 25180000000 v1 4.3.1"
			m.said["iptables -S FORWARD"] = "-P FORWARD DROP\n-A FORWARD -j NETAVARK_FORWARD"
			m.files["/proc/sys/net/bridge/bridge-nf-call-iptables"] = "1"
		}, words: []string{"sudo iptables -I FORWARD -s 10.244.0.0/16 -d 10.244.0.0/16 -j ACCEPT"}},
		"podman, its pods let through": {registry: registered, m: func(m *fakeMachine) {
			delete(m.said, "docker -v")
			m.said["podman -v"], m.said[podmanInfo] = "podman version 4.3.1", "amd64 2 25180000000 v1 4.3.1"
			m.said["iptables -S FORWARD"] = "-P FORWARD DROP\n-A FORWARD -s 10.244.0.0/16 -d 10.244.0.0/16 -j ACCEPT"
			m.files["/proc/sys/net/bridge/bridge-nf-call-iptables"] = "1"
		}, notes: []string{"kindest/node:v1.31.4: a registry"}},
		"docker and its own firewall": {registry: registered, m: func(m *fakeMachine) {
			m.said["iptables -S FORWARD"] = "-P FORWARD DROP"
			m.files["/proc/sys/net/bridge/bridge-nf-call-iptables"] = "1"
		}, notes: []string{"kindest/node:v1.31.4: a registry"}},
		"no engine": {m: func(m *fakeMachine) { delete(m.said, "docker -v") }, words: []string{"no container engine"}},
		"bad configuration": {registry: registered, o: func(_ *testing.T, o *Options) {
			o.Config = []byte("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnode: []\n")
		},
			words: []string{"read the kind configuration", `unknown field "node"`}},
		"configuration of another kind": {registry: registered, o: func(_ *testing.T, o *Options) { o.Config = []byte("kind: Pod\napiVersion: v1\n") },
			words: []string{`"Pod"`, `"kind.x-k8s.io/v1alpha4"`}},
	} {
		t.Run(name, func(t *testing.T) {
			m := dockerMachine()
			if c.m != nil {
				c.m(m)
			}
			var notes []string
			o := Options{Images: meshImages, Note: func(line string) { notes = append(notes, line) }}
			if c.o != nil {
				c.o(t, &o)
			}
			s := spec
			if c.spec != nil {
				c.spec(&s)
			}
			err := world(t, m, c.registry, newFake(c.clusters...), o).Preflight(context.Background(), s)
			if c.words != nil {
				wantWords(t, err, c.words...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range c.notes {
				if !strings.Contains(strings.Join(notes, "\n"), n) {
					t.Errorf("notes without %q: %q", n, notes)
				}
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	for image, want := range map[string]string{
		"nginx":                           "docker.io/library/nginx:latest",
		"nginx:1.27":                      "docker.io/library/nginx:1.27",
		"istio/pilot:1.23.2":              "docker.io/istio/pilot:1.23.2",
		"docker.io/istio/pilot:1.23.2":    "docker.io/istio/pilot:1.23.2",
		"localhost/kind-node:v1":          "localhost/kind-node:v1",
		"localhost/app":                   "localhost/app:latest",
		"mirror.example:5000/istio/pilot": "mirror.example:5000/istio/pilot:latest",
	} {
		if got, err := canonical(image); err != nil || got != want {
			t.Errorf("canonical(%q) is %q, %v, want %q", image, got, err, want)
		}
	}
	if _, err := canonical("Nginx:"); err == nil {
		t.Error("Nginx: is taken for an image")
	}
}

func TestReadArchive(t *testing.T) {
	oci := archive(t, map[string]string{"oci-layout": "{}", "index.json": `{"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/istio/pilot:1.23.2"}}]}`})
	images, err := readArchive(oci)
	if err != nil || len(images) != 1 || images[0].names[0] != "docker.io/istio/pilot:1.23.2" {
		t.Errorf("%+v, %v", images, err)
	}
	ctx := context.Background()
	t.Setenv("PATH", t.TempDir())
	if !UpstreamEnvoy(ctx, Options{Archives: []string{saved(t, "amd64", "istio/proxyv2:1")}}) {
		t.Error("the label of upstream's Envoy is not seen")
	}
	if UpstreamEnvoy(ctx, Options{Archives: []string{oci}}) {
		t.Error("an image without label has upstream's Envoy")
	}
	compressed := filepath.Join(t.TempDir(), "x.tar.gz")
	if err := os.WriteFile(compressed, append([]byte{0x1f, 0x8b}, make([]byte, 600)...), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = readArchive(compressed)
	wantWords(t, err, "not compressed")
}
