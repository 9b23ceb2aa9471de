package inventory

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/harness/kube"
)

// served are the resources of the fake cluster, with the kinds of their lists.
var served = map[schema.GroupVersionResource]string{
	{Version: "v1", Resource: "namespaces"}: "NamespaceList", {Version: "v1", Resource: "services"}: "ServiceList",
	{Version: "v1", Resource: "pods"}: "PodList", {Version: "v1", Resource: "configmaps"}: "ConfigMapList",
	{Group: "networking.istio.io", Version: "v1", Resource: "sidecars"}: "SidecarList",
}

func client(objects ...string) (*kube.Client, *dynamicfake.FakeDynamicClient) {
	var all []runtime.Object
	for _, text := range objects {
		parts := strings.Fields(text)
		o := &unstructured.Unstructured{}
		o.SetAPIVersion(parts[0])
		o.SetKind(parts[1])
		o.SetNamespace(strings.Trim(parts[2], "-"))
		o.SetName(parts[3])
		if len(parts) > 4 {
			o.SetLabels(map[string]string{"app": parts[4]})
		}
		all = append(all, o)
	}
	fake := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), served, all...)
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "networking.istio.io", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Sidecar"}, meta.RESTScopeNamespace)
	return &kube.Client{Dynamic: fake, Mapper: mapper}, fake
}

func TestRead(t *testing.T) {
	c, fake := client("v1 Namespace - shop", "v1 Service shop cart", "v1 Pod mesh istiod-1 istiod", "v1 Pod shop cart-0",
		"v1 ConfigMap mesh istio", "v1 ConfigMap mesh istio-canary", "v1 ConfigMap mesh other", "v1 ConfigMap shop istio",
		"networking.istio.io/v1 Sidecar shop default")
	m, err := Read(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range m.Objects {
		got = append(got, o.String())
	}
	want := []string{
		"Namespace shop", "Service shop/cart", "Pod mesh/istiod-1", "Pod shop/cart-0", "Sidecar shop/default",
		"ConfigMap mesh/istio", "ConfigMap mesh/istio-canary",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, a := range fake.Actions() {
		if a.GetVerb() != "list" {
			t.Errorf("it does %s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}

	// All that is missing is said at once, with verb and resource.
	fake.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if r := a.GetResource(); r.Resource == "pods" || r.Resource == "sidecars" {
			return true, nil, apierrors.NewForbidden(r.GroupResource(), "", errors.New("no"))
		}
		return false, nil, nil
	})
	_, err = Read(context.Background(), c)
	var denied *Denied
	if !errors.As(err, &denied) {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff([]string{"list pods", "list sidecars.networking.istio.io"}, denied.Rights); diff != "" {
		t.Error(diff)
	}
}
