package kubelet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
)

// Range is the addresses from First to Last, both included.
type Range struct{ First, Last netip.Addr }

// NodeRange is the default range of nodes' addresses.
func NodeRange() Range {
	return Range{netip.AddrFrom4([4]byte{10, 0, 1, 11}), netip.AddrFrom4([4]byte{10, 0, 15, 254})}
}

// Size is the number of addresses of a range of IPv4.
func (r Range) Size() int {
	first, last := r.First.As4(), r.Last.As4()
	return int(binary.BigEndian.Uint32(last[:])) - int(binary.BigEndian.Uint32(first[:])) + 1
}

// addresses hands out the addresses of a range in turn, so that a released one is given
// out again only when all others have been: a proxy that still holds the address of a
// pod that is gone must not reach another pod by it.
type addresses struct {
	within Range

	mu   sync.Mutex
	next netip.Addr
	used map[netip.Addr]bool
}

func newAddresses(within Range) *addresses {
	return &addresses{within: within, next: within.First, used: map[netip.Addr]bool{}}
}

func (a *addresses) take() (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for start := a.next; ; {
		address := a.next
		if a.next = address.Next(); a.within.Last.Less(a.next) {
			a.next = a.within.First
		}
		if !a.used[address] {
			a.used[address] = true
			return address, nil
		}
		if a.next == start {
			return netip.Addr{}, fmt.Errorf("all addresses from %s to %s are in use", a.within.First, a.within.Last)
		}
	}
}

func (a *addresses) release(address netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, address)
}
