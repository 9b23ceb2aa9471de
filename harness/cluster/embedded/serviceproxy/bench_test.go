package serviceproxy

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/google/nftables"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/internal/ownnetwork"
)

// BenchmarkPod measures what one pod costs in a mesh of 1,500 Services with 100 endpoints
// each: all of it for a new pod, one Service's change, and a change of all Services.
func BenchmarkPod(b *testing.B) {
	if !ownnetwork.Is(b, "-test.run=^$", "-test.bench=^BenchmarkPod$", "-test.benchmem", "-test.benchtime=10x") {
		return
	}
	const services, endpoints = 1500, 100
	for _, shared := range []bool{true, false} {
		// of is a Service's endpoints; a turn changes them.
		of := func(service, turn int) map[frontend][]backend {
			third := service
			if shared {
				third = 0
			}
			backends := make([]backend, 0, endpoints)
			for i := range endpoints {
				backends = append(backends, backend{[4]byte{10, byte(third >> 8), byte(third), byte(i)}, uint16(8080 + turn%2)})
			}
			return map[frontend][]backend{{[4]byte{172, 20, byte(service >> 8), byte(service)}, 6, 80}: backends}
		}
		state := newState()
		name := func(service int) types.NamespacedName {
			return types.NamespacedName{Namespace: "ns", Name: strconv.Itoa(service)}
		}
		all := func(turn int) *snapshot {
			for s := range services {
				state.set(name(s), of(s, turn))
			}
			return state.snapshot()
		}
		kind := "shared"
		if !shared {
			kind = "own"
		}
		conn, err := nftables.New()
		if err != nil {
			b.Fatal(err)
		}
		table := newTable()
		full := all(0)
		fill := func(b *testing.B) {
			if err := table.create(conn, netip.MustParsePrefix("172.20.0.0/16"), nil); err != nil {
				b.Fatal(err)
			}
			if err := table.apply(conn, changes(nil, full)); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(kind+"/new", func(b *testing.B) {
			for b.Loop() {
				fill(b)
			}
		})
		has, turn := full, 0
		move := func(b *testing.B, to *snapshot) {
			if err := table.apply(conn, changes(has, to)); err != nil {
				b.Fatal(err)
			}
			has = to
		}
		b.Run(kind+"/one Service", func(b *testing.B) {
			for b.Loop() {
				turn++
				state.set(name(0), of(0, turn))
				move(b, state.snapshot())
			}
		})
		b.Run(kind+"/all Services", func(b *testing.B) {
			for b.Loop() {
				turn++
				move(b, all(turn))
			}
		})
	}
}
