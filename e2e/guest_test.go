package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/kube/snapshot"
	"github.com/meshbench/meshbench/observations"
)

const neighbours = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: never, namespace: foreign}
spec:
  replicas: 2
  selector: {matchLabels: {app: never}}
  template:
    metadata: {labels: {app: never}}
    spec: {nodeSelector: {nowhere: "true"}, containers: [{name: app, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: moving, namespace: foreign}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: moving, namespace: foreign, labels: {kubernetes.io/service-name: moving}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [192.0.2.1]}]
`

// disturbed gives the cluster neighbours: a Deployment that never gets ready, and a Service
// whose endpoints change every second.
func (c *leftUp) disturbed() {
	GinkgoHelper()
	c.must("create", "namespace", "foreign")
	lab.Guard(c.kubeconfig, "foreign")
	Expect(c.apply(neighbours)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 2; ctx.Err() == nil; i++ {
			patch := fmt.Sprintf(`{"endpoints": [{"addresses": ["192.0.2.%d"]}]}`, i%200+1)
			_, _ = c.kubectl("patch", "endpointslice", "-n", "foreign", "moving", "--type=merge", "-p", patch)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	DeferCleanup(func() {
		cancel()
		<-ended
	})
}

// guests are the flags of a command that goes to the cluster by its kubeconfig alone.
func (c *leftUp) guests(more ...string) []string {
	return append([]string{"--cluster", "existing", "--kubeconfig", c.kubeconfig}, more...)
}

// visitors are the IDs of runs of this user on clusters of others that have left something.
func visitors() (ids []string) {
	GinkgoHelper()
	files, err := filepath.Glob(filepath.Join(invoker.Home, ".local", "state", "meshbench", "existing", "*.json"))
	Expect(err).NotTo(HaveOccurred())
	for _, f := range files {
		ids = append(ids, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return ids
}

var _ = Describe("a run on somebody's cluster", Ordered, Label("existing"), func() {
	var c *leftUp
	var before snapshot.Snapshot
	theirs := func() snapshot.Snapshot { return c.snapshot().Without("foreign") }
	unchanged := func() {
		GinkgoHelper()
		Eventually(func() []string { return snapshot.Diff(before, theirs()) }, "20s", "500ms").Should(BeEmpty())
	}

	BeforeAll(func() {
		c = leaveUp(invoker, "--no-mesh", "--istio", components.DefaultIstio, "--nodes", "m6i.xlarge=2")
		c.disturbed()
		c.must("create", "secret", "docker-registry", "hub", "-n", "default", "--docker-server=hub.example", "--docker-username=u", "--docker-password=p")
		before = theirs()
		Expect(len(before)).To(BeNumerically(">", 100))
	})

	It("installs Istio, measures while others change what they like, and takes all of it away", func() {
		run := invoker.startRun("headless", c.guests("--set", "replicas=5", "--pull-secret", "default/hub")...)
		run.Wait(8 * time.Minute)
		run.Succeeds()
		Expect(run.agreesWithIstioctl()).To(BeNumerically(">=", 3))
		Expect(strings.Join(run.Events(observations.Foreign), "\n")).To(ContainSubstring("of EndpointSlice (update)"))
		unchanged()
		Expect(visitors()).To(BeEmpty())
	})

	It("takes gateways away with Istio, in namespaces that stay too, and the Gateway API", Label(nightly), func() {
		// One more, whose namespace does not go with the run.
		text, err := os.ReadFile("testdata/gateways.yaml")
		Expect(err).NotTo(HaveOccurred())
		more := strings.Replace(string(text), "  - name: api\n    actions:\n", `  - name: api
    actions:
      - gateway: {namespace: default, name: outside}
      - apply: {manifest: '{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: outside, namespace: ns1}, spec: {selector: {istio: outside}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [outside.example]}]}}'}
`, 1)
		Expect(more).To(ContainSubstring("outside"))
		scenario := filepath.Join(invoker.Dir, "gateways.yaml")
		Expect(os.WriteFile(scenario, []byte(more), 0o644)).To(Succeed())
		run := invoker.startRun(scenario, c.guests("--allow-outside")...)
		run.Wait(8 * time.Minute)
		run.Succeeds()
		Expect(run.agreesWithIstioctl()).To(Equal(7))
		unchanged()
		Expect(visitors()).To(BeEmpty())
	})

	DescribeTable("leaves nothing after", Label(nightly),
		func(signal syscall.Signal, phase string, most time.Duration) {
			// Not during its clean-up: a signal then changes nothing of how the run ended.
			run := invoker.startRun("headless", c.guests("--set", "replicas=5")...)
			run.during(phase, most)
			Expect(syscall.Kill(run.PID(), signal)).To(Succeed())
			code := run.Wait(5 * time.Minute)
			if signal == syscall.SIGKILL {
				for _, id := range visitors() {
					invoker.run(5*time.Minute, "down", "--name", id).Succeeds()
				}
			} else {
				Expect(code).To(Equal(130))
			}
			unchanged()
			Expect(visitors()).To(BeEmpty())
		},
		func(signal syscall.Signal, phase string, _ time.Duration) string {
			return fmt.Sprintf("%s in %q", signal, phase)
		},
		Entry(nil, syscall.SIGINT, "cluster", 3*time.Second),
		Entry(nil, syscall.SIGINT, "mesh", 5*time.Second),
		Entry(nil, syscall.SIGINT, "step 2 of 3", 6*time.Second),
		Entry(nil, syscall.SIGKILL, "cluster", 3*time.Second),
		Entry(nil, syscall.SIGKILL, "mesh", 5*time.Second),
		Entry(nil, syscall.SIGKILL, "step 2 of 3", 6*time.Second),
	)

	It("leaves nothing after a failure", Label(nightly), func() {
		run := invoker.startRun("one-pod", c.guests("--mesh-set", "global.imagePullPolicy=Broken")...)
		run.Wait(8 * time.Minute)
		run.Exits(1)
		unchanged()
	})

	It("skips what the nodes are changed by, and says so", Label(nightly), func() {
		scenario := filepath.Join(invoker.Dir, "more-nodes.yaml")
		Expect(os.WriteFile(scenario, []byte(`
apiVersion: meshbench.dev/v1
name: more-nodes
title: Nodes that cannot be had
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: one-pod
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: test, image: nginx}
  - name: nodes
    actions:
      - nodes: {groups: [{type: m6i.large, count: 3}]}
      - scale: {namespace: ns1, deployment: test, replicas: 2}
    expect: {nodes: 2, pods: 5, sidecars: 1}
`), 0o644)).To(Succeed())
		run := invoker.startRun(scenario, c.guests()...)
		run.Wait(8 * time.Minute)
		run.Succeeds()
		Expect(run.Events(observations.Skipped)).To(ConsistOf(ContainSubstring("change nodes to 3 x m6i.large")))
		junit, err := os.ReadFile(filepath.Join(run.Out, "report.junit.xml"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(junit)).To(And(ContainSubstring("nodes changes by +2"), ContainSubstring("was skipped: the nodes of this cluster are not")))
		unchanged()
	})

	It("is gone after down", func() { c.down(invoker) })
})

var _ = Describe("a mesh that is there", Ordered, Label("existing", nightly), func() {
	var c *leftUp
	var account, beside string
	var before snapshot.Snapshot

	BeforeAll(func() {
		c = leaveUp(invoker, "--no-mesh", "--istio", "1.22.3,1.23.2", "--nodes", "m6i.xlarge=2")
		for _, istio := range []string{"1.22.3", "1.23.2"} {
			_, err := install(c.config(), istio, strings.ReplaceAll(istio, ".", "-")).Install(context.Background())
			Expect(err).NotTo(HaveOccurred())
		}
		c.must("create", "namespace", "shop")
		c.must("label", "namespace", "shop", "istio.io/rev=1-23-2")
		c.must("create", "deployment", "-n", "shop", "cart", "--image=nginx", "--replicas=3")
		c.must("rollout", "status", "-n", "shop", "deployment", "cart", "--timeout=3m")
		c.disturbed()
		account = c.account(ordinaryUser(), "bench")
		before = c.snapshot()
	})
	untouched := func() {
		GinkgoHelper()
		after := c.snapshot()
		Expect(snapshot.Diff(before.Without("foreign"), after.Without("foreign"))).To(BeEmpty())
		Expect(snapshot.ChangedVersions(before, after, ofMesh)).To(BeEmpty())
	}
	grant := func(roles string) {
		GinkgoHelper()
		c.grant(roles)
		before = c.snapshot()
	}

	It("is measured of the revision that was asked for, by another user with least rights, and is not changed", func() {
		flags := []string{"--cluster", "existing", "--kubeconfig", account, "--use-installed-istio", "--revision", "1-22-3"}
		grant(ordinaryUser().run(time.Minute, append([]string{"preflight", "headless", "--set", "replicas=3", "--rights"}, flags...)...).Succeeds())
		run := ordinaryUser().startRun("headless", append(flags, "--set", "replicas=3")...)
		run.Wait(8 * time.Minute)
		run.Succeeds()
		Expect(run.agreesWithIstioctl()).To(BeNumerically(">=", 3))
		Expect(run.Records()[0].Run.Mesh.Istio).To(Equal("1.22.3"))
		beside = run.Out
		untouched()
		Expect(visitors()).To(BeEmpty())
	})

	It("is measured as it runs, and what is read is what istioctl prints", func() {
		out := filepath.Join(ordinaryUser().Dir, fmt.Sprintf("measured-%d", os.Getpid()))
		flags := []string{"--kubeconfig", account, "--revision", "1-23-2"}
		grant(ordinaryUser().run(time.Minute, append([]string{"measure", "--rights"}, flags...)...).Succeeds())
		measured := ordinaryUser().run(5*time.Minute, append([]string{"measure", "--yes", "--witnesses", "2", "--out", out}, flags...)...)
		measured.Out = out
		measured.Succeeds()
		Expect(measured.agreesWithIstioctl()).To(Equal(2))
		var proxies int
		for _, r := range measured.Records() {
			if r.Proxy == nil {
				continue
			}
			proxies++
			Expect(r.Proxy.Workload).To(Equal("shop/cart"))
			live, err := exec.Command(made.Istioctl, "--kubeconfig", c.kubeconfig, "proxy-config", "cluster", r.Proxy.Pod+"."+r.Proxy.Namespace).Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(strings.Count(strings.TrimSpace(string(live)), "\n")).To(Equal(r.Proxy.Rows.Cluster))
		}
		Expect(proxies).To(Equal(2))
		Expect(measured.report().Steps[0].Memory.Samples).To(BeNumerically(">=", 1))
		untouched()
		Expect(invoker.run(time.Minute, "compare", beside, out).Succeeds()).To(And(ContainSubstring("Comparison of headless"), ContainSubstring("rows of clusters")))
	})

	It("is measured without a connection into any pod", func() {
		out := filepath.Join(ordinaryUser().Dir, fmt.Sprintf("memory-%d", os.Getpid()))
		measured := ordinaryUser().run(5*time.Minute, "measure", "--kubeconfig", account, "--revision", "1-23-2", "--metrics-only", "--namespace", "shop", "--out", out)
		measured.Out = out
		measured.Succeeds()
		step := measured.report().Steps[0]
		Expect(step.Memory.Samples + step.WitnessMemory.Samples).To(Equal(3))
		for _, r := range measured.Records() {
			Expect(r.Proxy).To(BeNil())
		}
		untouched()
	})

	It("is gone after down", func() { c.down(invoker) })
})

// Without its debug endpoints istiod does not say what its proxies have acknowledged.
var _ = Describe("an istiod that does not tell", Label("existing", nightly), func() {
	silent := []string{"--counts-only", "--mesh-set", "pilot.env.ENABLE_DEBUG_ON_HTTP=false"}

	It("is refused", func() {
		run := invoker.startRun("one-pod", silent...)
		run.Wait(3 * time.Minute)
		run.Exits(1)
		Expect(run.Both.String()).To(And(ContainSubstring("debug endpoints are off"), ContainSubstring("--settle blind")))
	})

	It("is measured blindly where that is asked for, which the run says", func() {
		run := invoker.startRun("one-pod", append(silent, "--settle", "blind")...)
		run.Wait(3 * time.Minute)
		run.Succeeds()
		Expect(run.Events(observations.Blind)).To(HaveLen(1))
	})
})
