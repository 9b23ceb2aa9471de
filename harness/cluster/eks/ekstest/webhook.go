package ekstest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Webhook checks tokens in place of EKS's.
type Webhook struct {
	// Cluster is the name that tokens must be signed for; "" for any.
	Cluster string
	// Keys are those that tokens must be signed with.
	Keys aws.Credentials
}

// Check checks a token as EKS's webhook does: a presigned request for the caller's
// identity, not older than 15 minutes, with the cluster's name under its signature. The
// webhook has STS check the signature; here it is made again.
func (k *Webhook) Check(header string) error {
	text, ok := strings.CutPrefix(header, "Bearer k8s-aws-v1.")
	if !ok {
		return fmt.Errorf("%.20q... is no token of EKS", header)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("the token: %w", err)
	}
	signed, err := url.Parse(string(decoded))
	if err != nil {
		return fmt.Errorf("the token: %w", err)
	}
	q := signed.Query()
	if q.Get("Action") != "GetCallerIdentity" || q.Get("X-Amz-Expires") != "60" {
		return fmt.Errorf("the token asks for %s and expires after %q", q.Get("Action"), q.Get("X-Amz-Expires"))
	}
	if !strings.Contains(q.Get("X-Amz-SignedHeaders"), "x-k8s-aws-id") {
		return fmt.Errorf("the token is signed for headers %s", q.Get("X-Amz-SignedHeaders"))
	}
	when, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	if err != nil || time.Since(when) > 15*time.Minute || time.Since(when) < -time.Minute {
		return fmt.Errorf("the token is of %s", q.Get("X-Amz-Date"))
	}
	if k.Cluster == "" {
		return nil
	}
	return k.checkSignature(signed, when)
}

// checkSignature signs the request again, for the cluster's name.
func (k *Webhook) checkSignature(signed *url.URL, when time.Time) error {
	again := *signed
	q := again.Query()
	want := q.Get("X-Amz-Signature")
	region := strings.Split(q.Get("X-Amz-Credential"), "/")[2]
	for _, name := range []string{"X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders"} {
		q.Del(name)
	}
	again.RawQuery = q.Encode()
	request, err := http.NewRequest(http.MethodGet, again.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("x-k8s-aws-id", k.Cluster)
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
	made, _, err := v4.NewSigner().PresignHTTP(context.Background(), k.Keys, request, empty, "sts", region, when)
	if err != nil {
		return err
	}
	if got, err := url.Parse(made); err != nil || got.Query().Get("X-Amz-Signature") != want {
		return fmt.Errorf("the token is not signed for cluster %s with the right key", k.Cluster)
	}
	return nil
}
