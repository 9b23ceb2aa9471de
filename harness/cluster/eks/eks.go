// Package eks is the provider of clusters on Amazon EKS: with the SDK of AWS it makes a
// cluster, or takes one that is there, and gives it managed node groups.
//
// Everything that is made has tags that say by which run, for whom, and until when, and is
// found again by them alone: no file on this machine is needed to delete it.
package eks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
	"github.com/meshbench/meshbench/harness/kube"
)

// The tags of everything that is made. The tag of the run is a label of the nodes, too.
const (
	runTag   = "meshbench.dev/run"
	ownerTag = "meshbench.dev/owner"
	ttlTag   = "meshbench.dev/ttl" // the end of the time to live, RFC 3339
	// regionTag tells apart roles, which are in no region.
	regionTag = "meshbench.dev/region"
)

// How long what AWS does may take: a control plane took it 8 to 12 minutes in 2024, nodes 2
// to 4, their deletion 3 to 10.
const (
	clusterLimit = 30 * time.Minute
	nodesLimit   = 20 * time.Minute
	addonLimit   = 10 * time.Minute
	metricsLimit = 5 * time.Minute
	deleteLimit  = 45 * time.Minute
	// pollEvery is how often AWS is asked meanwhile.
	pollEvery = 10 * time.Second
)

// provider makes clusters in one account and region.
type provider struct {
	account  *account
	settings settings.Settings
	// istio is the version that will be installed.
	istio string
	// metricsServer is the image of a metrics-server that is installed where EKS has no
	// add-on.
	metricsServer string
	plan          *plan // of Preflight
	progress      func(line string)
	every         time.Duration
	now           func() time.Time
}

// Preflight implements cluster.Provider.
func (p *provider) Preflight(ctx context.Context, spec cluster.Spec) (err error) {
	p.plan, err = p.examine(ctx, spec)
	return err
}

// Create implements cluster.Provider.
func (p *provider) Create(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	if p.plan == nil {
		if err := p.Preflight(ctx, spec); err != nil {
			return nil, err
		}
	}
	c := &Cluster{
		provider: p, plan: p.plan, run: spec.Name, dir: spec.Dir,
		target: target{account: p.account, run: spec.Name, cluster: p.settings.Cluster, every: p.every, progress: p.progress},
	}
	if p.settings.Cluster == "" {
		c.target.cluster, c.target.owned = shorten("meshbench-"+spec.Name, 100), true
	}
	if err := c.make(ctx, spec); err != nil {
		p.progress("removing what was made")
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteLimit)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("make EKS cluster %s: %w", c.target.cluster, err), c.Delete(after))
	}
	return c, nil
}

// tags are those of everything that is made for a run.
func (p *provider) tags(run string) map[string]string {
	owner := p.settings.Owner
	if owner == "" {
		owner = p.account.owner()
	}
	return map[string]string{runTag: run, ownerTag: owner, regionTag: p.account.Region, ttlTag: p.now().Add(p.settings.TTL).UTC().Format(time.RFC3339)}
}

// make makes the cluster and all on it. What is half made is the caller's to remove.
func (c *Cluster) make(ctx context.Context, spec cluster.Spec) error {
	c.tags = c.provider.tags(c.run)
	// Something of the name may be somebody's, or a killed run's, and must stay.
	before, err := c.target.find(ctx)
	if err != nil {
		return err
	}
	if before.any() {
		return fmt.Errorf("there are already things of run %s, the first one is %s: delete them with `meshbench down --cluster eks --run %[1]s`, or choose another name",
			c.run, before.first())
	}
	c.begun = true
	if c.target.owned {
		if err := c.makeControlPlane(ctx); err != nil {
			return err
		}
	} else if err := c.nodeRole(ctx); err != nil {
		return err
	}
	described, err := c.provider.account.describe(ctx, c.target.cluster)
	if err != nil {
		return err
	}
	if described == nil {
		return fmt.Errorf("EKS cluster %s is gone", c.target.cluster)
	}
	if err := c.connect(ctx, described); err != nil {
		return err
	}
	if c.plan.limits.Prefixes {
		if err := c.delegatePrefixes(ctx); err != nil {
			return err
		}
	}
	if err := c.SetNodes(ctx, spec.Nodes); err != nil {
		return err
	}
	return c.ensureMetrics(ctx)
}

// makeControlPlane makes the roles and the cluster, and waits for it.
func (c *Cluster) makeControlPlane(ctx context.Context) error {
	p := c.provider
	plane, err := c.clusterRole(ctx)
	if err != nil {
		return err
	}
	if err := c.nodeRole(ctx); err != nil {
		return err
	}
	var subnets []string
	for _, s := range c.plan.subnets {
		subnets = append(subnets, s.ID)
	}
	p.progress("making the EKS control plane")
	err = p.whenRoleIsKnown(ctx, func(ctx context.Context) error {
		_, err := p.account.eks.CreateCluster(ctx, &eks.CreateClusterInput{
			Name: aws.String(c.target.cluster), Version: aws.String(c.plan.version.Name), RoleArn: aws.String(plane),
			ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: subnets, EndpointPublicAccess: aws.Bool(true)},
			// Nodes of managed groups are let in without the config map aws-auth.
			AccessConfig: &types.CreateAccessConfigRequest{
				AuthenticationMode: types.AuthenticationModeApiAndConfigMap, BootstrapClusterCreatorAdminPermissions: aws.Bool(true),
			},
			Tags: c.tags,
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("make the control plane: %w", explain(err))
	}
	return p.until(ctx, clusterLimit, func(ctx context.Context) (bool, string, error) {
		found, err := p.account.describe(ctx, c.target.cluster)
		switch {
		case err != nil:
			return false, "", err
		case found == nil:
			return false, "", errors.New("the control plane is gone")
		case found.Status == types.ClusterStatusActive:
			return true, "", nil
		case found.Status == types.ClusterStatusFailed:
			return false, "", fmt.Errorf("the control plane could not be made: %s", clusterIssues(found))
		}
		return false, fmt.Sprintf("the EKS control plane (%s)", strings.ToLower(string(found.Status))), nil
	})
}

// clusterIssues are what EKS says of a cluster's health.
func clusterIssues(c *types.Cluster) string {
	if c.Health == nil || len(c.Health.Issues) == 0 {
		return "EKS names no reason"
	}
	var words []string
	for _, i := range c.Health.Issues {
		words = append(words, issue(string(i.Code), aws.ToString(i.Message), i.ResourceIds))
	}
	return strings.Join(words, "; ")
}

// issue is one of EKS's issues in words.
func issue(code, message string, resources []string) string {
	text := code + ": " + strings.TrimSpace(message)
	if len(resources) > 0 {
		text += " (" + strings.Join(resources, ", ") + ")"
	}
	return text
}

// until asks done again and again, and tells the progress what is waited for.
func (p *provider) until(ctx context.Context, limit time.Duration, done func(context.Context) (bool, string, error)) error {
	return until(ctx, p.every, limit, p.progress, done)
}

func until(ctx context.Context, every, limit time.Duration, progress func(string), done func(context.Context) (bool, string, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
	defer cancel()
	began := time.Now()
	return kube.Until(ctx, every, func(ctx context.Context) (bool, string, error) {
		ok, waiting, err := done(ctx)
		if !ok && err == nil {
			progress(fmt.Sprintf("waiting for %s, %.0f s", waiting, time.Since(began).Seconds()))
		}
		return ok, waiting, err
	})
}

// shorten cuts a name that is too long for AWS, and keeps it apart from others.
func shorten(name string, most int) string {
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:most-9] + "-" + hex.EncodeToString(sum[:4])
}
