package informers_test

import (
	"context"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/meshbench/meshbench/harness/kube/informers"
)

func service(namespace, name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}}}
}

func TestFactory(t *testing.T) {
	client := fake.NewClientset(service("a", "one"), service("a", "two"), service("b", "one"))
	for name, c := range map[string]struct {
		options informers.Options
		want    []string
	}{
		"all":       {want: []string{"a/one", "a/two", "b/one"}},
		"namespace": {informers.Options{Namespace: "a"}, []string{"a/one", "a/two"}},
		"tweak":     {informers.Options{Tweak: func(o *metav1.ListOptions) { o.LabelSelector = "app=one" }}, []string{"a/one", "b/one"}},
		"transform": {informers.Options{Namespace: "b", Transform: func(object any) (any, error) {
			s := object.(*corev1.Service).DeepCopy()
			s.Name = "other"
			return s, nil
		}}, []string{"b/other"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			defer end()
			f := informers.New(client, c.options)
			services := f.Core().Services()
			if services.Informer() != f.Core().Services().Informer() {
				t.Error("a kind has two informers")
			}
			f.Start(ctx.Done())
			f.Start(ctx.Done()) // starts nothing twice, which would panic
			f.Discovery().EndpointSlices().Informer()
			f.Start(ctx.Done()) // what was asked for since
			if err := f.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			found, err := services.Lister().List(labels.Everything())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range found {
				got = append(got, s.Namespace+"/"+s.Name)
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if !f.Discovery().EndpointSlices().Informer().HasSynced() {
				t.Error("what was started later was not waited for")
			}
			end()
			f.Wait()
			if !services.Informer().IsStopped() {
				t.Error("an informer runs after Wait")
			}
		})
	}
}

func TestSyncEnds(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	f := informers.New(fake.NewClientset(), informers.Options{})
	f.Core().Pods().Informer()
	end()
	f.Start(ctx.Done())
	if err := f.Sync(ctx); err == nil {
		t.Error("no error although nothing was read")
	}
	f.Wait()
}

func TestMetadata(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	object := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "one", Labels: map[string]string{"app": "one"}},
	}
	other := object.DeepCopy()
	other.Name, other.Labels = "two", nil
	client := metadatafake.NewSimpleMetadataClient(scheme, object, other)
	informer := informers.Metadata(client, schema.GroupVersionResource{Version: "v1", Resource: "services"}, func(o *metav1.ListOptions) { o.LabelSelector = "app=one" })
	go informer.RunWithContext(t.Context())
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("nothing was read")
	}
	if keys := informer.GetStore().ListKeys(); !slices.Equal(keys, []string{"a/one"}) {
		t.Errorf("got %q", keys)
	}
}
