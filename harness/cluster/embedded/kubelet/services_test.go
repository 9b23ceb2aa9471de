package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/baseline"
)

// lookedUp is what became of looking up a name.
type lookedUp struct {
	Found   []string `json:",omitempty"`
	Missing bool     `json:",omitempty"` // the name does not exist
	Error   string   `json:",omitempty"`
}

// lookup asks the pod's resolver, by resolv.conf and hosts file.
func lookup(kind, name string) (l lookedUp) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	switch kind {
	case "A":
		l.Found, err = net.DefaultResolver.LookupHost(ctx, name)
	case "CNAME":
		var found string
		found, err = net.DefaultResolver.LookupCNAME(ctx, name)
		l.Found = []string{found}
	case "TXT":
		l.Found, err = net.DefaultResolver.LookupTXT(ctx, name)
	case "PTR":
		l.Found, err = net.DefaultResolver.LookupAddr(ctx, name)
	case "SRV":
		var records []*net.SRV
		_, records, err = net.DefaultResolver.LookupSRV(ctx, "", "", name)
		for _, r := range records {
			l.Found = append(l.Found, fmt.Sprintf("%s:%d", r.Target, r.Port))
		}
	}
	slices.Sort(l.Found)
	if err != nil {
		l.Found, l.Error = nil, err.Error()
		var notFound *net.DNSError
		l.Missing = errors.As(err, &notFound) && notFound.IsNotFound
	}
	return l
}

// dialAll is all that servers say at an address in so many connections, or why one does not.
func dialAll(network, address, times string) lookedUp {
	n, err := strconv.Atoi(times)
	if err != nil {
		return lookedUp{Error: err.Error()}
	}
	var all lookedUp
	for range n {
		l := dial(network, address)
		if l.Error != "" {
			return l
		}
		all.Found = append(all.Found, l.Found...)
	}
	slices.Sort(all.Found)
	all.Found = slices.Compact(all.Found)
	return all
}

// dial is what a server says, or why it does not.
func dial(network, address string) (l lookedUp) {
	conn, err := net.DialTimeout(network, address, 30*time.Second)
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		question := "GET / HTTP/1.0\r\n\r\n"
		buffer := make([]byte, 1000)
		var n int
		if _, err = conn.Write([]byte(question)); err == nil {
			n, err = conn.Read(buffer)
			_, text, _ := strings.Cut("\n"+string(buffer[:n]), "hello from ")
			l.Found = []string{text}
		}
	}
	if err != nil {
		l.Error = err.Error()
	}
	return l
}

// answerUDP says who it is.
func answerUDP(address string) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return
	}
	buffer := make([]byte, 1000)
	for {
		_, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo([]byte("hello from "+os.Getenv("HOSTNAME")), from)
	}
}

// ask runs the test program in the client's pod.
func (c testCluster) ask(pod string, args ...string) (l lookedUp) {
	c.Helper()
	out, err := c.exec("names", pod, "main", append([]string{"kubelet.test", programCommand}, args...)...)
	c.must(err)
	_, text, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		c.Fatalf("%v in %q", err, out)
	}
	return l
}

// TestServices has the real CoreDNS answer for names as the specification of Kubernetes'
// DNS-based service discovery (1.1.0) has it, and the kernel translate addresses, in pods
// whose containers run.
func TestServices(t *testing.T) {
	if !sandboxed(t, findCoreDNS) {
		return
	}
	coredns := findCoreDNS(t)
	c := startCluster(t, func(config *Config) {
		config.Images = append(config.Images, Image{Repository: "coredns", Program: coredns})
		addresses, err := baseline.AddressesOf(nil)
		if err != nil {
			t.Fatal(err)
		}
		config.Services = &Services{DNS: addresses.DNS, Range: addresses.Services, Reachable: []netip.Addr{addresses.Kubernetes}}
	})
	g := NewWithT(t)
	ctx := t.Context()
	c.must(c.manager.SetNodes(ctx, []cluster.NodeGroup{{InstanceType: "m6i.xlarge", Count: 2}}))
	c.must(baseline.Apply(ctx, c.rest, baseline.Options{Resolution: time.Minute, Names: true}))
	c.namespace("names")

	serve := corev1.Container{Name: "main", Image: "program", Args: []string{programCommand, "serve", "8080"},
		Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "udp", ContainerPort: 8080, Protocol: corev1.ProtocolUDP}},
		ReadinessProbe: startup(probe("/ready", 8080))}
	_, err := c.client.AppsV1().Deployments("names").Create(ctx, deployment("names", "web", 3, serve), metav1.CreateOptions{})
	c.must(err)
	labels := map[string]string{"app": "db"}
	_, err = c.client.AppsV1().StatefulSets("names").Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "names", Name: "db"},
		Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](2), ServiceName: "db", Selector: &metav1.LabelSelector{MatchLabels: labels},
			PodManagementPolicy: appsv1.ParallelPodManagement,
			Template:            corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{serve}}}},
	}, metav1.CreateOptions{})
	c.must(err)
	for name, spec := range map[string]corev1.ServiceSpec{
		"web": {ClusterIP: "172.20.7.7", Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{
			{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}, {Name: "udp", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromString("udp")}}},
		"db":    {ClusterIP: corev1.ClusterIPNone, Selector: labels, Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}},
		"empty": {ClusterIP: "172.20.7.8", Selector: map[string]string{"app": "nobody"}, Ports: []corev1.ServicePort{{Port: 80}}},
		"away":  {Type: corev1.ServiceTypeExternalName, ExternalName: "web.names.svc.cluster.local"},
	} {
		_, err := c.client.CoreV1().Services("names").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
		c.must(err)
	}
	c.create(testPod("names", "client", "program", programCommand, "serve", "9000"), isReady)
	host := testPod("names", "host", "program", programCommand, "serve", "9001")
	host.Spec.HostNetwork = true
	c.create(host, isReady)
	for _, wanted := range []struct {
		namespace, selector string
		count               int
	}{{"kube-system", "k8s-app=kube-dns", 2}, {"names", "app=web", 3}, {"names", "app=db", 2}} {
		c.eventually(func() string {
			pods, err := c.client.CoreV1().Pods(wanted.namespace).List(ctx, metav1.ListOptions{LabelSelector: wanted.selector})
			c.must(err)
			n := 0
			for _, p := range pods.Items {
				if isReady(&p) == "" {
					n++
				}
			}
			if n < wanted.count {
				return fmt.Sprintf("%d pods of %s are ready, want %d", n, wanted.selector, wanted.count)
			}
			return ""
		})
	}

	resolv := c.show("names", "client", "main", "/etc/resolv.conf")["/etc/resolv.conf"]
	g.Expect(resolv).To(Equal("nameserver 172.20.0.10\nsearch names.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"))
	g.Expect(c.show("names", "host", "main", "/etc/resolv.conf")["/etc/resolv.conf"]).To(Equal(unanswered))

	db0, db1 := c.pod("names", "db-0").Status.PodIP, c.pod("names", "db-1").Status.PodIP
	both := []string{db0, db1}
	slices.Sort(both)
	const zone = ".svc.cluster.local."
	for _, question := range []struct {
		kind, name string
		want       []string
	}{
		{"A", "web", []string{"172.20.7.7"}}, // by the search list
		{"A", "web.names", []string{"172.20.7.7"}},
		{"A", "web.names" + zone, []string{"172.20.7.7"}},
		{"A", "kubernetes.default", []string{"172.20.0.1"}},
		{"SRV", "_http._tcp.web.names" + zone, []string{"web.names" + zone + ":80"}},
		{"SRV", "_udp._udp.web.names" + zone, []string{"web.names" + zone + ":53"}},
		{"PTR", "172.20.7.7", []string{"web.names" + zone}},
		{"A", "db", both},
		{"A", "db-1.db.names" + zone, []string{db1}},
		{"A", "db-0.db", []string{db0}},
		{"SRV", "_http._tcp.db.names" + zone, []string{"db-0.db.names" + zone + ":8080", "db-1.db.names" + zone + ":8080"}},
		{"PTR", db0, []string{"db-0.db.names" + zone}},
		{"CNAME", "away.names" + zone, []string{"web.names" + zone}},
		{"A", "away", []string{"172.20.7.7"}},
		{"TXT", "dns-version.cluster.local.", []string{"1.1.0"}},
		{"A", "empty", []string{"172.20.7.8"}},
	} {
		// CoreDNS hears of changes by watching.
		g.Eventually(func() lookedUp { return c.ask("client", "lookup", question.kind, question.name) }).WithTimeout(time.Minute).
			Should(Equal(lookedUp{Found: question.want}), "%s %s", question.kind, question.name)
	}
	for _, name := range []string{"nothing", "web.nowhere", "nothing.names" + zone, "db-2.db", "example.com", "example.com.", "_http._tcp.web.names" + zone + "x."} {
		g.Expect(c.ask("client", "lookup", "A", name)).To(HaveField("Missing", true), name)
	}

	// An address is each of the endpoints in turn, by both protocols; so is its name.
	pods, err := c.client.CoreV1().Pods("names").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
	c.must(err)
	var all []string
	for _, p := range pods.Items {
		all = append(all, p.Name)
	}
	slices.Sort(all)
	// Pods are ready before the rules of others know: EndpointSlices come after them.
	g.Eventually(func() lookedUp { return c.ask("client", "dial", "tcp", "172.20.7.7:80", "60") }).WithTimeout(time.Minute).
		Should(Equal(lookedUp{Found: all}))
	for _, asked := range [][]string{{"tcp", "172.20.7.7:80"}, {"udp", "172.20.7.7:53"}, {"tcp", "web:80"}} {
		g.Expect(c.ask("client", "dial", asked[0], asked[1], "60")).To(Equal(lookedUp{Found: all}), "%v", asked)
	}
	g.Expect(c.ask("client", "dial", "tcp", "empty:80", "1").Error).To(ContainSubstring("connection refused"))
	g.Expect(c.ask("client", "dial", "tcp", "172.20.0.1:443", "1").Error).NotTo(ContainSubstring("refused")) // not HTTP, but there
	// An endpoint reaches itself by its Service's address, too.
	g.Expect(c.ask("db-0", "dial", "tcp", "db-0.db:8080", "9").Found).To(Equal([]string{"db-0"}))

	// Endpoints that are gone are asked no more.
	scale, err := c.client.AppsV1().Deployments("names").GetScale(ctx, "web", metav1.GetOptions{})
	c.must(err)
	scale.Spec.Replicas = 1
	scale.ResourceVersion = "" // the controller may write, too
	_, err = c.client.AppsV1().Deployments("names").UpdateScale(ctx, "web", scale, metav1.UpdateOptions{})
	c.must(err)
	g.Eventually(func() []string { return c.ask("client", "dial", "tcp", "172.20.7.7:80", "30").Found }).WithTimeout(time.Minute).Should(HaveLen(1))
	scale.Spec.Replicas = 0
	scale.ResourceVersion = ""
	_, err = c.client.AppsV1().Deployments("names").UpdateScale(ctx, "web", scale, metav1.UpdateOptions{})
	c.must(err)
	g.Eventually(func() string { return c.ask("client", "dial", "tcp", "172.20.7.7:80", "1").Error }).WithTimeout(time.Minute).
		Should(ContainSubstring("connection refused"))
}
