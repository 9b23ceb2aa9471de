// Package informers keeps copies of a few kinds of objects: client-go's informers, made and
// run by a factory of its own. That of k8s.io/client-go/informers imports all kinds there
// are, 116 packages, which took 34 of 254 s of CPU time to compile the program; this one has
// the groups that somebody here reads.
package informers

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	corev1 "k8s.io/client-go/informers/core/v1"
	discoveryv1 "k8s.io/client-go/informers/discovery/v1"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

// Options say which objects, and what of them. The zero value is all of all.
type Options struct {
	// Namespace limits them to one.
	Namespace string
	// Tweak limits what is asked for, e.g. by a label; may be nil.
	Tweak func(*metav1.ListOptions)
	// Transform changes each object before it is kept; may be nil.
	Transform cache.TransformFunc
}

// Factory makes at most one informer for each kind. It is safe for concurrent use.
type Factory struct {
	client  kubernetes.Interface
	options Options

	mu      sync.Mutex
	all     map[reflect.Type]cache.SharedIndexInformer
	started map[reflect.Type]bool
	running sync.WaitGroup
}

// New makes a factory. It reads nothing before Start.
func New(client kubernetes.Interface, o Options) *Factory {
	return &Factory{client: client, options: o, all: map[reflect.Type]cache.SharedIndexInformer{}, started: map[reflect.Type]bool{}}
}

// Core has the informers of the group core/v1. Asking for one's Informer registers it.
func (f *Factory) Core() corev1.Interface {
	return corev1.New(f, f.options.Namespace, f.options.Tweak)
}

// Discovery has the informers of the group discovery.k8s.io/v1.
func (f *Factory) Discovery() discoveryv1.Interface {
	return discoveryv1.New(f, f.options.Namespace, f.options.Tweak)
}

// InformerFor is for the groups: the informer of an object's type.
func (f *Factory) InformerFor(object runtime.Object, make internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind := reflect.TypeOf(object)
	informer, ok := f.all[kind]
	if !ok {
		informer = make(f.client, 0)
		_ = informer.SetTransform(f.options.Transform) // fails only once it is started
		f.all[kind] = informer
	}
	return informer
}

// Start runs the informers that were asked for since the last Start until stop is closed.
func (f *Factory) Start(stop <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for kind, informer := range f.all {
		if !f.started[kind] {
			f.started[kind] = true
			f.running.Go(func() { informer.Run(stop) })
		}
	}
}

// Sync waits until all that was started has read what there is.
func (f *Factory) Sync(ctx context.Context) error {
	f.mu.Lock()
	started := map[reflect.Type]cache.SharedIndexInformer{}
	for kind := range f.started {
		started[kind] = f.all[kind]
	}
	f.mu.Unlock()
	for kind, informer := range started {
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			return fmt.Errorf("read %v from the API server: %w", kind, context.Cause(ctx))
		}
	}
	return nil
}

// Wait waits until all that was started has ended, after what it was started with was closed.
func (f *Factory) Wait() { f.running.Wait() }

// Last is the object that a handler was given: its last known state where it went while nobody
// watched ([cache.DeletedFinalStateUnknown]).
func Last(object any) any {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		return gone.Obj
	}
	return object
}

// Metadata is an informer of the metadata of one kind in all namespaces; tweak limits what is
// asked for.
func Metadata(client metadata.Interface, kind schema.GroupVersionResource, tweak func(*metav1.ListOptions)) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			tweak(&o)
			return client.Resource(kind).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			tweak(&o)
			return client.Resource(kind).Watch(ctx, o)
		},
	}, client), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
}
