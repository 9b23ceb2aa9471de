package redirect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/ownnetwork"
	"github.com/meshbench/meshbench/internal/skip"
)

// argumentSets are what pods ask for: what the injector makes of annotations and values.
var argumentSets = []struct {
	name string
	args []string
	env  []string
}{
	{"as injected", []string{"-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020", "--log_output_level=default:info"}, nil},
	{"a quiet mesh", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "--log_output_level=default:none", "--log_as_json"}, nil},
	{"excluded ports", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "-d", "15090,15021,15020,8080", "-o", "3306,6379"}, nil},
	{"included ports", []string{"-u", "1337", "-m", "REDIRECT", "-i", "", "-b", "80,8080", "-q", "443,8443"}, nil},
	{"no inbound", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", ""}, nil},
	{"included addresses", []string{"-u", "1337", "-m", "REDIRECT", "-i", "10.0.0.0/8,172.20.0.0/14", "-b", "*"}, nil},
	{"included loopback", []string{"-u", "1337", "-m", "REDIRECT", "-i", "127.1.2.3/32,10.0.0.0/8", "-b", "*"}, nil},
	{"excluded addresses", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "169.254.169.254/32,10.2.0.0/15", "-b", "*"}, nil},
	{"several users", []string{"-u", "1337,1338", "-g", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*"}, nil},
	{"excluded interfaces", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "-c", "net1,eth2"}, nil},
	{"interfaces of virtual machines", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "-k", "eth1,eth2"}, nil},
	{"invalid packets", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*"}, []string{"INVALID_DROP=true"}},
	{"loopback addresses", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*"}, []string{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.0/8"}},
	{"another port of the tunnel", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "-e", "16008"}, nil},
	{"captured DNS", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "--redirect-dns", "--capture-all-dns"}, nil},
	{"captured DNS of the machine's servers", []string{"-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*"}, []string{"ISTIO_META_DNS_CAPTURE=true"}},
}

// agent is the real pilot-agent.
func agent(t *testing.T) string {
	t.Helper()
	store, err := components.New(components.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !store.Complete(components.PilotAgent) {
		skip.Missing(t, "pilot-agent is not built: make components builds it")
	}
	set, err := store.Obtain(t.Context(), nil, components.PilotAgent)
	if err != nil {
		t.Fatal(err)
	}
	return set.Path(components.PilotAgent)
}

// output is what the program prints with these arguments.
func output(t *testing.T, program string, args, env []string) []byte {
	t.Helper()
	args, err := Arguments(append([]string{Command}, args...))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = env
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	return text
}

// TestSetWhatTheProgramWouldSet holds what the kernel has afterwards, read back through
// netlink, against what the real program would give to iptables-restore: once for the proxy
// told by its user, once by a mark.
func TestSetWhatTheProgramWouldSet(t *testing.T) {
	program := agent(t)
	if !ownnetwork.Is(t) {
		return
	}
	giveAddress(t)
	for _, proxy := range []Proxy{
		{IDs: []string{"1337", "1338"}, User: 200007},
		{IDs: []string{"1337", "1338"}, Mark: 1337, Trusted: []netip.Addr{netip.MustParseAddr("10.0.16.2")}},
	} {
		for _, set := range argumentSets {
			t.Run(fmt.Sprintf("%s, user %d", set.name, proxy.User), func(t *testing.T) {
				g := NewWithT(t)
				conn, err := nftables.New()
				g.Expect(err).NotTo(HaveOccurred())
				conn.FlushRuleset()
				g.Expect(conn.Flush()).To(Succeed())
				rules, err := Parse(bytes.NewReader(output(t, program, set.args, set.env)))
				g.Expect(err).NotTo(HaveOccurred())
				err = rules.Set(conn, proxy)
				if proxy.User == 0 && strings.HasPrefix(set.name, "captured DNS") {
					g.Expect(err).To(MatchError(ContainSubstring("DNS cannot be captured for an ordinary user")))
					return
				}
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(readBack(t)).To(Equal(wanted(rules, proxy)))
				// A second time they are the same, not twice as many.
				g.Expect(rules.Set(conn, proxy)).To(Succeed())
				g.Expect(readBack(t)).To(Equal(wanted(rules, proxy)))
			})
		}
	}
}

// giveAddress gives the namespace the address of a pod, for which the program looks.
func giveAddress(t *testing.T) {
	t.Helper()
	attributes := netlink.NewLinkAttrs()
	attributes.Name = "eth0"
	link := &netlink.Veth{LinkAttrs: attributes, PeerName: "other"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 0, 16, 1), Mask: net.CIDRMask(16, 32)}}
	if err := netlink.AddrAdd(link, address); err != nil {
		t.Fatal(err)
	}
}

// wanted is the program's own text of its rules by chain, with what names an extension left
// out.
func wanted(rules Rules, proxy Proxy) map[string][]string {
	found := map[string][]string{}
	if proxy.User == 0 {
		found["istio-nat OUTPUT"] = []string{"-d [" + strings.Join(addresses(proxy.Trusted), " ") + "] -j RETURN"}
	}
	for _, r := range rules {
		key := prefix + r.Table + " " + r.Chain
		text := " " + strings.Join(r.Words, " ")
		for _, extension := range []string{"owner", "multiport", "conntrack"} {
			text = strings.ReplaceAll(text, " -m "+extension, "")
		}
		text = strings.ReplaceAll(text, "--to-port ", "--to-ports ")
		for _, id := range proxy.IDs {
			for _, option := range []string{" --uid-owner ", " --gid-owner "} {
				instead := option + strconv.Itoa(proxy.User)
				if proxy.User == 0 {
					instead = " --mark " + strconv.Itoa(int(proxy.Mark))
				}
				text = strings.ReplaceAll(text, option+id, instead)
			}
		}
		found[key] = append(found[key], strings.TrimSpace(text))
	}
	return found
}

func addresses(of []netip.Addr) (texts []string) {
	for _, a := range of {
		texts = append(texts, a.String())
	}
	return texts
}

// readBack is the namespace's rules in iptables' words, by table and chain.
func readBack(t *testing.T) map[string][]string {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	all, err := conn.ListChains()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, c := range all {
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			key := c.Table.Name + " " + c.Name
			found[key] = append(found[key], words(t, conn, r))
		}
		if base, ok := chains[strings.TrimPrefix(c.Table.Name, prefix)+" "+c.Name]; ok {
			if c.Type != base.kind || *c.Hooknum != *base.hook || *c.Priority != *base.priority {
				t.Errorf("chain %s of %s: %s at hook %d, priority %d", c.Name, c.Table.Name, c.Type, *c.Hooknum, *c.Priority)
			}
		} else if c.Hooknum != nil {
			t.Errorf("chain %s of %s is consulted by the kernel", c.Name, c.Table.Name)
		}
	}
	return found
}

// words is a rule in iptables' words.
func words(t *testing.T, conn *nftables.Conn, r *nftables.Rule) string {
	t.Helper()
	var out []string
	var option string
	var bits int
	var number uint16
	show := func(data []byte) string { return fmt.Sprint(data) }
	negate := func(is bool, text string) {
		if is {
			out = append(out, "!")
		}
		out = append(out, text)
	}
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Meta:
			option = map[expr.MetaKey]string{
				expr.MetaKeyL4PROTO: "-p", expr.MetaKeyIIFNAME: "-i", expr.MetaKeyOIFNAME: "-o",
				expr.MetaKeySKUID: "--uid-owner", expr.MetaKeySKGID: "--gid-owner", expr.MetaKeyMARK: "--mark",
			}[e.Key]
			show = map[string]func([]byte) string{
				"-p": func(d []byte) string { return map[byte]string{6: "tcp", 17: "udp"}[d[0]] },
				"-i": func(d []byte) string { return unix.ByteSliceToString(d) },
				"-o": func(d []byte) string { return unix.ByteSliceToString(d) },
			}[option]
			if show == nil {
				show = func(d []byte) string { return strconv.Itoa(int(binary.NativeEndian.Uint32(d))) }
			}
		case *expr.Payload:
			option = map[string]string{"1 12 4": "-s", "1 16 4": "-d", "1 8 16": "-s", "1 24 16": "-d", "2 0 2": "--sport", "2 2 2": "--dport"}[fmt.Sprint(e.Base, e.Offset, e.Len)]
			bits = int(e.Len) * 8
			show = func(d []byte) string { return strconv.Itoa(int(binary.BigEndian.Uint16(d))) }
			if e.Base == expr.PayloadBaseNetworkHeader {
				show = func(d []byte) string {
					a, _ := netip.AddrFromSlice(d)
					return netip.PrefixFrom(a, bits).String()
				}
			}
		case *expr.Bitwise:
			if option == "--ctstate" {
				continue
			}
			bits = 0
			for _, b := range e.Mask {
				for ; b != 0; b <<= 1 {
					bits++
				}
			}
		case *expr.Cmp:
			if option == "--ctstate" {
				out = append(out, "--ctstate INVALID")
				continue
			}
			negate(e.Op == expr.CmpOpNeq, option+" "+show(e.Data))
		case *expr.Lookup:
			sets, err := conn.GetSets(r.Table)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(sets, func(s *nftables.Set) bool { return s.Name == e.SetName })
			elements, err := conn.GetSetElements(sets[i])
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, element := range elements {
				text, _, _ := strings.Cut(show(element.Key), "/")
				texts = append(texts, text)
			}
			slices.SortFunc(texts, func(a, b string) int { return len(a) - len(b) })
			if option == "-d" {
				out = append(out, fmt.Sprint(option, " ", texts))
				continue
			}
			negate(e.Invert, option+"s "+strings.Join(texts, ","))
		case *expr.Ct:
			if e.Key == expr.CtKeyZONE { // the library does not read back that it is set
				out = append(out, "-j CT --zone "+strconv.Itoa(int(number)))
			}
			option = "--ctstate"
		case *expr.Immediate:
			number = binary.BigEndian.Uint16(e.Data)
			if binary.NativeEndian.Uint16(e.Data) < 10 { // a zone
				number = binary.NativeEndian.Uint16(e.Data)
			}
		case *expr.Redir:
			out = append(out, "-j REDIRECT --to-ports "+strconv.Itoa(int(number)))
		case *expr.Verdict:
			out = append(out, "-j "+map[expr.VerdictKind]string{
				expr.VerdictReturn: "RETURN", expr.VerdictAccept: "ACCEPT", expr.VerdictDrop: "DROP", expr.VerdictJump: e.Chain,
			}[e.Kind])
		default:
			t.Errorf("expression %T", e)
		}
	}
	return strings.Join(out, " ")
}

func TestSetRefuses(t *testing.T) {
	if !ownnetwork.Is(t) {
		return
	}
	for text, want := range map[string]string{
		"-A OUTPUT -p tcp":                                   "it has no target",
		"-A OUTPUT -p icmp -j RETURN":                        "protocol icmp is not known here",
		"-A OUTPUT --dport 80 -j RETURN":                     "it names a port and no protocol",
		"-A OUTPUT -p tcp --dport http -j RETURN":            `"http" is no port`,
		"-A OUTPUT -m owner --uid-owner 0 -j RETURN":         "user or group 0 is not the proxy's (1337)",
		"-A OUTPUT -m owner ! --gid-owner 2000 -j RETURN":    "user or group 2000 is not the proxy's",
		"-A OUTPUT -d ::1/128 -j RETURN":                     "of the other family",
		"-A OUTPUT -o eth+ -j RETURN":                        "is no name of an interface",
		"-A OUTPUT -m mark --mark 1337 -j RETURN":            "option --mark is not known here",
		"-A OUTPUT -p tcp -j TPROXY --on-port 15006":         "TPROXY is one that is not",
		"-A OUTPUT -p tcp -j REDIRECT --to-ports 15001 more": `"more" after its target`,
		"-A POSTROUTING -j RETURN":                           "chain POSTROUTING of table nat is not known here",
		"-A OUTPUT -j":                                       "the value of -j is missing",
	} {
		g := NewWithT(t)
		conn, err := nftables.New()
		g.Expect(err).NotTo(HaveOccurred())
		rules, err := Parse(strings.NewReader(begin + "iptables-restore\n* nat\n-A PREROUTING -j RETURN\n" + text + "\nCOMMIT\n"))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(rules.Set(conn, Proxy{IDs: []string{"1337"}, User: 200000})).To(MatchError(ContainSubstring(want)), text)
		g.Expect(readBack(t)).To(BeEmpty(), text)
	}
}

func TestTrust(t *testing.T) {
	if !ownnetwork.Is(t) {
		return
	}
	g := NewWithT(t)
	conn, err := nftables.New()
	g.Expect(err).NotTo(HaveOccurred())
	rules, err := Parse(strings.NewReader(logged))
	g.Expect(err).NotTo(HaveOccurred())
	proxy := Proxy{IDs: []string{"1337"}, Mark: 1337}
	g.Expect(rules.Set(conn, proxy)).To(Succeed())
	for _, trusted := range [][]netip.Addr{
		{netip.MustParseAddr("10.0.16.2"), netip.MustParseAddr("10.0.16.2")},
		{netip.MustParseAddr("10.0.16.3")},
		nil,
	} {
		g.Expect(Trust(conn, trusted)).To(Succeed())
		proxy.Trusted = slices.Compact(trusted)
		g.Expect(readBack(t)["istio-nat OUTPUT"][0]).To(Equal(wanted(rules, proxy)["istio-nat OUTPUT"][0]))
	}
}
