package kubelet

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	"github.com/virtual-kubelet/virtual-kubelet/node"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube/informers"
	"github.com/meshbench/meshbench/instances"
)

// VirtualLabel marks the nodes of this package.
const VirtualLabel = "meshbench.dev/virtual"

// kubeletPort is where every node serves the kubelet API, on its own address.
const kubeletPort = 10250

// syncWorkers is the number of pods that a node starts or stops at the same time.
const syncWorkers = 8

// virtualNode is one node: virtual-kubelet's controllers for it, its kubelet API, and
// its pods. It is virtual-kubelet's provider.
type virtualNode struct {
	manager     *Manager
	name        string
	ip          netip.Addr
	group       cluster.NodeGroup // with Count 1
	created     time.Time
	allocatable corev1.ResourceList
	recorder    record.EventRecorder
	pods        corev1listers.PodLister // this node's only

	cancel context.CancelFunc
	ended  sync.WaitGroup // the controllers and the server

	// endedCPU is the CPU time of containers that have ended, in nanoseconds.
	endedCPU atomic.Uint64

	mu     sync.Mutex
	byUID  map[types.UID]*pod
	notify func(*corev1.Pod)
}

// startNode makes a node and its object, and returns without waiting for it to be Ready.
func (m *Manager) startNode(group cluster.NodeGroup, number int) (_ *virtualNode, err error) {
	typ, err := instances.Lookup(group.InstanceType)
	if err != nil {
		return nil, err
	}
	ip, err := m.nodeIPs.take()
	if err != nil {
		return nil, fmt.Errorf("give a node an address: %w", err)
	}
	prefix := netip.PrefixFrom(ip, m.config.Network.Bits())
	if err := m.config.Runtime.AddAddress(prefix); err != nil {
		m.nodeIPs.release(ip)
		return nil, fmt.Errorf("add node address %s: %w", prefix, err)
	}
	ctx, cancel := context.WithCancel(m.background)
	n := &virtualNode{
		manager: m,
		name:    "ip-" + strings.ReplaceAll(ip.String(), ".", "-") + ".ec2.internal",
		ip:      ip,
		group:   cluster.NodeGroup{InstanceType: group.InstanceType, Count: 1, MaxPods: group.MaxPods},
		created: time.Now(),
		cancel:  cancel,
		byUID:   map[types.UID]*pod{},
	}
	object := n.object(typ, number)
	n.allocatable = object.Status.Allocatable
	n.recorder = m.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: n.name})
	defer func() {
		if err != nil {
			n.shutDown()
		}
	}()

	podFactory := informers.New(m.client, informers.Options{Tweak: func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", n.name).String()
	}})
	podInformer := podFactory.Core().Pods()
	n.pods = podInformer.Lister()
	if _, err = podInformer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, now any) {
			if object, ok := now.(*corev1.Pod); ok && overruled(object) {
				go n.assert(object)
			}
		},
	}); err != nil {
		return nil, fmt.Errorf("watch the pods of %s: %w", n.name, err)
	}
	pods, err := node.NewPodController(node.PodControllerConfig{
		PodClient:         m.client.CoreV1(),
		PodInformer:       podInformer,
		ConfigMapInformer: m.factory.Core().ConfigMaps(),
		SecretInformer:    m.factory.Core().Secrets(),
		ServiceInformer:   m.factory.Core().Services(),
		// virtual-kubelet's own events, one or two a pod, tell nobody anything.
		EventRecorder:                        &record.FakeRecorder{},
		Provider:                             n,
		SkipDownwardAPIResolution:            true, // see environment
		SyncPodsFromKubernetesRateLimiter:    rateLimiter(),
		DeletePodsFromKubernetesRateLimiter:  rateLimiter(),
		SyncPodStatusFromProviderRateLimiter: rateLimiter(),
	})
	if err != nil {
		return nil, fmt.Errorf("make pod controller of %s: %w", n.name, err)
	}
	nodes, err := node.NewNodeController(node.NaiveNodeProvider{}, object, nodeClient{m.client.CoreV1().Nodes()},
		node.WithNodeEnableLeaseV1(m.client.CoordinationV1().Leases(corev1.NamespaceNodeLease), int32(m.config.Lease/time.Second)))
	if err != nil {
		return nil, fmt.Errorf("make node controller of %s: %w", n.name, err)
	}
	listener, err := net.Listen("tcp", netip.AddrPortFrom(ip, kubeletPort).String())
	if err != nil {
		return nil, fmt.Errorf("serve the kubelet API of %s: %w", n.name, err)
	}
	server := &http.Server{Handler: n.handler(), ReadHeaderTimeout: 30 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	n.ended.Go(func() { _ = server.Serve(tls.NewListener(listener, m.config.TLS)) }) // always ends with an error: closed

	podFactory.Start(ctx.Done())
	n.ended.Go(podFactory.Wait)
	run := func(what string, run func() error) {
		n.ended.Go(func() {
			if err := run(); err != nil && ctx.Err() == nil {
				m.log.Error(what+" ended", "node", n.name, "err", err)
			}
		})
	}
	run("pod controller", func() error { return pods.Run(ctx, syncWorkers) })
	run("node controller", func() error {
		// A node that takes pods before it can start them would only delay them.
		select {
		case <-pods.Ready():
		case <-pods.Done():
			return pods.Err()
		}
		return nodes.Run(ctx)
	})
	return n, nil
}

// rateLimiter delays a key's retries only: the default of client-go also limits all keys
// together, to 10 a second.
func rateLimiter() workqueue.TypedRateLimiter[any] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[any](5*time.Millisecond, 10*time.Second)
}

// object is the node as it registers itself.
func (n *virtualNode) object(typ instances.Type, number int) *corev1.Node {
	now := metav1.Now()
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	// The ids are of no machine, but must differ, and be the same in every run.
	id := uuid.NewSHA1(uuid.NameSpaceDNS, []byte(n.name)).String()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.name,
			Labels: map[string]string{
				corev1.LabelHostname:       n.name,
				corev1.LabelOSStable:       "linux",
				corev1.LabelArchStable:     goruntime.GOARCH,
				cluster.InstanceTypeLabel:  typ.Name,
				corev1.LabelTopologyRegion: "us-east-1",
				corev1.LabelTopologyZone:   "us-east-1" + []string{"a", "c"}[number%2],
				VirtualLabel:               "true",
			},
		},
		Status: corev1.NodeStatus{
			Phase:       corev1.NodeRunning,
			Capacity:    resourceList(typ.Capacity(n.group.MaxPods)),
			Allocatable: resourceList(typ.Allocatable(n.group.MaxPods)),
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: n.ip.String()},
				{Type: corev1.NodeInternalDNS, Address: n.name},
				{Type: corev1.NodeHostName, Address: n.name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: kubeletPort}},
			Conditions: []corev1.NodeCondition{
				condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"),
				condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
				condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
				condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
			},
			NodeInfo: corev1.NodeSystemInfo{
				MachineID:               strings.ReplaceAll(id, "-", ""),
				SystemUUID:              id,
				BootID:                  id,
				KernelVersion:           kernel(),
				OSImage:                 "meshbench (virtual node)",
				ContainerRuntimeVersion: "meshbench://1",
				KubeletVersion:          n.manager.config.Version,
				KubeProxyVersion:        n.manager.config.Version,
				OperatingSystem:         "linux",
				Architecture:            goruntime.GOARCH,
			},
		},
	}
}

func kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

func resourceList(r instances.Resources) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewMilliQuantity(r.MilliCPU, resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(r.Memory, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(r.Storage, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(int64(r.Pods), resource.DecimalSI),
	}
}

// remove takes the node out of the cluster: its object first, so that nothing is placed
// on it any more, then its pods, which do not get any grace.
func (n *virtualNode) remove(ctx context.Context) error {
	err := n.manager.client.CoreV1().Nodes().Delete(ctx, n.name, metav1.DeleteOptions{})
	if err != nil && !gone(err) {
		return fmt.Errorf("delete node %s: %w", n.name, err)
	}
	n.shutDown()
	// Those that had not arrived, or had ended by themselves.
	left, err := n.manager.client.CoreV1().Pods(corev1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.name})
	if err != nil {
		return fmt.Errorf("list pods of node %s: %w", n.name, err)
	}
	for _, p := range left.Items {
		if err := n.manager.deletePod(ctx, &p); err != nil {
			return fmt.Errorf("delete pod %s/%s of node %s: %w", p.Namespace, p.Name, n.name, err)
		}
	}
	return nil
}

// shutDown ends everything that runs for the node, and its pods at once.
func (n *virtualNode) shutDown() {
	n.cancel()
	n.ended.Wait()
	var all sync.WaitGroup
	for _, p := range n.live() {
		all.Go(func() {
			p.terminate(0)
			<-p.done
		})
	}
	all.Wait()
	if err := n.manager.config.Runtime.DelAddress(netip.PrefixFrom(n.ip, n.manager.config.Network.Bits())); err != nil {
		n.manager.log.Warn("take away node address", "node", n.name, "err", err)
	}
	n.manager.nodeIPs.release(n.ip)
}

// CreatePod starts a pod.
func (n *virtualNode) CreatePod(_ context.Context, object *corev1.Pod) error {
	p, err := newPod(n, object)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.byUID[p.uid] = p
	n.mu.Unlock()
	p.start()
	return nil
}

// UpdatePod takes note of a pod's new labels and annotations; nothing else of a pod can
// be changed that concerns its processes.
func (n *virtualNode) UpdatePod(_ context.Context, object *corev1.Pod) error {
	n.mu.Lock()
	p, ok := n.byUID[object.UID]
	n.mu.Unlock()
	if !ok {
		return n.notFound(object.Namespace, object.Name)
	}
	p.mu.Lock()
	p.latest = object
	p.mu.Unlock()
	return nil
}

// DeletePod begins the end of a pod. The pod's object is deleted when it has come.
func (n *virtualNode) DeletePod(_ context.Context, object *corev1.Pod) error {
	n.mu.Lock()
	p, ok := n.byUID[object.UID]
	n.mu.Unlock()
	if !ok {
		return n.notFound(object.Namespace, object.Name)
	}
	grace := p.gracePeriod()
	switch s := object.DeletionGracePeriodSeconds; {
	case object.DeletionTimestamp == nil:
		// The object is gone already: the deletion was forced.
		grace = 0
	case s != nil:
		grace = time.Duration(*s) * time.Second
	}
	p.terminate(grace)
	return nil
}

// GetPod is a pod that has not begun to end: one that ends may have a successor of the
// same name, which virtual-kubelet is to create.
func (n *virtualNode) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	p, err := n.find(namespace, name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	latest, terminating := p.latest, p.terminating
	p.mu.Unlock()
	if terminating {
		return nil, n.notFound(namespace, name)
	}
	return p.marked(latest), nil
}

// GetPodStatus is the present status of a pod.
func (n *virtualNode) GetPodStatus(_ context.Context, namespace, name string) (*corev1.PodStatus, error) {
	p, err := n.find(namespace, name)
	if err != nil {
		return nil, err
	}
	return &p.withStatus().Status, nil
}

// GetPods lists the pods that have not ended.
func (n *virtualNode) GetPods(context.Context) ([]*corev1.Pod, error) {
	var objects []*corev1.Pod
	for _, p := range n.live() {
		objects = append(objects, p.withStatus())
	}
	return objects, nil
}

// NotifyPods takes virtual-kubelet's function for new statuses.
func (n *virtualNode) NotifyPods(_ context.Context, notify func(*corev1.Pod)) { n.notify = notify }

// live are the node's pods, also those about to end, in no order.
func (n *virtualNode) live() []*pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	pods := make([]*pod, 0, len(n.byUID))
	for _, p := range n.byUID {
		pods = append(pods, p)
	}
	return pods
}

// find is the pod of that name; of two, the one that has not begun to end.
func (n *virtualNode) find(namespace, name string) (*pod, error) {
	var found *pod
	for _, p := range n.live() {
		if p.namespace != namespace || p.name != name {
			continue
		}
		if found = p; p.stopping.Err() == nil {
			break
		}
	}
	if found == nil {
		return nil, n.notFound(namespace, name)
	}
	return found, nil
}

func (n *virtualNode) notFound(namespace, name string) error {
	return errdefs.NotFoundf("pod %s/%s is not on node %s", namespace, name, n.name)
}

func (n *virtualNode) forget(p *pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.byUID, p.uid)
}
