package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"helm.sh/helm/v3/pkg/chart"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/kube"
)

// A cluster that is not ours must be left as it was, also by another process, after a kill
// at any moment. So the installation says on the cluster itself what it is about to make and
// what was there before: in a record, which is written before anything else but the namespace
// that it is in, and removed after everything else.

const (
	// meshLabel marks the records, and the namespaces that this package made for a mesh.
	meshLabel = "meshbench.dev/mesh"
	// recordName is the record's config map in istiod's namespace.
	recordName = "meshbench-istio"
	// recordKey is where in its data it is.
	recordKey = "record.json"
)

// record is what an installation says of itself: one for all revisions in a namespace.
type record struct {
	// Revisions are the control planes whose installation was begun, by their names, with
	// "default" for the one without.
	Revisions map[string]begun `json:"revisions"`
	// Definitions are the names of the resource definitions that the installation makes.
	Definitions []string `json:"definitions,omitempty"`
	// There are the names of those that it would have made, had they not been there.
	There []string `json:"there,omitempty"`
	// Traces are the objects that were there before, of those that istiods make by themselves,
	// as trace.String has them.
	Traces []string `json:"traces,omitempty"`
	// Gateways are the gateways whose installation was begun, namespace/name.
	Gateways []string `json:"gateways,omitempty"`
	// Addons are the objects of addons whose installation was begun.
	Addons []addon `json:"addons,omitempty"`
	// Certificates are the root certificates that another mesh had left in namespaces.
	Certificates []certificate `json:"certificates,omitempty"`

	// lost is set where there is an installation and somebody has removed its record.
	lost bool
}

// begun is one control plane's installation.
type begun struct {
	Istio string `json:"istio"` // the version
	Owner string `json:"owner,omitempty"`
	// RootCertificate is the name of its config map; "" for none.
	RootCertificate string `json:"rootCertificate,omitempty"`
}

// certificate is the data of one or more config maps with a root certificate.
type certificate struct {
	Name       string            `json:"name"`
	Data       map[string]string `json:"data"`
	Namespaces []string          `json:"namespaces"`
}

// revisionName is the control plane's name, as labels have it.
func revisionName(revision string) string { return cmp.Or(revision, "default") }

// readRecord reads the record in istiod's namespace; nil if there is none.
func (m *Mesh) readRecord(ctx context.Context) (*record, error) {
	found, err := m.client.CoreV1().ConfigMaps(m.namespace).Get(ctx, recordName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read config map %s/%s: %w", m.namespace, recordName, err)
	}
	return decodeRecord(found)
}

func decodeRecord(from *corev1.ConfigMap) (*record, error) {
	var r record
	if err := json.Unmarshal([]byte(from.Data[recordKey]), &r); err != nil {
		return nil, fmt.Errorf("read %s in config map %s/%s, which says what meshbench installed: %w", recordKey, from.Namespace, from.Name, err)
	}
	return &r, nil
}

// writeRecord writes the record, or removes it where no revision is left.
func (m *Mesh) writeRecord(ctx context.Context, r *record) error {
	resource := m.client.CoreV1().ConfigMaps(m.namespace)
	if len(r.Revisions) == 0 {
		if err := resource.Delete(ctx, recordName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete config map %s/%s: %w", m.namespace, recordName, err)
		}
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	written := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: recordName, Namespace: m.namespace, Labels: map[string]string{createdLabel: "true", meshLabel: "istio"}},
		Data:       map[string]string{recordKey: string(text)},
	}
	_, err = resource.Create(ctx, written, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = resource.Update(ctx, written, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write config map %s/%s, which says what meshbench installs: %w", m.namespace, recordName, err)
	}
	return nil
}

// begin records that this revision is being installed. What an earlier Install found stays:
// by now, the cluster has what that one made.
func (m *Mesh) begin(ctx context.Context, base *chart.Chart) (*record, error) {
	r, err := m.readRecord(ctx)
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = &record{Revisions: map[string]begun{}}
		if err := m.lookBefore(ctx, r); err != nil {
			return nil, err
		}
	}
	names, err := definitionNames(base)
	if err != nil {
		return nil, err
	}
	_, more, err := m.options.gatewayDefinitions()
	if err != nil {
		return nil, err
	}
	names = append(names, more...)
	there, err := m.definitionsThere(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		switch {
		case slices.Contains(r.Definitions, name):
		case there[name] && !slices.Contains(r.There, name):
			r.There = append(r.There, name)
		case !there[name]:
			r.Definitions = append(r.Definitions, name)
			r.There = slices.DeleteFunc(r.There, func(n string) bool { return n == name })
		}
	}
	r.Revisions[revisionName(m.revision)] = begun{Istio: m.options.Version, Owner: m.options.Owner, RootCertificate: m.rootCertificate()}
	return r, m.writeRecord(ctx, r)
}

// definitionsThere tells which of the resource definitions the cluster has.
func (m *Mesh) definitionsThere(ctx context.Context, names []string) (map[string]bool, error) {
	client, err := metadata.NewForConfig(m.config)
	if err != nil {
		return nil, fmt.Errorf("make a client for resource definitions: %w", err)
	}
	there := map[string]bool{}
	for _, name := range names {
		_, err := client.Resource(crdResource).Get(ctx, name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("look for resource definition %s: %w", name, err)
		}
		there[name] = err == nil
	}
	return there, nil
}

// lookBefore notes what is there, of what istiod makes by itself, before it runs.
func (m *Mesh) lookBefore(ctx context.Context, r *record) error {
	client, err := kube.New(m.config)
	if err != nil {
		return err
	}
	for _, list := range []func(context.Context, *kube.Client) ([]trace, error){m.namespaceTraces, clusterTraces} {
		found, err := list(ctx, client)
		if err != nil {
			return err
		}
		for _, t := range found {
			r.Traces = append(r.Traces, t.String())
		}
	}
	left, err := m.certificates(ctx, m.rootCertificate())
	if err != nil {
		return err
	}
	for _, c := range left {
		same := slices.IndexFunc(r.Certificates, func(k certificate) bool { return k.Name == c.Name && maps.Equal(k.Data, c.Data) })
		if same < 0 {
			same = len(r.Certificates)
			r.Certificates = append(r.Certificates, certificate{Name: c.Name, Data: c.Data})
		}
		r.Certificates[same].Namespaces = append(r.Certificates[same].Namespaces, c.Namespace)
	}
	return nil
}

// Made is a mesh that meshbench installed on a cluster, whole or in part.
type Made struct {
	// Namespace is istiod's.
	Namespace string
	// Revisions are the control planes, "default" for one without a name, sorted; none if the
	// installation was ended right after it had made the namespace.
	Revisions []string
	// Owners are the [Options].Owner of the installations, each once.
	Owners []string
}

// MadeOn lists what meshbench installed on the cluster that cfg leads to, whichever process
// did, sorted by namespace. It reads config maps and namespaces by their labels.
func MadeOn(ctx context.Context, cfg *rest.Config) ([]Made, error) {
	client, err := kubernetes.NewForConfig(quiet(cfg))
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster: %w", err)
	}
	selector := metav1.ListOptions{LabelSelector: meshLabel}
	records, err := client.CoreV1().ConfigMaps(metav1.NamespaceAll).List(ctx, selector)
	if err != nil {
		return nil, fmt.Errorf("look for meshes that meshbench installed: %w", err)
	}
	namespaces, err := client.CoreV1().Namespaces().List(ctx, selector)
	if err != nil {
		return nil, fmt.Errorf("look for namespaces that meshbench made: %w", err)
	}
	found := map[string]Made{}
	for _, ns := range namespaces.Items {
		found[ns.Name] = Made{Namespace: ns.Name}
	}
	for _, c := range records.Items {
		r, err := decodeRecord(&c)
		if err != nil {
			return nil, err
		}
		made := Made{Namespace: c.Namespace, Revisions: slices.Sorted(maps.Keys(r.Revisions))}
		for _, b := range r.Revisions {
			if b.Owner != "" && !slices.Contains(made.Owners, b.Owner) {
				made.Owners = append(made.Owners, b.Owner)
			}
		}
		slices.Sort(made.Owners)
		found[c.Namespace] = made
	}
	var all []Made
	for _, name := range slices.Sorted(maps.Keys(found)) {
		all = append(all, found[name])
	}
	return all, nil
}
