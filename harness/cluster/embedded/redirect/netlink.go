package redirect

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// Proxy is how the rules tell the proxy's own traffic.
type Proxy struct {
	// IDs are the user and group ids by which Istio's rules know the proxy: 1337. A rule
	// for another's traffic cannot be set, because no container runs as the user that its
	// pod asks for.
	IDs []string
	// User is the user and group id that the proxy's processes really have, where the
	// application's have another; 0 where all have the same.
	User int
	// Mark is, where User is 0, what the proxy's sockets are marked with (SO_MARK).
	Mark uint32
	// Trusted are, where User is 0, addresses to which nothing is redirected: those of
	// istiod, since the agent cannot mark its sockets.
	Trusted []netip.Addr
}

// prefix begins the names of the tables, which have one for each of iptables.
const prefix = "istio-"

// trustedSet holds the trusted addresses.
const trustedSet = "trusted"

// chain is where the kernel consults one of iptables' own chains.
type chain struct {
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
}

// chains are iptables' own that Istio has rules in, by table and name.
var chains = map[string]chain{
	"nat PREROUTING":    {nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest},
	"nat OUTPUT":        {nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest},
	"mangle PREROUTING": {nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityMangle},
	"mangle OUTPUT":     {nftables.ChainTypeRoute, nftables.ChainHookOutput, nftables.ChainPriorityMangle},
	"raw PREROUTING":    {nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw},
	"raw OUTPUT":        {nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityRaw},
}

// Set makes the rules those of the network namespace that conn reaches, in place of those
// that it set before. All are set or none. A rule that cannot be set as it is meant is an
// error that names it, and nothing is changed.
func (r Rules) Set(conn *nftables.Conn, proxy Proxy) error {
	s := setter{conn: conn, proxy: proxy, tables: map[string]*nftables.Table{}, chains: map[string]*nftables.Chain{}}
	for _, rule := range r {
		s.makeChain(rule, rule.Chain)
		if target := rule.jump(); target != "" {
			s.makeChain(rule, target)
		}
	}
	if err := s.trust(r); err != nil {
		return err
	}
	for _, rule := range r {
		if err := s.add(rule); err != nil {
			return fmt.Errorf("set Istio's rule %q: %w", rule, err)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("set Istio's rules: %w", err)
	}
	return nil
}

// Trust makes addresses those to which nothing is redirected, after Set with a Mark.
func Trust(conn *nftables.Conn, addresses []netip.Addr) error {
	set := &nftables.Set{Table: natTable(), Name: trustedSet, KeyType: nftables.TypeIPAddr}
	conn.FlushSet(set)
	if err := conn.SetAddElements(set, elements(addresses)); err != nil {
		return fmt.Errorf("change the addresses that nothing is redirected for: %w", err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("change the addresses that nothing is redirected for: %w", err)
	}
	return nil
}

func natTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: prefix + "nat"}
}

// elements are the addresses of IPv4 among those given, each once.
func elements(addresses []netip.Addr) []nftables.SetElement {
	found := []nftables.SetElement{}
	for i, a := range addresses {
		if a.Is4() && !slices.Contains(addresses[:i], a) {
			found = append(found, nftables.SetElement{Key: a.AsSlice()})
		}
	}
	return found
}

// setter collects what is to be set.
type setter struct {
	conn   *nftables.Conn
	proxy  Proxy
	tables map[string]*nftables.Table
	chains map[string]*nftables.Chain
}

// table makes the table of a rule, empty.
func (s *setter) table(rule Rule) *nftables.Table {
	key := fmt.Sprint(rule.IPv6, rule.Table)
	if t, ok := s.tables[key]; ok {
		return t
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: prefix + rule.Table}
	if rule.IPv6 {
		t.Family = nftables.TableFamilyIPv6
	}
	// The first makes sure that there is one to delete.
	s.conn.AddTable(t)
	s.conn.DelTable(t)
	s.tables[key] = s.conn.AddTable(t)
	return s.tables[key]
}

// makeChain makes a chain in the rule's table.
func (s *setter) makeChain(rule Rule, name string) {
	key := chainKey(rule, name)
	if _, ok := s.chains[key]; ok {
		return
	}
	c := &nftables.Chain{Name: name, Table: s.table(rule)}
	if base, ok := chains[rule.Table+" "+name]; ok {
		c.Type, c.Hooknum, c.Priority = base.kind, base.hook, base.priority
	}
	s.chains[key] = s.conn.AddChain(c)
}

func chainKey(rule Rule, name string) string { return fmt.Sprint(rule.IPv6, rule.Table, " ", name) }

// trust lets what goes to trusted addresses pass, before any rule of Istio's.
func (s *setter) trust(rules Rules) error {
	if s.proxy.User != 0 {
		return nil
	}
	i := slices.IndexFunc(rules, func(r Rule) bool { return !r.IPv6 && r.Table == "nat" })
	if i < 0 {
		return nil
	}
	first := Rule{Table: "nat", Chain: "OUTPUT"}
	s.makeChain(first, first.Chain)
	set := &nftables.Set{Table: s.table(first), Name: trustedSet, KeyType: nftables.TypeIPAddr}
	if err := s.conn.AddSet(set, elements(s.proxy.Trusted)); err != nil {
		return fmt.Errorf("name the addresses that nothing is redirected for: %w", err)
	}
	s.conn.AddRule(&nftables.Rule{Table: set.Table, Chain: s.chains[chainKey(first, first.Chain)], Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
		&expr.Verdict{Kind: expr.VerdictReturn},
	}})
	return nil
}

// add adds a rule at the end of its chain.
func (s *setter) add(rule Rule) error {
	c := s.chains[chainKey(rule, rule.Chain)]
	if c.Hooknum == nil && isBuiltIn(rule.Chain) {
		return fmt.Errorf("chain %s of table %s is not known here", rule.Chain, rule.Table)
	}
	t := translation{words: rule.Words, ipv6: rule.IPv6, proxy: s.proxy, setter: s, table: c.Table}
	if err := t.run(); err != nil {
		return err
	}
	s.conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: t.exprs})
	return nil
}

// anonymous makes a set of ports without a name, for one rule.
func (s *setter) anonymous(table *nftables.Table, ports []uint16) (*nftables.Set, error) {
	set := &nftables.Set{Table: table, Anonymous: true, Constant: true, KeyType: nftables.TypeInetService}
	var members []nftables.SetElement
	for _, p := range ports {
		members = append(members, nftables.SetElement{Key: binaryutil.BigEndian.PutUint16(p)})
	}
	return set, s.conn.AddSet(set, members)
}

// isBuiltIn reports whether a chain is one of iptables' own.
func isBuiltIn(name string) bool {
	return slices.Contains([]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}, name)
}
