package eks

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/oauth2"
)

// What EKS's webhook expects of a token: a presigned request for the caller's identity, in
// base64, with the cluster's name as a signed header. The webhook lets it be for 15 minutes
// after its signature; X-Amz-Expires must be there and is not what counts.
//
// Source: kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go.
const (
	tokenPrefix  = "k8s-aws-v1."
	nameHeader   = "x-k8s-aws-id"
	expireHeader = "X-Amz-Expires"
	tokenLife    = 15 * time.Minute
	// tokenSpare is how long before its end a token is no more used.
	tokenSpare = 2 * time.Minute
)

// tokens signs tokens for a cluster. It is an oauth2.TokenSource.
type tokens struct {
	account *account
	cluster string
}

// Token signs a new token.
func (t tokens) Token() (*oauth2.Token, error) {
	now := time.Now()
	signed, err := sts.NewPresignClient(t.account.sts).PresignGetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, func(o *sts.Options) {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue(nameHeader, t.cluster), smithyhttp.SetHeaderValue(expireHeader, "60"))
		})
	})
	if err != nil {
		return nil, fmt.Errorf("sign a token for EKS cluster %s: %w", t.cluster, explain(err))
	}
	return &oauth2.Token{
		AccessToken: tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(signed.URL)),
		Expiry:      now.Add(tokenLife - tokenSpare),
	}, nil
}
