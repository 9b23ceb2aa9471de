package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/footprint"
)

// fails is what Fortio says in a pod of a request that fails.
func (c *leftUp) fails(pod, url string) string {
	GinkgoHelper()
	out, err := c.kubectl("exec", "-n", "demo", pod, "-c", "fortio", "--", "fortio", "curl", "-quiet", "-stdclient", url)
	Expect(err).To(HaveOccurred(), "%s: %s", url, out)
	return out + err.Error()
}

// answering are the pods that answer in so many requests, sorted.
func (c *leftUp) answering(pod, url string, requests int) (pods []string) {
	GinkgoHelper()
	for range requests {
		pods = append(pods, c.curl(pod, url).Pod)
	}
	slices.Sort(pods)
	return slices.Compact(pods)
}

var _ = DescribeTableSubtree("names and addresses of Services", Label("dataplane"),
	func(user func() *identity) {
		It("work in pods with and without a sidecar, and leave nothing when all is killed", func() {
			who := user()
			c := leaveUp(who, "--data-plane", "on", "--nodes", "m6i.large=2")
			manifest, err := filepath.Abs("testdata/names.yaml")
			Expect(err).NotTo(HaveOccurred())
			c.must("apply", "-f", manifest)
			for _, workload := range []string{"deployment/client", "deployment/outsider", "deployment/web", "statefulset/db"} {
				c.must("rollout", "status", workload, "-n", "demo", "--timeout=120s")
			}
			client, outsider := c.running("client", "fortio")[0], c.running("outsider", "fortio")[0]
			web := c.running("web", "web")
			slices.Sort(web)
			Expect(web).To(HaveLen(2))

			By("counting what EKS has")
			kinds := c.must("get", "services,pods", "-n", "kube-system", "--no-headers", "-o", "custom-columns=KIND:.kind")
			Expect(strings.Count(kinds, "Service")).To(Equal(2), kinds)
			Expect(strings.Count(kinds, "Pod")).To(Equal(7), kinds) // as without applications
			for _, p := range c.pods("kube-system", "k8s-app=kube-dns") {
				Expect(container(p, "coredns").ContainerID).To(HavePrefix("process://"))
			}

			for _, pod := range []string{client, outsider} {
				By("asking in pod " + pod)
				for _, name := range []string{"web", "web.demo", "web.demo.svc.cluster.local", c.must("get", "service", "-n", "demo", "web", "-o", "jsonpath={.spec.clusterIP}")} {
					Eventually(func() []string { return c.answering(pod, "http://"+name+"/", 12) }).
						WithTimeout(30*time.Second).Should(Equal(web), name)
				}
				Expect(c.answering(pod, "http://db-1.db:8080/", 1)).To(Equal([]string{"db-1"}))
				Expect(c.answering(pod, "http://db-0.db.demo.svc.cluster.local:8080/", 1)).To(Equal([]string{"db-0"}))
				Expect(c.answering(pod, "http://db:8080/", 30)).To(Equal([]string{"db-0", "db-1"}))
				for _, name := range []string{"nothing", "web.nowhere", "db-2.db", "example.com"} {
					Expect(c.fails(pod, "http://"+name+"/")).To(ContainSubstring("no such host"), name)
				}
			}
			Expect(c.fails(outsider, "http://empty/")).To(ContainSubstring("connection refused"))
			Expect(c.fails(outsider, "http://web:81/")).To(ContainSubstring("connection refused"))
			Expect(c.fails(client, "http://empty/")).To(ContainSubstring("503")) // of its sidecar

			By("following what changes")
			c.must("expose", "deployment", "web", "-n", "demo", "--name=later", "--port=8000", "--target-port=http")
			for _, pod := range []string{client, outsider} {
				Eventually(func() error {
					_, err := c.kubectl("exec", "-n", "demo", pod, "-c", "fortio", "--", "fortio", "curl", "-quiet", "http://later:8000/")
					return err
				}).WithTimeout(time.Minute).WithPolling(time.Second).Should(Succeed())
			}
			c.must("scale", "deployment/web", "-n", "demo", "--replicas=0")
			Eventually(func() string { return c.fails(outsider, "http://later:8000/") }).WithTimeout(time.Minute).
				Should(ContainSubstring("connection refused"))

			By("killing all of it")
			c.up.Trace.Look()
			_, sandbox, ok := footprint.ReadProcess(c.up.Trace.Find("kube-apiserver"))
			Expect(ok).To(BeTrue())
			Expect(syscall.Kill(sandbox, syscall.SIGKILL)).To(Succeed())
			c.ended = true
			c.up.Trace.Stop()
			who.run(time.Minute, "down", "--name", c.name) // clears away what lies outside of the namespaces
			c.up.LeavesNothing(20 * time.Second)
		})
	},
	// CI makes it as an ordinary user, in that part.
	Entry("as the invoking user", Label(nightly), self),
	Entry("as an ordinary user", Label("user"), ordinaryUser),
)
