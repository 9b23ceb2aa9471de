package kubelet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	stdx509 "crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// authority signs certificates.
type authority struct {
	cert *stdx509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key, cert: &stdx509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: stdx509.KeyUsageCertSign,
	}}
	a.cert = a.sign(t, a.cert)
	return a
}

func (a authority) sign(t *testing.T, c *stdx509.Certificate) *stdx509.Certificate {
	t.Helper()
	der, err := stdx509.CreateCertificate(rand.Reader, c, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := stdx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// client is a client's certificate.
func (a authority) client(t *testing.T, usage stdx509.ExtKeyUsage) *stdx509.Certificate {
	return a.sign(t, &stdx509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []stdx509.ExtKeyUsage{usage},
		Subject: pkix.Name{CommonName: "apiserver", Organization: []string{"masters"}},
	})
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// reviewed is an access whose API server knows the token "known", and what its user and
// that of the certificate may do.
type reviewed struct {
	*access
	tokens  int // reviews that were asked for
	asked   []authorizationv1.SubjectAccessReviewSpec
	allowed authorizationv1.SubjectAccessReviewStatus
	err     error
}

func newReviewed(t *testing.T, ca authority) *reviewed {
	t.Helper()
	r := &reviewed{allowed: authorizationv1.SubjectAccessReviewStatus{Allowed: true}}
	client := fake.NewClientset()
	client.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		r.tokens++
		review := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		if review.Spec.Token == "known" {
			review.Status.Authenticated = true
			review.Status.User = authenticationv1.UserInfo{Username: "someone", Groups: []string{"some"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}}
		}
		return true, review, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r.asked = append(r.asked, review.Spec)
		review.Status = r.allowed
		return true, review, r.err
	})
	var err error
	if r.access, err = newAccess(client, ca.pem()); err != nil {
		t.Fatal(err)
	}
	return r
}

// get is the status that a request of the kubelet API gets.
func (r *reviewed) get(path, token string, cert *stdx509.Certificate) int {
	request := httptest.NewRequest(http.MethodGet, "https://node"+path, nil)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.TLS = &tls.ConnectionState{}
	if cert != nil {
		request.TLS.PeerCertificates = []*stdx509.Certificate{cert}
	}
	w := httptest.NewRecorder()
	r.protect("node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })).ServeHTTP(w, request)
	return w.Code
}

func TestAccess(t *testing.T) {
	ca := newAuthority(t)
	client := ca.client(t, stdx509.ExtKeyUsageClientAuth)
	denied := authorizationv1.SubjectAccessReviewStatus{Allowed: true, Denied: true}
	for name, c := range map[string]struct {
		token   string
		cert    *stdx509.Certificate
		allowed *authorizationv1.SubjectAccessReviewStatus
		err     error
		want    int
		user    string
	}{
		"nobody":                 {want: 401},
		"unknown token":          {token: "rubbish", want: 401},
		"token":                  {token: "known", want: http.StatusTeapot, user: "someone"},
		"token without right":    {token: "known", allowed: &authorizationv1.SubjectAccessReviewStatus{}, want: 403, user: "someone"},
		"denied":                 {token: "known", allowed: &denied, want: 403, user: "someone"},
		"no answer":              {token: "known", err: errors.New("no answer"), want: 500, user: "someone"},
		"certificate":            {cert: client, want: http.StatusTeapot, user: "apiserver"},
		"certificate and token":  {cert: client, token: "rubbish", want: http.StatusTeapot, user: "apiserver"},
		"a server's certificate": {cert: ca.client(t, stdx509.ExtKeyUsageServerAuth), want: 401},
		"another authority's":    {cert: newAuthority(t).client(t, stdx509.ExtKeyUsageClientAuth), want: 401},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReviewed(t, ca)
			if c.allowed != nil {
				r.allowed = *c.allowed
			}
			r.err = c.err
			for range 2 {
				if got := r.get("/metrics/resource", c.token, c.cert); got != c.want {
					t.Errorf("status %d, want %d", got, c.want)
				}
			}
			if c.user == "" {
				if len(r.asked) > 0 {
					t.Errorf("asked what a stranger may do: %+v", r.asked)
				}
				return
			}
			asked := r.asked[0]
			if asked.User != c.user || !slices.Contains(asked.Groups, "system:authenticated") || *asked.ResourceAttributes != (authorizationv1.ResourceAttributes{
				Verb: "get", Version: "v1", Resource: "nodes", Name: "node-1", Subresource: "metrics",
			}) {
				t.Errorf("asked for %+v, %+v", asked, asked.ResourceAttributes)
			}
			if c.user == "someone" && (len(asked.Extra["k"]) != 1 || r.tokens != 1) {
				t.Errorf("asked for %+v, after %d reviews of the token", asked, r.tokens)
			}
			if want := map[bool]int{true: 2, false: 1}[c.err != nil]; len(r.asked) != want { // an error is not kept
				t.Errorf("asked %d times, want %d", len(r.asked), want)
			}
		})
	}
	if _, err := newAccess(fake.NewClientset(), []byte("no certificate")); err == nil {
		t.Error("an authority without certificate is accepted")
	}
}

func TestAccessAsksByPart(t *testing.T) {
	r := newReviewed(t, newAuthority(t))
	want := []string{"stats", "metrics", "log", "proxy"}
	for _, path := range []string{"/stats/summary", "/metrics", "/logs/x", "/exec/ns/pod/c", "/metricsx", "/pods"} {
		r.get(path, "known", nil)
	}
	var got []string
	for _, a := range r.asked {
		got = append(got, a.ResourceAttributes.Subresource)
	}
	// What was asked before is known: one question for each part.
	if !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	for method, want := range map[string]string{"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "TRACE": ""} {
		if got := verb(method); got != want {
			t.Errorf("%s is %q, want %q", method, got, want)
		}
	}
}
