package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/internal/skip"
	"github.com/meshbench/meshbench/observations"
)

// scrapeInterval is the Prometheus' own.
const scrapeInterval = 3 * time.Second

// prometheusProgram is the program of that name, or that of Debian's package, which is unpacked
// and not installed.
func prometheusProgram(dir string) string {
	GinkgoHelper()
	if path, err := exec.LookPath("prometheus"); err == nil {
		return path
	}
	download := exec.Command("sh", "-c", "apt-get download prometheus && dpkg -x prometheus_*.deb unpacked")
	download.Dir = dir
	if out, err := download.CombinedOutput(); err != nil {
		skip.Missing(GinkgoT(), "there is no program prometheus, and its package cannot be unpacked (%v): install it, or let apt-get reach an archive\n%s", err, out)
	}
	return filepath.Join(dir, "unpacked/usr/bin/prometheus")
}

// prometheus is a running one.
type prometheus struct{ url string }

// kubelets is a job that scrapes the nodes that [leftUp.letScrape] names, through the API
// server. By name, for Debian's program cannot find nodes by itself.
func kubelets(job string) string {
	return fmt.Sprintf(`- job_name: %s
  scheme: https
  authorization: {credentials_file: token}
  tls_config: {insecure_skip_verify: true}
  file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
  relabel_configs:
  - {source_labels: [__address__], target_label: instance}
  - {source_labels: [__address__], target_label: __metrics_path__, replacement: /api/v1/nodes/$1/proxy/metrics/resource}
  - {source_labels: [__api__], target_label: __address__}
`, job)
}

// letScrape gives a Prometheus in a folder the right to ask the cluster's nodes, and their names.
func (c *leftUp) letScrape(dir string) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return err
	}
	nodes, err := c.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
	if err == nil && nodes == "" {
		err = errors.New("there is no node yet")
	}
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"create", "serviceaccount", "prometheus", "-n", "kube-system"},
		{"create", "clusterrole", "scrape", "--verb=get", "--resource=nodes/proxy"},
		{"create", "clusterrolebinding", "scrape", "--clusterrole=scrape", "--serviceaccount=kube-system:prometheus"},
	} {
		if _, err := c.kubectl(args...); err != nil && !strings.Contains(err.Error(), "already exists") {
			return err
		}
	}
	token, err := c.kubectl("create", "token", "prometheus", "-n", "kube-system")
	if err != nil {
		return err
	}
	targets, err := json.Marshal([]map[string]any{{"targets": strings.Fields(nodes), "labels": map[string]string{"__api__": strings.TrimPrefix(cfg.Host, "https://")}}})
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "token"), []byte(strings.TrimSpace(token)), 0o600),
		os.WriteFile(filepath.Join(dir, "targets.json"), targets, 0o600))
}

// startPrometheus runs one with these jobs until the spec ends.
func startPrometheus(dir string, jobs ...string) *prometheus {
	GinkgoHelper()
	program := prometheusProgram(dir)
	config := fmt.Sprintf("global: {scrape_interval: %s, scrape_timeout: 2s}\nscrape_configs:\n", scrapeInterval) + strings.Join(jobs, "")
	Expect(os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600)).To(Succeed())
	free, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	address := free.Addr().String()
	Expect(free.Close()).To(Succeed())
	cmd := exec.Command(program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = GinkgoWriter, GinkgoWriter
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		Expect(cmd.Process.Signal(syscall.SIGTERM)).To(Succeed())
		_ = cmd.Wait()
	})
	p := &prometheus{"http://" + address}
	Eventually(func(g Gomega) {
		response, err := http.Get(p.url + "/-/ready")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.Body.Close()).To(Succeed())
		g.Expect(response.StatusCode).To(Equal(http.StatusOK))
	}, 30*time.Second, 200*time.Millisecond).Should(Succeed())
	return p
}

// sampler reads a cluster, and memory through a source.
func sampler(cfg *rest.Config, source sample.Source) *sample.Sampler {
	GinkgoHelper()
	s, err := sample.New(cfg, sample.Scope{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	Expect(s.ReadFrom(source)).To(Succeed())
	return s
}

// job reads one job's series.
func (p *prometheus) job(name string) sample.Source {
	source := sample.Source{Through: observations.ThroughPrometheus, Prometheus: sample.Prometheus{URL: p.url}}
	if name != "" {
		source.Prometheus.Match = map[string]string{"job": name}
	}
	return source
}

// proxies are the readings of sidecars, by pod.
func proxies(usage []observations.Usage) map[string]observations.Usage {
	found := map[string]observations.Usage{}
	for _, u := range usage {
		if u.Container == observations.SidecarContainer {
			found[u.Namespace+"/"+u.Pod] = u
		}
	}
	return found
}

// cadvisor serves the page of a kubelet's /metrics/cadvisor with times of now, and fails while
// it is off.
func cadvisor(off *atomic.Bool) *httptest.Server {
	GinkgoHelper()
	page, err := os.ReadFile("../harness/sample/testdata/cadvisor.txt")
	Expect(err).NotTo(HaveOccurred())
	stamp := regexp.MustCompile(`(?m) 17639640\d+$`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if off.Load() {
			http.Error(w, "the kubelet is away", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write(stamp.ReplaceAll(page, fmt.Appendf(nil, " %d", time.Now().UnixMilli())))
	}))
	DeferCleanup(server.Close)
	return server
}

var _ = Describe("memory through a real Prometheus", Ordered, Label("prometheus"), func() {
	var (
		c      *leftUp
		cfg    *rest.Config
		prom   *prometheus
		away   atomic.Bool // the kubelet of the page
		ctx    = context.Background()
		within = func(a, b int64, share float64) bool { return float64(max(a-b, b-a)) <= share*float64(min(a, b)) }
	)
	BeforeAll(func() {
		c = leaveUp(invoker, "--nodes", "m6i.large=2", "--real", "2")
		c.must("create", "namespace", "demo")
		c.must("label", "namespace", "demo", "istio-injection=enabled")
		c.must("create", "deployment", "web", "-n", "demo", "--image=nginx", "--replicas=3")
		c.must("rollout", "status", "deployment/web", "-n", "demo", "--timeout=90s")
		c.must("create", "serviceaccount", "reader", "-n", "demo")
		c.must("create", "clusterrole", "read", "--verb=get,list", "--resource=pods")
		c.must("create", "clusterrolebinding", "read", "--clusterrole=read", "--serviceaccount=demo:reader")

		var err error
		cfg, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		dir, err := os.MkdirTemp(invoker.Dir, "prometheus-")
		Expect(err).NotTo(HaveOccurred())
		Expect(c.letScrape(dir)).To(Succeed())
		page := cadvisor(&away)
		prom = startPrometheus(dir, kubelets("kubelet"), kubelets("again"),
			fmt.Sprintf("- job_name: cadvisor\n  metrics_path: /metrics/cadvisor\n  static_configs: [{targets: [%q]}]\n", strings.TrimPrefix(page.URL, "http://")))
	})

	It("agrees with the metrics API and the kubelets within 2 %", func() {
		api, asked := sampler(cfg, sample.Source{}), sampler(cfg, prom.job("kubelet"))
		nodes := sampler(cfg, sample.Source{Through: observations.ThroughKubelet})
		Eventually(func(g Gomega) {
			pods, err := api.Pods(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			var read []map[string]observations.Usage
			for _, s := range []*sample.Sampler{api, asked, nodes} {
				usage, err := s.Usage(ctx, pods)
				g.Expect(err).NotTo(HaveOccurred())
				read = append(read, proxies(usage))
				g.Expect(read[len(read)-1]).To(HaveLen(2), "proxies known to %s", s.Reader())
			}
			for pod, want := range read[0] {
				for _, got := range []observations.Usage{read[1][pod], read[2][pod]} {
					g.Expect(want.Measured.Sub(got.Measured).Abs()).To(BeNumerically("<", scrapeInterval), "moments of %s", pod)
					g.Expect(within(want.MemoryBytes, got.MemoryBytes, 0.02)).To(BeTrue(), "%s: %d and %d bytes", pod, want.MemoryBytes, got.MemoryBytes)
					g.Expect(got.CPUKnown()).To(BeTrue())
				}
				AddReportEntry(pod, fmt.Sprintf("metrics API %d bytes, Prometheus %d (%s apart), kubelet %d; CPU %d, %d and %d nanocores over %s, %s and %s",
					want.MemoryBytes, read[1][pod].MemoryBytes, want.Measured.Sub(read[1][pod].Measured).Abs(), read[2][pod].MemoryBytes,
					want.CPUNano, read[1][pod].CPUNano, read[2][pod].CPUNano, want.Window, read[1][pod].Window, read[2][pod].Window))
			}
			istiods, err := asked.Istiod(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(istiods).To(HaveLen(1))
			g.Expect(istiods[0].MemoryBytes).To(BeNumerically(">", 20<<20))
			g.Expect(istiods[0].CPUNano).To(BeNumerically(">", 0))
		}, 3*time.Minute, 500*time.Millisecond).Should(Succeed())
		Expect(asked.Reader()).To(Equal("Prometheus (a sample each 3 s)"))
	})

	It("refuses two values for one container and names the jobs", func() {
		// On a busy machine one of the jobs may have no fresh sample for a moment.
		refused := And(ContainSubstring("of the jobs again and kubelet"), ContainSubstring("--prometheus-job"))
		Eventually(func() error {
			_, err := sampler(cfg, prom.job("")).Usage(ctx, nil)
			return err
		}, time.Minute, time.Second).Should(MatchError(refused))
		Eventually(func() error {
			_, err := sampler(cfg, prom.job("")).Istiod(ctx) // with which a run begins
			return err
		}, time.Minute, time.Second).Should(MatchError(refused))
	})

	// The page is in cAdvisor's form, of pods that are not in this cluster.
	It("reads containers of a page of cAdvisor, and nothing of what is old", func() {
		pods := []sample.Pod{
			{Namespace: "istio-system", Name: "istiod-7d5f9c6c8b-x2k4p"},
			{Namespace: "ns1", Name: "test-7955cf7657-8zbn8", RealProxy: true},
		}
		asked := sampler(cfg, prom.job("cadvisor"))
		Eventually(func(g Gomega) {
			usage, err := asked.Usage(ctx, pods)
			g.Expect(err).NotTo(HaveOccurred())
			memory := map[string]int64{}
			for _, u := range usage {
				memory[u.Pod+"/"+u.Container] = u.MemoryBytes
			}
			g.Expect(memory).To(Equal(map[string]int64{
				"istiod-7d5f9c6c8b-x2k4p/discovery": 61648896, "test-7955cf7657-8zbn8/istio-proxy": 41861120, "test-7955cf7657-8zbn8/nginx": 3129344,
			}))
		}, 30*time.Second, time.Second).Should(Succeed())
		// The page has times of its own, so Prometheus itself goes on telling of what is gone.
		away.Store(true)
		Eventually(func() ([]observations.Usage, error) { return asked.Usage(ctx, pods) }, 2*scrapeInterval+2*time.Second, time.Second).Should(BeEmpty())
	})

	It("gives the series to who may not ask nodes", func() {
		token := strings.TrimSpace(c.must("create", "token", "reader", "-n", "demo"))
		reader := rest.AnonymousClientConfig(cfg)
		reader.BearerToken = token
		s := sampler(reader, prom.job("kubelet"))
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		var why []error
		times := map[string]map[time.Time]bool{} // by pod
		err := s.Series(ctx, func(r observations.Series) {
			for _, p := range r.Containers {
				if p.Container != observations.SidecarContainer {
					continue
				}
				Expect(p.MemoryBytes).To(BeNumerically(">", 10<<20))
				Expect(p.CPUSeconds).To(BeNumerically(">", 0))
				if times[p.Pod] == nil {
					times[p.Pod] = map[time.Time]bool{}
				}
				Expect(times[p.Pod][r.Measured]).To(BeFalse(), "a reading comes twice")
				times[p.Pod][r.Measured] = true
			}
			if len(times) == 2 && len(times[r.Containers[0].Pod]) == 3 {
				cancel()
			}
		}, func(reason error) { why = append(why, reason) })
		Expect(err).NotTo(HaveOccurred())
		Expect(why).To(ConsistOf(MatchError(ContainSubstring("the right to get nodes/proxy"))))
		Expect(times).To(HaveLen(2))
		Expect(s.LongestInterval()).To(Equal(20 * time.Second))
	})
})

var _ = Describe("a run that reads memory through Prometheus", Label("prometheus"), func() {
	It("settles on its samples", func() {
		dir, err := os.MkdirTemp(invoker.Dir, "prometheus-")
		Expect(err).NotTo(HaveOccurred())
		prom := startPrometheus(dir, kubelets("kubelet"))
		run := invoker.startRun("one-pod", "--memory-source", "prometheus", "--prometheus-url", prom.url, "--api-port")
		// The cluster is the run's own: Prometheus learns of it once it is there.
		var c *leftUp
		Eventually(func(g Gomega) {
			found := run.Kubeconfig()
			g.Expect(found).NotTo(BeEmpty())
			c = &leftUp{kubeconfig: found}
			g.Expect(c.letScrape(dir)).To(Succeed())
		}, 2*time.Minute, time.Second).Should(Succeed())
		run.Wait(5 * time.Minute)
		Expect(run.Exits(0).Both.String()).To(ContainSubstring("(pilot-agent and Envoy) from Prometheus"))
		records, _, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
		Expect(err).NotTo(HaveOccurred())
		Expect(records[0].Run.ReadThrough).To(Equal(observations.ThroughPrometheus))
		read := 0
		for _, r := range records {
			if u := r.Usage; u != nil && u.Container == observations.SidecarContainer {
				read++
				Expect(u.MemoryBytes).To(BeNumerically(">", 10<<20))
				Expect(u.Window).To(BeNumerically("~", scrapeInterval, time.Second))
				Expect(u.CPUKnown()).To(BeTrue())
			}
		}
		Expect(read).To(BeNumerically(">", 0))
	})
})
