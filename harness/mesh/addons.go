package mesh

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/manifests"
)

// addon is an object of an addon, as the record has it.
type addon struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String identifies the object for people.
func (a addon) String() string {
	return a.Kind + " " + strings.TrimPrefix(a.Namespace+"/"+a.Name, "/")
}

// putAddons applies the manifests of the options' addons in istiod's namespace and waits for
// their pods. Objects that are there already are somebody else's: they are an error.
func (m *Mesh) putAddons(ctx context.Context, r *record) error {
	if len(m.options.Addons) == 0 {
		return nil
	}
	client, err := kube.New(m.config)
	if err != nil {
		return err
	}
	var all []*manifests.Manifest
	for _, file := range m.options.Addons {
		loaded, err := manifests.Load(manifests.Source{Name: file, Open: func() (io.ReadCloser, error) { return os.Open(file) }}, manifests.Options{Namespace: m.namespace})
		if err != nil {
			return fmt.Errorf("read addon %s: %w", file, err)
		}
		if m.namespace != DefaultNamespace { // which Istio's manifests name
			loaded.InNamespaces(manifests.Names{DefaultNamespace: m.namespace}, nil)
		}
		all = append(all, loaded)
		for _, o := range loaded.Objects {
			a := addon{o.Group(), o.Kind, o.Namespace, o.Name}
			if slices.Contains(r.Addons, a) {
				continue
			}
			there, err := a.exists(ctx, client)
			if err != nil {
				return err
			}
			if there {
				return fmt.Errorf("%s is there already, which addon %s would make: leave the addon out, or remove it", a, file)
			}
			r.Addons = append(r.Addons, a)
		}
	}
	// What is about to be made is written down first.
	if err := m.writeRecord(ctx, r); err != nil {
		return err
	}
	for _, loaded := range all {
		err := client.ApplyAll(ctx, loaded, func(i int) {
			m.options.Progress(fmt.Sprintf("installing addons: %s", loaded.Objects[i]))
		}, func(string) {})
		if err != nil {
			return fmt.Errorf("apply addon %s: %w", loaded.Name(), err)
		}
	}
	status := func(format string, args ...any) { m.options.Progress(fmt.Sprintf(format, args...)) }
	for _, loaded := range all {
		for _, o := range loaded.Objects {
			kind := schema.GroupKind{Group: o.Group(), Kind: o.Kind}
			if err := readiness.Await(ctx, client, kind, o.Namespace, o.Name, status); err != nil {
				return fmt.Errorf("wait for addon %s, %s: %w", loaded.Name(), o, err)
			}
		}
	}
	return nil
}

func (a addon) exists(ctx context.Context, client *kube.Client) (bool, error) {
	mapping, err := client.Mapper.RESTMapping(schema.GroupKind{Group: a.Group, Kind: a.Kind})
	if meta.IsNoMatchError(err) {
		return false, nil // ApplyAll says what is missing
	}
	if err != nil {
		return false, fmt.Errorf("find the kind of %s in the cluster: %w", a, err)
	}
	_, err = client.Dynamic.Resource(mapping.Resource).Namespace(a.Namespace).Get(ctx, a.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("read %s: %w", a, err)
	}
	return err == nil, nil
}

// removeAddons deletes what putAddons applied, with what controllers made of it.
func (m *Mesh) removeAddons(ctx context.Context, r *record) error {
	if len(r.Addons) == 0 {
		return nil
	}
	m.options.Progress("removing addons")
	client, err := kube.New(m.config)
	if err != nil {
		return err
	}
	foreground := metav1.DeletePropagationForeground
	for _, a := range r.Addons {
		mapping, err := client.Mapper.RESTMapping(schema.GroupKind{Group: a.Group, Kind: a.Kind})
		if meta.IsNoMatchError(err) {
			continue
		}
		if err == nil {
			err = client.Dynamic.Resource(mapping.Resource).Namespace(a.Namespace).Delete(ctx, a.Name, metav1.DeleteOptions{PropagationPolicy: &foreground})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("remove addon, %s: %w", a, err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.options.Timeout, fmt.Errorf("not gone after %s", m.options.Timeout))
	defer cancel()
	return kube.Until(ctx, readiness.PollInterval, func(ctx context.Context) (bool, string, error) {
		for _, a := range r.Addons {
			there, err := a.exists(ctx, client)
			if there || err != nil {
				return false, "the end of addon " + a.String(), err
			}
		}
		return true, "", nil
	})
}
