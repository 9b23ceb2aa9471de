package e2e

import (
	"archive/tar"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
)

// Programs from images: Istio's images are those that `meshbench images build` makes, the
// others hold the same builds, and all are on a registry in this process.
var _ = Describe("programs from images", Ordered, Label("images"), func() {
	var hub string                 // the registry's host and port
	var flags []string             // that lead to it
	var imager *identity           // has a cache of its own
	var cache string               // that
	built := map[string][]string{} // component to its version and path, from modules

	BeforeAll(func() {
		for _, line := range strings.Split(strings.TrimSpace(invoker.run(time.Minute, "components").Succeeds()), "\n") {
			fields := strings.Fields(line)
			built[fields[0]] = fields[1:]
		}
		Expect(os.Mkdir(filepath.Join(made.Work, "imager"), 0o755)).To(Succeed())
		imager = &identity{lab.NewIdentity("a user without components", filepath.Join(made.Work, "imager"))}
		cache = filepath.Join(made.Work, "imager-cache") // what comes where commands are run is left over
		imager.Env = append(imager.Env, "MESHBENCH_CACHE="+cache)

		blobs := filepath.Join(imager.Dir, "blobs")
		Expect(os.Mkdir(blobs, 0o755)).To(Succeed())
		server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs))))
		DeferCleanup(server.Close)
		hub = strings.TrimPrefix(server.URL, "http://")
		flags = []string{"--from", "images", "--hub", hub + "/istio", "--hub", "registry.k8s.io=" + hub + "/k8s"}
	})

	It("are made of components, the same each time", func() {
		archives := []string{filepath.Join(imager.Dir, "one.tar"), filepath.Join(imager.Dir, "two.tar")}
		for _, archive := range archives {
			invoker.run(5*time.Minute, "images", "build", "--rootfs", fakeRootFS(built["envoy"][1]), "--out", archive, "--hub", hub+"/istio", "--hub", "registry.k8s.io="+hub+"/k8s").Succeeds()
		}
		Expect(fileSum(archives[0])).To(Equal(fileSum(archives[1])))
		for _, image := range []string{"istio/pilot:1.23.2", "istio/proxyv2:1.23.2", "k8s/metrics-server/metrics-server:v0.7.2"} {
			tag, err := name.NewTag(hub + "/" + image)
			Expect(err).NotTo(HaveOccurred())
			i, err := tarball.ImageFromPath(archives[0], &tag)
			Expect(err).NotTo(HaveOccurred(), image)
			Expect(remote.Write(tag, i)).To(Succeed(), image)
		}
		for program, tag := range map[string]string{"etcd": "3.5.15-0", "kube-apiserver": "v1.31.4", "kube-controller-manager": "v1.31.4", "kube-scheduler": "v1.31.4"} {
			pushProgram(hub+"/k8s/"+program+":"+tag, "usr/local/bin/"+program, built[program][1])
		}
	})

	It("come out as they went in, once", func() {
		out := imager.run(5*time.Minute, append([]string{"components"}, flags...)...).Succeeds()
		lines := strings.Split(strings.TrimSpace(out), "\n")
		Expect(lines).To(HaveLen(len(built)))
		for _, line := range lines {
			fields := strings.Fields(line)
			if fields[0] == "charts" { // in no image
				continue
			}
			Expect(fields[2]).To(HavePrefix(cache))
			Expect(fileSum(fields[2])).To(Equal(fileSum(built[fields[0]][1])), fields[0])
			info, err := os.Stat(fields[2])
			Expect(err).NotTo(HaveOccurred())
			if fields[0] != "bootstrap-template" {
				Expect(info.Mode().Perm()&0o111).NotTo(BeZero(), line)
			}
		}
		imager.run(time.Minute, append([]string{"components", "--verify"}, flags...)...).Succeeds()
	})

	It("give the published counts, and are recorded by digest", func() {
		run := imager.startRun("one-pod", flags...)
		run.Wait(8 * time.Minute)
		run.Exits(0)
		Expect(run.report().counts()).To(Equal([]rows{{15, 21, 7, 15}}))
		records, _, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
		Expect(err).NotTo(HaveOccurred())
		recorded := records[0].Run.Components
		for component := range built {
			if component == "charts" {
				continue
			}
			Expect(recorded[component]).To(MatchRegexp(`^[0-9.]+ (docker\.io/istio|registry\.k8s\.io)/\S+@sha256:[0-9a-f]{64}$`), component)
		}
		tag, err := name.NewTag(hub + "/istio/pilot:1.23.2")
		Expect(err).NotTo(HaveOccurred())
		d, err := remote.Head(tag)
		Expect(err).NotTo(HaveOccurred())
		Expect(recorded["pilot-discovery"]).To(Equal("1.23.2 docker.io/istio/pilot@" + d.Digest.String()))
	})

	It("need charts for an Istio that is not pinned", func() {
		out := imager.run(time.Minute, append([]string{"run", "one-pod", "--istio", "1.25.9"}, flags...)...)
		out.Exits(2)
		Expect(out.Both.String()).To(ContainSubstring("--charts"))
	})

	It("are not half there after a hub that has nothing", func() {
		empty := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		DeferCleanup(empty.Close)
		nothing := strings.TrimPrefix(empty.URL, "http://")
		out := imager.run(time.Minute, "components", "--from", "images", "--hub", nothing+"/istio", "--hub", "registry.k8s.io="+nothing+"/k8s")
		out.Exits(1)
		Expect(out.Both.String()).To(And(ContainSubstring("what to do: "), ContainSubstring(nothing)))
		found, err := filepath.Glob(filepath.Join(cache, "components/work/*"))
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(BeEmpty())
	})
})

// fakeRootFS is a folder with what is asked of a root file system: nothing of it runs on
// the embedded cluster.
func fakeRootFS(envoy string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	files := []string{"usr/sbin/iptables-save", "usr/sbin/iptables-restore"}
	program, err := elf.Open(envoy)
	Expect(err).NotTo(HaveOccurred())
	defer program.Close()
	if loader := program.Section(".interp"); loader != nil {
		path, err := loader.Data()
		Expect(err).NotTo(HaveOccurred())
		files = append(files, strings.TrimRight(string(path), "\x00"))
	}
	for _, f := range files {
		f = filepath.Join(dir, f)
		Expect(os.MkdirAll(filepath.Dir(f), 0o755)).To(Succeed())
		Expect(os.WriteFile(f, []byte("fake"), 0o755)).To(Succeed())
	}
	return dir
}

// pushProgram pushes an image that holds one program.
func pushProgram(image, path, program string) {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "layer.tar")
	f, err := os.Create(file)
	Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	source, err := os.Open(program)
	Expect(err).NotTo(HaveOccurred())
	defer source.Close()
	info, err := source.Stat()
	Expect(err).NotTo(HaveOccurred())
	w := tar.NewWriter(f)
	Expect(w.WriteHeader(&tar.Header{Name: path, Size: info.Size(), Mode: 0o755})).To(Succeed())
	_, err = io.Copy(w, source)
	Expect(err).NotTo(HaveOccurred())
	Expect(w.Close()).To(Succeed())

	layer, err := tarball.LayerFromFile(file, tarball.WithCompressionLevel(1))
	Expect(err).NotTo(HaveOccurred())
	i, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH})
	Expect(err).NotTo(HaveOccurred())
	i, err = mutate.AppendLayers(i, layer)
	Expect(err).NotTo(HaveOccurred())
	tag, err := name.NewTag(image)
	Expect(err).NotTo(HaveOccurred())
	Expect(remote.Write(tag, i)).To(Succeed(), image)
}

// fileSum is a file's sha256.
func fileSum(path string) string {
	GinkgoHelper()
	f, err := os.Open(path)
	Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	Expect(err).NotTo(HaveOccurred())
	return hex.EncodeToString(h.Sum(nil))
}
