package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/kube/snapshot"
	"github.com/meshbench/meshbench/harness/mesh"
)

// config is for clients in this process.
func (c *leftUp) config() *rest.Config {
	GinkgoHelper()
	cfg, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	return cfg
}

// snapshot is what the cluster holds.
func (c *leftUp) snapshot() snapshot.Snapshot {
	GinkgoHelper()
	taken, err := snapshot.Take(context.Background(), c.config())
	Expect(err).NotTo(HaveOccurred())
	return taken
}

// holds checks that the cluster holds what it held before. The API server itself takes a
// second to forget the groups of resource definitions that are gone.
func (c *leftUp) holds(before snapshot.Snapshot) {
	GinkgoHelper()
	Eventually(func() []string { return snapshot.Diff(before, c.snapshot()) }, "10s", "500ms").Should(BeEmpty())
}

// apply gives the cluster a manifest.
func (c *leftUp) apply(manifest string) error {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "manifest.yaml")
	Expect(os.WriteFile(path, []byte(manifest), 0o644)).To(Succeed())
	_, err := c.kubectl("create", "-f", path)
	return err
}

// validates waits until istiod is certain that its webhooks work, and has them refuse what they
// cannot check: the last that it changes of a mesh by itself.
func (c *leftUp) validates() {
	GinkgoHelper()
	Eventually(func() string {
		return c.must("get", "validatingwebhookconfigurations", "-l", "istio=istiod", "-o", "jsonpath={.items[*].webhooks[*].failurePolicy}")
	}, "60s", "500ms").Should(And(HavePrefix("Fail"), Not(ContainSubstring("Ignore"))))
}

// chartsOf is the folder with the charts of a version of Istio.
func chartsOf(istio string) string {
	GinkgoHelper()
	fields := strings.Fields(invoker.run(30*time.Minute, "components", string(components.Charts), "--istio", istio).Succeeds())
	Expect(fields).To(HaveLen(3)) // name, version, path
	return fields[2]
}

// install is the installation of a version and revision on the cluster that cfg leads to.
func install(cfg *rest.Config, istio, revision string) *mesh.Mesh {
	GinkgoHelper()
	m, err := mesh.New(cfg, mesh.Options{
		Version: istio, Charts: mesh.Charts{Dir: chartsOf(istio)}, Timeout: 2 * time.Minute, Owner: "e2e",
		Values: []mesh.Layer{mesh.UpstreamEnvoyValues(), {Values: map[string]any{"revision": revision}}},
	})
	Expect(err).NotTo(HaveOccurred())
	return m
}

// errCut is what requests fail with once an installation is cut off.
var errCut = errors.New("cut off by the test")

// cutting makes everything that is asked of the cluster fail from the first request on that
// writes and that is chosen, as after a kill: nothing clears up. The context ends then. What is
// written before is written in turns, so that it is the same each time.
func cutting(ctx context.Context, cfg *rest.Config, chosen func(*http.Request) bool) (context.Context, *rest.Config) {
	ctx, cancel := context.WithCancelCause(ctx)
	cut := rest.CopyConfig(cfg)
	var turn sync.Mutex
	cut.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet {
				turn.Lock()
				defer turn.Unlock()
				if chosen(r) {
					cancel(errCut)
				}
			}
			if ctx.Err() != nil {
				return nil, errCut
			}
			return next.RoundTrip(r)
		})
	})
	return ctx, cut
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// writes is the nth request that writes below a path.
func writes(path string, n int) func(*http.Request) bool {
	var seen atomic.Int32
	return func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, path) && int(seen.Add(1)) == n
	}
}

// ofMesh chooses the objects of Istio, whichever revision they are of, but those by which its
// istiods tell each other who leads: they are written every few seconds.
func ofMesh(o snapshot.Object) bool {
	elects := o.Kind == "ConfigMap" && (strings.Contains(o.Name, "-leader") || strings.HasSuffix(o.Name, "-election"))
	istio := strings.Contains(o.Group, "istio.io") || strings.Contains(o.Name, "istio") || o.Labels["istio.io/rev"] != "" || o.Namespace == "istio-system"
	return istio && !elects
}

const virtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: foreign, namespace: %s}
spec: {hosts: [foreign.example], http: [{route: [{destination: {host: foreign.example}}]}]}
`

var _ = Describe("an Istio on somebody's cluster", Ordered, Label("existing"), func() {
	var c *leftUp
	var before snapshot.Snapshot
	istio := components.DefaultIstio

	BeforeAll(func() {
		c = leaveUp(invoker, "--no-mesh", "--istio", istio)
		c.must("create", "namespace", "foreign")
		before = c.snapshot()
		Expect(len(before)).To(BeNumerically(">", 100))
		Expect(snapshot.Diff(nil, before)).NotTo(ContainElement(ContainSubstring("istio")), "the cluster has Istio already")
	})

	AfterEach(func() { c.holds(before) })

	It("is removed whole, twice, and by another process", func(ctx SpecContext) {
		_, err := install(c.config(), istio, "").Install(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(snapshot.Diff(before, c.snapshot())).To(ContainElements(
			"+ ConfigMap foreign/istio-ca-root-cert", "+ Secret istio-system/istio-ca-secret",
			"+ CustomResourceDefinition.apiextensions.k8s.io virtualservices.networking.istio.io"))
		Expect(mesh.MadeOn(ctx, c.config())).To(Equal([]mesh.Made{{Namespace: "istio-system", Revisions: []string{"default"}, Owners: []string{"e2e"}}}))

		kept, err := mesh.Uninstall(ctx, c.config(), mesh.Removal{})
		Expect(err).NotTo(HaveOccurred())
		Expect(kept).To(BeEmpty())
		c.holds(before)
		for range 2 {
			Expect(mesh.Uninstall(ctx, c.config(), mesh.Removal{})).To(BeEmpty())
			Expect(install(c.config(), istio, "").Uninstall(ctx)).To(BeEmpty())
		}
	})

	DescribeTable("is removed where its installation was cut off",
		func(ctx SpecContext, chosen func(*http.Request) bool, left string) {
			until, cut := cutting(ctx, c.config(), chosen)
			_, err := install(cut, istio, "").Install(until)
			Expect(err).To(MatchError(errCut))
			Expect(snapshot.Diff(before, c.snapshot())).To(ContainElement(HavePrefix(left)))
			Expect(mesh.Uninstall(ctx, c.config(), mesh.Removal{})).To(BeEmpty())
		},
		Entry("after its namespace", writes("/configmaps", 1), "+ Namespace istio-system"),
		Entry("after its record", Label(nightly), writes("/customresourcedefinitions", 1), "+ ConfigMap istio-system/meshbench-istio"),
		Entry("within the resource definitions", writes("/customresourcedefinitions", 5), "+ CustomResourceDefinition"),
		Entry("before the base release", Label(nightly), writes("/secrets", 1), "+ CustomResourceDefinition"),
		Entry("within the base release", Label(nightly), writes("/validatingwebhookconfigurations", 1), "+ Secret istio-system/sh.helm.release.v1.istio-base.v1"),
		Entry("before the release istiod", Label(nightly), writes("/secrets", 3), "+ ValidatingWebhookConfiguration"),
		Entry("within the release istiod", writes("/clusterrolebindings", 1), "+ Secret istio-system/sh.helm.release.v1.istiod.v1"),
		Entry("before its last object", Label(nightly), writes("/mutatingwebhookconfigurations", 1), "+ Deployment.apps istio-system/istiod"),
		Entry("before it is ready", writes("/pods", 1), "+ MutatingWebhookConfiguration"),
	)

	It("is removed where it was ended while it waited, and where istiod is gone", func(ctx SpecContext) {
		m := install(c.config(), istio, "")
		c.must("cordon", "--selector", "!none") // no istiod gets ready, however fast the machine
		waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err := m.Install(waiting)
		c.must("uncordon", "--selector", "!none")
		Expect(err).To(MatchError(context.DeadlineExceeded))
		Expect(m.Uninstall(ctx)).To(BeEmpty())
		c.holds(before)

		_, err = m.Install(ctx)
		Expect(err).NotTo(HaveOccurred())
		c.must("delete", "deployment", "istiod", "-n", "istio-system")
		Expect(m.Uninstall(ctx)).To(BeEmpty())
	})

	It("is removed where its removal was cut off", Label(nightly), func(ctx SpecContext) {
		last := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/namespaces/istio-system") }
		for _, chosen := range []func(*http.Request) bool{writes("/secrets", 2), writes("/configmaps", 1), writes("/customresourcedefinitions", 3), last} {
			_, err := install(c.config(), istio, "").Install(ctx)
			Expect(err).NotTo(HaveOccurred())
			until, cut := cutting(ctx, c.config(), chosen)
			_, err = mesh.Uninstall(until, cut, mesh.Removal{})
			Expect(err).To(MatchError(errCut))
			Expect(mesh.Uninstall(ctx, c.config(), mesh.Removal{})).To(BeEmpty())
			c.holds(before)
		}
	})

	It("leaves what was there before, and resource definitions that somebody uses", func(ctx SpecContext) {
		// Another Istio had been there: of it the resource definitions, the namespace and a root
		// certificate are left.
		crds := filepath.Join(chartsOf(istio), "base", "crds", "crd-all.gen.yaml")
		c.must("create", "namespace", "istio-system")
		c.must("create", "configmap", "istio-ca-root-cert", "-n", "foreign", "--from-literal=root-cert.pem=old")
		c.must("label", "configmap", "istio-ca-root-cert", "-n", "foreign", "istio.io/config=true")
		c.must("create", "-f", crds)
		c.must("wait", "--for=condition=Established", "crd", "-l", "app=istio-pilot", "--timeout=30s")
		Expect(c.apply(fmt.Sprintf(virtualService, "foreign"))).To(Succeed())
		there := c.snapshot()

		m := install(c.config(), istio, "")
		_, err := m.Install(ctx)
		Expect(err).NotTo(HaveOccurred())
		kept, err := m.Uninstall(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(kept).To(ConsistOf(And(HavePrefix("resource definitions stay that were there before: "), ContainSubstring("virtualservices.networking.istio.io"))))
		c.holds(there)
		Expect(m.Uninstall(ctx)).To(BeEmpty()) // nothing of what there is is ours
		c.holds(there)

		// Made by the installation, and used by somebody since.
		c.must("delete", "-f", crds)
		c.must("delete", "namespace", "istio-system")
		c.must("delete", "configmap", "istio-ca-root-cert", "-n", "foreign")
		c.holds(before)
		_, err = m.Install(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.apply(fmt.Sprintf(virtualService, "foreign"))).To(Succeed())
		Expect(m.Uninstall(ctx)).To(Equal([]string{
			"resource definition virtualservices.networking.istio.io stays: VirtualService foreign/foreign is there, which is not of the mesh"}))
		Eventually(func() []string { return snapshot.Diff(before, c.snapshot()) }, "10s", "500ms").Should(ConsistOf(
			"+ CustomResourceDefinition.apiextensions.k8s.io virtualservices.networking.istio.io",
			"+ VirtualService.networking.istio.io foreign/foreign",
			HavePrefix("+ APIService.apiregistration.k8s.io v"), HavePrefix("+ APIService.apiregistration.k8s.io v"), HavePrefix("+ APIService.apiregistration.k8s.io v")))
		c.must("delete", "crd", "virtualservices.networking.istio.io")
	})

	// This cluster has no program for its istiod, so that its installation never comes to an end.
	It("is removed where its charts make the resource definitions by templates", Label(nightly), func(ctx SpecContext) {
		const templated = "1.24.0"
		until := func(path string) {
			until, cut := cutting(ctx, c.config(), writes(path, 1))
			_, err := install(cut, templated, "").Install(until)
			Expect(err).To(MatchError(errCut))
		}
		By("making its own")
		until("/mutatingwebhookconfigurations")
		Expect(mesh.Uninstall(ctx, c.config(), mesh.Removal{})).To(BeEmpty())
		c.holds(before)

		By("taking over those of an earlier version")
		_, err := install(c.config(), istio, "").Install(ctx)
		Expect(err).NotTo(HaveOccurred())
		until("/deployments")
		Expect(mesh.Uninstall(ctx, c.config(), mesh.Removal{})).To(BeEmpty())
		c.holds(before)

		By("leaving alone those of somebody else")
		crds := filepath.Join(chartsOf(istio), "base", "crds", "crd-all.gen.yaml")
		c.must("create", "-f", crds)
		c.must("wait", "--for=condition=Established", "crd", "-l", "app=istio-pilot", "--timeout=30s")
		there := c.snapshot()
		until("/mutatingwebhookconfigurations")
		Expect(mesh.Uninstall(ctx, c.config(), mesh.Removal{})).To(ConsistOf(HavePrefix("resource definitions stay that were there before: ")))
		c.holds(there)
		c.must("delete", "-f", crds)
	})

	It("is used as it is", func(ctx SpecContext) {
		use := func(wanted mesh.Wanted) *mesh.Used {
			used, err := mesh.Use(c.config(), wanted, mesh.Options{})
			Expect(err).NotTo(HaveOccurred())
			return used
		}
		_, err := use(mesh.Wanted{}).Install(ctx)
		Expect(err).To(MatchError(HavePrefix("no Istio is installed on this cluster")))

		m := install(c.config(), istio, "blue")
		installed, err := m.Install(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = use(mesh.Wanted{Revision: "green"}).Install(ctx)
		Expect(err).To(MatchError(HavePrefix("this cluster has no revision or tag green of Istio: name one of those that it has: blue (Istio " + istio)))

		c.validates()
		there := c.snapshot()
		used := use(mesh.Wanted{Istio: "1.0.0", Values: map[string]any{"pilot": map[string]any{"env": map[string]any{"X": "y"}, "autoscaleEnabled": false}}})
		facts, err := used.Install(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(snapshot.ChangedVersions(there, c.snapshot(), ofMesh)).To(BeEmpty())
		Expect(facts.Charts).To(Equal("already installed: Helm release istiod-blue, chart istiod " + istio))
		facts.Charts = installed.Charts
		Expect(facts).To(Equal(installed))
		Expect(used.Differences()).To(Equal([]string{
			"The scenario asks for Istio 1.0.0, " + istio + " runs",
			"The scenario asks for the value pilot.env.X: y, the mesh has none"}))
		plane := used.ControlPlane()
		Expect(plane.LabelKey + "=" + plane.LabelValue).To(Equal("istio.io/rev=blue"))
		c.must("label", "namespace", "foreign", plane.LabelKey+"="+plane.LabelValue)
		Expect(c.must("run", "probe", "-n", "foreign", "--image=nginx", "--dry-run=server", "-o", "yaml")).To(ContainSubstring("name: istio-proxy"))
		c.must("label", "namespace", "foreign", plane.LabelKey+"-")
		Expect(m.Uninstall(ctx)).To(BeEmpty())
	})
})

var _ = Describe("two Istios on somebody's cluster", Ordered, Label("existing", nightly), func() {
	const older, newer = "1.22.3", "1.23.2"

	It("are removed one after the other", func(ctx SpecContext) {
		c := leaveUp(invoker, "--no-mesh", "--istio", newer+","+older)
		before := c.snapshot()
		first, second := install(c.config(), older, "1-22-3"), install(c.config(), newer, "1-23-2")
		for _, m := range []*mesh.Mesh{first, second} {
			_, err := m.Install(ctx)
			Expect(err).NotTo(HaveOccurred())
		}
		// What is not of one revision, nor the record and the base release, which both have.
		alone := func(of string) func(snapshot.Object) bool {
			return func(o snapshot.Object) bool {
				shared := o.Name == "meshbench-istio" || strings.HasPrefix(o.Name, "sh.helm.release.v1.istio-base")
				return ofMesh(o) && !shared && !strings.Contains(o.Name, of) && o.Labels["istio.io/rev"] != of
			}
		}

		By("using one of them, which changes nothing")
		c.validates()
		there := c.snapshot()
		for revision, version := range map[string]string{"1-22-3": older, "1-23-2": newer} {
			used, err := mesh.Use(c.config(), mesh.Wanted{Revision: revision, Istio: newer}, mesh.Options{})
			Expect(err).NotTo(HaveOccurred())
			facts, err := used.Install(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(facts.Istio).To(Equal(version))
			Expect(len(used.Differences())).To(Equal(map[string]int{older: 1, newer: 0}[version]))
		}
		used, err := mesh.Use(c.config(), mesh.Wanted{}, mesh.Options{})
		Expect(err).NotTo(HaveOccurred())
		_, err = used.Install(ctx)
		Expect(err).To(MatchError("this cluster has several revisions of Istio: name the one to measure: 1-22-3 (Istio 1.22.3), 1-23-2 (Istio 1.23.2)"))
		Expect(snapshot.ChangedVersions(there, c.snapshot(), ofMesh)).To(BeEmpty())

		By("removing the second, of which the first keeps every object as it is")
		Expect(second.Uninstall(ctx)).To(BeEmpty())
		left := c.snapshot()
		Expect(snapshot.ChangedVersions(there, left, alone("1-23-2"))).To(BeEmpty())
		Expect(snapshot.Diff(nil, left)).NotTo(ContainElement(ContainSubstring("1-23-2")))

		By("removing the first while the second is there, which validates from then on")
		_, err = second.Install(ctx)
		Expect(err).NotTo(HaveOccurred())
		c.validates()
		there = c.snapshot()
		Expect(first.Uninstall(ctx)).To(BeEmpty())
		Expect(snapshot.ChangedVersions(there, c.snapshot(), alone("1-22-3"))).To(ConsistOf(
			HavePrefix("~ ValidatingWebhookConfiguration.admissionregistration.k8s.io istiod-default-validator: metadata.resourceVersion")))
		c.validates()
		Eventually(func() error { return c.apply(fmt.Sprintf(virtualService, "default")) }, "30s", "1s").Should(Succeed())
		c.must("delete", "virtualservice", "foreign")

		Expect(mesh.Uninstall(ctx, c.config(), mesh.Removal{})).To(BeEmpty())
		c.holds(before)
	})
})
