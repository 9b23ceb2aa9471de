package eks

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/meshbench/meshbench/harness/cluster"
)

// leftovers finds, by List and Describe and tags alone, what a run left; where run is "",
// what all runs left whose time to live is over.
func (a *account) leftovers(ctx context.Context, run string, now time.Time) (things, error) {
	mine := func(tags map[string]string) bool {
		if tags[runTag] == "" {
			return false
		}
		if run != "" {
			return tags[runTag] == run
		}
		ends := expires(tags)
		return !ends.IsZero() && ends.Before(now) // one that is not known is nobody's to judge
	}
	found := things{}
	clusters := eks.NewListClustersPaginator(a.eks, &eks.ListClustersInput{})
	for clusters.HasMorePages() {
		page, err := clusters.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the EKS clusters: %w", explain(err))
		}
		for _, name := range page.Clusters {
			if err := a.findOn(ctx, name, mine, found); err != nil {
				return nil, err
			}
		}
	}
	roles := iam.NewListRolesPaginator(a.iam, &iam.ListRolesInput{PathPrefix: aws.String(rolePath)})
	for roles.HasMorePages() {
		page, err := roles.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the IAM roles: %w", explain(err))
		}
		for _, r := range page.Roles {
			name := aws.ToString(r.RoleName)
			tags, err := a.roleTags(ctx, name)
			if err != nil {
				return nil, err
			}
			if mine(tags) && tags[regionTag] == a.Region {
				found.add(thing{kind: roleKind, name: name, tags: tags})
			}
		}
	}
	return found, nil
}

// expires is the end of a thing's time to live; zero where it is not known.
func expires(tags map[string]string) time.Time {
	ends, err := time.Parse(time.RFC3339, tags[ttlTag])
	if err != nil {
		return time.Time{}
	}
	return ends
}

// listed are things as the commands show them, in the order of their deletion.
func (t things) listed() []cluster.Leftover {
	var all []cluster.Leftover
	for _, kind := range []string{groupKind, addonKind, clusterKind, roleKind} {
		for _, x := range t[kind] {
			all = append(all, cluster.Leftover{
				Kind: kind, Name: x.name, In: x.in, Run: x.tags[runTag], Owner: x.tags[ownerTag], Expires: expires(x.tags),
				Costs: kind == groupKind || kind == clusterKind,
			})
		}
	}
	return all
}

// unlisted are listed things again.
func unlisted(all []cluster.Leftover) things {
	found := things{}
	for _, l := range all {
		found.add(thing{kind: l.Kind, name: l.Name, in: l.In})
	}
	return found
}
