package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/replay"
)

// replayed is what report.json says of a replay.
type replayed struct {
	Replay *replay.Replay
	Steps  []struct {
		Workloads []struct {
			Name   string
			Memory memory
		}
	}
}

func (c *command) replayed() replayed {
	GinkgoHelper()
	data, err := os.ReadFile(filepath.Join(c.Out, "report.json"))
	Expect(err).NotTo(HaveOccurred())
	var r replayed
	Expect(json.Unmarshal(data, &r)).To(Succeed())
	Expect(r.Replay).NotTo(BeNil())
	Expect(r.Steps).To(HaveLen(1))
	return r
}

// bringsBack checks that every count of the source's proxies is that of the replay's.
func (r replayed) bringsBack(proxies int) {
	GinkgoHelper()
	Expect(r.Replay.Proxies).To(HaveLen(proxies))
	for _, p := range r.Replay.Proxies {
		Expect(p.Pod).NotTo(BeEmpty(), "%s was not read", p.Workload)
		for _, c := range p.Counts {
			Expect(c.Equal()).To(BeTrue(), "%s: %s", p.Workload, c)
		}
	}
}

var _ = Describe("another cluster than EKS", Label("import"), func() {
	It("is replayed with its own Services, addresses, domain and revisions", func() {
		scenario, err := filepath.Abs("testdata/foreign/foreign.yaml")
		Expect(err).NotTo(HaveOccurred())
		run := invoker.startRun(scenario, "--counts-only")
		run.Wait(5 * time.Minute)
		run.Exits(0)
		Expect(run.agreesWithIstioctl()).To(Equal(2))
		run.replayed().bringsBack(2)
		var cluster observations.Cluster
		var mesh observations.Mesh
		for _, r := range run.Records() {
			if r.Run != nil {
				cluster, mesh = r.Run.Cluster, r.Run.Mesh
			}
		}
		Expect(cluster.Baseline).To(Equal(observations.BaselineScenario))
		Expect(mesh.Revisions).To(HaveLen(1))
		dumps, err := filepath.Glob(filepath.Join(run.Out, "dumps/*/shop.*.config_dump.json"))
		Expect(err).NotTo(HaveOccurred())
		Expect(dumps).To(HaveLen(1))
		text, err := os.ReadFile(dumps[0])
		Expect(err).NotTo(HaveOccurred())
		for what, wanted := range map[string]bool{
			"outbound|53||kube-dns.kube-system.svc.corp.internal": true,
			"10.0.0.10_53": true, // kube-dns's address in the source
			"outbound|15012||istiod-green.istio-system.svc.corp.internal": true,
			"spiffe://corp.example/ns/shop/sa/default":                    true,
			"meshbench-metrics-server":                                    false, // what this program needs beside it
			"cluster.local/ns/":                                           false,
		} {
			Expect(strings.Contains(string(text), what)).To(Equal(wanted), what)
		}
		run.LeavesNothing(program.Soon)
	})
})

// liveProxy is a proxy of a cluster that was left up, with its dumps.
type liveProxy struct {
	namespace, workload, pod string
	config, clusters         string // paths
	memory                   int64  // median of the workload's real proxies, before one was dumped
}

// dumped asks a real proxy of a workload for its configuration, after the memory of all of them
// was read: one alone may differ by some Mi, since an Envoy's heap grows in whole steps.
func (c *leftUp) dumped(dir, namespace, workload, selector string) liveProxy {
	GinkgoHelper()
	p := liveProxy{namespace: namespace, workload: workload}
	var real []string
	for _, pod := range c.pods(namespace, selector) {
		if id := container(pod, "istio-proxy").ContainerID; id != "" && !strings.HasPrefix(id, "simulated://") {
			real = append(real, pod.Name)
		}
	}
	Expect(real).NotTo(BeEmpty(), "no pod of %s/%s has a real proxy", namespace, workload)
	p.pod = real[0]
	p.memory = c.memory(namespace, real)
	ask := func(what string) string {
		path := filepath.Join(dir, fmt.Sprintf("%s.%s", p.pod, strings.Fields(what)[0]))
		path = strings.ReplaceAll(path, "?include_eds", "")
		answer := c.must("exec", "-n", namespace, p.pod, "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", what)
		Expect(os.WriteFile(path, []byte(answer), 0o600)).To(Succeed())
		return path
	}
	p.config, p.clusters = ask("config_dump?include_eds"), ask("clusters?format=json")
	return p
}

// memory is the median of what the metrics API says of the proxies of pods, in bytes.
func (c *leftUp) memory(namespace string, pods []string) int64 {
	GinkgoHelper()
	var all []int64
	for _, pod := range pods {
		var usage metrics.PodMetrics
		Expect(json.Unmarshal([]byte(c.must("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/"+namespace+"/pods/"+pod)), &usage)).To(Succeed())
		for _, container := range usage.Containers {
			if container.Name == "istio-proxy" {
				all = append(all, container.Usage.Memory().Value())
			}
		}
	}
	Expect(all).To(HaveLen(len(pods)))
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// rows are those that the real istioctl prints of it.
func (p liveProxy) rows() observations.Counts {
	GinkgoHelper()
	return observations.Counts{
		Cluster: printedRows("cluster", p.config), Listener: printedRows("listener", p.config),
		Route: printedRows("route", p.config), Endpoint: printedRows("endpoint", p.clusters),
	}
}

var _ = Describe("an imported mesh", Ordered, Label("import", nightly), func() {
	var live []liveProxy
	var dir, imported, shared, reported string
	names := map[string]bool{} // of the source's namespaces, Services and workloads

	BeforeAll(func() {
		dir = GinkgoT().TempDir()
		Expect(os.Chmod(dir, 0o755)).To(Succeed())
		c := leaveUp(invoker, "--nodes", "m6i.xlarge=3", "--real", "3")
		manifest, err := filepath.Abs("testdata/imported/mesh.yaml")
		Expect(err).NotTo(HaveOccurred())
		c.must("apply", "-f", manifest)
		rolledOut := func() {
			for _, namespace := range []string{"bookinfo", "edge", "fleet", "orders", "stock", "billing", "search", "istio-system"} {
				c.must("rollout", "status", "deployment", "-n", namespace, "--timeout=180s")
			}
			c.must("rollout", "status", "statefulset/shard", "-n", "stock", "--timeout=180s")
		}
		rolledOut()
		// Proxies of the replay begin when everything else is there; these have seen it come.
		for _, w := range []string{"bookinfo deployment/productpage-v1", "fleet deployment/fleet-api", "search deployment/search-api", "stock statefulset/shard"} {
			namespace, name, _ := strings.Cut(w, " ")
			c.must("rollout", "restart", name, "-n", namespace)
		}
		rolledOut()
		// Listeners that were replaced meanwhile drain for 45 s, and metrics-server reads every
		// 3 s.
		time.Sleep(time.Minute)
		for _, w := range [][3]string{
			{"bookinfo", "productpage-v1", "app=productpage"}, {"fleet", "fleet-api", "app=fleet-api"}, {"search", "search-api", "app=search-api"},
			{"stock", "shard", "app=shard"}, {"edge", "istio-ingressgateway", "istio=ingressgateway"},
		} {
			live = append(live, c.dumped(dir, w[0], w[1], w[2]))
		}
		for _, kind := range []string{"deployments", "services", "pods"} {
			var list corev1.PodList // of which names alone are read
			Expect(json.Unmarshal([]byte(c.must("get", kind, "-A", "-o", "json")), &list)).To(Succeed())
			for _, o := range list.Items {
				if !strings.HasPrefix(o.Namespace, "kube-") && o.Namespace != "istio-system" && o.Namespace != "default" && o.Namespace != "edge" {
					names[o.Namespace], names[o.Name] = true, true
				}
			}
		}
		args := []string{"import", "--kubeconfig", c.kubeconfig}
		for _, p := range live {
			args = append(args, "--dump", fmt.Sprintf("%s/%s=%s,%s", p.namespace, p.pod, p.config, p.clusters))
		}
		// The real one, whose layout is that of its version.
		report := exec.Command(made.Istioctl, "bug-report", "--kubeconfig", c.kubeconfig, "--dir", filepath.Join(dir, "artifacts"), "--output-dir", dir)
		out, err := report.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		imported, shared, reported = filepath.Join(dir, "theirs"), filepath.Join(dir, "shared"), filepath.Join(dir, "reported")
		invoker.run(2*time.Minute, "import", filepath.Join(dir, "bug-report.tar.gz"), "--out", reported).Succeeds()
		invoker.run(2*time.Minute, append(args, "--out", imported)...).Succeeds()
		invoker.run(2*time.Minute, append(args, "--anonymize", "--out", shared)...).Succeeds()
		c.down(invoker)
	})

	It("has the counts of every live proxy by the real istioctl, and their memory within 5 %", func() {
		run := invoker.startRun(filepath.Join(imported, "theirs.yaml"), "--real", "3")
		run.Wait(8 * time.Minute)
		run.Exits(0)
		run.replayed().bringsBack(len(live))
		Expect(run.agreesWithIstioctl()).To(Equal(len(live)))
		dumps := map[string]observations.Counts{}
		for _, r := range run.Records() {
			if r.Proxy != nil {
				dumps[r.Proxy.Workload] = r.Proxy.Rows
			}
		}
		memories := map[string]int64{}
		for _, w := range run.replayed().Steps[0].Workloads {
			memories[w.Name] = w.Memory.MedianBytes
		}
		for _, p := range live {
			workload := p.namespace + "/" + p.workload
			Expect(dumps).To(HaveKeyWithValue(workload, p.rows()), workload)
			if p.namespace != "edge" { // a gateway is no sidecar
				GinkgoWriter.Printf("%s: %.1f Mi there, %.1f Mi in the replay\n", workload, float64(p.memory)/(1<<20), float64(memories[workload])/(1<<20))
				Expect(memories[workload]).To(BeNumerically("~", p.memory, p.memory/20), "memory of %s", workload)
			}
		}
		run.LeavesNothing(program.Soon)
	})

	It("is the same from an archive of istioctl bug-report, with every proxy's counts", func() {
		for _, part := range []string{"objects", "system.yaml"} {
			Expect(exec.Command("diff", "-r", filepath.Join(reported, part), filepath.Join(imported, part)).CombinedOutput()).To(BeEmpty())
		}
		run := invoker.startRun(filepath.Join(reported, "reported.yaml"), "--real", "3", "--counts-only")
		run.Wait(8 * time.Minute)
		run.Exits(0)
		// Of each workload with real proxies one is a witness.
		r := run.replayed()
		Expect(len(r.Replay.Proxies)).To(BeNumerically(">", len(live)))
		r.bringsBack(len(r.Replay.Proxies))
		run.LeavesNothing(program.Soon)
	})

	It("has the same counts without its names", func() {
		Expect(filepath.WalkDir(shared, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			Expect(err).NotTo(HaveOccurred())
			for name := range names {
				if len(name) > 4 { // shorter ones are parts of other words
					Expect(string(text)).NotTo(ContainSubstring(name), path)
				}
			}
			return nil
		})).To(Succeed())
		run := invoker.startRun(filepath.Join(shared, "shared.yaml"), "--real", "1", "--counts-only")
		run.Wait(8 * time.Minute)
		run.Exits(0)
		run.replayed().bringsBack(len(live))
		run.LeavesNothing(program.Soon)
	})
})
