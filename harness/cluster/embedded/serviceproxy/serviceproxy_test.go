package serviceproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/kube/informers"
	"github.com/meshbench/meshbench/internal/ownnetwork"
)

// here is the test's own network namespace as that of a pod.
type here struct{}

func (*here) Nftables() (*nftables.Conn, error) { return nftables.New() }

// world is a network namespace with addresses of endpoints, and a proxy that follows what a
// client writes.
type world struct {
	Gomega
	t      testing.TB
	client *fake.Clientset
	proxy  *Proxy
}

// open makes a world whose proxy has seen what client holds.
func open(t testing.TB, client *fake.Clientset) *world {
	t.Helper()
	w := &world{NewWithT(t), t, client, nil}
	lo, err := netlink.LinkByName("lo")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(netlink.LinkSetUp(lo)).To(Succeed())
	// What is sent to a Service needs a route before it is translated.
	services := netlink.Route{LinkIndex: lo.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4(172, 20, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}}
	w.Expect(netlink.RouteAdd(&services)).To(Succeed())
	for i := range 4 {
		address := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 0, 0, byte(1+i)).To4(), Mask: net.CIDRMask(32, 32)}}
		w.Expect(netlink.AddrAdd(lo, address)).To(Succeed())
	}
	factory := informers.New(client, informers.Options{})
	w.proxy, err = New(factory, Config{Services: netip.MustParsePrefix("172.20.0.0/16"), Reachable: []netip.Addr{netip.MustParseAddr("172.20.0.1")}})
	w.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	w.Expect(factory.Sync(ctx)).To(Succeed())
	done := make(chan struct{})
	go func() { defer close(done); w.proxy.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; factory.Wait() })
	return w
}

// listen answers at an address with the address.
func (w *world) listen(address string) {
	w.t.Helper()
	tcp, err := net.Listen("tcp", address)
	w.Expect(err).NotTo(HaveOccurred())
	udp, err := net.ListenPacket("udp", address)
	w.Expect(err).NotTo(HaveOccurred())
	w.t.Cleanup(func() { tcp.Close(); udp.Close() })
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, address)
			conn.Close()
		}
	}()
	go func() {
		buffer := make([]byte, 10)
		for {
			_, from, err := udp.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte(address), from)
		}
	}()
}

// ask returns what answers at an address, or why nothing does.
func ask(network, address string, control func(string, string, syscall.RawConn) error) (string, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second, Control: control}).Dial(network, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if network == "udp" {
		if _, err := conn.Write([]byte("?")); err != nil {
			return "", err
		}
	}
	buffer := make([]byte, 100)
	n, err := conn.Read(buffer)
	return string(buffer[:n]), err
}

// answers are those that come at an address within many questions.
func answers(network, address string) (map[string]bool, error) {
	found := map[string]bool{}
	for range 60 {
		answer, err := ask(network, address, nil)
		if err != nil {
			return found, err
		}
		found[answer] = true
	}
	return found, nil
}

func (w *world) eventually(network, address string, want ...string) {
	w.t.Helper()
	all := map[string]bool{}
	for _, a := range want {
		all[a] = true
	}
	w.Eventually(func() (map[string]bool, error) { return answers(network, address) }).WithTimeout(time.Minute).Should(Equal(all))
}

func (w *world) refused(network, address string) {
	w.t.Helper()
	w.Eventually(func() error { _, err := ask(network, address, nil); return err }).WithTimeout(time.Minute).Should(MatchError(syscall.ECONNREFUSED))
}

func (w *world) slice(slice *discoveryv1.EndpointSlice) {
	w.t.Helper()
	api := w.client.DiscoveryV1().EndpointSlices(slice.Namespace)
	_, err := api.Update(w.t.Context(), slice, metav1.UpdateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
}

// TestTranslation has the kernel translate: what is asked at a Service's address is answered
// by each of its endpoints and by no other, and refused at once where there are none.
func TestTranslation(t *testing.T) {
	if !ownnetwork.Is(t) {
		return
	}
	const tcp, udp = corev1.ProtocolTCP, corev1.ProtocolUDP
	web := newService("web", "172.20.0.5", corev1.ServicePort{Name: "http", Port: 80, Protocol: tcp}, corev1.ServicePort{Name: "dns", Port: 53, Protocol: udp})
	ports := []discoveryv1.EndpointPort{endpointPort("http", 8080, tcp), endpointPort("dns", 5353, udp)}
	other := newService("other", "172.20.0.6", corev1.ServicePort{Name: "http", Port: 8000, Protocol: tcp})
	empty := newService("empty", "172.20.0.7", corev1.ServicePort{Name: "http", Port: 80}, corev1.ServicePort{Name: "dns", Port: 53, Protocol: udp})
	w := open(t, fake.NewClientset(web, other, empty,
		newSlice("web", "web-1", ports, ready("10.0.0.1"), ready("10.0.0.2")),
		newSlice("web", "web-2", ports, ready("10.0.0.3")),
		newSlice("other", "other-1", ports, ready("10.0.0.1"), ready("10.0.0.2"), ready("10.0.0.3"))))
	for i := 1; i <= 4; i++ {
		w.listen(fmt.Sprintf("10.0.0.%d:8080", i))
		w.listen(fmt.Sprintf("10.0.0.%d:5353", i))
	}
	pod := &here{}
	w.Expect(w.proxy.Attach("ns/pod", pod)).To(Succeed())
	w.Expect(w.proxy.Attach("ns/pod", pod)).To(MatchError(ContainSubstring("attached already")))

	// What Attach found is there when it returns.
	w.Expect(answers("tcp", "172.20.0.5:80")).To(Equal(map[string]bool{"10.0.0.1:8080": true, "10.0.0.2:8080": true, "10.0.0.3:8080": true}))
	w.Expect(answers("udp", "172.20.0.5:53")).To(Equal(map[string]bool{"10.0.0.1:5353": true, "10.0.0.2:5353": true, "10.0.0.3:5353": true}))
	w.Expect(answers("tcp", "172.20.0.6:8000")).To(HaveLen(3))
	for _, address := range []string{"172.20.0.5:81", "172.20.0.7:80", "172.20.99.99:80"} { // port, endpoints, Service that is not there
		_, err := ask("tcp", address, nil)
		w.Expect(err).To(MatchError(syscall.ECONNREFUSED), address)
	}
	for _, address := range []string{"172.20.0.5:80", "172.20.0.7:53"} {
		_, err := ask("udp", address, nil)
		w.Expect(err).To(MatchError(syscall.EPERM), address) // of the write, as the packet goes no further
	}

	// A change, of one Service that shared its endpoints.
	w.slice(newSlice("web", "web-2", ports, ready("10.0.0.4")))
	w.eventually("tcp", "172.20.0.5:80", "10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.4:8080")
	w.eventually("tcp", "172.20.0.6:8000", "10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080")
	w.slice(newSlice("web", "web-2", ports))
	w.slice(newSlice("web", "web-1", ports, ending("10.0.0.1", true), ending("10.0.0.2", false)))
	w.eventually("tcp", "172.20.0.5:80", "10.0.0.1:8080")
	w.slice(newSlice("web", "web-1", ports))
	w.refused("tcp", "172.20.0.5:80")
	w.slice(newSlice("web", "web-1", ports, ready("10.0.0.2")))
	w.eventually("tcp", "172.20.0.5:80", "10.0.0.2:8080")
	w.eventually("udp", "172.20.0.5:53", "10.0.0.2:5353")

	// Another address, and none.
	web.Spec.ClusterIP = "172.20.0.50"
	_, err := w.client.CoreV1().Services("ns").Update(t.Context(), web, metav1.UpdateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	w.eventually("tcp", "172.20.0.50:80", "10.0.0.2:8080")
	w.refused("tcp", "172.20.0.5:80")
	w.Expect(w.client.CoreV1().Services("ns").Delete(t.Context(), "web", metav1.DeleteOptions{})).To(Succeed())
	w.refused("tcp", "172.20.0.50:80")

	// Nothing is changed any more.
	w.proxy.Detach(pod)
	w.proxy.Detach(pod)
	w.slice(newSlice("other", "other-1", ports, ready("10.0.0.4")))
	w.Eventually(func() int { w.proxy.mu.Lock(); defer w.proxy.mu.Unlock(); return len(w.proxy.current.frontends) }).WithTimeout(time.Minute).Should(Equal(1))
	w.Expect(answers("tcp", "172.20.0.6:8000")).To(HaveLen(3))
}

// TestBehindRedirection: Istio's rules, which come first, redirect what an application sends
// to its sidecar with the address that it was sent to, and what the sidecar sends to that
// address is translated.
func TestBehindRedirection(t *testing.T) {
	if !ownnetwork.Is(t) {
		return
	}
	ports := []discoveryv1.EndpointPort{endpointPort("http", 8080, corev1.ProtocolTCP)}
	w := open(t, fake.NewClientset(newService("web", "172.20.0.5", corev1.ServicePort{Name: "http", Port: 80}),
		newSlice("web", "web-1", ports, ready("10.0.0.1"))))
	w.listen("10.0.0.1:8080")
	conn, err := nftables.New()
	w.Expect(err).NotTo(HaveOccurred())
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "istio"})
	chain := conn.AddChain(&nftables.Chain{Table: table, Name: "output", Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(1337)},
		&expr.Verdict{Kind: expr.VerdictReturn},
	}})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(15001)},
		&expr.Redir{RegisterProtoMin: 1},
	}})
	w.Expect(conn.Flush()).To(Succeed())
	w.Expect(w.proxy.Attach("ns/pod", &here{})).To(Succeed())

	proxy, err := net.Listen("tcp", "127.0.0.1:15001")
	w.Expect(err).NotTo(HaveOccurred())
	defer proxy.Close()
	seen := make(chan string, 1)
	go func() {
		conn, err := proxy.Accept()
		if err != nil {
			return
		}
		seen <- originalAddress(conn.(*net.TCPConn))
		fmt.Fprint(conn, "proxy")
		conn.Close()
	}()
	w.Expect(ask("tcp", "172.20.0.5:80", nil)).To(Equal("proxy"))
	w.Expect(<-seen).To(Equal("172.20.0.5:80"))
	w.Expect(ask("tcp", "172.20.0.5:80", marked)).To(Equal("10.0.0.1:8080"))
}

// marked marks a socket as the proxy's.
func marked(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, 1337) })
	return errors.Join(err, set)
}

// originalAddress is where a redirected connection was sent to.
func originalAddress(conn *net.TCPConn) string {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err.Error()
	}
	text := ""
	if err := raw.Control(func(fd uintptr) {
		// struct sockaddr_in fits into what this reads.
		m, err := unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, unix.SO_ORIGINAL_DST)
		if err != nil {
			text = err.Error()
			return
		}
		text = netip.AddrPortFrom(netip.AddrFrom4([4]byte(m.Multiaddr[4:8])), uint16(m.Multiaddr[2])<<8|uint16(m.Multiaddr[3])).String()
	}); err != nil {
		return err.Error()
	}
	return text
}

// kernel reads back what the namespace has: endpoints by frontend.
func kernel(g Gomega) map[frontend][]backend {
	conn, err := nftables.New()
	g.Expect(err).NotTo(HaveOccurred())
	table := newTable()
	elements := func(name string) []nftables.SetElement {
		set, err := conn.GetSetByName(table.Table, name)
		g.Expect(err).NotTo(HaveOccurred())
		found, err := conn.GetSetElements(set)
		g.Expect(err).NotTo(HaveOccurred())
		return found
	}
	all := map[uint32]map[uint32]backend{}
	count := 0
	for _, e := range elements("endpoints") {
		id, n := binaryutil.NativeEndian.Uint32(e.Key[:4]), binaryutil.NativeEndian.Uint32(e.Key[4:])
		if all[id] == nil {
			all[id] = map[uint32]backend{}
		}
		all[id][n] = backend{[4]byte(e.Val[:4]), uint16(e.Val[4])<<8 | uint16(e.Val[5])}
		count++
	}
	front := func(key []byte) frontend {
		return frontend{[4]byte(key[:4]), key[4], uint16(key[8])<<8 | uint16(key[9])}
	}
	groups, used := map[frontend]uint32{}, map[uint32]bool{}
	for _, e := range elements("groups") {
		groups[front(e.Key)] = binaryutil.NativeEndian.Uint32(e.Val)
		used[binaryutil.NativeEndian.Uint32(e.Val)] = true
	}
	found := map[frontend][]backend{}
	sizes := map[string]bool{"output": true, "refuse": true}
	for _, e := range elements("services") {
		f := front(e.Key)
		members := all[groups[f]]
		chain := "of-" + strconv.Itoa(len(members))
		g.Expect(e.Val).To(ContainSubstring(chain + "\x00")) // of an encoded verdict
		sizes[chain] = true
		for n := range uint32(len(members)) {
			found[f] = append(found[f], members[n])
		}
	}
	g.Expect(found).To(HaveLen(len(groups)))
	g.Expect(used).To(HaveLen(len(all)), "groups without a frontend")
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	g.Expect(err).NotTo(HaveOccurred())
	names := map[string]bool{}
	for _, c := range chains {
		names[c.Name] = true
		rules, err := conn.GetRules(table.Table, c)
		g.Expect(err).NotTo(HaveOccurred())
		if c.Name != "refuse" {
			g.Expect(rules).To(HaveLen(1), "rules of chain %s", c.Name)
		}
	}
	g.Expect(names).To(Equal(sizes))
	return found
}

// TestChanges makes many changes at random, small and large, and compares what the kernel
// has with what it should have after each.
func TestChanges(t *testing.T) {
	if !ownnetwork.Is(t) {
		return
	}
	w := open(t, fake.NewClientset())
	random := rand.New(rand.NewPCG(17, 17))
	state, table := newState(), newTable()
	conn, err := nftables.New()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(table.create(conn, netip.MustParsePrefix("172.20.0.0/16"), nil)).To(Succeed())
	w.Expect(conn.Flush()).To(Succeed())
	want := map[string]map[frontend][]backend{}
	var has *snapshot
	for round := range 30 {
		touched := 1 + random.IntN(20)
		if round%10 == 9 {
			touched = 900
		}
		for range touched {
			i := random.IntN(1000)
			name := strconv.Itoa(i)
			frontends := map[frontend][]backend{}
			for port := range random.IntN(3) {
				var backends []backend
				// Few sets of endpoints, so that Services share them.
				n := 1 + random.IntN(12)
				for b := range n {
					backends = append(backends, backend{[4]byte{10, 0, byte(n % 4), byte(b)}, 80})
				}
				frontends[frontend{[4]byte{172, 20, byte(i >> 8), byte(i)}, 6, uint16(80 + port)}] = backends
			}
			want[name] = frontends
			state.set(nameOf(newService(name, "")), frontends)
		}
		to := state.snapshot()
		w.Expect(table.apply(conn, changes(has, to))).To(Succeed())
		has = to
		all := map[frontend][]backend{}
		for _, frontends := range want {
			maps.Copy(all, frontends)
		}
		// What the kernel lists while it moves a map that has grown to another table, which it does
		// when it has time, is not all of it, or some of it twice.
		w.Eventually(func(g Gomega) { g.Expect(kernel(g)).To(Equal(all), "round %d", round) }).WithTimeout(time.Minute).Should(Succeed())
	}
}

// TestProbe: the kernel of this machine has what the other tests need.
func TestProbe(t *testing.T) {
	if !ownnetwork.Is(t) {
		return
	}
	NewWithT(t).Expect(Probe()).To(Succeed())
}
