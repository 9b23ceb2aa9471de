package eks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/meshbench/meshbench/harness/kube"
)

// rolePath is the path of the roles that are made, by which they are listed.
const rolePath = "/meshbench/"

// role is an IAM role that is made for a run.
type role struct {
	name, service string
	policies      []string // names of AWS's own
}

// The roles of a run, as the Amazon EKS user guide has them: "Amazon EKS cluster IAM role"
// and "Amazon EKS node IAM role".
func planeRole(run string) role {
	return role{roleName(run, "cluster"), "eks.amazonaws.com", []string{"AmazonEKSClusterPolicy"}}
}

func nodesRole(run string) role {
	return role{roleName(run, "nodes"), "ec2.amazonaws.com", []string{
		"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryReadOnly", "AmazonEKS_CNI_Policy",
	}}
}

func roleName(run, of string) string { return shorten("meshbench-"+run, 64-1-len(of)) + "-" + of }

// roles are those that must be made for a run.
func (p *provider) roles(run string) (all []role) {
	if p.settings.ClusterRole == "" && p.settings.Cluster == "" {
		all = append(all, planeRole(run))
	}
	if p.settings.NodeRole == "" {
		all = append(all, nodesRole(run))
	}
	return all
}

// clusterRole is the ARN of the control plane's role, which is made unless it was given.
func (c *Cluster) clusterRole(ctx context.Context) (string, error) {
	if given := c.provider.settings.ClusterRole; given != "" {
		return c.provider.account.roleARN(ctx, "--cluster-role", given)
	}
	return c.makeRole(ctx, planeRole(c.run))
}

// nodeRole finds the nodes' role, which is made unless it was given.
func (c *Cluster) nodeRole(ctx context.Context) (err error) {
	if given := c.provider.settings.NodeRole; given != "" {
		c.nodesARN, err = c.provider.account.roleARN(ctx, "--node-role", given)
		return err
	}
	c.nodesARN, err = c.makeRole(ctx, nodesRole(c.run))
	return err
}

// roleARN is the ARN of a role that is there, given by name or ARN.
func (a *account) roleARN(ctx context.Context, flag, given string) (string, error) {
	name := given[strings.LastIndexByte(given, '/')+1:]
	found, err := a.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(name)})
	if isGone(err) {
		return "", fmt.Errorf("%s %s: the account has no such IAM role", flag, given)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", flag, given, explain(err))
	}
	return aws.ToString(found.Role.Arn), nil
}

// checkRoles finds out whether the roles that were given are there.
func (p *provider) checkRoles(ctx context.Context) error {
	var errs []error
	for _, r := range []struct{ flag, given string }{
		{"--cluster-role", p.settings.ClusterRole}, {"--node-role", p.settings.NodeRole},
	} {
		if r.given != "" {
			_, err := p.account.roleARN(ctx, r.flag, r.given)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// makeRole makes a role and returns its ARN.
func (c *Cluster) makeRole(ctx context.Context, r role) (string, error) {
	account := c.provider.account
	c.provider.progress("making IAM role " + r.name)
	var tags []iamtypes.Tag
	for key, value := range c.tags {
		tags = append(tags, iamtypes.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	made, err := account.iam.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String(r.name), Path: aws.String(rolePath), Tags: tags,
		Description: aws.String("made by meshbench for run " + c.run),
		AssumeRolePolicyDocument: aws.String(fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":["sts:AssumeRole"]}]}`, r.service)),
	})
	if err != nil {
		return "", fmt.Errorf("make IAM role %s: %w", r.name, explain(err))
	}
	arn := aws.ToString(made.Role.Arn)
	partition := "aws"
	if parts := strings.Split(arn, ":"); len(parts) > 1 {
		partition = parts[1]
	}
	for _, policy := range r.policies {
		_, err := account.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{
			RoleName: aws.String(r.name), PolicyArn: aws.String("arn:" + partition + ":iam::aws:policy/" + policy),
		})
		if err != nil {
			return "", fmt.Errorf("give IAM role %s the policy %s: %w", r.name, policy, explain(err))
		}
	}
	return arn, nil
}

// deleteRole deletes a role of ours; one that is not there is no error.
func (a *account) deleteRole(ctx context.Context, name string) error {
	policies := iam.NewListAttachedRolePoliciesPaginator(a.iam, &iam.ListAttachedRolePoliciesInput{RoleName: aws.String(name)})
	for policies.HasMorePages() {
		page, err := policies.NextPage(ctx)
		if isGone(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the policies of IAM role %s: %w", name, explain(err))
		}
		for _, p := range page.AttachedPolicies {
			_, err := a.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String(name), PolicyArn: p.PolicyArn})
			if err != nil && !isGone(err) {
				return fmt.Errorf("take a policy from IAM role %s: %w", name, explain(err))
			}
		}
	}
	if _, err := a.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(name)}); err != nil && !isGone(err) {
		return fmt.Errorf("delete IAM role %s: %w", name, explain(err))
	}
	return nil
}

// roleLimit is how long a new role may be unknown to EKS.
const roleLimit = time.Minute

// whenRoleIsKnown calls f until EKS knows the role that was just made.
func (p *provider) whenRoleIsKnown(ctx context.Context, f func(context.Context) error) error {
	deadline := time.Now().Add(roleLimit)
	return kube.Until(ctx, p.every, func(ctx context.Context) (bool, string, error) {
		err := f(ctx)
		if codeOf(err) == "InvalidParameterException" && strings.Contains(strings.ToLower(err.Error()), "role") && time.Now().Before(deadline) {
			return false, "EKS to know the IAM role", nil
		}
		return err == nil, "", err
	})
}
