// Package serviceproxy makes the addresses of Services work inside pods, in place of
// kube-proxy: in each pod's own network namespace the kernel translates them to the
// addresses of ready endpoints, by rules that are set through netlink and follow Services and
// EndpointSlices. Real kube-proxy translates on nodes, which pods of the embedded cluster
// have none of, and starts the programs iptables, nft or ipvsadm.
//
// As kube-proxy does, it takes endpoints that are ready, else those that still serve while
// they end; each connection goes to one of them by chance; connections to an address that
// none answers at are refused. sessionAffinity, internalTrafficPolicy, external addresses and
// node ports are left out, and so is ending flows of UDP to endpoints that are gone.
package serviceproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/google/nftables"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/meshbench/meshbench/harness/kube/informers"
)

// Config says what a Proxy does.
type Config struct {
	// Services is the range of Services' addresses, IPv4. Connections to one that nothing
	// answers at are refused.
	Services netip.Prefix
	// Reachable are addresses in the range that can be reached without translation.
	Reachable []netip.Addr
	// Log gets what goes wrong; slog.Default() when nil.
	Log *slog.Logger
}

// Pod is a pod with a network of its own.
type Pod interface {
	// Nftables reaches its packet filter.
	Nftables() (*nftables.Conn, error)
}

// Proxy keeps the rules of pods. It is safe for concurrent use.
type Proxy struct {
	config   Config
	services corelisters.ServiceLister
	slices   cache.Indexer
	wake     chan struct{}

	noted sync.Mutex
	dirty map[types.NamespacedName]bool // Services of which something has changed

	mu      sync.Mutex // held before a pod's
	state   *state
	current *snapshot
	pods    map[Pod]*attached
}

// attached is what a pod has.
type attached struct {
	name string

	mu   sync.Mutex
	conn *nftables.Conn
	// table is nil until the rules have been made, and after a failure, of which nobody knows
	// what it has left.
	table *table
	has   *snapshot
	gone  bool
}

// serviceIndex finds the EndpointSlices of a Service.
const serviceIndex = "meshbench-service"

// New makes a proxy that reads by informers of factory, which are not started yet and must
// have synced before the first Attach. Run it.
func New(factory *informers.Factory, config Config) (*Proxy, error) {
	if !config.Services.IsValid() || !config.Services.Addr().Is4() {
		return nil, fmt.Errorf("translate addresses of Services: %v is no range of IPv4", config.Services)
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	p := &Proxy{
		config:   config,
		services: factory.Core().Services().Lister(),
		wake:     make(chan struct{}, 1),
		dirty:    map[types.NamespacedName]bool{},
		state:    newState(),
		current:  &snapshot{},
		pods:     map[Pod]*attached{},
	}
	slices := factory.Discovery().EndpointSlices().Informer()
	err := slices.AddIndexers(cache.Indexers{serviceIndex: func(object any) ([]string, error) {
		if name := serviceOf(object); name.Name != "" {
			return []string{name.String()}, nil
		}
		return nil, nil
	}})
	if err != nil {
		return nil, fmt.Errorf("index EndpointSlices by Service: %w", err)
	}
	p.slices = slices.GetIndexer()
	for informer, name := range map[cache.SharedIndexInformer]func(any) types.NamespacedName{
		factory.Core().Services().Informer(): nameOf, slices: serviceOf,
	} {
		note := func(object any) { p.note(name(object)) }
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: note, UpdateFunc: func(_, object any) { note(object) }, DeleteFunc: note,
		})
		if err != nil {
			return nil, fmt.Errorf("watch Services and their endpoints: %w", err)
		}
	}
	return p, nil
}

// nameOf is a Service's name.
func nameOf(object any) types.NamespacedName {
	if s, ok := informers.Last(object).(*corev1.Service); ok {
		return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
	}
	return types.NamespacedName{}
}

// serviceOf is the Service of an EndpointSlice.
func serviceOf(object any) types.NamespacedName {
	if s, ok := informers.Last(object).(*discoveryv1.EndpointSlice); ok {
		return types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
	}
	return types.NamespacedName{}
}

func (p *Proxy) note(service types.NamespacedName) {
	if service.Name == "" {
		return
	}
	p.noted.Lock()
	p.dirty[service] = true
	p.noted.Unlock()
	p.rouse()
}

// rouse has Run look again.
func (p *Proxy) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

const (
	// gather is how long changes are gathered before they are made.
	gather = 100 * time.Millisecond
	// rest is how many times longer than an update took the next one waits: updates take a
	// tenth of one processor at most.
	rest = 9
	// again is how long the rules of a pod stay as they are when they could not be made.
	again = time.Second
)

// Run keeps the rules of pods up to date until ctx ends.
func (p *Proxy) Run(ctx context.Context) {
	wait := gather
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		begin := time.Now()
		if !p.update() {
			time.AfterFunc(again, p.rouse)
		}
		wait = max(gather, rest*time.Since(begin))
	}
}

// refresh reads what has changed. p.mu is held.
func (p *Proxy) refresh() (err error) {
	p.noted.Lock()
	dirty := p.dirty
	p.dirty = map[types.NamespacedName]bool{}
	p.noted.Unlock()
	changed := false
	defer func() {
		if err != nil { // all of them again
			p.noted.Lock()
			maps.Copy(p.dirty, dirty)
			p.noted.Unlock()
		}
		if changed {
			p.current = p.state.snapshot()
		}
	}()
	for name := range dirty {
		service, err := p.services.Services(name.Namespace).Get(name.Name)
		if apierrors.IsNotFound(err) {
			changed = p.state.set(name, nil) || changed
			continue
		}
		var objects []any
		if err == nil {
			objects, err = p.slices.ByIndex(serviceIndex, name.String())
		}
		if err != nil {
			return fmt.Errorf("read Service %s: %w", name, err)
		}
		all := make([]*discoveryv1.EndpointSlice, 0, len(objects))
		for _, object := range objects {
			if slice, ok := object.(*discoveryv1.EndpointSlice); ok {
				all = append(all, slice)
			}
		}
		changed = p.state.set(name, frontends(service, all)) || changed
	}
	return nil
}

// update brings all pods up to date and reports whether that worked.
func (p *Proxy) update() bool {
	p.mu.Lock()
	if err := p.refresh(); err != nil {
		p.mu.Unlock()
		p.config.Log.Error("translate addresses of Services", "err", err)
		return false
	}
	current := p.current
	pods := make([]*attached, 0, len(p.pods))
	for _, pod := range p.pods {
		pods = append(pods, pod)
	}
	p.mu.Unlock()

	worked := true
	var known change // the last one, which many pods need
	for _, pod := range pods {
		pod.mu.Lock()
		switch {
		case pod.gone:
		case pod.table != nil && pod.has == current:
		default:
			if known.to == nil || known.from != pod.has {
				known = changes(pod.has, current)
			}
			worked = p.report(pod, pod.make(p.config, known)) && worked
		}
		pod.mu.Unlock()
	}
	return worked
}

// report says what went wrong with a pod.
func (p *Proxy) report(pod *attached, err error) (worked bool) {
	if err != nil {
		p.config.Log.Error("translate addresses of Services", "pod", pod.name, "err", err)
	}
	return err == nil
}

// make makes a change, from what the pod has. The pod is locked.
func (a *attached) make(config Config, c change) error {
	t := a.table
	if t == nil {
		made := newTable()
		t = &made
		if err := t.create(a.conn, config.Services, config.Reachable); err != nil {
			return err
		}
	} else if c.isNone() {
		a.has = c.to
		return nil
	}
	if err := t.apply(a.conn, c); err != nil {
		a.table, a.has = nil, nil
		return err
	}
	a.table, a.has = t, c.to
	return nil
}

// Attach makes the present addresses work in a pod, and keeps them so until Detach. name is
// the pod's, for messages.
func (p *Proxy) Attach(name string, pod Pod) error {
	conn, err := pod.Nftables()
	if err != nil {
		return fmt.Errorf("translate addresses of Services in pod %s: %w", name, err)
	}
	a := &attached{name: name, conn: conn}
	a.mu.Lock()
	defer a.mu.Unlock()
	p.mu.Lock()
	if p.pods[pod] != nil {
		p.mu.Unlock()
		return errors.New("pod " + name + " is attached already")
	}
	err = p.refresh()
	current := p.current
	if err == nil {
		p.pods[pod] = a
	}
	p.mu.Unlock()
	if err == nil {
		err = a.make(p.config, changes(nil, current))
	}
	if err != nil {
		p.forget(pod)
		return fmt.Errorf("translate addresses of Services in pod %s: %w", name, err)
	}
	p.rouse() // for the others, if something was new
	return nil
}

// Detach leaves a pod's rules alone from now on, so that its namespace can be closed. It may
// not be attached.
func (p *Proxy) Detach(pod Pod) {
	if a := p.forget(pod); a != nil {
		a.mu.Lock()
		a.gone = true
		a.mu.Unlock()
	}
}

func (p *Proxy) forget(pod Pod) *attached {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.pods[pod]
	delete(p.pods, pod)
	return a
}
