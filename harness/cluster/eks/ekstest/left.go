package ekstest

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// Left names all that is in the account, whatever its tags, as the emulator behind the proxy
// has it: clusters, node groups, roles, instances; and the proxy's add-ons.
func (a *AWS) Left(ctx context.Context) ([]string, error) {
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(a.moto),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
	}
	var all []string
	ekss := eks.NewFromConfig(cfg)
	clusters, err := ekss.ListClusters(ctx, &eks.ListClustersInput{})
	if err != nil {
		return nil, fmt.Errorf("list the clusters: %w", err)
	}
	for _, name := range clusters.Clusters {
		all = append(all, "cluster "+name)
		groups, err := ekss.ListNodegroups(ctx, &eks.ListNodegroupsInput{ClusterName: aws.String(name)})
		if err != nil {
			return nil, fmt.Errorf("list the node groups: %w", err)
		}
		for _, g := range groups.Nodegroups {
			all = append(all, "node group "+g)
		}
	}
	roles, err := iam.NewFromConfig(cfg).ListRoles(ctx, &iam.ListRolesInput{})
	if err != nil {
		return nil, fmt.Errorf("list the roles: %w", err)
	}
	for _, r := range roles.Roles {
		all = append(all, "role "+aws.ToString(r.RoleName))
	}
	instances, err := ec2.NewFromConfig(cfg).DescribeInstances(ctx, &ec2.DescribeInstancesInput{})
	if err != nil {
		return nil, fmt.Errorf("list the instances: %w", err)
	}
	for _, r := range instances.Reservations {
		for _, i := range r.Instances {
			all = append(all, "instance "+aws.ToString(i.InstanceId))
		}
	}
	for _, name := range a.AddonsLeft() {
		all = append(all, "add-on "+name)
	}
	slices.Sort(all)
	return all, nil
}
