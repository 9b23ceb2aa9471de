package harness

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// Labels that Knative Serving puts on what it makes for a revision
// (pkg/apis/serving/register.go of knative.dev/serving and pkg/apis/networking/register.go
// of knative.dev/networking).
const (
	knativeService  = "serving.knative.dev/service"
	knativeRevision = "serving.knative.dev/revision"
	revisionUID     = "serving.knative.dev/revisionUID"
	serviceType     = "networking.internal.knative.dev/serviceType"
)

// maker makes revisions of one Knative Service.
type maker interface {
	// have is the number of revisions that there are.
	have(ctx context.Context) (int, error)
	// make makes the revisions from first to last, numbers from 1, telling how far it is.
	make(ctx context.Context, first, last int, done func(n int)) error
	// collect makes garbage collection look for old revisions.
	collect(ctx context.Context) error
}

func (a *actor) revisions(ctx context.Context, r *scenarios.Revisions) error {
	begin := time.Now()
	var m maker
	if r.Mode == scenarios.Knative {
		m = &knativeRevisions{a.kube, r}
	} else {
		m = &shapedRevisions{kube: a.kube, Revisions: r, status: a.status}
	}
	have, err := m.have(ctx)
	if err != nil {
		return fmt.Errorf("counting the revisions that are there: %w", err)
	}
	for have < r.Count && !a.killed(r.Until) {
		last := min(have+r.Batch, r.Count)
		err := m.make(ctx, have+1, last, func(n int) {
			a.loaded(r, r.Left(n))
			a.status("revision %d of %d of %s/%s", n, r.Count, r.Namespace, r.Service)
		})
		if err != nil {
			return err
		}
		have = last
		if err := a.revisionsThere(ctx, r, have, m.collect); err != nil {
			return err
		}
		if r.Until != nil {
			// What was made must have reached the sidecar before it can have been killed by it.
			if err := a.pushed(ctx, func() bool { return a.killed(r.Until) }); err != nil {
				return err
			}
		}
		if err := a.record(observations.Record{Revisions: &observations.Revisions{
			Namespace: r.Namespace, Service: r.Service, Mode: r.Mode, Count: r.Left(have), Total: a.loaded(r, r.Left(have)),
			Running: r.MinScale > 0, Seconds: time.Since(begin).Seconds(),
		}}); err != nil {
			return err
		}
	}
	if r.MinScale > 0 {
		return a.kube.awaitRollout(ctx, r.Namespace, r.Deployment(), a.status)
	}
	return nil
}

// collectAfter is how long nothing must have changed before old revisions are looked for
// again.
const collectAfter = 4 * time.Second

// killed tells whether what an action goes on until has come.
func (a *actor) killed(until *scenarios.Killed) bool {
	return until != nil && a.kills(until.Namespace+"/"+until.Deployment) > 0
}

// loaded notes how many revisions a Service has and returns the load's total.
func (a *actor) loaded(r *scenarios.Revisions, n int) int {
	if r.MinScale > 0 {
		n = 0 // measured, and no load
	}
	return a.load.set(r.Namespace+"/"+r.Service, n)
}

// revisionsThere waits until the Services of all revisions up to the newest exist, with
// their Endpoints and EndpointSlices, and traffic to any of them has somewhere to go.
// Of those that were collected nothing is left; collect is called while there is.
func (a *actor) revisionsThere(ctx context.Context, r *scenarios.Revisions, newest int, collect func(context.Context) error) error {
	n := r.Left(newest)
	var last []int        // what there was at the last look
	var changed time.Time // since when that is so
	list := metav1.ListOptions{LabelSelector: knativeService + "=" + r.Service, ResourceVersion: "0"}
	return until(ctx, pollEvery, func(ctx context.Context) (bool, string, error) {
		services, err := a.kube.CoreV1().Services(r.Namespace).List(ctx, metav1.ListOptions{
			LabelSelector: list.LabelSelector + "," + serviceType, ResourceVersion: "0",
		})
		if err != nil {
			return false, "", fmt.Errorf("listing the revisions' Services: %w", err)
		}
		endpoints, err := a.kube.CoreV1().Endpoints(r.Namespace).List(ctx, list)
		if err != nil {
			return false, "", fmt.Errorf("listing the revisions' Endpoints: %w", err)
		}
		endpointSlices, err := a.kube.DiscoveryV1().EndpointSlices(r.Namespace).List(ctx, list)
		if err != nil {
			return false, "", fmt.Errorf("listing the revisions' EndpointSlices: %w", err)
		}
		filled, waiting := 0, "the Endpoints of revision "+scenarios.Revision(r.Service, newest)
		for _, e := range endpoints.Items {
			if e.Labels[serviceType] == "Public" && ready(e) {
				filled++
				if e.Name == scenarios.Revision(r.Service, newest) {
					waiting = ""
				}
			}
		}
		if waiting != "" {
			// Old ones that are not collected yet would make up for it.
			a.status("waiting for %s", waiting)
			return false, waiting, nil
		}
		got := []int{len(services.Items), len(endpoints.Items), len(endpointSlices.Items), filled}
		for i, want := range []int{2 * n, 2 * n, 2 * n, n} {
			if got[i] != want {
				if !slices.Equal(got, last) {
					last, changed = got, time.Now()
				}
				// Knative chooses by a cache, and would choose twice if it were asked too soon.
				if got[i] > want && time.Since(changed) > collectAfter {
					changed = time.Now()
					if err := collect(ctx); err != nil {
						return false, "", fmt.Errorf("having old revisions collected: %w", err)
					}
				}
				waiting := fmt.Sprintf("%s/%s has %d of %d %s", r.Namespace, r.Service, got[i], want,
					[]string{"Services", "Endpoints", "EndpointSlices", "public Endpoints with an address"}[i])
				a.status("%s", waiting)
				return false, waiting, nil
			}
		}
		return true, "", nil
	})
}

func ready(e corev1.Endpoints) bool {
	for _, s := range e.Subsets {
		if len(s.Addresses) > 0 {
			return true
		}
	}
	return false
}
