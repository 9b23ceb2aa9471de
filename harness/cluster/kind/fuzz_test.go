package kind

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
)

// tarOf is an archive of files, name and content by turns.
func tarOf(f testing.TB, files ...string) []byte {
	f.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// FuzzArchive reads archives of images: there is an image in it with names in full, or the error
// names the archive.
func FuzzArchive(f *testing.F) {
	f.Add(tarOf(f, "manifest.json", `[{"Config":"c.json","RepoTags":["nginx","localhost/a"]}]`, "c.json", `{"architecture":"amd64"}`))
	f.Add(tarOf(f, "./index.json", `{"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/library/nginx:1"}}]}`))
	f.Add(tarOf(f, "../manifest.json", `[{"RepoTags":[""]}]`, "manifest.json", `[null]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "images.tar")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		images, err := readArchive(path)
		if err != nil {
			if !strings.Contains(err.Error(), path) || images != nil {
				t.Errorf("%d images, error %v", len(images), err)
			}
			return
		}
		if len(images) == 0 {
			t.Error("neither an image nor an error")
		}
		for _, i := range images {
			for _, name := range i.names {
				if again, err := canonical(name); err != nil || again != name {
					t.Errorf("the name in full %q has the name in full %q (%v)", name, again, err)
				}
			}
		}
	})
}

// FuzzConfig reads kind's configuration: with it there are the workers that the run needs, and a
// control plane.
func FuzzConfig(f *testing.F) {
	f.Add("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane}, {role: worker, image: x}]\n")
	f.Add("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n")
	f.Add("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: worker}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		p := &provider{Options: Options{Config: []byte(text)}}
		spec := cluster.Spec{Name: "a", Nodes: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 3}}}
		c, err := p.config(spec)
		if err != nil {
			return
		}
		if workers(c) < 3 || len(c.Nodes) == workers(c) || c.Name != "a" {
			t.Errorf("%d workers of %d nodes, named %q", workers(c), len(c.Nodes), c.Name)
		}
	})
}

// FuzzCosts reads a kubelet's /metrics/resource: costs are of the control plane alone, and none
// is less than nothing.
func FuzzCosts(f *testing.F) {
	f.Add("container_memory_working_set_bytes{namespace=\"kube-system\",container=\"etcd\"} 5\n# TYPE container_cpu_usage_seconds_total counter\ncontainer_cpu_usage_seconds_total{namespace=\"kube-system\",container=\"etcd\"} 2\n")
	f.Add("# TYPE container_memory_working_set_bytes gauge\ncontainer_memory_working_set_bytes{namespace=\"kube-system\",container=\"etcd\"} -5\n")
	f.Add("# TYPE container_memory_working_set_bytes gauge\ncontainer_memory_working_set_bytes{namespace=\"kube-system\",container=\"etcd\"} NaN\n")
	f.Fuzz(func(t *testing.T, text string) {
		costs := map[string]observations.Cost{}
		if addCosts(costs, []byte(text)) != nil {
			return
		}
		for name, c := range costs {
			if c.MemoryBytes < 0 || !(c.CPUSeconds >= 0) {
				t.Errorf("%s costs %+v", name, c)
			}
		}
	})
}
