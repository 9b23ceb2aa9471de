package rights

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// asking is how many questions are asked at one time.
const asking = 10

// Missing asks the API server for each verb whether the client's own user has it
// (SelfSubjectAccessReview, which every user may ask), and returns what it does not have,
// in the order of the list.
func Missing(ctx context.Context, client authorization.SelfSubjectAccessReviewsGetter, needed []Right) ([]Right, error) {
	var (
		mu      sync.Mutex
		missing = make([]Right, len(needed))
	)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(asking)
	for i, right := range needed {
		missing[i] = right
		missing[i].Verbs = nil
		for _, verb := range right.Verbs {
			group.Go(func() error {
				allowed, err := allowed(ctx, client, right, verb)
				if err != nil {
					return fmt.Errorf("ask whether this user may %s %s: %w", verb, right.Resource, err)
				}
				if !allowed {
					mu.Lock()
					defer mu.Unlock()
					missing[i].Verbs = append(missing[i].Verbs, verb)
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	missing = slices.DeleteFunc(missing, func(r Right) bool { return len(r.Verbs) == 0 })
	return Merge(missing), nil
}

func allowed(ctx context.Context, client authorization.SelfSubjectAccessReviewsGetter, right Right, verb string) (bool, error) {
	resource, sub, _ := strings.Cut(right.Resource, "/")
	answer, err := client.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: right.Namespace, Group: right.Group, Resource: resource, Subresource: sub, Verb: verb,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}
