package harness

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"

	"github.com/meshbench/meshbench/harness/kube/informers"
	"github.com/meshbench/meshbench/harness/sample"
)

// registered are the types by which istiod counts the events of its registry
// (pilot/pkg/serviceregistry/kube/controller in istio.io/istio); other types are kinds of
// configuration (pilot/pkg/config/kube/crdclient).
var registered = map[string]bool{"Services": true, "Pods": true, "Nodes": true, "Namespaces": true, "EndpointSlice": true}

// registry are the resources of the registry.
func registry() map[schema.GroupVersionResource]string {
	v1 := schema.GroupVersion{Version: "v1"}
	return map[schema.GroupVersionResource]string{
		v1.WithResource("services"): "Services", v1.WithResource("pods"): "Pods",
		v1.WithResource("nodes"): "Nodes", v1.WithResource("namespaces"): "Namespaces",
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}: "EndpointSlice",
	}
}

// configuration are the kinds that istiod watches where the cluster serves them
// (pkg/config/schema/collections of istio.io/istio 1.22 to 1.31, without those that are off
// by default).
var configuration = map[string][]string{
	"networking.istio.io": {
		"DestinationRule", "EnvoyFilter", "Gateway", "ProxyConfig", "ServiceEntry", "Sidecar", "VirtualService",
		"WorkloadEntry", "WorkloadGroup",
	},
	"security.istio.io":         {"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"},
	"telemetry.istio.io":        {"Telemetry"},
	"extensions.istio.io":       {"WasmPlugin", "TrafficExtension"},
	"gateway.networking.k8s.io": {"GatewayClass", "Gateway", "HTTPRoute", "GRPCRoute", "ReferenceGrant"},
}

// revisionLabel names the revision that an object of configuration is for.
const revisionLabel = "istio.io/rev"

// watched is a resource that is watched, as istiod watches it.
type watched struct {
	schema.GroupVersionResource
	kind       string // as istiod counts it
	namespaced bool
}

func (k watched) config() bool { return !registered[k.kind] }

// object is what there is to know of an object.
type object struct {
	namespace, version string
	labels             map[string]string
}

// view is what istiods with the same filters see.
type view struct {
	revision  string
	selectors []labels.Selector

	namespaces map[string]bool // those whose objects are read
	in         map[string]bool // the objects that are read, by resource and key
	counts     counts
	changed    time.Time // when the last event was counted
}

// objects watches what istiod watches, and counts what happens to it by what each istiod
// reads. It is safe for concurrent use.
type objects struct {
	metadata metadata.Interface
	served   discovery.DiscoveryInterface
	// scope has the namespaces of the run: what happens elsewhere is others'.
	scope sample.Scope
	// livePods tells that istiod does not watch pods that have failed, as from 1.29 on.
	livePods bool

	mu        sync.Mutex
	kinds     map[schema.GroupVersionResource]watched
	store     map[schema.GroupVersionResource]map[string]object
	views     []*view
	gone      map[string]bool // what went since the last mark, by resource and key
	endpoints int             // rises with each change of what endpoints are made of
	others    counts          // what happened outside of the scope since it was asked last
}

// watchesLivePods tells whether istiod of a version, 1.23.2, leaves out pods that have
// failed; one of an unknown version does not.
func watchesLivePods(istio string) bool {
	v, err := version.ParseGeneric(istio)
	return err == nil && v.AtLeast(version.MustParseGeneric("1.29.0"))
}

func newObjects(client metadata.Interface, served discovery.DiscoveryInterface, livePods bool, scope sample.Scope) *objects {
	return &objects{
		metadata: client, served: served, livePods: livePods, scope: scope, others: counts{},
		kinds: map[schema.GroupVersionResource]watched{}, store: map[schema.GroupVersionResource]map[string]object{},
		gone: map[string]bool{},
	}
}

// watch begins to watch what is served and not watched yet, until ctx ends. It returns when
// what there is has been seen.
func (o *objects) watch(ctx context.Context) error {
	found, err := o.find()
	if err != nil {
		return err
	}
	var synced []cache.InformerSynced
	for _, k := range found {
		o.mu.Lock()
		_, before := o.kinds[k.GroupVersionResource]
		o.mu.Unlock()
		if before {
			continue
		}
		// What may not be read is not waited for.
		if _, err := o.metadata.Resource(k.GroupVersionResource).List(ctx, metav1.ListOptions{Limit: 1}); apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			continue
		}
		o.mu.Lock()
		o.kinds[k.GroupVersionResource] = k
		o.store[k.GroupVersionResource] = map[string]object{}
		o.mu.Unlock()
		informer := informers.Metadata(o.metadata, k.GroupVersionResource, func(l *metav1.ListOptions) { o.tweak(k, l) })
		if err := informer.SetTransform(strip); err != nil {
			return fmt.Errorf("watch %s: %w", k.Resource, err)
		}
		handler, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
			AddFunc:    func(obj any, initial bool) { o.see(k, obj, initial, false) },
			UpdateFunc: func(_, obj any) { o.see(k, obj, false, false) },
			DeleteFunc: func(obj any) { o.see(k, obj, false, true) },
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", k.Resource, err)
		}
		synced = append(synced, handler.HasSynced)
		go informer.RunWithContext(ctx)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("watch what istiod watches: %w", context.Cause(ctx))
	}
	return nil
}

// find lists what istiod watches of what the cluster serves.
func (o *objects) find() ([]watched, error) {
	var found []watched
	for gvr, kind := range registry() {
		found = append(found, watched{gvr, kind, kind != "Nodes" && kind != "Namespaces"})
	}
	groups, err := o.served.ServerGroups()
	if err != nil {
		return nil, fmt.Errorf("ask what the cluster serves: %w", err)
	}
	for _, g := range groups.Groups {
		kinds := configuration[g.Name]
		seen := map[string]bool{}
		for _, v := range g.Versions {
			if len(seen) == len(kinds) {
				break
			}
			list, err := o.served.ServerResourcesForGroupVersion(v.GroupVersion)
			if err != nil {
				return nil, fmt.Errorf("ask what the cluster serves of %s: %w", v.GroupVersion, err)
			}
			for _, r := range list.APIResources {
				if slices.Contains(kinds, r.Kind) && !seen[r.Kind] && slices.Contains(r.Verbs, "watch") {
					seen[r.Kind] = true
					found = append(found, watched{schema.GroupVersionResource{Group: g.Name, Version: v.Version, Resource: r.Name}, r.Kind, r.Namespaced})
				}
			}
		}
	}
	return found, nil
}

func (o *objects) tweak(k watched, l *metav1.ListOptions) {
	if k.kind == "Pods" && o.livePods {
		l.FieldSelector = "status.phase!=Failed"
	}
}

// strip leaves of an object what is looked at.
func strip(obj any) (any, error) {
	m, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, Labels: m.Labels, ResourceVersion: m.ResourceVersion,
	}}, nil
}

// see takes in what has become of an object. What there was at the beginning is no event.
func (o *objects) see(k watched, obj any, initial, gone bool) {
	m, ok := informers.Last(obj).(metav1.Object)
	if !ok {
		return
	}
	key := cache.MetaObjectToName(m).String()
	now := object{m.GetNamespace(), m.GetResourceVersion(), m.GetLabels()}
	o.mu.Lock()
	defer o.mu.Unlock()
	before, known := o.store[k.GroupVersionResource][key]
	if known && !gone && before.version == now.version {
		return // listed again
	}
	if gone {
		delete(o.store[k.GroupVersionResource], key)
		o.gone[id(k.GroupVersionResource, key)] = true
	} else {
		o.store[k.GroupVersionResource][key] = now
	}
	if k.kind == "Services" || k.kind == "Pods" || k.kind == "EndpointSlice" {
		o.endpoints++
	}
	if !initial && o.foreign(k, m) {
		o.others[event(k, known, gone)]++
	}
	for _, v := range o.views {
		v.see(k, key, now, initial, gone)
		if k.kind == "Namespaces" {
			o.enter(v, m.GetName(), now, gone)
		}
	}
}

// enter notes whether a view reads a namespace's objects, and what that changes.
func (o *objects) enter(v *view, namespace string, now object, gone bool) {
	is := !gone && v.selects(now.labels)
	if v.namespaces[namespace] == is {
		return
	}
	v.namespaces[namespace] = is
	for gvr, all := range o.store {
		k := o.kinds[gvr]
		if !k.namespaced {
			continue
		}
		for key, obj := range all {
			if obj.namespace == namespace {
				v.see(k, key, obj, false, false)
			}
		}
	}
}

// selects tells whether a namespace with these labels is read.
func (v *view) selects(l map[string]string) bool {
	return len(v.selectors) == 0 || slices.ContainsFunc(v.selectors, func(s labels.Selector) bool { return s.Matches(labels.Set(l)) })
}

// reads tells whether an object is read.
func (v *view) reads(k watched, obj object) bool {
	if k.namespaced && len(v.selectors) > 0 && !v.namespaces[obj.namespace] {
		return false
	}
	// Of namespaces that selectors leave out, versions differ in what they count.
	if k.kind == "Namespaces" && len(v.selectors) > 0 {
		return false
	}
	revision, labelled := obj.labels[revisionLabel]
	return !k.config() || !labelled || v.revision == "" || revision == v.revision
}

// see counts what has become of an object.
func (v *view) see(k watched, key string, obj object, initial, gone bool) {
	id := id(k.GroupVersionResource, key)
	was, is := v.in[id], !gone && v.reads(k, obj)
	if is {
		v.in[id] = true
	} else {
		delete(v.in, id)
	}
	if initial || !was && !is {
		return
	}
	e := event(k, was, !is)
	if k.kind == "Nodes" && e.What == sample.Updated {
		return // nodes say all the time that they live, which changes no proxy
	}
	v.counts[e]++
	v.changed = time.Now()
}

// seen is what has happened to the objects that an istiod with these settings reads, since
// it was asked for the first time, and when the last of it was seen.
func (o *objects) seen(settings sample.Settings) (counts, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range o.views {
		if settings.SameObjects(sample.Settings{Revision: v.revision, Selectors: v.selectors}) {
			return maps.Clone(v.counts), v.changed
		}
	}
	v := &view{revision: settings.Revision, selectors: settings.Selectors, namespaces: map[string]bool{}, in: map[string]bool{}, counts: counts{}}
	for gvr, all := range o.store {
		for name, obj := range all {
			if o.kinds[gvr].kind == "Namespaces" {
				v.namespaces[name] = v.selects(obj.labels)
			}
		}
	}
	for gvr, all := range o.store {
		for key, obj := range all {
			v.see(o.kinds[gvr], key, obj, true, false)
		}
	}
	o.views = append(o.views, v)
	return counts{}, time.Time{}
}

// endpointChanges is a number that rises whenever endpoints may have changed.
func (o *objects) endpointChanges() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.endpoints
}

// mark is what there is at one moment, by resource.
type mark map[schema.GroupVersionResource]*marked

// marked are the versions of the objects that there are, and of the whole.
type marked struct {
	version string
	objects map[string]string
}

// mark reads what there is now, for [objects.reached].
func (o *objects) mark(ctx context.Context) (mark, error) {
	o.mu.Lock()
	kinds := maps.Clone(o.kinds)
	o.gone = map[string]bool{}
	o.mu.Unlock()
	m := mark{}
	var lists errgroup.Group
	lists.SetLimit(8)
	for gvr, k := range kinds {
		now := &marked{objects: map[string]string{}}
		m[gvr] = now
		lists.Go(func() error { return o.list(ctx, k, now) })
	}
	if err := lists.Wait(); err != nil {
		return nil, err
	}
	return m, nil
}

// list reads what there is of a kind.
func (o *objects) list(ctx context.Context, k watched, now *marked) error {
	pages := pager.New(func(ctx context.Context, l metav1.ListOptions) (runtime.Object, error) {
		page, err := o.metadata.Resource(k.GroupVersionResource).List(ctx, l)
		if err == nil {
			now.version = page.ResourceVersion
		}
		return page, err
	})
	var l metav1.ListOptions
	o.tweak(k, &l)
	err := pages.EachListItem(ctx, l, func(obj runtime.Object) error {
		if item, ok := obj.(metav1.Object); ok {
			now.objects[cache.MetaObjectToName(item).String()] = item.GetResourceVersion()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", k.Resource, err)
	}
	return nil
}

// reached tells whether the watch has seen all that there was at a mark, and all that there
// was no more. Of several marks it is for the last.
func (o *objects) reached(m mark) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for gvr, then := range m {
		for key, version := range then.objects {
			seen, ok := o.store[gvr][key]
			if ok && older(seen.version, version) || !ok && !o.gone[id(gvr, key)] {
				return false
			}
		}
		for key, seen := range o.store[gvr] {
			if _, there := then.objects[key]; !there && !older(then.version, seen.version) {
				return false
			}
		}
	}
	return true
}

func id(gvr schema.GroupVersionResource, key string) string { return gvr.String() + "/" + key }

// older compares versions of etcd, which are numbers that rise.
func older(a, b string) bool {
	x, err := strconv.ParseUint(a, 10, 64)
	y, err2 := strconv.ParseUint(b, 10, 64)
	return err == nil && err2 == nil && x < y
}
