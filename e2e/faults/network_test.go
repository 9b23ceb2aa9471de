package faults

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/osthread"
)

// networkOf is the network namespace of a process, until the spec ends.
func networkOf(pid int) netns.NsHandle {
	GinkgoHelper()
	handle, err := netns.GetFromPid(pid)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(handle.Close)
	return handle
}

// slow limits what leaves a network namespace by an interface, in bytes a second.
func slow(in netns.NsHandle, link string, rate uint64) error {
	handle, err := netlink.NewHandleAt(in, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer handle.Close()
	l, err := handle.LinkByName(link)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", link, err)
	}
	const burst = 32 << 10 // more than one packet, which the kernel puts together from several
	err = handle.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
		Rate:       rate, Buffer: uint32(1e9 * burst / rate / 64), Limit: 1 << 20,
	})
	if err != nil {
		return fmt.Errorf("set a token bucket filter (tbf): %w", err)
	}
	return nil
}

// lossTable is the table of the rules that drop packets.
const lossTable = "faults"

// drop drops percent of what comes in to and goes out of a network namespace, but for its loopback.
func drop(in netns.NsHandle, percent uint32) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(in)))
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: lossTable})
	for _, c := range []struct {
		name string
		hook *nftables.ChainHook
		key  expr.MetaKey
	}{{"in", nftables.ChainHookInput, expr.MetaKeyIIFNAME}, {"out", nftables.ChainHookOutput, expr.MetaKeyOIFNAME}} {
		chain := conn.AddChain(&nftables.Chain{Name: c.name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: c.hook, Priority: nftables.ChainPriorityRaw})
		lo := make([]byte, unix.IFNAMSIZ)
		copy(lo, "lo")
		rule := []expr.Any{
			&expr.Meta{Key: c.key, Register: 1},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: lo},
		}
		if percent < 100 {
			rule = append(rule,
				&expr.Numgen{Register: 1, Modulus: 100, Type: unix.NFT_NG_RANDOM},
				&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
				&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint32(percent)},
			)
		}
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(rule, &expr.Verdict{Kind: expr.VerdictDrop})})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("set rules that drop packets: %w", err)
	}
	return nil
}

// undrop takes the rules away.
func undrop(in netns.NsHandle) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(in)))
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	conn.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: lossTable})
	return conn.Flush()
}

// cannot is why the kernel does not do something in a network namespace; it is tried in a new one.
func cannot(try func(netns.NsHandle) error) func() string {
	return func() string {
		err := osthread.Run(func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("make a network namespace, which takes root: %w", err)
			}
			here, err := netns.GetFromPath("/proc/thread-self/ns/net")
			if err != nil {
				return err
			}
			defer here.Close()
			return try(here)
		})
		if err != nil {
			return err.Error()
		}
		return ""
	}
}

// interfaces are those of the pods on the sandbox's bridge.
func interfaces(in netns.NsHandle) (names []string) {
	GinkgoHelper()
	handle, err := netlink.NewHandleAt(in, unix.NETLINK_ROUTE)
	Expect(err).NotTo(HaveOccurred())
	defer handle.Close()
	links, err := handle.LinkList()
	Expect(err).NotTo(HaveOccurred())
	for _, l := range links {
		if l.Attrs().MasterIndex != 0 && l.Attrs().Flags&net.FlagUp != 0 {
			names = append(names, l.Attrs().Name)
		}
	}
	Expect(names).NotTo(BeEmpty())
	return names
}

var _ = Describe("the pods' network", func() {
	slowly := cannot(func(here netns.NsHandle) error { return slow(here, "lo", 1<<20) })
	lossy := cannot(func(here netns.NsHandle) error { return errors.Join(drop(here, 50), undrop(here)) })
	closed := cannot(func(here netns.NsHandle) error { return errors.Join(drop(here, 100), undrop(here)) })
	// of is a fault in the network of one of the run's processes for a while, or for good where
	// that is 0.
	of := func(name, program string, percent uint32, lasts time.Duration, f Fault) Fault {
		f.Name, f.Kind, f.At, f.NotHere = name, ofNetwork, while, lossy
		if percent == 100 {
			f.NotHere = closed
		}
		if lasts == 0 {
			f.At = beforeMore // while steps are to come that need it
		}
		f.Make = func(r *Run) string {
			in := networkOf(r.One(program))
			Expect(drop(in, percent)).To(Succeed())
			did := fmt.Sprintf("%d %% of the packets from and to the pod of a %s were dropped", percent, program)
			if lasts == 0 {
				return did + " from then on"
			}
			time.Sleep(lasts)
			Expect(undrop(in)).To(Succeed())
			return fmt.Sprintf("%s for %s", did, lasts)
		}
		return f
	}
	each(
		Fault{
			Name: "slow network: istiod sends 64 KiB a second", Kind: ofNetwork, NotHere: slowly, Ends: marked, Limit: 8 * time.Minute,
			Make: func(r *Run) string {
				Expect(slow(networkOf(r.One("pilot-discovery")), "eth0", 64<<10)).To(Succeed())
				return "what leaves istiod's pod was limited to 64 KiB a second (tbf) from then on"
			},
		},
		Fault{
			Name: "slow network: pods receive 32 KiB a second", Kind: ofNetwork, NotHere: slowly, Ends: marked, Limit: 8 * time.Minute,
			Make: func(r *Run) string {
				in := networkOf(r.One("etcd"))
				names := interfaces(in)
				for _, name := range names {
					Expect(slow(in, name, 32<<10)).To(Succeed())
				}
				return fmt.Sprintf("what goes to each of %d pods was limited to 32 KiB a second (tbf) from then on", len(names))
			},
		},
		of("lossy network: a fifth of istiod's packets are lost", "pilot-discovery", 20, 0, Fault{Ends: marked, Limit: 8 * time.Minute}),
		of("lossy network: half of an Envoy's packets are lost for 20 s", "envoy", 50, 20*time.Second, Fault{Ends: marked, Limit: 6 * time.Minute}),
		of("partitioned network: istiod is cut off for 20 s", "pilot-discovery", 100, 20*time.Second, Fault{Ends: marked, Limit: 6 * time.Minute}),
		of("partitioned network: a sidecar is cut off for 30 s", "envoy", 100, 30*time.Second, Fault{Ends: marked, Limit: 6 * time.Minute}),
		of("partitioned network: istiod is cut off for good", "pilot-discovery", 100, 0, Fault{
			// New pods get no sidecar, and are waited for as long as the run may take.
			Args: []string{"--timeout", "4m"}, Ends: []int{4}, Says: []string{"failed calling webhook"}, Limit: 6 * time.Minute,
		}),
		of("partitioned network: a sidecar is cut off for good", "envoy", 100, 0, Fault{
			// It is not ready after a minute, and no endpoint.
			Ends: []int{3, 6}, Says: []string{"the mesh did not settle"}, Limit: 8 * time.Minute, Final: true,
		}),
	)
})
