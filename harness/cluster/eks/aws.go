package eks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
)

// account is an AWS account in a region, and the clients for it.
type account struct {
	// ID is the account's number, ARN the caller's.
	ID, ARN string
	Region  string
	// Emulated is the endpoint that answers in AWS's place; "" for AWS itself.
	Emulated string

	eks     *eks.Client
	ec2     *ec2.Client
	iam     *iam.Client
	sts     *sts.Client
	quotas  *servicequotas.Client
	scaling *autoscaling.Client
}

// open finds credentials and region by the SDK's default chain, and asks AWS who that is.
func open(ctx context.Context, s settings.Settings) (*account, error) {
	var options []func(*config.LoadOptions) error
	if s.Region != "" {
		options = append(options, config.WithRegion(s.Region))
	}
	if s.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		var missing config.SharedConfigProfileNotExistError
		if errors.As(err, &missing) {
			return nil, fmt.Errorf("--aws-profile %s: the AWS configuration has no such profile", cmp.Or(s.Profile, missing.Profile))
		}
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("no AWS region is set: give --region, or set AWS_REGION")
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("there are no AWS credentials that can be used: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in and name a profile with --aws-profile: %w", err)
	}
	a := &account{
		Region: cfg.Region, Emulated: endpoint(cfg),
		eks: eks.NewFromConfig(cfg), ec2: ec2.NewFromConfig(cfg), iam: iam.NewFromConfig(cfg), sts: sts.NewFromConfig(cfg),
		quotas: servicequotas.NewFromConfig(cfg), scaling: autoscaling.NewFromConfig(cfg),
	}
	who, err := a.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("ask AWS who this is: %w", explain(err))
	}
	a.ID, a.ARN = aws.ToString(who.Account), aws.ToString(who.Arn)
	return a, nil
}

// endpoint is what answers in AWS's place; "" for AWS itself.
func endpoint(cfg aws.Config) string {
	if e := aws.ToString(cfg.BaseEndpoint); e != "" {
		return e
	}
	for _, service := range []string{"", "_EKS", "_EC2", "_IAM", "_STS"} {
		if e := os.Getenv("AWS_ENDPOINT_URL" + service); e != "" {
			return e
		}
	}
	return ""
}

// owner is the caller in one word, for a tag.
func (a *account) owner() string { return a.ARN[strings.LastIndexAny(a.ARN, "/:")+1:] }

// explain puts before an error of AWS's what it means and what to do, where that is known.
func explain(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return fmt.Errorf("no AWS answers there: look at the region's name (--region) and at this machine's network: %w", err)
	}
	switch code := codeOf(err); {
	case strings.HasPrefix(code, "ExpiredToken"), code == "RequestExpired":
		return fmt.Errorf("the AWS credentials have expired: log in again (aws sso login), or set new ones: %w", err)
	case code == "InvalidClientTokenId", code == "UnrecognizedClientException", code == "SignatureDoesNotMatch", code == "AuthFailure":
		return fmt.Errorf("AWS does not accept these credentials: look at the profile, and whether the region is enabled for the account: %w", err)
	case strings.HasPrefix(code, "AccessDenied"), code == "UnauthorizedOperation":
		return fmt.Errorf("the AWS identity may not do this: give it the policy in docs/eks.md: %w", err)
	}
	return err
}

// codeOf is the code of an error of AWS's; "" for others.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// isGone reports whether an error says that a thing is not there (any more).
func isGone(err error) bool {
	switch codeOf(err) {
	case "ResourceNotFoundException", "NoSuchEntity", "NoSuchEntityException", "NotFoundException":
		return true
	}
	return false
}

// isBusy reports whether an error says that a thing is being changed, or used by another.
func isBusy(err error) bool { return codeOf(err) == "ResourceInUseException" }
