package redirect

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// agentDNS is where the agent answers names when Istio captures DNS.
const agentDNS = 15053

// translation makes nftables' expressions of a rule's words.
type translation struct {
	words  []string // what is left of them
	ipv6   bool
	proxy  Proxy
	setter *setter
	table  *nftables.Table

	protocol byte // of the transport, once the rule has asked for one
	exprs    []expr.Any
}

func (t *translation) run() error {
	for len(t.words) > 0 {
		negated := t.words[0] == "!"
		if negated {
			t.words = t.words[1:]
		}
		option, err := t.word("an option")
		if err != nil {
			return err
		}
		value, err := t.word("the value of " + option)
		if err != nil {
			return err
		}
		if option == "-j" {
			return t.target(value)
		}
		if err := t.match(option, value, negated); err != nil {
			return err
		}
	}
	return errors.New("it has no target")
}

// word takes the next word.
func (t *translation) word(what string) (string, error) {
	if len(t.words) == 0 {
		return "", fmt.Errorf("%s is missing", what)
	}
	word := t.words[0]
	t.words = t.words[1:]
	return word, nil
}

// match adds a condition.
func (t *translation) match(option, value string, negated bool) error {
	switch option {
	case "-m": // names the extension of the next options, which are known by their names
		return nil
	case "-p":
		return t.transport(value, negated)
	case "-i", "-o":
		return t.link(option, value, negated)
	case "-s", "-d":
		return t.address(option, value, negated)
	case "--sport":
		return t.ports(0, value, negated)
	case "--dport", "--dports":
		return t.ports(2, value, negated)
	case "--uid-owner":
		return t.owner(expr.MetaKeySKUID, value, negated)
	case "--gid-owner":
		return t.owner(expr.MetaKeySKGID, value, negated)
	case "--ctstate":
		if value != "INVALID" || negated {
			return fmt.Errorf("state %s of a connection is not known here", value)
		}
		t.exprs = append(t.exprs,
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitINVALID), Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)})
		return nil
	}
	return fmt.Errorf("option %s is not known here", option)
}

// compare adds the comparison of what was read into the register.
func (t *translation) compare(read expr.Any, data []byte, negated bool) {
	op := expr.CmpOpEq
	if negated {
		op = expr.CmpOpNeq
	}
	t.exprs = append(t.exprs, read, &expr.Cmp{Op: op, Register: 1, Data: data})
}

func (t *translation) transport(name string, negated bool) error {
	number, ok := map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[name]
	if !ok || negated {
		return fmt.Errorf("protocol %s is not known here", name)
	}
	t.protocol = number
	t.compare(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, []byte{number}, false)
	return nil
}

func (t *translation) link(option, name string, negated bool) error {
	if len(name) >= unix.IFNAMSIZ || strings.HasSuffix(name, "+") {
		return fmt.Errorf("%q is no name of an interface", name)
	}
	key := expr.MetaKeyIIFNAME
	if option == "-o" {
		key = expr.MetaKeyOIFNAME
	}
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	t.compare(&expr.Meta{Key: key, Register: 1}, data, negated)
	return nil
}

func (t *translation) address(option, text string, negated bool) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("addresses %q: %w", text, err)
	}
	if prefix.Addr().Is4() == t.ipv6 {
		return fmt.Errorf("addresses %s are of the other family", text)
	}
	length, offset := uint32(4), uint32(12)
	if t.ipv6 {
		length, offset = 16, 8
	}
	if option == "-d" {
		offset += length
	}
	read := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
	if prefix.IsSingleIP() {
		t.compare(read, prefix.Addr().AsSlice(), negated)
		return nil
	}
	t.exprs = append(t.exprs, read)
	t.compare(&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: mask(prefix.Bits(), length), Xor: make([]byte, length)},
		prefix.Masked().Addr().AsSlice(), negated)
	return nil
}

// mask has so many leading bits set.
func mask(bits int, length uint32) []byte {
	m := make([]byte, length)
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// ports adds a condition on the port at the offset of the transport's header: one, a range
// a:b, or several a,b.
func (t *translation) ports(offset uint32, text string, negated bool) error {
	if t.protocol == 0 {
		return errors.New("it names a port and no protocol")
	}
	read := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}
	first, last, isRange := strings.Cut(text, ":")
	if !isRange {
		last = first
	}
	if strings.Contains(text, ",") {
		return t.anyPort(read, strings.Split(text, ","), negated)
	}
	from, err := port(first)
	if err != nil {
		return err
	}
	to, err := port(last)
	if err != nil {
		return err
	}
	if !isRange {
		t.compare(read, binaryutil.BigEndian.PutUint16(from), negated)
		return nil
	}
	op := expr.CmpOpEq
	if negated {
		op = expr.CmpOpNeq
	}
	t.exprs = append(t.exprs, read, &expr.Range{Op: op, Register: 1, FromData: binaryutil.BigEndian.PutUint16(from), ToData: binaryutil.BigEndian.PutUint16(to)})
	return nil
}

func (t *translation) anyPort(read expr.Any, texts []string, negated bool) error {
	var ports []uint16
	for _, text := range texts {
		p, err := port(text)
		if err != nil {
			return err
		}
		ports = append(ports, p)
	}
	set, err := t.setter.anonymous(t.table, ports)
	if err != nil {
		return fmt.Errorf("make a set of ports: %w", err)
	}
	t.exprs = append(t.exprs, read, &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID, Invert: negated})
	return nil
}

func port(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no port", text)
	}
	return uint16(n), nil
}

// owner adds a condition on the sender: the proxy, or not the proxy.
func (t *translation) owner(key expr.MetaKey, id string, negated bool) error {
	if !slices.Contains(t.proxy.IDs, id) {
		return fmt.Errorf("user or group %s is not the proxy's (%s), and other containers do not run as the users that their pods ask for", id, strings.Join(t.proxy.IDs, ", "))
	}
	value := uint32(t.proxy.User)
	if t.proxy.User == 0 {
		key, value = expr.MetaKeyMARK, t.proxy.Mark
	}
	t.compare(&expr.Meta{Key: key, Register: 1}, binaryutil.NativeEndian.PutUint32(value), negated)
	return nil
}

// verdicts are targets that end the rule's chain, or the packet's way.
var verdicts = map[string]expr.VerdictKind{
	"RETURN": expr.VerdictReturn,
	"ACCEPT": expr.VerdictAccept,
	"DROP":   expr.VerdictDrop,
}

// extensions are targets of iptables that are no chains.
var extensions = []string{"REDIRECT", "CT", "TPROXY", "MARK", "CONNMARK", "NFLOG", "LOG", "DNAT", "SNAT", "MASQUERADE", "REJECT", "NOTRACK"}

// jump is the chain that the rule goes on in; "" for none.
func (r Rule) jump() string {
	i := slices.Index(r.Words, "-j")
	if i < 0 || i+1 >= len(r.Words) {
		return ""
	}
	target := r.Words[i+1]
	if _, ok := verdicts[target]; ok || slices.Contains(extensions, target) {
		return ""
	}
	return target
}

// target adds what becomes of a packet, with the options that are left.
func (t *translation) target(name string) error {
	if kind, ok := verdicts[name]; ok {
		t.exprs = append(t.exprs, &expr.Verdict{Kind: kind})
		return t.finished()
	}
	if !slices.Contains(extensions, name) {
		t.exprs = append(t.exprs, &expr.Verdict{Kind: expr.VerdictJump, Chain: name})
		return t.finished()
	}
	options := strings.Join(t.words, " ")
	option, err := t.word("the option of " + name)
	if err != nil {
		return err
	}
	value, err := t.word("the value of " + option)
	if err != nil {
		return err
	}
	switch {
	case name == "REDIRECT" && (option == "--to-ports" || option == "--to-port"):
		to, err := port(value)
		if err != nil {
			return err
		}
		if to == agentDNS && t.proxy.User == 0 {
			return errors.New("DNS cannot be captured for an ordinary user, because the agent's own questions cannot be told from the application's: run as root, or leave ISTIO_META_DNS_CAPTURE out")
		}
		t.exprs = append(t.exprs,
			&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(to)},
			&expr.Redir{RegisterProtoMin: 1, Flags: unix.NF_NAT_RANGE_PROTO_SPECIFIED})
	case name == "CT" && option == "--zone":
		zone, err := port(value)
		if err != nil {
			return fmt.Errorf("zone %q: want a number", value)
		}
		t.exprs = append(t.exprs,
			&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint16(zone)},
			&expr.Ct{Key: expr.CtKeyZONE, Register: 1, SourceRegister: true})
	default:
		return fmt.Errorf("target %s %s is not known here (interception mode TPROXY is one that is not)", name, options)
	}
	return t.finished()
}

func (t *translation) finished() error {
	if len(t.words) > 0 {
		return fmt.Errorf("%q after its target is not known here", strings.Join(t.words, " "))
	}
	return nil
}
