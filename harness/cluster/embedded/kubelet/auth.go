package kubelet

import (
	"context"
	stdx509 "crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// A kubelet's defaults: how long answers of the API server hold, and how long one is
// waited for.
const (
	tokenTTL      = 2 * time.Minute
	allowedTTL    = 5 * time.Minute
	refusedTTL    = 30 * time.Second
	reviewTimeout = 10 * time.Second
	accessEntries = 8192
)

// access is a kubelet's access control: clients show a certificate or a token that the
// API server reviews, and the API server is asked what they may do. There is no anonymous
// access. All nodes share what was asked before.
//
// It is made of parts of k8s.io/apiserver, but not of what virtual-kubelet's nodeutil makes
// of them: that imports the generic API server with etcd's client, CEL and gRPC, 445
// packages of which nothing is used, and which took a quarter of the program's build (91 of
// 345 s of CPU time).
type access struct {
	authenticator.Request
	client  kubernetes.Interface
	answers *cache.LRUExpireCache // JSON of a SubjectAccessReviewSpec to a bool
}

// newAccess trusts the certificates of clientCA, PEM.
func newAccess(client kubernetes.Interface, clientCA []byte) (*access, error) {
	verify := x509.DefaultVerifyOptions()
	verify.Roots = stdx509.NewCertPool()
	if !verify.Roots.AppendCertsFromPEM(clientCA) {
		return nil, errors.New("read the authority of kubelet clients: it holds no certificate in PEM")
	}
	tokens := tokencache.New(tokenReviewer{client}, false, tokenTTL, tokenTTL)
	return &access{
		Request: group.NewAuthenticatedGroupAdder(union.New(
			x509.New(verify, x509.CommonNameUserConversion), bearertoken.New(tokens))),
		client:  client,
		answers: cache.NewLRUExpireCache(accessEntries),
	}, nil
}

// protect serves next to those who may use the kubelet API of a node.
func (a *access) protect(node string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok, err := a.AuthenticateRequest(r)
		if err != nil || !ok {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		switch allowed, err := a.allows(r.Context(), who.User, node, r); {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case !allowed:
			http.Error(w, "Forbidden", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// allows asks the API server, unless it said so lately.
func (a *access) allows(ctx context.Context, who user.Info, node string, r *http.Request) (bool, error) {
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: who.GetName(), UID: who.GetUID(), Groups: who.GetGroups(),
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb(r.Method), Version: "v1", Resource: "nodes", Name: node, Subresource: subresource(r.URL.Path),
		},
	}
	if extra := who.GetExtra(); extra != nil {
		spec.Extra = map[string]authorizationv1.ExtraValue{}
		for k, v := range extra {
			spec.Extra[k] = v
		}
	}
	key, err := json.Marshal(spec)
	if err != nil {
		return false, fmt.Errorf("ask what %s may do: %w", spec.User, err)
	}
	if known, ok := a.answers.Get(string(key)); ok {
		return known.(bool), nil
	}
	var status authorizationv1.SubjectAccessReviewStatus
	err = review(ctx, func(ctx context.Context) error {
		answer, err := a.client.AuthorizationV1().SubjectAccessReviews().Create(ctx,
			&authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
		if err == nil {
			status = answer.Status
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("ask what %s may do: %w", spec.User, err)
	}
	allowed, ttl := status.Allowed && !status.Denied, refusedTTL
	if allowed {
		ttl = allowedTTL
	}
	a.answers.Add(string(key), allowed, ttl)
	return allowed, nil
}

// verb is what the API server calls a method.
func verb(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodGet:
		return "get"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	}
	return ""
}

// subresource is the part of a node that a path of the kubelet API belongs to, as
// https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/ has it.
func subresource(path string) string {
	for prefix, part := range map[string]string{"/stats": "stats", "/metrics": "metrics", "/logs": "log"} {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return part
		}
	}
	return "proxy"
}

// tokenReviewer asks the API server whose a token is.
type tokenReviewer struct{ client kubernetes.Interface }

// AuthenticateToken returns false for a token that is nobody's.
func (t tokenReviewer) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	var status authenticationv1.TokenReviewStatus
	err := review(ctx, func(ctx context.Context) error {
		answer, err := t.client.AuthenticationV1().TokenReviews().Create(ctx,
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
		if err == nil {
			status = answer.Status
		}
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("review a token: %w", err)
	}
	if !status.Authenticated {
		return nil, false, nil
	}
	who := &user.DefaultInfo{Name: status.User.Username, UID: status.User.UID, Groups: status.User.Groups}
	if status.User.Extra != nil {
		who.Extra = map[string][]string{}
		for k, v := range status.User.Extra {
			who.Extra[k] = v
		}
	}
	return &authenticator.Response{User: who}, true, nil
}

// reviewBackoff is that of k8s.io/apiserver for reviews.
var reviewBackoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5}

// review asks the API server, and again after errors that pass.
func review(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	err := retry.OnError(reviewBackoff, func(err error) bool {
		_, later := apierrors.SuggestsClientDelay(err)
		return ctx.Err() == nil && (later || utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err) ||
			apierrors.IsInternalError(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err))
	}, func() error { return ask(ctx) })
	if err == nil {
		err = ctx.Err() // an attempt that its context has ended is no error to retry
	}
	return err
}
