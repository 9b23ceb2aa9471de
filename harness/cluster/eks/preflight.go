package eks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/instances"
)

// plan is what is known before anything is made.
type plan struct {
	version offered
	limits  limits
	subnets []subnet
	// zones are those that have instances of a type.
	zones map[string]map[string]bool
	quote quote
	// notes are what a reader should see and find in the record.
	notes []string
}

// examine works out what a run makes, and returns all reasons why that cannot be. It
// changes nothing.
func (p *provider) examine(ctx context.Context, spec cluster.Spec) (*plan, error) {
	phases := phasesOf(spec)
	made := &plan{}
	var errs []error
	prices, err := readPrices(p.settings.PriceFile)
	errs = append(errs, err)
	made.limits, err = limitsOf(phases)
	errs = append(errs, err)
	if err := p.account.checkRegion(ctx); err != nil {
		return nil, errors.Join(append(errs, err)...) // all else would be wrong for the same reason
	}
	var note string
	if made.version, note, err = p.version(ctx); err != nil {
		errs = append(errs, err)
	}
	nat := false
	if made.subnets, nat, err = p.findSubnets(ctx, phases); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, p.checkTypes(ctx, phases, made), p.checkQuota(ctx, phases), p.checkRoles(ctx))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if note != "" {
		made.notes = append(made.notes, note)
	}
	made.notes = append(made.notes, made.limits.Notes...)
	if p.settings.Cluster != "" {
		made.notes = append(made.notes, fmt.Sprintf("what a run installs on cluster %s stays there: Istio, the scenario's namespaces; with --cluster existing they are removed", p.settings.Cluster))
	}
	made.quote = quote{
		account: p.account, prices: prices, version: made.version, existing: p.settings.Cluster, phases: phases,
		public: slices.ContainsFunc(made.subnets, func(s subnet) bool { return s.Public }), nat: nat,
		spot: p.settings.Spot, roles: len(p.roles("x")),
	}
	return made, nil
}

// checkRegion asks whether the account may use the region.
func (a *account) checkRegion(ctx context.Context) error {
	found, err := a.ec2.DescribeRegions(ctx, &ec2.DescribeRegionsInput{RegionNames: []string{a.Region}, AllRegions: aws.Bool(true)})
	if code := codeOf(err); code == "InvalidParameterValue" || err == nil && len(found.Regions) == 0 {
		return fmt.Errorf("there is no AWS region %s: give another one with --region", a.Region)
	}
	if err != nil {
		return fmt.Errorf("ask for region %s: %w", a.Region, explain(err))
	}
	if aws.ToString(found.Regions[0].OptInStatus) == "not-opted-in" {
		return fmt.Errorf("region %s is not enabled for account %s: enable it, or give another one with --region", a.Region, a.ID)
	}
	return nil
}

// version is that of the cluster: the one that is there, or the one to be made.
func (p *provider) version(ctx context.Context) (offered, string, error) {
	all, err := p.account.offers(ctx)
	if err != nil {
		return offered{}, "", err
	}
	asked := p.settings.Kubernetes
	if p.settings.Cluster != "" {
		c, err := p.account.describe(ctx, p.settings.Cluster)
		if err != nil {
			return offered{}, "", err
		}
		if c == nil {
			return offered{}, "", fmt.Errorf("--eks-cluster %s: there is no EKS cluster of that name in %s", p.settings.Cluster, p.account.Region)
		}
		if c.Status != types.ClusterStatusActive {
			return offered{}, "", fmt.Errorf("--eks-cluster %s: it is %s, not ACTIVE", p.settings.Cluster, c.Status)
		}
		there := aws.ToString(c.Version)
		if asked != "" && asked != there {
			return offered{}, "", fmt.Errorf("--kubernetes %s: cluster %s runs %s: leave the flag out", asked, p.settings.Cluster, there)
		}
		asked = there
		if !slices.ContainsFunc(all, func(v offered) bool { return v.Name == there }) {
			all = append(all, offered{Name: there, Extended: true})
		}
	}
	return choose(all, asked, p.istio)
}

// subnet is one that nodes can be in.
type subnet struct {
	ID, Zone string
	// Public says that what is started there gets a public address.
	Public bool
	// Free is the number of free addresses.
	Free int
}

// Zones, by their IDs, in which EKS makes no control plane.
//
// Source: the Amazon EKS user guide, "View Amazon EKS networking requirements for VPC and
// subnets".
var withoutEKS = []string{"use1-az3", "usw1-az2", "cac1-az3"}

// minFree is how many free addresses EKS wants in each subnet of a cluster. Source: as above.
const minFree = 6

// findSubnets are those that were given, else those of the cluster that is there, else the
// default VPC's; nat says whether they lead out through NAT gateways.
func (p *provider) findSubnets(ctx context.Context, phases []cluster.Phase) (found []subnet, nat bool, err error) {
	input := &ec2.DescribeSubnetsInput{SubnetIds: p.settings.Subnets}
	given := len(p.settings.Subnets) > 0
	switch {
	case given:
	case p.settings.Cluster != "":
		c, err := p.account.describe(ctx, p.settings.Cluster)
		if err != nil || c == nil {
			return nil, false, err // version says it
		}
		input.SubnetIds = c.ResourcesVpcConfig.SubnetIds
	default:
		vpcs, err := p.account.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []ec2types.Filter{{Name: aws.String("is-default"), Values: []string{"true"}}}})
		if err != nil {
			return nil, false, fmt.Errorf("look for the default VPC: %w", explain(err))
		}
		if len(vpcs.Vpcs) == 0 {
			return nil, false, fmt.Errorf("region %s has no default VPC: name subnets with --subnets", p.account.Region)
		}
		input.Filters = []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{aws.ToString(vpcs.Vpcs[0].VpcId)}}}
	}
	vpc := ""
	pages := ec2.NewDescribeSubnetsPaginator(p.account.ec2, input)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if strings.HasPrefix(codeOf(err), "InvalidSubnet") {
			return nil, false, fmt.Errorf("region %s has not all subnets of --subnets: %w", p.account.Region, err)
		}
		if err != nil {
			return nil, false, fmt.Errorf("describe the subnets: %w", explain(err))
		}
		for _, s := range page.Subnets {
			zone := aws.ToString(s.AvailabilityZone)
			if slices.Contains(withoutEKS, aws.ToString(s.AvailabilityZoneId)) {
				if given {
					return nil, false, fmt.Errorf("EKS makes no clusters in zone %s: leave subnet %s out of --subnets", zone, aws.ToString(s.SubnetId))
				}
				continue
			}
			if other := aws.ToString(s.VpcId); vpc != "" && other != vpc {
				return nil, false, fmt.Errorf("the subnets are of two VPCs, %s and %s: give --subnets of one", vpc, other)
			}
			vpc = aws.ToString(s.VpcId)
			found = append(found, subnet{aws.ToString(s.SubnetId), zone, aws.ToBool(s.MapPublicIpOnLaunch), int(aws.ToInt32(s.AvailableIpAddressCount))})
		}
	}
	slices.SortFunc(found, func(a, b subnet) int { return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.ID, b.ID)) })
	if err := checkSubnets(found, phases); err != nil {
		return nil, false, err
	}
	if slices.ContainsFunc(found, func(s subnet) bool { return !s.Public }) {
		gateways, err := p.account.ec2.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{Filter: []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{vpc}}}})
		if err != nil {
			return nil, false, fmt.Errorf("look for NAT gateways: %w", explain(err))
		}
		nat = len(gateways.NatGateways) > 0
	}
	return found, nat, nil
}

// checkSubnets refuses subnets that a cluster cannot be in.
func checkSubnets(found []subnet, phases []cluster.Phase) error {
	zones := map[string]bool{}
	free := 0
	var errs []error
	for _, s := range found {
		zones[s.Zone] = true
		free += s.Free
		if s.Free < minFree {
			errs = append(errs, fmt.Errorf("subnet %s has %d free addresses, and EKS needs %d: take another one with --subnets", s.ID, s.Free, minFree))
		}
	}
	if len(zones) < 2 {
		errs = append(errs, fmt.Errorf("the subnets are in %d zone (%s), and EKS needs two: name subnets in two zones with --subnets",
			len(zones), strings.Join(slices.Sorted(maps.Keys(zones)), ", ")))
	}
	// Each node and each pod has an address, and the control plane a few. Nodes keep more in
	// reserve, so this is the least.
	need := 0
	for i, peak := range peaks(phases) {
		n := phases[i].Pods
		for _, count := range peak {
			n += count
		}
		need = max(need, n)
	}
	if need += 2 * minFree; len(found) > 0 && free < need {
		errs = append(errs, fmt.Errorf("the subnets have %d free addresses, and nodes and pods need %d at least: name larger ones with --subnets", free, need))
	}
	return errors.Join(errs...)
}

// checkTypes refuses instance types that the region lacks, and leaves out the zones that
// lack one.
func (p *provider) checkTypes(ctx context.Context, phases []cluster.Phase, made *plan) error {
	zones := map[string]map[string]bool{} // by type
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(p.account.ec2, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: ec2types.LocationTypeAvailabilityZone,
		Filters:      []ec2types.Filter{{Name: aws.String("instance-type"), Values: typesOf(phases)}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("ask for the instance types of the region: %w", explain(err))
		}
		for _, o := range page.InstanceTypeOfferings {
			t := string(o.InstanceType)
			if zones[t] == nil {
				zones[t] = map[string]bool{}
			}
			zones[t][aws.ToString(o.Location)] = true
		}
	}
	var errs []error
	for _, t := range typesOf(phases) {
		if len(zones[t]) == 0 {
			errs = append(errs, fmt.Errorf("region %s has no instances of type %s: take another type, or another region with --region", p.account.Region, t))
			continue
		}
		if made.subnets != nil && !slices.ContainsFunc(made.subnets, func(s subnet) bool { return zones[t][s.Zone] }) {
			errs = append(errs, fmt.Errorf("no subnet is in a zone with instances of type %s: these zones have them: %s; name others with --subnets",
				t, strings.Join(slices.Sorted(maps.Keys(zones[t])), ", ")))
		}
	}
	made.zones = zones
	return errors.Join(errs...)
}

// Quotas of vCPUs of the standard families (A, C, D, H, I, M, R, T, Z).
const (
	onDemandQuota = "L-1216C47A"
	spotQuota     = "L-34B43A08"
)

// standard are the families that these quotas are for.
var standard = []string{"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"}

// checkQuota compares the vCPUs that the run needs with what the account has left.
func (p *provider) checkQuota(ctx context.Context, phases []cluster.Phase) error {
	code, what := onDemandQuota, "on-demand"
	if p.settings.Spot {
		code, what = spotQuota, "spot"
	}
	need := 0
	for _, peak := range peaks(phases) {
		n := 0
		for t, count := range peak {
			typ, err := instances.Lookup(t)
			if err != nil {
				return nil // limitsOf says it
			}
			n += count * typ.CPUs
		}
		need = max(need, n)
	}
	found, err := p.account.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: aws.String("ec2"), QuotaCode: aws.String(code)})
	if err != nil {
		return fmt.Errorf("read the quota of vCPUs: %w", explain(err))
	}
	if found.Quota == nil || found.Quota.Value == nil {
		return errors.New("read the quota of vCPUs: AWS says none")
	}
	used, err := p.usedCPUs(ctx)
	if err != nil {
		return err
	}
	if limit := int(*found.Quota.Value); used+need > limit {
		return fmt.Errorf("the run needs %d vCPUs at one time, and of the account's quota of %d (%s, standard families, %s) %d are in use: ask AWS for more, or take smaller or fewer nodes",
			need, limit, what, code, used)
	}
	return nil
}

// usedCPUs are the vCPUs of the account's instances that count for the quota.
func (p *provider) usedCPUs(ctx context.Context) (int, error) {
	used := 0
	pages := ec2.NewDescribeInstancesPaginator(p.account.ec2, &ec2.DescribeInstancesInput{
		Filters: []ec2types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, fmt.Errorf("read how many vCPUs are in use: %w", explain(err))
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				name := string(i.InstanceType)
				family := name[:max(0, strings.IndexAny(name, "0123456789"))]
				if spot := i.InstanceLifecycle == ec2types.InstanceLifecycleTypeSpot; spot != p.settings.Spot || !slices.Contains(standard, family) {
					continue
				}
				if i.CpuOptions != nil {
					used += int(aws.ToInt32(i.CpuOptions.CoreCount) * aws.ToInt32(i.CpuOptions.ThreadsPerCore))
					continue
				}
				typ, err := instances.Lookup(name)
				if err != nil {
					return 0, fmt.Errorf("read how many vCPUs are in use: AWS says it not of instance %s, nor is type %s known here", aws.ToString(i.InstanceId), name)
				}
				used += typ.CPUs
			}
		}
	}
	return used, nil
}

// describe describes a cluster; nil where there is none.
func (a *account) describe(ctx context.Context, name string) (*types.Cluster, error) {
	found, err := a.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String(name)})
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("describe EKS cluster %s: %w", name, explain(err))
	}
	return found.Cluster, nil
}
