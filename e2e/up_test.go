package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/meshbench/meshbench/e2e/program"
)

// leftUp is a cluster for kubectl.
type leftUp struct {
	name, kubeconfig string
	up               *command
	ended            bool
}

func leaveUp(who *identity, args ...string) *leftUp {
	GinkgoHelper()
	c := &leftUp{name: fmt.Sprintf("e2e-%d-%d", os.Getpid(), who.UID)}
	c.up = who.run(5*time.Minute, append([]string{"up", "--name", c.name, "--logs", who.Dir + "/" + c.name}, args...)...)
	c.kubeconfig = strings.TrimSpace(c.up.Succeeds())
	Expect(c.kubeconfig).To(BeAnExistingFile())
	lab.Guard(c.kubeconfig)
	DeferCleanup(func() {
		if !c.ended {
			who.run(time.Minute, "down", "--name", c.name)
			c.up.LeavesNothing(program.Soon)
		}
	})
	return c
}

// kubectl runs kubectl as the suite's user.
func (c *leftUp) kubectl(args ...string) (string, error) {
	cmd := exec.Command(made.Kubectl, append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
	// Over websockets kubectl 1.31 begins to read before it has made the streams of exec, and
	// then loses what a short command says ("Unknown stream id 1, discarding message").
	cmd.Env = append(os.Environ(), "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

func (c *leftUp) must(args ...string) string {
	GinkgoHelper()
	out, err := c.kubectl(args...)
	Expect(err).NotTo(HaveOccurred())
	return out
}

// pods are the pods that a label selects.
func (c *leftUp) pods(namespace, selector string) []corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Expect(json.Unmarshal([]byte(c.must("get", "pods", "-n", namespace, "-l", selector, "-o", "json")), &list)).To(Succeed())
	return list.Items
}

// container is the status of a pod's container.
func container(pod corev1.Pod, name string) corev1.ContainerStatus {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == name {
			return s
		}
	}
	return corev1.ContainerStatus{}
}

// killedForMemory makes a pod whose sidecar may not have what it needs, and waits until
// its status says so.
func (c *leftUp) killedForMemory() {
	GinkgoHelper()
	c.must("create", "namespace", "small")
	c.must("label", "namespace", "small", "istio-injection=enabled")
	c.must("run", "greedy", "-n", "small", "--image=nginx", "--annotations=sidecar.istio.io/proxyMemoryLimit=24Mi")
	Eventually(func(g Gomega) {
		pods := c.pods("small", "run=greedy")
		g.Expect(pods).To(HaveLen(1))
		s := container(pods[0], "istio-proxy")
		ended := s.LastTerminationState.Terminated
		if s.State.Terminated != nil {
			ended = s.State.Terminated
		}
		g.Expect(ended).NotTo(BeNil(), "istio-proxy with 24Mi still lives")
		g.Expect(ended.Reason).To(Equal("OOMKilled"))
		g.Expect(ended.ExitCode).To(Equal(int32(137)))
	}, 90*time.Second, time.Second).Should(Succeed())
}

// belongsTo checks that nobody but who may reach the cluster: the kubeconfig holds an
// administrator's key, and whoever opens the control socket beside it may do everything.
func (c *leftUp) belongsTo(who *identity) {
	GinkgoHelper()
	for path, mode := range map[string]os.FileMode{c.kubeconfig: 0o600, filepath.Dir(c.kubeconfig): 0o700 | os.ModeDir} {
		info, err := os.Lstat(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode()).To(Equal(mode), "mode of %s", path)
		Expect(int(info.Sys().(*syscall.Stat_t).Uid)).To(Equal(who.UID), "owner of %s", path)
	}
}

// down ends the cluster and looks for what it left.
func (c *leftUp) down(who *identity) {
	GinkgoHelper()
	c.up.Trace.Look()
	// What could be left is seen while it is there.
	Expect(c.up.Trace.Left()).To(And(ContainElement(HavePrefix("process")), ContainElement(HavePrefix("namespace"))))
	who.run(time.Minute, "down", "--name", c.name).Succeeds()
	c.ended = true
	c.up.Trace.Stop()
	Expect(c.kubeconfig).NotTo(BeAnExistingFile())
	c.up.LeavesNothing(program.Soon)
	who.run(time.Minute, "down", "--name", c.name).Exits(1)
}

var _ = Describe("a cluster that is left up", Ordered, Label("up"), func() {
	var c *leftUp
	var pod string
	BeforeAll(func() {
		c = leaveUp(invoker, "--nodes", "m6i.large=2", "--real", "2")
		c.must("create", "namespace", "demo")
		c.must("label", "namespace", "demo", "istio-injection=enabled")
		c.must("create", "deployment", "web", "-n", "demo", "--image=nginx", "--replicas=3")
		c.must("rollout", "status", "deployment/web", "-n", "demo", "--timeout=90s")
		for _, p := range c.pods("demo", "app=web") {
			if !strings.HasPrefix(container(p, "istio-proxy").ContainerID, "simulated://") {
				pod = p.Name
			}
		}
		Expect(pod).NotTo(BeEmpty(), "no pod has a real sidecar")
	})

	It("has two Ready nodes", func() {
		Expect(strings.Count(c.must("get", "nodes", "--no-headers"), " Ready ")).To(Equal(2))
	})

	It("prints with kubectl top what the metrics API serves", func() {
		source := func(g Gomega) metrics.PodMetricsList {
			out, err := c.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/demo/pods")
			g.Expect(err).NotTo(HaveOccurred())
			var list metrics.PodMetricsList
			g.Expect(json.Unmarshal([]byte(out), &list)).To(Succeed())
			return list
		}
		Eventually(func(g Gomega) {
			before := source(g)
			out, err := c.kubectl("top", "pod", "-n", "demo", "--containers", "--no-headers")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(source(g)).To(Equal(before), "the figures changed meanwhile")
			printed := map[string]string{}
			for line := range strings.Lines(out) {
				f := strings.Fields(line) // pod, container, CPU, memory
				g.Expect(f).To(HaveLen(4))
				printed[f[0]+"/"+f[1]] = f[3]
			}
			want := map[string]string{}
			for _, p := range before.Items {
				for _, k := range p.Containers {
					want[p.Name+"/"+k.Name] = strconv.FormatInt(k.Usage.Memory().Value()>>20, 10) + "Mi"
				}
			}
			g.Expect(printed).To(Equal(want))
			g.Expect(printed).To(HaveKeyWithValue(pod+"/istio-proxy", Not(Equal("0Mi"))))
		}, time.Minute, time.Second).Should(Succeed())
	})

	It("shows logs", func() {
		Expect(c.must("logs", "-n", "demo", pod, "-c", "istio-proxy")).To(ContainSubstring("Envoy proxy is ready"))
	})

	It("executes commands in a container", func() {
		Expect(c.must("exec", "-n", "demo", pod, "-c", "istio-proxy", "--", "cat", "/etc/istio/pod/labels")).To(ContainSubstring(`app="web"`))
		_, err := c.kubectl("exec", "-n", "demo", pod, "-c", "istio-proxy", "--", "sh", "-c", "exit 7")
		Expect(err).To(MatchError(ContainSubstring("exit code 7")))
	})

	It("forwards ports", func() {
		forward := exec.Command(made.Kubectl, "--kubeconfig", c.kubeconfig, "port-forward", "-n", "demo", "pod/"+pod, ":15000")
		out, err := forward.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(forward.Start()).To(Succeed())
		defer func() {
			_ = forward.Process.Kill()
			_ = forward.Wait()
		}()
		first, err := bufio.NewReader(out).ReadString('\n')
		Expect(err).NotTo(HaveOccurred())
		port := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindStringSubmatch(first)
		Expect(port).To(HaveLen(2), first)
		response, err := http.Get("http://127.0.0.1:" + port[1] + "/server_info")
		Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(body)).To(ContainSubstring(`"state": "LIVE"`))
	})

	It("explains what a pod's proxy holds, and foretells what a Sidecar resource leaves of it", func() {
		rows := func() explained {
			e := invoker.explain("--pod", "demo/"+pod, "--kubeconfig", c.kubeconfig, "--yes")
			e.addsUp()
			return e
		}
		e := rows()
		printed := func(kind string) int {
			out, err := exec.Command(made.Istioctl, "--kubeconfig", c.kubeconfig, "proxy-config", kind, pod+".demo").Output()
			Expect(err).NotTo(HaveOccurred())
			return strings.Count(strings.TrimSpace(string(out)), "\n")
		}
		Expect(e.Total.Rows.Cluster).To(Equal(printed("cluster")))
		Expect(e.Total.Rows.Endpoint).To(Equal(printed("endpoint")))
		Expect(e.Scoped.Total.Rows.Cluster).To(BeNumerically("<", e.Total.Rows.Cluster))
		sidecar := filepath.Join(invoker.Dir, "sidecar.yaml")
		Expect(os.WriteFile(sidecar, []byte("apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: demo}\nspec: {egress: [{hosts: [./*, istio-system/*]}]}\n"), 0o644)).To(Succeed())
		c.must("apply", "-f", sidecar)
		Eventually(func() any { return rows().Total.Rows }, time.Minute, 2*time.Second).Should(Equal(e.Scoped.Total.Rows))
		c.must("delete", "-f", sidecar)
	})

	It("starts istiod again when its process is killed", func() {
		before := c.pods("istio-system", "app=istiod")
		Expect(before).To(HaveLen(1))
		pid := c.up.Trace.Find("pilot-discovery")
		Expect(pid).NotTo(BeZero(), "no process pilot-discovery")
		Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
		Eventually(func(g Gomega) {
			after := c.pods("istio-system", "app=istiod")
			g.Expect(after).To(HaveLen(1))
			g.Expect(after[0].Name).To(Equal(before[0].Name))
			s := container(after[0], "discovery")
			g.Expect(s.RestartCount).To(Equal(int32(1)))
			g.Expect(s.Ready).To(BeTrue())
			g.Expect(s.LastTerminationState.Terminated).NotTo(BeNil())
			g.Expect(s.LastTerminationState.Terminated.ExitCode).To(Equal(int32(137)))
		}, 90*time.Second, time.Second).Should(Succeed())
	})

	It("kills a container that passes its memory limit, and says so", func() { c.killedForMemory() })

	It("is gone after down", func() { c.down(invoker) })
})

var _ = Describe("a cluster that an ordinary user leaves up", Label("up", "user"), func() {
	It("kills a container that passes its memory limit, and is gone after down", func() {
		who := ordinaryUser()
		c := leaveUp(who, "--real", "1")
		c.belongsTo(who)
		c.killedForMemory()
		c.down(who)
	})
})
