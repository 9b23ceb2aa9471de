package e2e

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
)

// push is one response of istiod, as its log has it.
type push struct {
	kind               string // CDS, …
	asked              bool   // the proxy has asked
	resources, removed int
	size               string
}

// pushed is a line of istiod's log about a response to a proxy (pilot/pkg/xds/delta.go).
var pushed = regexp.MustCompile(`\t([A-Z]+): PUSH( INC)?( request)? for node:(\S+) resources:(\d+) removed:(\d+) size:(\S+)`)

// pushesTo are the responses that an istiod's log tells of, by proxy, NAME.NAMESPACE.
func pushesTo(log string) map[string][]push {
	GinkgoHelper()
	all := map[string][]push{}
	for _, m := range pushed.FindAllStringSubmatch(log, -1) {
		resources, err := strconv.Atoi(m[5])
		Expect(err).NotTo(HaveOccurred())
		removed, err := strconv.Atoi(m[6])
		Expect(err).NotTo(HaveOccurred())
		all[m[4]] = append(all[m[4]], push{m[1], m[3] != "", resources, removed, m[7]})
	}
	return all
}

// byKind puts a proxy's responses in the order of kinds: what is sent and what is asked for
// meanwhile may come in one order or the other.
func byKind(list []push) map[string][]push {
	all := map[string][]push{}
	for _, p := range list {
		all[p.kind] = append(all[p.kind], p)
	}
	return all
}

// istiod asks an istiod itself, in its container.
func (c *leftUp) istiod(g Gomega, path string) string {
	out, err := c.kubectl("exec", "-n", "istio-system", "deploy/istiod", "--", "pilot-discovery", "request", "GET", path)
	g.Expect(err).NotTo(HaveOccurred())
	return out
}

// watches are what each connected proxy has asked istiod for, by name, NAME.NAMESPACE, and
// type URL.
func (c *leftUp) watches(g Gomega) map[string]map[string][]string {
	var answer struct {
		Clients []struct {
			ID      string              `json:"connectionId"`
			Watches map[string][]string `json:"watches"`
		} `json:"clients"`
	}
	g.Expect(json.Unmarshal([]byte(c.istiod(g, "/debug/adsz")), &answer)).To(Succeed())
	all := map[string]map[string][]string{}
	for _, client := range answer.Clients {
		for _, names := range client.Watches {
			slices.Sort(names)
		}
		all[client.ID[:strings.LastIndexByte(client.ID, '-')]] = client.Watches
	}
	return all
}

// Services, of ports with and without a protocol, one that has no address, and what narrows
// what a proxy is sent.
const lightChanges = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {selector: {app: web}, ports: [{port: 80, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: tcp, namespace: demo}
spec: {selector: {app: web}, ports: [{port: 90}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: demo}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 100, name: http}]}
`

const lightScope = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: demo}
spec: {egress: [{hosts: [./*]}]}
`

var _ = Describe("light proxies", Label("light"), func() {
	It("are to istiod what a real sidecar of the same Deployment is", func() {
		const proxies = 21
		c := leaveUp(invoker, "--nodes", "m6i.32xlarge=1", "--real", "1", "--light", "all", "--mesh-set", "meshConfig.defaultConfig.drainDuration=2s")
		c.must("create", "namespace", "demo")
		c.must("label", "namespace", "demo", "istio-injection=enabled")
		c.must("create", "deployment", "web", "-n", "demo", "--image=nginx", "--replicas="+fmt.Sprint(proxies))
		c.must("rollout", "status", "deployment/web", "-n", "demo", "--timeout=90s")
		var real string
		for _, p := range c.pods("demo", "app=web") {
			s := container(p, "istio-proxy")
			Expect(s.Ready).To(BeTrue())
			if strings.HasPrefix(s.ContainerID, "process://") {
				Expect(real).To(BeEmpty(), "two are real")
				real = p.Name + ".demo"
			} else {
				Expect(s.ContainerID).To(HavePrefix("light://"))
			}
		}
		Expect(real).NotTo(BeEmpty(), "none is real")

		// alike waits until every proxy has asked for what the real one has, and returns that.
		alike := func() map[string][]string {
			GinkgoHelper()
			var wanted map[string][]string
			Eventually(func(g Gomega) {
				all := c.watches(g)
				g.Expect(all).To(HaveLen(proxies))
				wanted = all[real]
				for name, watches := range all {
					g.Expect(watches).To(Equal(wanted), name)
				}
			}, 30*time.Second, time.Second).Should(Succeed())
			return wanted
		}
		const routes = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
		before := alike()
		// quiet waits until istiod's log stands still, and returns it.
		quiet := func() (log string) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				last := log
				log = c.must("logs", "-n", "istio-system", "deploy/istiod")
				g.Expect(log).To(Equal(last))
			}, time.Minute, 2*time.Second).Should(Succeed())
			return log
		}
		begun := len(quiet())
		for _, change := range []string{lightChanges, lightScope} {
			Expect(c.apply(change)).To(Succeed())
			quiet()
			alike()
		}
		c.must("scale", "deployment", "web", "-n", "demo", "--replicas="+fmt.Sprint(proxies)) // no change
		c.must("delete", "sidecars.networking.istio.io", "default", "-n", "demo")
		quiet()
		Expect(alike()[routes]).To(HaveLen(len(before[routes])+3), "one for each Service: two port numbers of HTTP, one address")
		c.must("delete", "service", "web", "tcp", "headless", "-n", "demo")
		log := quiet()
		Expect(alike()).To(Equal(before), "what is gone is not asked for any more")

		pushes := pushesTo(log[begun:])
		Expect(pushes).To(HaveLen(proxies))
		want := byKind(pushes[real])
		Expect(want).To(HaveKey("EDS"))
		// istiod makes one push of two for a proxy whose turn has not come yet, so that proxies,
		// real ones too, differ in how many they get.
		same := 0
		for name, list := range pushes {
			if name != real && reflect.DeepEqual(byKind(list), want) {
				same++
			}
		}
		Expect(same).NotTo(BeZero(), "no light proxy was sent what the real one was: %v", pushes)
		Expect(log).NotTo(ContainSubstring("mismatch"), "istiod has found a request that an Envoy does not make")
		metrics := c.istiod(Default, "/metrics")
		Expect(metrics).To(ContainSubstring("citadel_server_success_cert_issuance_count " + fmt.Sprint(proxies)))
		c.down(invoker)
	})

	It("are a thousand beside 20 real sidecars, with exact counts", Label(nightly), func() {
		r, records := invoker.ran(20*time.Minute, "light")
		var last *observations.Light
		for _, record := range records {
			if record.Light != nil {
				last = record.Light
			}
		}
		Expect(last).NotTo(BeNil())
		Expect(last.Clients).To(Equal(1000))
		Expect(last.Connected).To(Equal(1000))
		Expect(last.Acknowledged).To(Equal(1000))
		Expect(last.Certificates).To(BeNumerically(">=", 1000))
		Expect(last.Error).To(BeEmpty())
		step := r.Steps[len(r.Steps)-1]
		Expect(step.Objects.RealSidecars).To(Equal(20))
		Expect(step.Objects.LightSidecars).To(Equal(1000))
		GinkgoWriter.Printf("a light proxy costs %.1f ms of CPU and %d KiB\n", 1000*last.CPUSeconds/1000, last.MemoryBytes/1000/1024)
	})
})
