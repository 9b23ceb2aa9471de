package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/knative/knativetest"
)

// The labels by which what Knative makes is found.
const (
	ofService  = "serving.knative.dev/service"
	ofRevision = "serving.knative.dev/revision"
)

// knativeUp is a cluster with Knative Serving for kubectl.
type knativeUp struct{ *leftUp }

// leaveKnativeUp obtains Knative Serving, which takes some minutes the first time, and
// makes a cluster with it.
func leaveKnativeUp(version string, args ...string) knativeUp {
	GinkgoHelper()
	invoker.run(15*time.Minute, "components", "--knative", version).Succeeds()
	return knativeUp{leaveUp(invoker, append([]string{"--knative", version}, args...)...)}
}

// apply applies an object.
func (c knativeUp) apply(o map[string]any) {
	GinkgoHelper()
	text, err := json.Marshal(o)
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(invoker.Dir, "apply.json")
	Expect(os.WriteFile(file, text, 0o644)).To(Succeed())
	c.must("apply", "-f", file)
}

// serve makes a Knative Service whose revisions begin and stay with so many pods, and
// waits for its first revision.
func (c knativeUp) serve(namespace, name string, scale int, annotations map[string]string) {
	GinkgoHelper()
	all := map[string]any{
		"autoscaling.knative.dev/initial-scale": fmt.Sprint(scale),
		"autoscaling.knative.dev/min-scale":     fmt.Sprint(scale),
		"meshbench.dev/revision":                "1",
	}
	for key, value := range annotations {
		all[key] = value
	}
	c.apply(map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": all},
			"spec":     map[string]any{"containers": []any{map[string]any{"image": "dev.local/app"}}},
		}},
	})
	c.awaitRevision(namespace, name, 1)
}

// update changes a Knative Service's template and waits for the revision of that number.
func (c knativeUp) update(namespace, name string, number int) {
	GinkgoHelper()
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"meshbench.dev/revision":"%d"}}}}}`, number)
	c.must("patch", "ksvc", name, "-n", namespace, "--type=merge", "-p", patch)
	c.awaitRevision(namespace, name, number)
}

// revision is the name of a Service's revision.
func revision(service string, number int) string { return fmt.Sprintf("%s-%05d", service, number) }

// awaitRevision waits until the revision of that number is the newest, and Ready.
func (c knativeUp) awaitRevision(namespace, service string, number int) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		newest, err := c.kubectl("get", "ksvc", service, "-n", namespace, "-o", "jsonpath={.status.latestCreatedRevisionName}")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(newest).To(Equal(revision(service, number)))
		ready, err := c.kubectl("get", "revision", newest, "-n", namespace, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(ready).To(Equal("True"))
	}, 90*time.Second, 200*time.Millisecond).Should(Succeed())
}

// made are the Services, Endpoints and EndpointSlices that there are for a revision, and
// that which the Knative Service has for all of its revisions; normal and in order.
func (c knativeUp) made(namespace, service string, number int) []*unstructured.Unstructured {
	GinkgoHelper()
	out := c.must("get", "services,endpoints,endpointslices", "-n", namespace, "-l", ofService+"="+service, "-o", "json")
	all, err := knativetest.Decode([]byte(out))
	Expect(err).NotTo(HaveOccurred())
	var found []*unstructured.Unstructured
	for _, o := range all {
		if r := o.GetLabels()[ofRevision]; r == "" || r == revision(service, number) {
			found = append(found, knativetest.Normal(o))
		}
	}
	return knativetest.Sorted(found)
}

// kinds counts objects by kind.
func kinds(all []*unstructured.Unstructured) map[string]int {
	count := map[string]int{}
	for _, o := range all {
		count[o.GetKind()]++
	}
	return count
}

// recorded is the file with what was made for a revision that is scaled to zero and for one
// that is not.
func recorded(version string) string {
	return filepath.Join("..", "harness", "knative", "testdata", "revision-"+version+".yaml")
}

// recordHead says what the record is.
const recordHead = `# What Knative Serving %s made for the second revision of a Knative Service that is scaled
# to zero, and for the only one of a Service with a pod, without what is a cluster's own.
`

var _ = Describe("Knative Serving", Ordered, Label("knative"), func() {
	const version = components.DefaultKnative
	var c knativeUp
	BeforeAll(func() {
		c = leaveKnativeUp(version, "--nodes", "m6i.2xlarge=1", "--real", "1")
		c.must("create", "namespace", "load")
		c.must("create", "namespace", "measure")
		c.must("label", "namespace", "measure", "istio-injection=enabled")
	})

	It("runs and says which it is", func() {
		for _, name := range []string{"activator", "autoscaler", "controller", "webhook"} {
			pods := c.pods("knative-serving", "app="+name)
			Expect(pods).To(HaveLen(1))
			s := container(pods[0], name)
			Expect(s.Ready).To(BeTrue(), name)
			Expect(s.RestartCount).To(BeZero(), name)
			Expect(s.ContainerID).NotTo(HavePrefix("simulated://"), name)
			Expect(pods[0].Labels).To(HaveKeyWithValue("app.kubernetes.io/version", "1.15.2"))
		}
	})

	It("refuses what is no Knative Service", func() {
		_, err := c.kubectl("create", "-f", writeFile("bad.json", `{"apiVersion":"serving.knative.dev/v1","kind":"Service",
			"metadata":{"name":"bad","namespace":"load"},"spec":{"template":{"spec":{"containers":[{"image":""}]}}}}`))
		Expect(err).To(MatchError(ContainSubstring(`admission webhook "validation.webhook.serving.knative.dev" denied the request`)))
	})

	It("makes revisions without a pod", func() {
		c.serve("load", "a", 0, map[string]string{"networking.istio.io/exportTo": "*"})
		for number := 2; number <= 3; number++ {
			c.update("load", "a", number)
		}
		Eventually(func(g Gomega) {
			for number := 1; number <= 3; number++ {
				g.Expect(kinds(c.made("load", "a", number))).To(And(
					// The Service's own has no endpoints.
					HaveKeyWithValue("Service", 2+1), HaveKeyWithValue("Endpoints", 2), HaveKeyWithValue("EndpointSlice", 2)), "revision %d", number)
			}
		}, 30*time.Second, time.Second).Should(Succeed())
		Expect(strings.TrimSpace(c.must("get", "pods", "-n", "load", "-o", "name"))).To(BeEmpty())
		Expect(strings.Fields(c.must("get", "deployments", "-n", "load", "-o", "name"))).To(HaveLen(3))
	})

	It("makes a revision with a pod, which gets a sidecar", func() {
		c.serve("measure", "measure-pod", 1, nil)
		pods := c.pods("measure", ofService+"=measure-pod")
		Expect(pods).To(HaveLen(1))
		Expect(container(pods[0], "istio-proxy").ContainerID).NotTo(HavePrefix("simulated://"))
		Expect(container(pods[0], "user-container").ContainerID).To(HavePrefix("simulated://"))
		Expect(container(pods[0], "queue-proxy").ContainerID).To(HavePrefix("simulated://"))
	})

	// With MESHBENCH_UPDATE set it is recorded anew, for a look at what has changed.
	It("makes what was recorded", func() {
		made := func() []*unstructured.Unstructured {
			return append(c.made("load", "a", 2), c.made("measure", "measure-pod", 1)...)
		}
		// Endpoints come some moments after their Service, and mirrored ones after these.
		var before string
		Eventually(func(g Gomega) {
			all := made()
			g.Expect(kinds(all)).To(Equal(map[string]int{"Service": 6, "Endpoints": 4, "EndpointSlice": 4}))
			text, err := knativetest.Encode(all)
			g.Expect(err).NotTo(HaveOccurred())
			last := before
			before = string(text)
			g.Expect(before).To(Equal(last), "it still changes")
		}, time.Minute, 5*time.Second).Should(Succeed())

		file := recorded(version)
		if os.Getenv("MESHBENCH_UPDATE") != "" {
			Expect(os.WriteFile(file, []byte(fmt.Sprintf(recordHead, version)+before), 0o644)).To(Succeed())
		}
		want, err := knativetest.Read(file)
		Expect(err).NotTo(HaveOccurred())
		wanted, err := knativetest.Encode(want)
		Expect(err).NotTo(HaveOccurred())
		Expect(before).To(Equal(string(wanted)), "what Knative makes is no longer what is in %s", file)
	})

	It("is gone after down", func() { c.down(invoker) })
})

// writeFile writes a file of the suite's and returns its path.
func writeFile(name, text string) string {
	GinkgoHelper()
	path := filepath.Join(invoker.Dir, name)
	Expect(os.WriteFile(path, []byte(text), 0o644)).To(Succeed())
	return path
}
