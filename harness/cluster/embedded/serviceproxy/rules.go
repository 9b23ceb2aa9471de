package serviceproxy

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// What a pod's network namespace has, in the words of nft:
//
//	table ip meshbench-services {
//	  map services  { type ipv4_addr . inet_proto . inet_service : verdict }   # to the chain of its size
//	  map groups    { type ipv4_addr . inet_proto . inet_service : integer }   # to its group
//	  map endpoints { type integer . integer : ipv4_addr . inet_service }      # of a group, by number
//	  chain output {
//	    type nat hook output priority -99
//	    ip daddr . meta l4proto . th dport vmap @services
//	  }
//	  chain of-2 {                                                             # one for each size
//	    dnat to (ip daddr . meta l4proto . th dport map @groups) . numgen random mod 2 map @endpoints
//	  }
//	  chain refuse {
//	    type filter hook output priority 0
//	    ip daddr 172.20.0.0/16 ip daddr != 172.20.0.1 meta l4proto tcp reject with tcp reset
//	    ip daddr 172.20.0.0/16 ip daddr != 172.20.0.1 reject
//	  }
//	}
//
// So an update changes elements, and no rule but where a size is new or gone. Services with
// the same endpoints share them.
const tableName = "meshbench-services"

// afterRedirection is just behind Istio's rules, at the priority of dstnat: what those
// redirect to the sidecar keeps the address that it was sent to, which the sidecar asks for,
// and what they let through, the sidecar's own traffic, is translated.
const afterRedirection = -99

// maxElements is how many elements one transaction changes at most. All of a transaction is
// one message of netlink, which an ordinary user's socket takes up to 208 KiB of
// (net.core.wmem_default); an element is up to 72 bytes.
const maxElements = 2000

// perMessage is how many elements one attribute holds, which is shorter than 64 KiB.
const perMessage = 500

// Registers of 32 bits each (NFT_REG32_00 and following).
const register = unix.NFT_REG32_00

// table has what a pod's packet filter is given. Handles are of one connection.
type table struct {
	*nftables.Table
	services, groups, endpoints *nftables.Set
}

func newTable() table {
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
	key := nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	return table{
		Table: t,
		services: &nftables.Set{Table: t, Name: "services", IsMap: true,
			KeyType: key, DataType: nftables.TypeVerdict},
		groups: &nftables.Set{Table: t, Name: "groups", IsMap: true,
			KeyType: key, DataType: nftables.TypeInteger},
		endpoints: &nftables.Set{Table: t, Name: "endpoints", IsMap: true,
			KeyType:  nftables.MustConcatSetType(nftables.TypeInteger, nftables.TypeInteger),
			DataType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)},
	}
}

// create makes everything but the elements, in place of what may be there. Connections to
// addresses in services that nothing answers at are refused, but for those to reachable.
func (t table) create(conn *nftables.Conn, services netip.Prefix, reachable []netip.Addr) error {
	conn.AddTable(t.Table) // else it could not be deleted
	conn.DelTable(t.Table)
	conn.AddTable(t.Table)
	for _, set := range []*nftables.Set{t.services, t.groups, t.endpoints} {
		if err := conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("make map %s: %w", set.Name, err)
		}
	}
	output := conn.AddChain(&nftables.Chain{Table: t.Table, Name: "output", Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRef(afterRedirection)})
	conn.AddRule(&nftables.Rule{Table: t.Table, Chain: output, Exprs: append(loadFrontend(),
		// Into the verdict's register.
		&expr.Lookup{SourceRegister: register, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetID: t.services.ID, SetName: t.services.Name})})
	refuse := conn.AddChain(&nftables.Chain{Table: t.Table, Name: "refuse", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-services.Bits()))
	exprs := []expr.Any{
		loadAddress(register),
		&expr.Bitwise{SourceRegister: register, DestRegister: register + 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register + 1, Data: services.Masked().Addr().AsSlice()},
	}
	for _, address := range reachable {
		exprs = append(exprs, &expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: address.AsSlice()})
	}
	conn.AddRule(&nftables.Rule{Table: t.Table, Chain: refuse, Exprs: append(slices.Clip(exprs),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})})
	conn.AddRule(&nftables.Rule{Table: t.Table, Chain: refuse, Exprs: append(slices.Clip(exprs),
		&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpPortUnreachable})})
	return nil
}

// icmpPortUnreachable is ICMP_PORT_UNREACH of linux/icmp.h.
const icmpPortUnreachable = 3

// loadFrontend loads a packet's address, protocol and port into three registers.
func loadFrontend() []expr.Any {
	return []expr.Any{
		loadAddress(register),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register + 1},
		&expr.Payload{DestRegister: register + 2, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
}

// loadAddress loads the address that a packet goes to.
func loadAddress(into uint32) *expr.Payload {
	return &expr.Payload{DestRegister: into, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}
}

func (t table) chain(size int) *nftables.Chain {
	return &nftables.Chain{Table: t.Table, Name: "of-" + strconv.Itoa(size)}
}

// addSize makes the chain for groups of so many endpoints.
func (t table) addSize(conn *nftables.Conn, size int) {
	chain := conn.AddChain(t.chain(size))
	conn.AddRule(&nftables.Rule{Table: t.Table, Chain: chain, Exprs: append(loadFrontend(),
		&expr.Lookup{SourceRegister: register, DestRegister: register, IsDestRegSet: true, SetID: t.groups.ID, SetName: t.groups.Name},
		&expr.Numgen{Register: register + 1, Modulus: uint32(size), Type: unix.NFT_NG_RANDOM},
		&expr.Lookup{SourceRegister: register, DestRegister: register, IsDestRegSet: true, SetID: t.endpoints.ID, SetName: t.endpoints.Name},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: register, RegProtoMin: register + 1},
	)})
}

func (t table) removeSize(conn *nftables.Conn, size int) {
	conn.FlushChain(t.chain(size))
	conn.DelChain(t.chain(size))
}

// elements of the maps; without their values for removal.
func (t table) service(f frontend, g *group) nftables.SetElement {
	return nftables.SetElement{Key: f.key(), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: t.chain(len(g.backends)).Name}}
}

func (f frontend) group(g *group) nftables.SetElement {
	return nftables.SetElement{Key: f.key(), Val: binaryutil.NativeEndian.PutUint32(g.id)}
}

func (g *group) elements() []nftables.SetElement {
	elements := make([]nftables.SetElement, len(g.backends))
	for i, b := range g.backends {
		key := append(binaryutil.NativeEndian.PutUint32(g.id), binaryutil.NativeEndian.PutUint32(uint32(i))...)
		elements[i] = nftables.SetElement{Key: key, Val: b.value()}
	}
	return elements
}

// key is the frontend as the registers have it: each part fills four bytes.
func (f frontend) key() []byte {
	key := make([]byte, 12)
	copy(key, f.address[:])
	key[4] = f.protocol
	binary.BigEndian.PutUint16(key[8:], f.port)
	return key
}

func (b backend) value() []byte {
	value := make([]byte, 8)
	copy(value, b.address[:])
	binary.BigEndian.PutUint16(value[4:], b.port)
	return value
}

// keysOnly makes a set of a map, so that removals need no values.
func keysOnly(set *nftables.Set) *nftables.Set {
	keys := *set
	keys.IsMap = false
	return &keys
}

// batch collects what is done in one transaction, and begins another one when it is full.
type batch struct {
	conn  *nftables.Conn
	count int
}

// room ends the transaction if so many elements do not fit into it any more.
func (b *batch) room(elements int) error {
	if b.count > 0 && b.count+elements > maxElements {
		if err := b.conn.Flush(); err != nil {
			return err
		}
		b.count = 0
	}
	b.count += elements
	return nil
}

// each does something with all elements, so many at a time as go into one message.
func (b *batch) each(set *nftables.Set, elements []nftables.SetElement, do func(*nftables.Set, []nftables.SetElement) error) error {
	for len(elements) > 0 {
		n := min(perMessage, len(elements))
		if err := b.room(n); err != nil {
			return err
		}
		if err := do(set, elements[:n]); err != nil {
			return err
		}
		elements = elements[n:]
	}
	return nil
}

// apply makes a change: in one transaction if it is small, else in several, between which
// every Service has either its old endpoints or its new ones.
func (t table) apply(conn *nftables.Conn, c change) error {
	b := &batch{conn: conn}
	for _, size := range c.newSizes {
		if err := b.room(1); err != nil {
			return err
		}
		t.addSize(conn, size)
	}
	var added []nftables.SetElement
	for _, g := range c.newGroups {
		added = append(added, g.elements()...)
	}
	if err := b.each(t.endpoints, added, conn.SetAddElements); err != nil {
		return err
	}
	if err := t.switchFrontends(b, c); err != nil {
		return err
	}
	var gone []nftables.SetElement
	for _, g := range c.goneGroups {
		gone = append(gone, g.elements()...)
	}
	if err := b.each(keysOnly(t.endpoints), gone, conn.SetDeleteElements); err != nil {
		return err
	}
	for _, size := range c.goneSizes {
		if err := b.room(1); err != nil {
			return err
		}
		t.removeSize(conn, size)
	}
	return conn.Flush()
}

// switchFrontends gives frontends their new groups, each wholly in one transaction.
func (t table) switchFrontends(b *batch, c change) error {
	after := c.to.all()
	added := make(map[frontend]bool, len(c.added))
	for _, f := range c.added {
		added[f] = true
	}
	// Those that are replaced come in the same transaction, so they are taken together.
	var all []frontend
	isGone := make(map[frontend]bool, len(c.gone))
	for _, f := range c.gone {
		isGone[f] = true
		all = append(all, f)
	}
	for _, f := range c.added {
		if !isGone[f] {
			all = append(all, f)
		}
	}
	const together = perMessage / 2 // each is up to four elements
	for len(all) > 0 {
		n := min(together, len(all))
		var gone, services, groups []nftables.SetElement
		for _, f := range all[:n] {
			if isGone[f] {
				gone = append(gone, nftables.SetElement{Key: f.key()})
			}
			if added[f] {
				services = append(services, t.service(f, after[f]))
				groups = append(groups, f.group(after[f]))
			}
		}
		all = all[n:]
		if err := b.room(4 * n); err != nil {
			return err
		}
		for _, step := range []struct {
			set      *nftables.Set
			elements []nftables.SetElement
			do       func(*nftables.Set, []nftables.SetElement) error
		}{
			{keysOnly(t.services), gone, b.conn.SetDeleteElements},
			{keysOnly(t.groups), gone, b.conn.SetDeleteElements},
			{t.services, services, b.conn.SetAddElements},
			{t.groups, groups, b.conn.SetAddElements},
		} {
			if len(step.elements) == 0 {
				continue
			}
			if err := step.do(step.set, step.elements); err != nil {
				return fmt.Errorf("change map %s: %w", step.set.Name, err)
			}
		}
	}
	return nil
}

// Probe tries in the network namespace of the calling thread what the rules need from the
// kernel: maps of addresses, choice by chance, translation and refusal. The error says what is
// refused.
func Probe() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	t, state := newTable(), newState()
	if err := t.create(conn, netip.MustParsePrefix("192.0.2.0/24"), nil); err != nil {
		return err
	}
	state.set(types.NamespacedName{}, map[frontend][]backend{{protocol: unix.IPPROTO_TCP, port: 1}: {{port: 1}, {port: 2}}})
	if err := t.apply(conn, changes(nil, state.snapshot())); err != nil {
		return fmt.Errorf("set rules that translate addresses of Services: %w (are the kernel modules nf_tables, nft_chain_nat, nft_numgen, nft_nat and nft_reject_ipv4 there?)", err)
	}
	return nil
}
