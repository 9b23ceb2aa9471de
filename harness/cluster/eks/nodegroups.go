package eks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
)

// SetNodes implements cluster.Cluster: a managed node group for each instance type. Groups of
// new types are made, others are scaled, and those of types that are no more wanted go last.
func (c *Cluster) SetNodes(ctx context.Context, groups []cluster.NodeGroup) error {
	want := counted(groups)
	have, err := c.target.nodeGroups(ctx)
	if err != nil {
		return err
	}
	byType := map[string]types.Nodegroup{}
	for _, g := range have {
		if g.Status != types.NodegroupStatusDeleting {
			byType[g.InstanceTypes[0]] = g
		}
	}
	for _, t := range slices.Sorted(maps.Keys(want)) {
		g, there := byType[t]
		switch {
		case !there:
			err = c.makeNodeGroup(ctx, t, want[t])
		case int(aws.ToInt32(g.ScalingConfig.DesiredSize)) != want[t]:
			err = c.scale(ctx, g, want[t])
		}
		if err != nil {
			return err
		}
	}
	for _, t := range slices.Sorted(maps.Keys(want)) {
		if err := c.awaitNodeGroup(ctx, c.nodeGroupName(t)); err != nil {
			return err
		}
	}
	var unwanted []string
	for t, g := range byType {
		if want[t] == 0 {
			unwanted = append(unwanted, aws.ToString(g.NodegroupName))
		}
	}
	slices.Sort(unwanted)
	if len(unwanted) > 0 {
		// Pods of the nodes that go must find room.
		if err := c.awaitNodes(ctx, want, false); err != nil {
			return err
		}
		if err := c.target.removeNodeGroups(ctx, unwanted); err != nil {
			return err
		}
	}
	return c.awaitNodes(ctx, want, true)
}

func (c *Cluster) nodeGroupName(instanceType string) string {
	return shorten("meshbench-"+c.run+"-"+strings.ReplaceAll(instanceType, ".", "-"), 63)
}

// makeNodeGroup begins to make a node group.
func (c *Cluster) makeNodeGroup(ctx context.Context, instanceType string, count int) error {
	p := c.provider
	var subnets []string
	for _, s := range c.plan.subnets {
		if zones := c.plan.zones[instanceType]; zones == nil || zones[s.Zone] {
			subnets = append(subnets, s.ID)
		}
	}
	capacity := types.CapacityTypesOnDemand
	if p.settings.Spot {
		capacity = types.CapacityTypesSpot
	}
	name := c.nodeGroupName(instanceType)
	p.progress(fmt.Sprintf("making node group %s: %d x %s", name, count, instanceType))
	err := p.whenRoleIsKnown(ctx, func(ctx context.Context) error {
		_, err := p.account.eks.CreateNodegroup(ctx, &eks.CreateNodegroupInput{
			ClusterName: aws.String(c.target.cluster), NodegroupName: aws.String(name), NodeRole: aws.String(c.nodesARN), Subnets: subnets,
			AmiType: types.AMITypesAl2023X8664Standard, CapacityType: capacity, InstanceTypes: []string{instanceType},
			// A group can be emptied, as SetNodes ends single nodes.
			ScalingConfig: &types.NodegroupScalingConfig{MinSize: aws.Int32(0), MaxSize: size(max(1, count)), DesiredSize: size(count)},
			Labels:        map[string]string{runTag: c.run}, Tags: c.tags,
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("make node group %s: %w", name, explain(err))
	}
	return nil
}

// size is a number of nodes for the SDK.
func size(n int) *int32 { return aws.Int32(int32(n)) } //nolint:gosec // scenarios have 5,000 nodes at most

// scale changes the size of a node group. Of the nodes that go, those that were cordoned are
// ended one by one, since a group that shrinks would choose by itself.
func (c *Cluster) scale(ctx context.Context, g types.Nodegroup, count int) error {
	p, name := c.provider, aws.ToString(g.NodegroupName)
	p.progress(fmt.Sprintf("scaling node group %s to %d", name, count))
	if surplus := int(aws.ToInt32(g.ScalingConfig.DesiredSize)) - count; surplus > 0 {
		if err := c.endCordoned(ctx, g, surplus); err != nil {
			return err
		}
	}
	begun, err := p.account.eks.UpdateNodegroupConfig(ctx, &eks.UpdateNodegroupConfigInput{
		ClusterName: aws.String(c.target.cluster), NodegroupName: g.NodegroupName,
		ScalingConfig: &types.NodegroupScalingConfig{
			MinSize: aws.Int32(0), MaxSize: size(max(1, count, int(aws.ToInt32(g.ScalingConfig.MaxSize)))), DesiredSize: size(count),
		},
	})
	if err != nil {
		return fmt.Errorf("scale node group %s: %w", name, explain(err))
	}
	return p.until(ctx, nodesLimit, func(ctx context.Context) (bool, string, error) {
		found, err := p.account.eks.DescribeUpdate(ctx, &eks.DescribeUpdateInput{
			Name: aws.String(c.target.cluster), NodegroupName: g.NodegroupName, UpdateId: begun.Update.Id,
		})
		if err != nil {
			return false, "", fmt.Errorf("ask how scaling node group %s goes: %w", name, explain(err))
		}
		switch found.Update.Status {
		case types.UpdateStatusSuccessful:
			return true, "", nil
		case types.UpdateStatusFailed, types.UpdateStatusCancelled:
			var words []string
			for _, e := range found.Update.Errors {
				words = append(words, issue(string(e.ErrorCode), aws.ToString(e.ErrorMessage), e.ResourceIds))
			}
			return false, "", fmt.Errorf("node group %s could not be scaled: %s", name, strings.Join(words, "; "))
		}
		return false, "node group " + name + " to be scaled", nil
	})
}

// endCordoned ends at most so many of a group's nodes that were cordoned.
func (c *Cluster) endCordoned(ctx context.Context, g types.Nodegroup, most int) error {
	nodes, err := c.nodes(ctx)
	if err != nil {
		return err
	}
	for i := range nodes {
		n := &nodes[i]
		if most == 0 {
			break
		}
		if !n.Spec.Unschedulable || n.Labels[cluster.InstanceTypeLabel] != g.InstanceTypes[0] {
			continue
		}
		id := n.Spec.ProviderID[strings.LastIndexByte(n.Spec.ProviderID, '/')+1:]
		_, err := c.provider.account.scaling.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
			InstanceId: aws.String(id), ShouldDecrementDesiredCapacity: aws.Bool(true),
		})
		if err != nil {
			return fmt.Errorf("end node %s (%s): %w", n.Name, id, explain(err))
		}
		most--
	}
	return nil
}

// awaitNodeGroup waits until a node group is there.
func (c *Cluster) awaitNodeGroup(ctx context.Context, name string) error {
	p := c.provider
	return p.until(ctx, nodesLimit, func(ctx context.Context) (bool, string, error) {
		g, err := p.account.nodeGroup(ctx, c.target.cluster, name)
		switch {
		case err != nil:
			return false, "", err
		case g == nil:
			return false, "", fmt.Errorf("node group %s is gone", name)
		case g.Status == types.NodegroupStatusActive:
			return true, "", nil
		case g.Status == types.NodegroupStatusCreateFailed || g.Status == types.NodegroupStatusDegraded:
			return false, "", fmt.Errorf("node group %s could not be made (%s): %s", name, g.Status, nodeGroupIssues(g))
		}
		return false, fmt.Sprintf("node group %s (%s)", name, strings.ToLower(string(g.Status))), nil
	})
}

// nodeGroupIssues are what EKS says of a node group's health.
func nodeGroupIssues(g *types.Nodegroup) string {
	if g.Health == nil || len(g.Health.Issues) == 0 {
		return "EKS names no reason"
	}
	var words []string
	for _, i := range g.Health.Issues {
		words = append(words, issue(string(i.Code), aws.ToString(i.Message), i.ResourceIds))
	}
	return strings.Join(words, "; ")
}

// nodes are the run's own.
func (c *Cluster) nodes(ctx context.Context) ([]corev1.Node, error) {
	found, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: runTag + "=" + c.run})
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	return found.Items, nil
}

// awaitNodes waits until so many nodes of each type are Ready and, where alone is set, no
// others of the run's are there.
func (c *Cluster) awaitNodes(ctx context.Context, want map[string]int, alone bool) error {
	return c.provider.until(ctx, nodesLimit, func(ctx context.Context) (bool, string, error) {
		nodes, err := c.nodes(ctx)
		if err != nil {
			return false, "", err
		}
		ready, others := map[string]int{}, 0
		for i := range nodes {
			t := nodes[i].Labels[cluster.InstanceTypeLabel]
			if want[t] == 0 {
				others++
			} else if kube.IsNodeReady(&nodes[i]) {
				ready[t]++
			}
		}
		var missing []string
		for _, t := range slices.Sorted(maps.Keys(want)) {
			if ready[t] != want[t] {
				missing = append(missing, fmt.Sprintf("%d x %s Ready (%d now)", want[t], t, ready[t]))
			}
		}
		if alone && others > 0 {
			missing = append(missing, fmt.Sprintf("%d nodes to go", others))
		}
		return len(missing) == 0, strings.Join(missing, ", "), nil
	})
}

// nodeGroup describes a node group; nil where there is none.
func (a *account) nodeGroup(ctx context.Context, cluster, name string) (*types.Nodegroup, error) {
	found, err := a.eks.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: aws.String(cluster), NodegroupName: aws.String(name)})
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("describe node group %s: %w", name, explain(err))
	}
	if len(found.Nodegroup.InstanceTypes) == 0 || found.Nodegroup.ScalingConfig == nil {
		return nil, fmt.Errorf("describe node group %s: AWS says neither type nor size", name)
	}
	return found.Nodegroup, nil
}
