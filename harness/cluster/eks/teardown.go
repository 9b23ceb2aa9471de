package eks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// target is where the things of a run are.
type target struct {
	account *account
	run     string
	// cluster is the name of the EKS cluster; owned says that the run makes it.
	cluster  string
	owned    bool
	every    time.Duration
	progress func(string)
}

// thing is something of ours in AWS.
type thing struct {
	kind, name string
	in         string // the cluster; "" for none
	tags       map[string]string
}

// The kinds of things, in the order in which they are deleted.
const (
	groupKind   = "node group"
	addonKind   = "add-on"
	clusterKind = "EKS cluster"
	roleKind    = "IAM role"
)

// things are of ours, by kind.
type things map[string][]thing

func (t things) any() bool { return t.first() != "" }

// first names the first of them; "" for none.
func (t things) first() string {
	for _, kind := range []string{groupKind, addonKind, clusterKind, roleKind} {
		for _, x := range t[kind] {
			return kind + " " + x.name
		}
	}
	return ""
}

func (t things) add(x thing) { t[x.kind] = append(t[x.kind], x) }

// find finds what there is of the run. What is found beside an error can be removed: it is
// used by nothing that was not found.
func (t target) find(ctx context.Context) (things, error) {
	found := things{}
	if err := t.account.findOn(ctx, t.cluster, t.mine, found); err != nil {
		return found, err
	}
	for _, name := range []string{planeRole(t.run).name, nodesRole(t.run).name} {
		tags, err := t.account.roleTags(ctx, name)
		if err != nil {
			return found, err
		}
		if t.mine(tags) {
			found.add(thing{kind: roleKind, name: name, tags: tags})
		}
	}
	return found, nil
}

// mine tells by the tags of a thing whether it is of the run.
func (t target) mine(tags map[string]string) bool { return tags[runTag] == t.run }

// remove deletes what was found.
func (t target) remove(ctx context.Context, found things) error {
	return t.account.remove(ctx, found, t.every, t.progress)
}

// nodeGroups are the run's.
func (t target) nodeGroups(ctx context.Context) ([]types.Nodegroup, error) {
	return t.account.nodeGroups(ctx, t.cluster, t.mine)
}

// removeNodeGroups deletes some of the run's node groups and waits until they are gone.
func (t target) removeNodeGroups(ctx context.Context, names []string) error {
	found := things{}
	for _, name := range names {
		found.add(thing{kind: groupKind, name: name, in: t.cluster})
	}
	return t.remove(ctx, found)
}

// findOn adds what of a cluster, and on it, is ours, as mine tells by tags. All node groups
// and add-ons of a cluster of ours go with it.
func (a *account) findOn(ctx context.Context, cluster string, mine func(map[string]string) bool, found things) error {
	described, err := a.describe(ctx, cluster)
	if err != nil || described == nil {
		return err
	}
	on, owned := mine, mine(described.Tags)
	if owned {
		on = func(map[string]string) bool { return true }
	}
	groups, err := a.nodeGroups(ctx, cluster, on)
	if err != nil {
		return err
	}
	for _, g := range groups {
		found.add(thing{groupKind, aws.ToString(g.NodegroupName), cluster, g.Tags})
	}
	pages := eks.NewListAddonsPaginator(a.eks, &eks.ListAddonsInput{ClusterName: aws.String(cluster)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if isGone(err) {
			break
		}
		if err != nil {
			return fmt.Errorf("list the add-ons of EKS cluster %s: %w", cluster, explain(err))
		}
		for _, name := range page.Addons {
			addon, err := a.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: aws.String(cluster), AddonName: aws.String(name)})
			if isGone(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("ask for add-on %s of EKS cluster %s: %w", name, cluster, explain(err))
			}
			if on(addon.Addon.Tags) {
				found.add(thing{addonKind, name, cluster, addon.Addon.Tags})
			}
		}
	}
	if owned {
		found.add(thing{kind: clusterKind, name: cluster, tags: described.Tags})
	}
	return nil
}

// nodeGroups are those of a cluster that are ours.
func (a *account) nodeGroups(ctx context.Context, cluster string, mine func(map[string]string) bool) ([]types.Nodegroup, error) {
	var found []types.Nodegroup
	pages := eks.NewListNodegroupsPaginator(a.eks, &eks.ListNodegroupsInput{ClusterName: aws.String(cluster)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if isGone(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the node groups of EKS cluster %s: %w", cluster, explain(err))
		}
		for _, name := range page.Nodegroups {
			g, err := a.nodeGroup(ctx, cluster, name)
			if err != nil {
				return nil, err
			}
			if g != nil && mine(g.Tags) {
				found = append(found, *g)
			}
		}
	}
	return found, nil
}

// roleTags are the tags of a role; nil where there is none.
func (a *account) roleTags(ctx context.Context, name string) (map[string]string, error) {
	tags := map[string]string{}
	pages := iam.NewListRoleTagsPaginator(a.iam, &iam.ListRoleTagsInput{RoleName: aws.String(name)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if isGone(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the tags of IAM role %s: %w", name, explain(err))
		}
		for _, t := range page.Tags {
			tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	return tags, nil
}

// remove deletes things in their order and waits until they are gone. What the next ones
// need is not deleted before them; what is left is for another call.
func (a *account) remove(ctx context.Context, found things, every time.Duration, progress func(string)) error {
	steps := []struct {
		kind   string
		delete func(context.Context, thing) error
		// there says what is still there of it; "" for nothing.
		there func(context.Context, thing) (string, error)
	}{
		{groupKind, a.deleteGroup, a.groupThere},
		{addonKind, a.deleteAddon, a.addonThere},
		{clusterKind, a.deleteCluster, a.clusterThere},
		{roleKind, func(ctx context.Context, x thing) error { return a.deleteRole(ctx, x.name) }, nil},
	}
	for _, step := range steps {
		var errs []error
		for _, x := range found[step.kind] {
			progress(fmt.Sprintf("deleting %s %s", x.kind, x.name))
			errs = append(errs, until(ctx, every, deleteLimit, progress, func(ctx context.Context) (bool, string, error) {
				err := step.delete(ctx, x)
				if isBusy(err) {
					return false, fmt.Sprintf("%s %s to be free", x.kind, x.name), nil
				}
				if err != nil && !isGone(err) {
					return false, "", fmt.Errorf("delete %s %s: %w", x.kind, x.name, explain(err))
				}
				return true, "", nil
			}))
		}
		for i, x := range found[step.kind] {
			if step.there == nil || errs[i] != nil {
				continue
			}
			errs = append(errs, until(ctx, every, deleteLimit, progress, func(ctx context.Context) (bool, string, error) {
				state, err := step.there(ctx, x)
				return state == "" && err == nil, fmt.Sprintf("%s %s to go (%s)", x.kind, x.name, strings.ToLower(state)), err
			}))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) deleteGroup(ctx context.Context, x thing) error {
	_, err := a.eks.DeleteNodegroup(ctx, &eks.DeleteNodegroupInput{ClusterName: aws.String(x.in), NodegroupName: aws.String(x.name)})
	return err
}

func (a *account) groupThere(ctx context.Context, x thing) (string, error) {
	g, err := a.nodeGroup(ctx, x.in, x.name)
	if err != nil || g == nil {
		return "", err
	}
	if g.Status == types.NodegroupStatusDeleteFailed {
		return "", fmt.Errorf("node group %s could not be deleted: %s", x.name, nodeGroupIssues(g))
	}
	return string(g.Status), nil
}

func (a *account) deleteAddon(ctx context.Context, x thing) error {
	_, err := a.eks.DeleteAddon(ctx, &eks.DeleteAddonInput{ClusterName: aws.String(x.in), AddonName: aws.String(x.name)})
	return err
}

func (a *account) addonThere(ctx context.Context, x thing) (string, error) {
	found, err := a.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: aws.String(x.in), AddonName: aws.String(x.name)})
	if isGone(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask for add-on %s: %w", x.name, explain(err))
	}
	if found.Addon.Status == types.AddonStatusDeleteFailed {
		return "", fmt.Errorf("add-on %s could not be deleted: %s", x.name, addonIssues(found.Addon))
	}
	return string(found.Addon.Status), nil
}

func (a *account) deleteCluster(ctx context.Context, x thing) error {
	_, err := a.eks.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: aws.String(x.name)})
	return err
}

func (a *account) clusterThere(ctx context.Context, x thing) (string, error) {
	c, err := a.describe(ctx, x.name)
	if err != nil || c == nil {
		return "", err
	}
	return string(c.Status), nil
}
