package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/internal/skip"
	"github.com/meshbench/meshbench/observations"
)

// The rig, from the environment.
const (
	// kindVariable asks for these specs.
	kindVariable = "MESHBENCH_E2E_KIND"
	// kindNodeVariable names the node image.
	kindNodeVariable = "MESHBENCH_NODE_IMAGE"
	// kindRootVariable is a root file system with iptables, for the proxy's image.
	kindRootVariable = "MESHBENCH_ROOTFS"
	// kindReplicasVariable is the number of pods of each of eks-nginx's two Deployments.
	kindReplicasVariable = "MESHBENCH_KIND_REPLICAS"
)

// kindRig is what the specs run on.
type kindRig struct {
	engine, nodeImage, archive string
	// state is where the records of clusters are, of these specs alone.
	state string
	// before is what the engine held before a spec.
	before []string
}

// nginxImage is the scenario's image, by its full name.
const nginxImage = "docker.io/library/nginx:latest"

// howToMakeRig says what is missing.
const howToMakeRig = "docs/kind.md says how to make an engine, a node image and the root file system without an image registry"

// ask asks the engine.
func (r *kindRig) ask(args ...string) string {
	GinkgoHelper()
	return program.Ask(r.engine, args...)
}

// held is what is there of clusters: containers, volumes, records.
func (r *kindRig) held() []string {
	held := append(program.Held(r.engine), r.records()...)
	slices.Sort(held)
	return held
}

// records are the names of the clusters on record.
func (r *kindRig) records() []string {
	files, _ := filepath.Glob(filepath.Join(r.state, "meshbench/kind/*.json"))
	for i := range files {
		files[i] = strings.TrimSuffix(filepath.Base(files[i]), ".json")
	}
	return files
}

// leavesNothing compares with what was there before, and looks for processes.
func (r *kindRig) leavesNothing(c *command) {
	GinkgoHelper()
	Eventually(func() []string {
		return slices.DeleteFunc(slices.Concat(r.held(), c.Trace.Left()), func(x string) bool { return slices.Contains(r.before, x) })
	}, 20*time.Second, time.Second).Should(BeEmpty(), "left by meshbench %s", strings.Join(c.Args, " "))
}

// flags are those of every kind cluster here.
func (r *kindRig) flags(more ...string) []string {
	return append([]string{"--cluster", "kind", "--node-image", r.nodeImage, "--image-archive", r.archive, "--load-image", "nginx"}, more...)
}

var _ = Describe("a kind cluster", Ordered, Label("kind"), func() {
	var rig kindRig
	var config []byte // the user's own kubeconfig
	userConfig := filepath.Join(os.Getenv("HOME"), ".kube", "config")

	BeforeAll(func() {
		if os.Getenv(kindVariable) == "" {
			skip.NotHere(GinkgoT(), "a suite of its own, which needs a container engine: make e2e-kind")
		}
		rig.engine, rig.nodeImage, rig.state = "docker", "localhost/kind-node:v1.31.4", filepath.Join(made.Work, "state")
		if engine := os.Getenv("KIND_EXPERIMENTAL_PROVIDER"); engine != "" {
			rig.engine = engine // what kind and meshbench will take
		}
		invoker.Env = append(slices.Clone(invoker.Env), "XDG_STATE_HOME="+rig.state, "HOME="+os.Getenv("HOME")) // where the engine has its settings
		if image := os.Getenv(kindNodeVariable); image != "" {
			rig.nodeImage = image
		}
		if out, err := exec.Command(rig.engine, "info").CombinedOutput(); err != nil {
			Fail(fmt.Sprintf("no container engine answers (%s): %s", strings.TrimSpace(program.Tail(string(out), 1)), howToMakeRig))
		}
		if exec.Command(rig.engine, "image", "inspect", rig.nodeImage).Run() != nil {
			Fail(fmt.Sprintf("there is no node image %s; name one in %s, or make it: %s", rig.nodeImage, kindNodeVariable, howToMakeRig))
		}
		rootfs := os.Getenv(kindRootVariable)
		if rootfs == "" {
			rootfs = filepath.Join(made.Work, "rootfs.tar")
			out, err := exec.Command("mmdebstrap", "--quiet", "--variant=minbase", "--include=iptables,ca-certificates", "", rootfs).CombinedOutput()
			if err != nil {
				Fail(fmt.Sprintf("%s names no root file system with iptables, and mmdebstrap makes none (%v %s): %s", kindRootVariable, err, program.Tail(string(out), 3), howToMakeRig))
			}
		}
		if exec.Command(rig.engine, "image", "inspect", nginxImage).Run() != nil {
			out, err := exec.Command("kind/nginx-image.sh", rig.engine).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "making nginx's image: %s", out)
		}
		rig.archive = filepath.Join(made.Work, "images.tar")
		invoker.run(5*time.Minute, "images", "build", "--rootfs", rootfs, "--out", rig.archive).Succeeds()
		config, _ = os.ReadFile(userConfig)
	})
	BeforeEach(func() { rig.before = rig.held() })
	AfterEach(func() {
		if rig.archive == "" {
			return // skipped
		}
		// A failed spec may not spoil the next one's ground.
		for _, name := range strings.Fields(rig.ask("ps", "-a", "--format", "{{.Names}}", "--filter", "label=io.x-k8s.kind.cluster")) {
			if !slices.Contains(rig.before, "container/"+name) {
				rig.ask("rm", "-f", "-v", name)
			}
		}
		for _, name := range rig.records() {
			invoker.run(time.Minute, "down", "--name", name)
		}
		now, _ := os.ReadFile(userConfig)
		Expect(string(now)).To(Equal(string(config)), "the user's own kubeconfig was touched")
	})

	// In the order of their cost.
	It("is not taken from somebody else", func() {
		name := fmt.Sprintf("e2e-%d-foreign", os.Getpid())
		id := rig.ask("create", "--label", "io.x-k8s.kind.cluster="+name, "--label", "io.x-k8s.kind.role=control-plane", "--name", name+"-control-plane", nginxImage)
		defer rig.ask("rm", "-f", id)
		up := invoker.run(time.Minute, append([]string{"up", "--name", name, "--logs", filepath.Join(invoker.Dir, name)}, rig.flags()...)...)
		up.Exits(1)
		Expect(up.Both.String()).To(ContainSubstring("meshbench did not make"))
		invoker.run(time.Minute, "down", "--name", name).Exits(1)
		Expect(rig.ask("ps", "-a", "-q", "--no-trunc", "--filter", "id="+id)).To(Equal(id))
	})

	It("is not begun without the images", func() {
		run := invoker.startRun("one-pod", "--cluster", "kind", "--node-image", rig.nodeImage, "--load-image", "nginx")
		run.Wait(time.Minute)
		run.Exits(1)
		Expect(run.Both.String()).To(And(ContainSubstring("docker.io/istio/pilot:1.23.2: it was not given"),
			ContainSubstring(nginxImage+": "+rig.engine), ContainSubstring("--image-archive")))
		rig.leavesNothing(run)
	})

	DescribeTable("leaves nothing when its run is ended by a signal",
		func(signal syscall.Signal, phase string, most time.Duration) {
			run := invoker.startRun("one-pod", rig.flags()...)
			run.during(phase, most)
			run.Trace.Look()
			// The whole group, as a terminal does it.
			Expect(syscall.Kill(-run.PID(), signal)).To(Succeed())
			code := run.Wait(2 * time.Minute)
			if signal == syscall.SIGKILL {
				// There is none of that name, but one that is swept.
				invoker.run(2*time.Minute, "down", "--name", "none").Exits(1)
			} else {
				Expect(code).To(Equal(130))
			}
			rig.leavesNothing(run)
		},
		func(signal syscall.Signal, phase string, _ time.Duration) string {
			return fmt.Sprintf("%s in %q", signal, phase)
		},
		Entry(nil, syscall.SIGINT, "cluster", 27*time.Second),
		Entry(nil, syscall.SIGINT, "step 1 of 1", 3*time.Second),
		Entry(nil, syscall.SIGKILL, "mesh", 20*time.Second),
	)

	It("leaves nothing but logs when its run fails", func() {
		run := invoker.startRun("one-pod", rig.flags("--mesh-set", "global.tag=none")...)
		run.Wait(8 * time.Minute)
		run.Exits(1)
		rig.leavesNothing(run)
		logs, err := filepath.Glob(filepath.Join(run.Out, "cluster", "kind-logs", "*", "kubelet.log"))
		Expect(err).NotTo(HaveOccurred())
		Expect(logs).NotTo(BeEmpty())
	})

	It("is kept, taken again, and agrees with kubectl top", func() {
		first := invoker.startRun("one-pod", rig.flags("--keep")...)
		kubeconfig := filepath.Join(first.Out, "cluster", "kubeconfig")
		printed := map[string]string{} // by pod, container and the reading's time
		for ended := false; !ended; {
			select {
			case <-first.Ended():
				ended = true
			case <-time.After(2 * time.Second):
			}
			// Once more after the end: a reading stands for ten seconds.
			readTop(kubeconfig, printed)
		}
		first.Wait(8 * time.Minute)
		first.Exits(0)
		Expect(agreesWithTop(first, printed)).To(BeNumerically(">=", 2), "figures of the report that kubectl top was seen to print")

		second := invoker.startRun("one-pod", rig.flags("--keep")...)
		second.Wait(8 * time.Minute)
		second.Exits(0)
		Expect(second.Both.String()).To(ContainSubstring("reusing kept cluster meshbench-kept"))
		Expect(second.report().counts()).To(Equal(first.report().counts()))
		Expect(rig.held()).NotTo(Equal(rig.before))
		invoker.run(2*time.Minute, "down", "--name", "meshbench-kept").Succeeds()
		rig.leavesNothing(second)
	})

	It("runs the EKS experiment on two nodes with real pods, every change exact", func() {
		replicas := "100"
		if n := os.Getenv(kindReplicasVariable); n != "" {
			replicas = n
		}
		run := invoker.startRun("eks-nginx", rig.flags("--set", "replicas="+replicas, "--set", "nodes=2", "--set", "maxPods=250", "--timeout", "60m")...)
		run.Wait(time.Hour)
		run.Exits(0)
		found := run.report()
		Expect(found.Steps).To(HaveLen(len(published)))
		n, err := strconv.Atoi(replicas)
		Expect(err).NotTo(HaveOccurred())
		for i, s := range found.Steps {
			Expect(s.Settled).To(BeTrue(), s.Name)
			Expect(s.Expectations).NotTo(BeEmpty(), s.Name)
			for _, e := range s.Expectations {
				Expect(e.OK).To(BeTrue(), "%s: %s is %v, want %d", s.Name, e.What, e.Got, e.Want)
			}
			Expect(s.AgentHeld.Samples).To(BeNumerically(">", 0), s.Name)
			if i > 0 {
				Expect(s.Memory.Samples).To(BeNumerically(">=", n-1), s.Name)
			}
		}
		Expect(run.agreesWithIstioctl()).To(BeNumerically(">=", len(published)))
		rig.leavesNothing(run)
	})
})

// readTop notes what `kubectl top pod --containers` prints for namespace ns1, with the time
// of the reading; nothing where there is no answer, or another reading came in between.
func readTop(kubeconfig string, printed map[string]string) {
	source := func() (list metrics.PodMetricsList) {
		out, err := exec.Command(made.Kubectl, "--kubeconfig", kubeconfig, "get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/ns1/pods").Output()
		if err == nil {
			_ = json.Unmarshal(out, &list)
		}
		return list
	}
	times := func(list metrics.PodMetricsList) map[string]time.Time {
		all := map[string]time.Time{}
		for _, p := range list.Items {
			all[p.Name] = p.Timestamp.UTC()
		}
		return all
	}
	before := times(source())
	out, err := exec.Command(made.Kubectl, "--kubeconfig", kubeconfig, "top", "pod", "-n", "ns1", "--containers", "--no-headers").Output()
	if after := times(source()); err != nil || len(before) == 0 || fmt.Sprint(after) != fmt.Sprint(before) {
		return
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 4 { // pod, container, CPU, memory
			printed[f[0]+"/"+f[1]+"/"+before[f[0]].Format(time.RFC3339)] = f[3]
		}
	}
}

// agreesWithTop compares the run's readings of namespace ns1 with those that were seen, and
// returns how many there were to compare.
func agreesWithTop(c *command, printed map[string]string) int {
	GinkgoHelper()
	records, _, err := observations.ReadFile(filepath.Join(c.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	compared := 0
	for _, r := range records {
		u := r.Usage
		if u == nil || u.Namespace != "ns1" {
			continue
		}
		if got, seen := printed[u.Pod+"/"+u.Container+"/"+u.Measured.UTC().Format(time.RFC3339)]; seen {
			compared++
			Expect(got).To(Equal(strconv.FormatInt(u.MemoryBytes>>20, 10)+"Mi"), "%s of %s", u.Container, u.Pod)
		}
	}
	return compared
}
