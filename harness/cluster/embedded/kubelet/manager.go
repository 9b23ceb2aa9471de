// Package kubelet makes the nodes of the embedded cluster. To Kubernetes each is a
// machine of an EC2 instance type with a kubelet: it has a lease, an address, the
// kubelet API and pods that the scheduler has placed on it. All nodes live in this
// process, as virtual-kubelets.
//
// A container whose image stands for a program ([Image]) runs as a process, with the
// environment, volumes, probes, restarts and end that a kubelet would give it. All
// others are simulated: their status says that they run, and nothing else is claimed
// of them.
package kubelet

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/log"
	vkslog "github.com/virtual-kubelet/virtual-kubelet/log/slog"
	"github.com/virtual-kubelet/virtual-kubelet/node"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/serviceproxy"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/informers"
	"github.com/meshbench/meshbench/instances"
)

// Config describes the nodes.
type Config struct {
	// REST reaches the API server as an administrator. Its rate limit is lifted unless
	// it sets one: all nodes share the client.
	REST *rest.Config
	// Runtime runs the containers that are programs.
	Runtime Runtime
	// Images are the images that stand for programs; the first that matches is taken.
	Images []Image
	// Services, if set, has names and addresses of Services work in pods whose containers run.
	Services *Services
	// DataPlane, if set, has applications run and their traffic redirected to their sidecars.
	DataPlane *DataPlane
	// Real is the number of pods of each owner (ReplicaSet, DaemonSet) whose limited
	// images run; -1 for all.
	Real int
	// Light is the number of pods of each owner, beside the real ones, whose sidecars are
	// spoken for; -1 for all.
	Light int
	// RealFor are the workloads, namespace/name, that alone may have real sidecars; none for
	// all.
	RealFor []string
	// Dir is the folder for pods' state, absolute; what a pod had there goes with it.
	Dir string
	// Logs is the folder for containers' logs, NAMESPACE_POD_UID/CONTAINER/ATTEMPT.log,
	// which stay; the folder logs of Dir when empty.
	Logs string
	// TLS is for the servers of the kubelet API: a certificate for every address of
	// Nodes, and the wish for a client certificate, which is verified by ClientCA.
	TLS *tls.Config
	// ClientCA signs the clients of the kubelet API, PEM; REST's authority when empty.
	ClientCA []byte
	// Network is the range that addresses are of, for its prefix length; 10.0.0.0/16
	// when zero.
	Network netip.Prefix
	// Nodes and Pods are the addresses to give out; [NodeRange] and
	// 10.0.16.0 to 10.0.255.254 when zero.
	Nodes, Pods Range
	// Domain ends the names of Services; [DefaultDomain] when empty.
	Domain string
	// Lease is how long a node is taken for alive after it has said so, which it does each
	// quarter of that; 40 s when zero.
	Lease time.Duration
	// Version is the kubelet version that nodes report; v1.31.4 when empty.
	Version string
	// Log gets what goes wrong; slog.Default() when nil.
	Log *slog.Logger
}

// Manager runs the nodes.
type Manager struct {
	config    Config
	log       *slog.Logger
	client    kubernetes.Interface
	chooser   *chooser
	speakers  *speakers
	nodeIPs   *addresses
	podIPs    *addresses
	events    record.EventBroadcaster
	access    *access
	factory   *informers.Factory  // what all nodes read
	named     []namedServices     // Services that pods find by name
	addresses *serviceproxy.Proxy // of Services, translated in pods; may be nil
	changed   chan struct{}       // their endpoints have changed
	setNodes  sync.Mutex          // held by SetNodes

	// background is what everything runs under; it ends with Close.
	background context.Context
	end        context.CancelFunc
	ended      sync.WaitGroup

	mu    sync.Mutex
	nodes []*virtualNode // by age
	count int            // of nodes ever made
	hosts []serviceHost
}

// New makes a manager without nodes, which begins to read from the API server. Close it
// in the end.
func New(config Config) (*Manager, error) {
	if !config.Network.IsValid() {
		config.Network = netip.MustParsePrefix("10.0.0.0/16")
	}
	if config.Lease == 0 {
		config.Lease = node.DefaultLeaseDuration * time.Second
	}
	if !config.Nodes.First.IsValid() {
		config.Nodes = NodeRange()
	}
	if !config.Pods.First.IsValid() {
		config.Pods = Range{netip.MustParseAddr("10.0.16.0"), netip.MustParseAddr("10.0.255.254")}
	}
	config.Logs = cmp.Or(config.Logs, filepath.Join(config.Dir, "logs"))
	config.Domain = cmp.Or(config.Domain, DefaultDomain)
	config.Version = cmp.Or(config.Version, "v1.31.4")
	config.Log = cmp.Or(config.Log, slog.Default())
	if config.ClientCA == nil {
		config.ClientCA = config.REST.CAData
	}
	rc := kube.Protobuf(config.REST)
	if rc.QPS == 0 {
		rc.QPS = -1
	}
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return nil, fmt.Errorf("make the nodes' client: %w", err)
	}
	access, err := newAccess(client, config.ClientCA)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		config:  config,
		log:     config.Log,
		client:  client,
		chooser: newChooser(config.Real),
		nodeIPs: newAddresses(config.Nodes),
		podIPs:  newAddresses(config.Pods),
		events:  record.NewBroadcaster(),
		access:  access,
		factory: informers.New(client, informers.Options{Transform: withoutManagedFields}),
		named: []namedServices{
			{Factory: informers.New(client, informers.Options{Tweak: func(o *metav1.ListOptions) { o.LabelSelector = istiodSelector }})},
			{informers.New(client, informers.Options{Namespace: knativeNamespace}), knativeNamespace},
		},
		changed: make(chan struct{}, 1),
	}
	m.chooser.light = config.Light
	if len(config.RealFor) > 0 {
		m.chooser.only = config.RealFor
	}
	m.speakers = &speakers{manager: m}
	library := vkslog.FromSlog(slog.New(quiet{m.log.Handler()}).With("by", "virtual-kubelet"))
	m.background, m.end = context.WithCancel(log.WithLogger(context.Background(), library))

	notice := func() {
		select {
		case m.changed <- struct{}{}:
		default:
		}
	}
	// Asking for an informer registers it, so that it is waited for.
	m.factory.Core().Nodes().Informer()
	m.factory.Core().ConfigMaps().Informer()
	m.factory.Core().Secrets().Informer()
	m.factory.Core().Services().Informer()
	for _, named := range m.named {
		for _, informer := range []cache.SharedIndexInformer{
			named.Core().Services().Informer(),
			named.Discovery().EndpointSlices().Informer(),
		} {
			if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc:    func(any) { notice() },
				UpdateFunc: func(any, any) { notice() },
				DeleteFunc: func(any) { notice() },
			}); err != nil {
				return nil, fmt.Errorf("watch the endpoints of Services that pods find by name: %w", err)
			}
		}
	}
	if m.addresses, err = m.proxy(); err != nil {
		return nil, err
	}
	m.events.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: m.client.CoreV1().Events("")})
	m.factory.Start(m.background.Done())
	for _, named := range m.named {
		named.Start(m.background.Done())
	}
	if m.addresses != nil {
		m.ended.Go(func() { m.addresses.Run(m.background) })
	}
	m.ended.Go(func() {
		for {
			select {
			case <-m.changed:
				m.updateHosts()
			case <-m.background.Done():
				return
			}
		}
	})
	return m, nil
}

// withoutManagedFields saves the memory of what nobody here reads.
func withoutManagedFields(object any) (any, error) {
	if o, err := meta.Accessor(object); err == nil {
		o.SetManagedFields(nil)
	}
	return object, nil
}

// Close ends all nodes and pods at once, which takes moments. Their objects stay. The
// manager cannot be used afterwards.
func (m *Manager) Close() {
	m.end() // first, or controllers would replace the pods
	m.setNodes.Lock()
	defer m.setNodes.Unlock()
	var all sync.WaitGroup
	for _, n := range m.list() {
		all.Go(n.shutDown)
	}
	all.Wait()
	m.speakers.stop()
	m.ended.Wait()
	m.factory.Wait()
	for _, named := range m.named {
		named.Wait()
	}
	m.events.Shutdown()
}

var errClosed = errors.New("the nodes have been closed")

// SetNodes makes the nodes be groups: it adds what is missing and waits until it is
// Ready, then removes what is too much, unschedulable (cordoned) nodes first and then
// the newest, with their pods. After an error it can be called again.
func (m *Manager) SetNodes(ctx context.Context, groups []cluster.NodeGroup) error {
	m.setNodes.Lock()
	defer m.setNodes.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.background, func() { cancel(errClosed) })()
	factories := []*informers.Factory{m.factory}
	for _, named := range m.named {
		factories = append(factories, named.Factory)
	}
	for _, factory := range factories {
		if err := factory.Sync(ctx); err != nil {
			return err
		}
	}
	add, surplus := plan(m.list(), groups, m.cordoned)
	for _, group := range add {
		for range group.Count {
			if err := m.addNode(group); err != nil {
				return fmt.Errorf("add a node of type %s: %w", group.InstanceType, err)
			}
		}
	}
	if err := m.waitReady(ctx); err != nil {
		return err
	}
	var removals sync.WaitGroup
	errs := make([]error, len(surplus))
	for i, n := range surplus {
		removals.Go(func() {
			if errs[i] = n.remove(ctx); errs[i] == nil {
				m.mu.Lock()
				m.nodes = slices.DeleteFunc(m.nodes, func(other *virtualNode) bool { return other == n })
				m.mu.Unlock()
			}
		})
	}
	removals.Wait()
	return errors.Join(errs...)
}

func (m *Manager) addNode(group cluster.NodeGroup) error {
	m.mu.Lock()
	number := m.count
	m.count++
	m.mu.Unlock()
	n, err := m.startNode(group, number)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.nodes = append(m.nodes, n)
	m.mu.Unlock()
	return nil
}

func (m *Manager) list() []*virtualNode {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.nodes)
}

// plan compares the nodes, which are in order of age, with the groups wanted.
func plan(nodes []*virtualNode, groups []cluster.NodeGroup, cordoned func(*virtualNode) bool) (add []cluster.NodeGroup, surplus []*virtualNode) {
	type kind struct {
		instanceType string
		maxPods      int
	}
	want := map[kind]int{}
	var order []kind
	for _, g := range groups {
		k := kind{g.InstanceType, podLimit(g)}
		if _, ok := want[k]; !ok {
			order = append(order, k)
		}
		want[k] += g.Count
	}
	keep := slices.Clone(nodes)
	slices.SortStableFunc(keep, func(a, b *virtualNode) int {
		return cmp.Compare(number(cordoned(a)), number(cordoned(b)))
	})
	for _, n := range keep {
		k := kind{n.group.InstanceType, podLimit(n.group)}
		if want[k] > 0 {
			want[k]--
		} else {
			surplus = append(surplus, n)
		}
	}
	for _, k := range order {
		if want[k] > 0 {
			add = append(add, cluster.NodeGroup{InstanceType: k.instanceType, Count: want[k], MaxPods: k.maxPods})
		}
	}
	return add, surplus
}

// podLimit is the group's pod limit, whether it is stated or the instance type's own: a
// caller who read it off a node means the same node.
func podLimit(g cluster.NodeGroup) int {
	if typ, err := instances.Lookup(g.InstanceType); err == nil && g.MaxPods == 0 {
		return typ.MaxPods()
	}
	return g.MaxPods
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (m *Manager) cordoned(n *virtualNode) bool {
	object, err := m.factory.Core().Nodes().Lister().Get(n.name)
	return err == nil && object.Spec.Unschedulable
}

// waitReady waits until all nodes are Ready and take pods.
func (m *Manager) waitReady(ctx context.Context) error {
	lister := m.factory.Core().Nodes().Lister()
	for {
		var waiting []string
		for _, n := range m.list() {
			if object, err := lister.Get(n.name); err != nil || !ready(object) {
				waiting = append(waiting, n.name)
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		sleep(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("wait for nodes %s to be Ready: %w", strings.Join(waiting, ", "), context.Cause(ctx))
		}
	}
}

func ready(n *corev1.Node) bool {
	// The node-lifecycle controller takes this taint off a new node.
	tainted := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
	return !tainted && kube.IsNodeReady(n)
}
