package eks

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/meshbench/meshbench/harness/kube/metricsserver"
)

// The add-ons of EKS that are used.
const (
	cniAddon     = "vpc-cni"
	metricsAddon = "metrics-server"
)

// delegatePrefixes lets the VPC CNI give nodes prefixes of addresses, before there are any.
func (c *Cluster) delegatePrefixes(ctx context.Context) error {
	if !c.target.owned {
		return fmt.Errorf("more pods on a node take prefix delegation, and the VPC CNI of %s is not changed: set ENABLE_PREFIX_DELEGATION there, and ask for no maxPods", c.target.cluster)
	}
	made, err := c.addon(ctx, cniAddon, `{"env":{"ENABLE_PREFIX_DELEGATION":"true"}}`)
	if err == nil && !made {
		err = fmt.Errorf("EKS has no add-on %s for Kubernetes %s, which prefix delegation is asked of: ask for no maxPods", cniAddon, c.plan.version.Name)
	}
	return err
}

// ensureMetrics gives the cluster a metrics API, unless it has one: by EKS's add-on, else by
// the manifest.
func (c *Cluster) ensureMetrics(ctx context.Context) error {
	installed, err := metricsserver.Installed(ctx, c.client.Dynamic)
	if err != nil {
		return err
	}
	if !installed {
		// One replica, as the published cluster had it.
		made, err := c.addon(ctx, metricsAddon, `{"replicas":1}`)
		if err != nil {
			return err
		}
		if !made {
			c.provider.progress("installing metrics-server, of which EKS has no add-on here")
			c.manifest = true
			err := metricsserver.Install(ctx, c.client, metricsserver.Options{
				Image: c.provider.metricsServer, Anywhere: true,
				Until: func(ctx context.Context, check func(context.Context) error) error {
					return c.untilNil(ctx, check)
				},
			})
			if err != nil {
				return err
			}
		}
	}
	return c.untilNil(ctx, func(ctx context.Context) error { return metricsserver.Serves(ctx, c.client.Dynamic) })
}

// untilNil asks check until it returns nil.
func (c *Cluster) untilNil(ctx context.Context, check func(context.Context) error) error {
	return c.provider.until(ctx, metricsLimit, func(ctx context.Context) (bool, string, error) {
		if err := check(ctx); err != nil {
			return false, "metrics: " + err.Error(), nil
		}
		return true, "", nil
	})
}

// addon installs an add-on and waits for it. It reports false where EKS has none of the name
// for the cluster's version.
func (c *Cluster) addon(ctx context.Context, name, configuration string) (bool, error) {
	a := c.provider.account
	versions, err := a.eks.DescribeAddonVersions(ctx, &eks.DescribeAddonVersionsInput{
		AddonName: aws.String(name), KubernetesVersion: aws.String(c.plan.version.Name),
	})
	if err != nil && !isGone(err) {
		return false, fmt.Errorf("ask for add-on %s: %w", name, explain(err))
	}
	if err != nil || len(versions.Addons) == 0 {
		return false, nil
	}
	c.provider.progress("installing add-on " + name)
	_, err = a.eks.CreateAddon(ctx, &eks.CreateAddonInput{
		ClusterName: aws.String(c.target.cluster), AddonName: aws.String(name), ConfigurationValues: aws.String(configuration),
		ResolveConflicts: types.ResolveConflictsOverwrite, Tags: c.tags,
	})
	if err != nil {
		return false, fmt.Errorf("install add-on %s: %w", name, explain(err))
	}
	if name == cniAddon {
		return true, nil // it is active once there are nodes
	}
	return true, c.provider.until(ctx, addonLimit, func(ctx context.Context) (bool, string, error) {
		found, err := a.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: aws.String(c.target.cluster), AddonName: aws.String(name)})
		if err != nil {
			return false, "", fmt.Errorf("ask for add-on %s: %w", name, explain(err))
		}
		switch found.Addon.Status {
		case types.AddonStatusActive:
			return true, "", nil
		case types.AddonStatusCreateFailed:
			return false, "", fmt.Errorf("add-on %s could not be installed: %s", name, addonIssues(found.Addon))
		}
		return false, fmt.Sprintf("add-on %s (%s)", name, strings.ToLower(string(found.Addon.Status))), nil
	})
}

// addonIssues are what EKS says of an add-on's health.
func addonIssues(a *types.Addon) string {
	if a.Health == nil || len(a.Health.Issues) == 0 {
		return "EKS names no reason"
	}
	var words []string
	for _, i := range a.Health.Issues {
		words = append(words, issue(string(i.Code), aws.ToString(i.Message), i.ResourceIds))
	}
	return strings.Join(words, "; ")
}
