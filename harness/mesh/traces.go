package mesh

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/meshbench/meshbench/harness/kube"
)

// istiodManager is the name under which istiod owns fields of what it writes: the API server
// takes it from istiod's user agent, which is its program's name (IstioUserAgent in
// pkg/kube/util.go of istio.io/istio).
const istiodManager = "pilot-discovery"

// The kinds of what istiod makes by itself, in its namespace and in the cluster: its
// certificate authority, who of several istiods leads, the classes of the Gateway API, and a
// root certificate where it is published for the whole cluster. Objects for a user's gateways
// and workloads belong to the user's objects and go with them.
var (
	namespaceTraceKinds = []schema.GroupKind{{Kind: "ConfigMap"}, {Kind: "Secret"}, {Group: "coordination.k8s.io", Kind: "Lease"}}
	clusterTraceKinds   = []schema.GroupKind{{Group: "gateway.networking.k8s.io", Kind: "GatewayClass"}, {Group: "certificates.k8s.io", Kind: "ClusterTrustBundle"}}
)

// crlName is the config map with revoked certificates that istiod keeps in every namespace
// beside its root certificate, where PILOT_ENABLE_CA_CRL is set.
const crlName = "istio-ca-crl"

// trace is an object that istiod made by itself.
type trace struct {
	kind, namespace, name string
	resource              dynamic.ResourceInterface
}

// String identifies the object: Lease istio-system/istio-leader, GatewayClass istio.
func (t trace) String() string {
	if t.namespace == "" {
		return t.kind + " " + t.name
	}
	return t.kind + " " + t.namespace + "/" + t.name
}

// of is the revision whose alone the object is, among those that are known; "" for one that
// the istiods of a namespace share. Istiod appends the revision to what it has for itself.
func (t trace) of(revisions []string) string {
	longest := ""
	for _, r := range revisions {
		if strings.HasSuffix(t.name, "-"+r) && len(r) > len(longest) {
			longest = r
		}
	}
	return longest
}

func (t trace) remove(ctx context.Context) error {
	if err := t.resource.Delete(ctx, t.name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", t, err)
	}
	return nil
}

// namespaceTraces are those in istiod's namespace, but for the root certificates.
func (m *Mesh) namespaceTraces(ctx context.Context, client *kube.Client) ([]trace, error) {
	found, err := traces(ctx, client, namespaceTraceKinds, m.namespace)
	// The root certificate is in every namespace, and is looked for there.
	return slices.DeleteFunc(found, func(t trace) bool { return t.kind == "ConfigMap" && t.name == m.rootCertificate() || t.name == crlName }), err
}

// clusterTraces are those without a namespace.
func clusterTraces(ctx context.Context, client *kube.Client) ([]trace, error) {
	return traces(ctx, client, clusterTraceKinds, "")
}

// traces lists what istiods have written of some kinds; kinds that the cluster does not
// serve have none.
func traces(ctx context.Context, client *kube.Client, kinds []schema.GroupKind, namespace string) ([]trace, error) {
	var found []trace
	for _, kind := range kinds {
		mapping, err := client.Mapper.RESTMapping(kind)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find the kind %s in the cluster: %w", kind, err)
		}
		var resource dynamic.ResourceInterface = client.Dynamic.Resource(mapping.Resource)
		if namespace != "" {
			resource = client.Dynamic.Resource(mapping.Resource).Namespace(namespace)
		}
		list, err := resource.List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue // served a moment ago
		}
		if err != nil {
			return nil, fmt.Errorf("list what istiod made, %s: %w", mapping.Resource.GroupResource(), err)
		}
		for i := range list.Items {
			if o := &list.Items[i]; byIstiod(o) {
				found = append(found, trace{kind.Kind, o.GetNamespace(), o.GetName(), resource})
			}
		}
	}
	return found, nil
}

// byIstiod reports whether istiod owns fields of the object.
func byIstiod(o *unstructured.Unstructured) bool {
	return slices.ContainsFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == istiodManager })
}

// certificates are the config maps with the root certificates of those names, or with revoked
// ones, of which istiod keeps a copy in every namespace.
func (m *Mesh) certificates(ctx context.Context, names ...string) ([]corev1.ConfigMap, error) {
	copies, err := m.client.CoreV1().ConfigMaps(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: "istio.io/config=true"})
	if err != nil {
		return nil, fmt.Errorf("list the config maps with root certificates: %w", err)
	}
	return slices.DeleteFunc(copies.Items, func(c corev1.ConfigMap) bool {
		return c.Name != crlName && !slices.Contains(names, c.Name)
	}), nil
}

// removeCertificates deletes the copies that istiod made of its certificates, and gives those
// that were there before their data again.
func (m *Mesh) removeCertificates(ctx context.Context, r *record) error {
	names := []string{m.rootCertificate()}
	for _, b := range r.Revisions {
		names = append(names, b.RootCertificate)
	}
	copies, err := m.certificates(ctx, names...)
	if err != nil {
		return err
	}
	for _, c := range copies {
		resource := m.client.CoreV1().ConfigMaps(c.Namespace)
		before := slices.IndexFunc(r.Certificates, func(k certificate) bool { return k.Name == c.Name && slices.Contains(k.Namespaces, c.Namespace) })
		if before < 0 {
			err = resource.Delete(ctx, c.Name, metav1.DeleteOptions{})
		} else if !maps.Equal(c.Data, r.Certificates[before].Data) {
			c.Data = r.Certificates[before].Data
			_, err = resource.Update(ctx, &c, metav1.UpdateOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("remove istiod's certificate, config map %s/%s: %w", c.Namespace, c.Name, err)
		}
	}
	return nil
}
