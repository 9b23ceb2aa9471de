package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/footprint"
	"github.com/meshbench/meshbench/e2e/program"
)

// fortio runs Fortio in a pod's container of that name and returns all that it prints, much of
// which goes to standard error.
func (c *leftUp) fortio(pod string, args ...string) string {
	GinkgoHelper()
	args = append([]string{"--kubeconfig", c.kubeconfig, "exec", "-n", "demo", pod, "-c", "fortio", "--", "fortio"}, args...)
	out, err := exec.Command(made.Kubectl, args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return string(out)
}

// running are the names of the pods of an application whose container of that name runs.
func (c *leftUp) running(app, name string) (names []string) {
	GinkgoHelper()
	for _, p := range c.pods("demo", "app="+app) {
		if strings.HasPrefix(container(p, name).ContainerID, "process://") {
			names = append(names, p.Name)
		}
	}
	return names
}

// answer is what a stand-in says of a request, with the headers of the response.
type answer struct {
	Pod, Workload string
	Port          int
	Headers       map[string]string
	response      string
}

// curl requests an address from a pod.
func (c *leftUp) curl(pod, url string) (a answer) {
	GinkgoHelper()
	text := c.fortio(pod, "curl", "-quiet", url)
	begin := strings.Index(text, "{")
	Expect(begin).To(BeNumerically(">=", 0), text)
	decoder := json.NewDecoder(strings.NewReader(text[begin:]))
	Expect(decoder.Decode(&a)).To(Succeed(), text)
	a.response = text
	return a
}

var _ = DescribeTableSubtree("applications that run", Label("dataplane"),
	func(user func() *identity, native bool) {
		It("are reached through their sidecars, by mutual TLS, and leave nothing", func() {
			who := user()
			args := []string{"--data-plane", "on", "--nodes", "m6i.large=2", "--real", "1"}
			if native {
				args = append(args, "--mesh-set", "pilot.env.ENABLE_NATIVE_SIDECARS=true")
			}
			c := leaveUp(who, args...)
			manifest, err := filepath.Abs("testdata/applications.yaml")
			Expect(err).NotTo(HaveOccurred())
			c.must("apply", "-f", manifest)
			for _, name := range []string{"client", "outsider", "server"} {
				c.must("rollout", "status", "deployment/"+name, "-n", "demo", "--timeout=120s")
			}

			By("running as many as have a sidecar that runs, and all without one")
			Expect(c.running("server", "web")).To(HaveLen(1))
			Expect(c.running("client", "fortio")).To(HaveLen(1))
			Expect(c.running("outsider", "fortio")).To(HaveLen(2))
			client, outsider := c.running("client", "fortio")[0], c.running("outsider", "fortio")[0]
			server := c.running("server", "web")[0]
			address := c.must("get", "pod", "-n", "demo", server, "-o", "jsonpath={.status.podIP}")
			// The other one would not answer.
			c.must("patch", "service", "server", "-n", "demo", "-p", `{"spec":{"selector":{"runs":"yes"}}}`)
			c.must("label", "pod", "-n", "demo", server, "runs=yes")
			service := c.must("get", "service", "-n", "demo", "server", "-o", "jsonpath={.spec.clusterIP}")

			By("asking through both sidecars")
			Eventually(func(g Gomega) {
				a := c.curl(client, "http://"+service+":8000/x")
				g.Expect(a.Pod).To(Equal(server))
				g.Expect(a.Workload).To(Equal("server"))
				g.Expect(a.Port).To(Equal(80))
				g.Expect(a.Headers).To(HaveKeyWithValue("x-forwarded-client-cert", ContainSubstring("URI=spiffe://cluster.local/ns/demo/sa/default")))
				g.Expect(a.response).To(ContainSubstring("here"))
			}, 30*time.Second, time.Second).Should(Succeed())

			By("asking the server's sidecar alone, and past it")
			Expect(strings.ToLower(c.curl(outsider, "http://"+address+":80/x").response)).To(ContainSubstring("server: istio-envoy"))
			direct := c.curl(outsider, "http://"+address+":9090/x")
			Expect(direct.Port).To(Equal(9090))
			Expect(strings.ToLower(direct.response)).NotTo(ContainSubstring("envoy"))

			By("sending many requests at a time")
			Expect(c.fortio(client, "load", "-quiet", "-qps", "0", "-c", "8", "-n", "2000", "http://"+service+":8000/")).
				To(ContainSubstring("Code 200 : 2000 (100.0 %)"))

			By("keeping everybody alive meanwhile")
			Expect(c.must("get", "events", "-n", "demo", "--field-selector", "type=Warning", "-o", "jsonpath={.items[*].message}")).
				NotTo(ContainSubstring("redirect"))
			for _, p := range c.pods("demo", "app") {
				for _, s := range p.Status.ContainerStatuses {
					Expect(s.RestartCount).To(BeZero(), "container %s of %s", s.Name, p.Name)
				}
			}
			c.down(who)
		})

		It("leave nothing when all of it is killed in the middle of their traffic", func() {
			who := user()
			c := leaveUp(who, "--data-plane", "on", "--nodes", "m6i.large=1")
			manifest, err := filepath.Abs("testdata/applications.yaml")
			Expect(err).NotTo(HaveOccurred())
			c.must("apply", "-f", manifest)
			c.must("rollout", "status", "deployment/server", "-n", "demo", "--timeout=120s")
			c.must("rollout", "status", "deployment/client", "-n", "demo", "--timeout=120s")
			client := c.running("client", "fortio")[0]
			service := c.must("get", "service", "-n", "demo", "server", "-o", "jsonpath={.spec.clusterIP}")
			load := exec.Command(made.Kubectl, "--kubeconfig", c.kubeconfig, "exec", "-n", "demo", client, "-c", "fortio", "--",
				"fortio", "load", "-quiet", "-qps", "500", "-c", "8", "-t", "60s", "http://"+service+":8000/")
			Expect(load.Start()).To(Succeed())
			time.Sleep(2 * time.Second)
			_, sandbox, ok := footprint.ReadProcess(c.up.Trace.Find("kube-apiserver"))
			Expect(ok).To(BeTrue())
			Expect(syscall.Kill(sandbox, syscall.SIGKILL)).To(Succeed())
			_ = load.Wait() // it loses its connection
			c.ended = true
			c.up.Trace.Stop()
			who.run(time.Minute, "down", "--name", c.name) // clears away what lies outside of the namespaces
			c.up.LeavesNothing(20 * time.Second)
		})
	},
	Entry("as the invoking user", self, false),
	Entry("as an ordinary user, with native sidecars", Label("user"), ordinaryUser, true),
)

var _ = DescribeTable("scenario registry-only", Label("dataplane"),
	func(user func() *identity) {
		run := user().startRun("registry-only")
		run.Wait(10 * time.Minute)
		run.Exits(0)
		report := run.report()
		Expect(report.Finished).To(BeTrue())
		Expect(run.agreesWithIstioctl()).To(BeNumerically(">=", 2))
		text, err := os.ReadFile(filepath.Join(run.Out, "report.json"))
		Expect(err).NotTo(HaveOccurred())
		var proved struct {
			Calls []struct {
				To     string
				Proofs []struct {
					By    string
					Holds *bool
				}
			}
		}
		Expect(json.Unmarshal(text, &proved)).To(Succeed())
		Expect(proved.Calls).To(HaveLen(4))
		for _, c := range proved.Calls {
			held := 0
			for _, p := range c.Proofs {
				if p.Holds != nil {
					Expect(*p.Holds).To(BeTrue(), "%s: %s", c.To, p.By)
					held++
				}
			}
			Expect(held).To(BeNumerically(">=", 2), c.To)
		}
		run.LeavesNothing(program.Soon)
	},
	Entry("as the invoking user", Label(nightly), self),
	Entry("as an ordinary user", Label("user"), ordinaryUser),
)
