package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/harness/kube/snapshot"
)

// grant applies a manifest of roles.
func (c *leftUp) grant(roles string) {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "rights.yaml")
	Expect(os.WriteFile(file, []byte(roles), 0o600)).To(Succeed())
	c.must("apply", "-f", file)
}

// account makes a kubeconfig of a new account in namespace default, which has no rights.
func (c *leftUp) account(who *identity, name string) (file string) {
	GinkgoHelper()
	c.must("create", "serviceaccount", name, "-n", "default")
	token := strings.TrimSpace(c.must("create", "token", name, "-n", "default", "--duration=1h"))
	text, err := os.ReadFile(c.kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	file = filepath.Join(who.Dir, name+"-kubeconfig")
	Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
	for _, args := range [][]string{
		{"config", "set-credentials", name, "--token=" + token},
		{"config", "set-context", name, "--cluster=" + strings.TrimSpace(c.must("config", "view", "-o", "jsonpath={.clusters[0].name}")), "--user=" + name},
		{"config", "use-context", name},
	} {
		out, err := exec.Command(made.Kubectl, append([]string{"--kubeconfig", file}, args...)...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	}
	if who.Credential != nil {
		Expect(os.Chown(file, who.UID, who.UID)).To(Succeed())
	}
	return file
}

var _ = Describe("somebody's cluster", Ordered, Label("existing"), func() {
	var c *leftUp
	var account string
	preflightOf := func(scenario, kubeconfig string, args ...string) *command {
		return invoker.run(2*time.Minute, append([]string{"preflight", scenario, "--cluster", "existing", "--kubeconfig", kubeconfig}, args...)...)
	}
	preflight := func(kubeconfig string, args ...string) *command { return preflightOf("one-pod", kubeconfig, args...) }
	BeforeAll(func() {
		c = leaveUp(invoker, "--nodes", "m6i.large=2", "--real", "1")
		account = c.account(invoker, "bench")
	})

	It("refuses a second Istio, and nodes to leave up", func() {
		refused := preflight(c.kubeconfig).Exits(1)
		Expect(refused.Both.String()).To(And(ContainSubstring("Istio 1.23.2 (revision default, namespace istio-system) is installed already"), ContainSubstring("--use-installed-istio")))
		up := invoker.run(time.Minute, "up", "--cluster", "existing", "--kubeconfig", c.kubeconfig).Exits(2)
		Expect(up.Both.String()).To(ContainSubstring("leaves nothing up"))
	})

	It("is ready for its administrator, and no object of it changes", func() {
		before := c.snapshot()
		Expect(preflight(c.kubeconfig, "--use-installed-istio").Succeeds()).To(ContainSubstring("one-pod: ok, pods at one time: 1, with sidecars: 1"))
		Expect(snapshot.Diff(before, c.snapshot())).To(BeEmpty())
	})

	It("names what an account lacks, and is ready with exactly the roles that it prints", func() {
		refused := preflight(account, "--use-installed-istio").Exits(1)
		Expect(refused.Both.String()).To(And(ContainSubstring("lacks rights for the run: "), ContainSubstring("preflight --rights")))
		roles := preflight(account, "--use-installed-istio", "--rights").Succeeds()
		Expect(roles).To(And(ContainSubstring("kind: ServiceAccount"), ContainSubstring("name: bench"), Not(ContainSubstring("nodes/proxy")), Not(ContainSubstring("escalate"))))
		c.grant(roles)
		Expect(preflight(account, "--use-installed-istio").Succeeds()).To(ContainSubstring("ok"))
		for _, right := range [][]string{{"get", "nodes", "--subresource=proxy"}, {"get", "secrets"}, {"delete", "deployments.apps"}, {"create", "clusterroles.rbac.authorization.k8s.io"}} {
			out, _ := c.kubectl(append([]string{"auth", "can-i", "-A", "--as=system:serviceaccount:default:bench"}, right...)...)
			Expect(strings.TrimSpace(out)).To(Equal("no"), strings.Join(right, " "))
		}
	})

	It("refuses a revision that is not there, and namespaces that are", func() {
		Expect(preflight(c.kubeconfig, "--use-installed-istio", "--revision", "1-99").Exits(1).Both.String()).To(ContainSubstring("--revision 1-99: there is no such control plane of Istio: choose one of default"))
		c.must("create", "namespace", "ns1")
		defer c.must("delete", "namespace", "ns1")
		Expect(preflight(c.kubeconfig, "--use-installed-istio", "--namespace-suffix", "").Exits(1).Both.String()).To(ContainSubstring("these namespaces exist already, and a run makes its own: ns1"))
		Expect(preflight(c.kubeconfig, "--use-installed-istio").Succeeds()).To(ContainSubstring("ok"))
	})

	It("refuses more pods than there is room for", func() {
		Expect(preflightOf("hundred-pods", c.kubeconfig, "--use-installed-istio").Exits(1).Both.String()).To(ContainSubstring("not enough room: the run needs 100 pods at one time (100 with sidecars), each asking for up to 100m CPU and 128Mi memory"))
	})

	It("sees that Pod Security would refuse a sidecar's init container", func() {
		c.must("label", "namespace", "default", "pod-security.kubernetes.io/enforce=baseline")
		defer c.must("label", "namespace", "default", "pod-security.kubernetes.io/enforce-")
		Expect(preflight(c.kubeconfig, "--use-installed-istio").Exits(1).Both.String()).To(ContainSubstring("Pod Security would refuse a pod of ns1-"))
	})

	It("is ready to have Istio installed where there is none, for who may do that", func() {
		c.must("delete", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "--all")
		c.must("delete", "namespace", "istio-system")
		Expect(preflight(c.kubeconfig).Succeeds()).To(ContainSubstring("ok"))
		Expect(preflight(c.kubeconfig, "--use-installed-istio").Exits(1).Both.String()).To(ContainSubstring("no Istio is installed"))
		Expect(preflight(account).Exits(1).Both.String()).To(ContainSubstring("lacks rights to install Istio and run the scenario: "))
		c.grant(preflight(account, "--rights").Succeeds())
		Expect(preflight(account).Succeeds()).To(ContainSubstring("ok"))
	})

	It("says that there is no metrics API", func() {
		c.must("delete", "apiservice", "v1beta1.metrics.k8s.io")
		Expect(preflight(c.kubeconfig).Exits(1).Both.String()).To(ContainSubstring("the cluster has no metrics API (metrics.k8s.io)"))
	})

	It("is gone after down", func() { c.down(invoker) })
})
