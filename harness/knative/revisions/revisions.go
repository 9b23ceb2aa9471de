// Package revisions gives a Knative Service its revisions: by updating it where Knative
// Serving runs, or by making the Services and Endpoints that Knative would make.
package revisions

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/kube"
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
	// make makes the revisions from first to last, numbers from 1, and calls done after
	// each with the number made so far.
	make(ctx context.Context, first, last int, done func(n int)) error
	// collect makes garbage collection look for old revisions.
	collect(ctx context.Context) error
}

// Service is one Knative Service and its revisions, numbered from 1.
type Service struct {
	kube   *kube.Client
	want   *scenarios.Revisions
	status func(format string, args ...any)
	maker  maker
}

// New returns the Service that an action is about; nothing is made yet. status is told
// what is being waited for.
func New(client *kube.Client, want *scenarios.Revisions, status func(format string, args ...any)) *Service {
	s := &Service{kube: client, want: want, status: status}
	if want.Mode == scenarios.Knative {
		s.maker = &served{client, want}
	} else {
		s.maker = &shaped{kube: client, Revisions: want, status: status}
	}
	return s
}

// Have is the number of revisions that the Service has, 0 where it is not there yet.
func (s *Service) Have(ctx context.Context) (int, error) {
	have, err := s.maker.have(ctx)
	if err != nil {
		return 0, fmt.Errorf("count the revisions that are there: %w", err)
	}
	return have, nil
}

// Make makes the revisions from first to last and returns when all of their objects are
// there (see [Service.there]). It calls done after each with the number made so far.
func (s *Service) Make(ctx context.Context, first, last int, done func(n int)) error {
	if err := s.maker.make(ctx, first, last, done); err != nil {
		return err
	}
	return s.there(ctx, last)
}

// collectAfter is how long nothing must have changed before old revisions are looked for
// again.
const collectAfter = 4 * time.Second

// there waits until the Services of all revisions up to the newest exist, with their
// Endpoints and EndpointSlices, and traffic to any of them has somewhere to go. Of the
// collected ones nothing must be left; the maker's collect is called while something is.
func (s *Service) there(ctx context.Context, newest int) error {
	r, n := s.want, s.want.Left(newest)
	var last []int        // what there was at the last look
	var changed time.Time // since when that is so
	list := metav1.ListOptions{LabelSelector: knativeService + "=" + r.Service, ResourceVersion: "0"}
	return kube.Until(ctx, kube.PollEvery, func(ctx context.Context) (bool, string, error) {
		services, err := s.kube.CoreV1().Services(r.Namespace).List(ctx, metav1.ListOptions{
			LabelSelector: list.LabelSelector + "," + serviceType, ResourceVersion: "0",
		})
		if err != nil {
			return false, "", fmt.Errorf("list the revisions' Services: %w", err)
		}
		endpoints, err := s.kube.CoreV1().Endpoints(r.Namespace).List(ctx, list)
		if err != nil {
			return false, "", fmt.Errorf("list the revisions' Endpoints: %w", err)
		}
		endpointSlices, err := s.kube.DiscoveryV1().EndpointSlices(r.Namespace).List(ctx, list)
		if err != nil {
			return false, "", fmt.Errorf("list the revisions' EndpointSlices: %w", err)
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
			s.status("waiting for %s", waiting)
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
					if err := s.maker.collect(ctx); err != nil {
						return false, "", fmt.Errorf("having old revisions collected: %w", err)
					}
				}
				waiting := fmt.Sprintf("%s/%s has %d of %d %s", r.Namespace, r.Service, got[i], want,
					[]string{"Services", "Endpoints", "EndpointSlices", "public Endpoints with an address"}[i])
				s.status("%s", waiting)
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
