package existing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
)

// Labels by which Istio's charts mark what is of a control plane.
const (
	istiodSelector   = "app=istiod"
	injectorSelector = "app=sidecar-injector"
	revisionLabel    = "istio.io/rev"
	defaultRevision  = "default"
)

// found is a control plane of Istio on the cluster.
type found struct {
	// Revision is its name, default for one without; Version is that of istiod's image, "" for
	// one whose tag is none; Namespace is where istiod is.
	Revision, Version, Namespace string
}

func (f found) String() string {
	return fmt.Sprintf("Istio %s (revision %s, namespace %s)", cmp.Or(f.Version, "of unknown version"), f.Revision, f.Namespace)
}

// findMeshes lists the control planes on the cluster: Deployments of istiod, and injectors
// without one, whose istiod is elsewhere.
func (p *provider) findMeshes(ctx context.Context) ([]found, error) {
	deployments, err := p.client.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return nil, fmt.Errorf("look for istiod: %w", err)
	}
	var all []found
	for _, d := range deployments.Items {
		f := found{Revision: cmp.Or(d.Labels[revisionLabel], defaultRevision), Namespace: d.Namespace}
		for _, c := range d.Spec.Template.Spec.Containers {
			if c.Name == "discovery" {
				f.Version = tag(c.Image)
			}
		}
		all = append(all, f)
	}
	hooks, err := p.client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: injectorSelector})
	if err != nil {
		return nil, fmt.Errorf("look for Istio's injectors: %w", err)
	}
	for _, h := range hooks.Items {
		revision := cmp.Or(h.Labels[revisionLabel], defaultRevision)
		if slices.ContainsFunc(all, func(f found) bool { return f.Revision == revision }) {
			continue
		}
		f := found{Revision: revision}
		for _, w := range h.Webhooks {
			if w.ClientConfig.Service != nil {
				f.Namespace = w.ClientConfig.Service.Namespace
			}
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Namespace, b.Namespace))
	})
	return all, nil
}

// tag is an image's, without the variant that follows a version: 1.23.2 of
// docker.io/istio/pilot:1.23.2-distroless.
func tag(image string) string {
	image, _, _ = strings.Cut(image, "@")
	i := strings.LastIndexAny(image, ":/")
	if i < 0 || image[i] == '/' {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(image[i+1:], "-distroless"), "-debug")
}

// checkMesh holds what Istio is there against what was asked for: one that is to be measured
// must be, and one that is to be installed must not. It returns the former.
func (p *provider) checkMesh(ctx context.Context) (*found, error) {
	all, err := p.findMeshes(ctx)
	if err != nil {
		if denied(err) {
			return nil, nil // whether there is one is not known; the missing right is said
		}
		return nil, err
	}
	mesh, err := chooseMesh(all, p.visit, p.revision)
	if mesh != nil {
		p.visit.MeshNamespace = mesh.Namespace
	}
	return mesh, err
}

// chooseMesh is checkMesh for the control planes that are there.
func chooseMesh(all []found, visit cluster.Visit, revision string) (*found, error) {
	var names, revisions []string
	for _, f := range all {
		names = append(names, f.String())
		revisions = append(revisions, f.Revision)
	}
	switch {
	case !visit.UseInstalled && len(all) == 0:
		return nil, nil
	case visit.ReadOnly && len(all) == 0:
		return nil, errors.New("no Istio is installed, so there is no mesh to measure")
	case !visit.UseInstalled:
		return nil, fmt.Errorf("%s is installed already, and a second one would change it: measure it with --use-installed-istio, or take a cluster without", strings.Join(names, ", "))
	case len(all) == 0:
		return nil, errors.New("--use-installed-istio: no Istio is installed: leave the flag out to have one installed for the run, and removed")
	case revision == "" && len(all) > 1:
		return nil, fmt.Errorf("there are several control planes of Istio: choose one with --revision (%s)", strings.Join(revisions, ", "))
	}
	for i, f := range all {
		if revision == "" || f.Revision == revision {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("--revision %s: there is no such control plane of Istio: choose one of %s", revision, strings.Join(revisions, ", "))
}
