package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// volatile are resources that change by themselves on any cluster: what a preflight leaves
// alone is compared without them.
var volatile = []string{"events", "events.events.k8s.io", "leases.coordination.k8s.io", "pods.metrics.k8s.io", "nodes.metrics.k8s.io", "componentstatuses"}

// leader is the annotation in which istiod's leader says every few seconds that it lives.
const leader = "control-plane.alpha.kubernetes.io/leader"

// objects are all objects of the cluster, by kind, namespace and name, with what is compared
// of each: uid, labels, annotations, spec and data.
func (c *leftUp) objects() map[string]string {
	GinkgoHelper()
	all := map[string]string{}
	for resource := range strings.FieldsSeq(c.must("api-resources", "--verbs=list", "-o", "name")) {
		if slices.Contains(volatile, resource) {
			continue
		}
		var list struct {
			Items []struct {
				Kind     string `json:"kind"`
				Metadata struct {
					Namespace   string            `json:"namespace"`
					Name        string            `json:"name"`
					UID         string            `json:"uid"`
					Labels      map[string]string `json:"labels"`
					Annotations map[string]string `json:"annotations"`
				} `json:"metadata"`
				Spec json.RawMessage `json:"spec"`
				Data json.RawMessage `json:"data"`
			} `json:"items"`
		}
		Expect(json.Unmarshal([]byte(c.must("get", resource, "-A", "-o", "json")), &list)).To(Succeed())
		for _, o := range list.Items {
			delete(o.Metadata.Annotations, leader)
			text, err := json.Marshal(o)
			Expect(err).NotTo(HaveOccurred())
			all[fmt.Sprintf("%s %s/%s", resource, o.Metadata.Namespace, o.Metadata.Name)] = string(text)
		}
	}
	return all
}

// account makes a kubeconfig of a new account in namespace default, which has no rights.
func (c *leftUp) account(who *identity, name string) (file string) {
	GinkgoHelper()
	c.must("create", "serviceaccount", name, "-n", "default")
	token := strings.TrimSpace(c.must("create", "token", name, "-n", "default", "--duration=1h"))
	text, err := os.ReadFile(c.kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	file = filepath.Join(who.dir, name+"-kubeconfig")
	Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
	for _, args := range [][]string{
		{"config", "set-credentials", name, "--token=" + token},
		{"config", "set-context", name, "--cluster=" + strings.TrimSpace(c.must("config", "view", "-o", "jsonpath={.clusters[0].name}")), "--user=" + name},
		{"config", "use-context", name},
	} {
		out, err := exec.Command(made.Kubectl, append([]string{"--kubeconfig", file}, args...)...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	}
	if who.credential != nil {
		Expect(os.Chown(file, who.uid, who.uid)).To(Succeed())
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
	apply := func(manifest string) {
		GinkgoHelper()
		file := filepath.Join(invoker.dir, "rights.yaml")
		Expect(os.WriteFile(file, []byte(manifest), 0o600)).To(Succeed())
		c.must("apply", "-f", file)
	}
	BeforeAll(func() {
		c = leaveUp(invoker, "--nodes", "m6i.large=2", "--real", "1")
		account = c.account(invoker, "bench")
	})

	It("refuses a second Istio, and nodes to leave up", func() {
		refused := preflight(c.kubeconfig).exits(1)
		Expect(refused.both.String()).To(And(ContainSubstring("Istio 1.23.2 (revision default, namespace istio-system) is installed already"), ContainSubstring("--use-installed-istio")))
		up := invoker.run(time.Minute, "up", "--cluster", "existing", "--kubeconfig", c.kubeconfig).exits(2)
		Expect(up.both.String()).To(ContainSubstring("leaves nothing up"))
	})

	It("is ready for its administrator, and no object of it changes", func() {
		before := c.objects()
		Expect(preflight(c.kubeconfig, "--use-installed-istio").succeeds()).To(ContainSubstring("one-pod: ok, pods at one time: 1, with sidecars: 1"))
		after := c.objects()
		Expect(slices.Sorted(maps.Keys(after))).To(Equal(slices.Sorted(maps.Keys(before))))
		for name, object := range after {
			Expect(object).To(Equal(before[name]), name)
		}
	})

	It("names what an account lacks, and is ready with exactly the roles that it prints", func() {
		refused := preflight(account, "--use-installed-istio").exits(1)
		Expect(refused.both.String()).To(And(ContainSubstring("lacks rights for the run: "), ContainSubstring("preflight --rights")))
		roles := preflight(account, "--use-installed-istio", "--rights").succeeds()
		Expect(roles).To(And(ContainSubstring("kind: ServiceAccount"), ContainSubstring("name: bench"), Not(ContainSubstring("nodes/proxy")), Not(ContainSubstring("escalate"))))
		apply(roles)
		Expect(preflight(account, "--use-installed-istio").succeeds()).To(ContainSubstring("ok"))
		for _, right := range [][]string{{"get", "nodes", "--subresource=proxy"}, {"get", "secrets"}, {"delete", "deployments.apps"}, {"create", "clusterroles.rbac.authorization.k8s.io"}} {
			out, _ := c.kubectl(append([]string{"auth", "can-i", "-A", "--as=system:serviceaccount:default:bench"}, right...)...)
			Expect(strings.TrimSpace(out)).To(Equal("no"), strings.Join(right, " "))
		}
	})

	It("refuses a revision that is not there, and namespaces that are", func() {
		Expect(preflight(c.kubeconfig, "--use-installed-istio", "--revision", "1-99").exits(1).both.String()).To(ContainSubstring("--revision 1-99: there is no such control plane of Istio: choose one of default"))
		c.must("create", "namespace", "ns1")
		defer c.must("delete", "namespace", "ns1")
		Expect(preflight(c.kubeconfig, "--use-installed-istio", "--namespace-suffix", "").exits(1).both.String()).To(ContainSubstring("these namespaces exist already, and a run makes its own: ns1"))
		Expect(preflight(c.kubeconfig, "--use-installed-istio").succeeds()).To(ContainSubstring("ok"))
	})

	It("refuses more pods than there is room for", func() {
		Expect(preflightOf("hundred-pods", c.kubeconfig, "--use-installed-istio").exits(1).both.String()).To(ContainSubstring("not enough room: the run needs 100 pods at one time (100 with sidecars), each asking for up to 100m CPU and 128Mi memory"))
	})

	It("sees that Pod Security would refuse a sidecar's init container", func() {
		c.must("label", "namespace", "default", "pod-security.kubernetes.io/enforce=baseline")
		defer c.must("label", "namespace", "default", "pod-security.kubernetes.io/enforce-")
		Expect(preflight(c.kubeconfig, "--use-installed-istio").exits(1).both.String()).To(ContainSubstring("Pod Security would refuse a pod of ns1-"))
	})

	It("is ready to have Istio installed where there is none, for who may do that", func() {
		c.must("delete", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "--all")
		c.must("delete", "namespace", "istio-system")
		Expect(preflight(c.kubeconfig).succeeds()).To(ContainSubstring("ok"))
		Expect(preflight(c.kubeconfig, "--use-installed-istio").exits(1).both.String()).To(ContainSubstring("no Istio is installed"))
		Expect(preflight(account).exits(1).both.String()).To(ContainSubstring("lacks rights to install Istio and run the scenario: "))
		apply(preflight(account, "--rights").succeeds())
		Expect(preflight(account).succeeds()).To(ContainSubstring("ok"))
	})

	It("says that there is no metrics API", func() {
		c.must("delete", "apiservice", "v1beta1.metrics.k8s.io")
		Expect(preflight(c.kubeconfig).exits(1).both.String()).To(ContainSubstring("the cluster has no metrics API (metrics.k8s.io)"))
	})

	It("is gone after down", func() { c.down(invoker) })
})
