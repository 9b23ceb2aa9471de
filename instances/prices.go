package instances

import (
	"fmt"
	"strings"
)

// HoursPerMonth turns prices a month into prices an hour, as AWS's own calculator does.
const HoursPerMonth = 730

// Prices are what a cluster on EKS costs, in US dollars, without taxes and data transfer.
type Prices struct {
	// Date is the day that they were read, 2026-01-19; Source where.
	Date   string `json:"date"`
	Source string `json:"source"`
	// Region is the AWS region that they hold for.
	Region string `json:"region"`
	// ControlPlane is that of one EKS cluster an hour whose version is in standard support,
	// ExtendedSupport that of one in extended support.
	ControlPlane    float64 `json:"controlPlane"`
	ExtendedSupport float64 `json:"extendedSupport"`
	// GiBMonth is that of a GiB of a gp3 volume a month.
	GiBMonth float64 `json:"gibMonth"`
	// PublicIPv4 is that of a public IPv4 address an hour.
	PublicIPv4 float64 `json:"publicIPv4"`
	// NATGateway is that of a NAT gateway an hour; what it moves is billed besides.
	NATGateway float64 `json:"natGateway"`
	// Types are those of instances an hour, on demand, with Linux.
	Types map[string]float64 `json:"types"`
}

// List is the table of prices that the program comes with: those of us-east-1.
//
// Sources: instances are AWS's price list as aws/karpenter-provider-aws has it,
// pkg/providers/pricing/zz_generated.pricing_aws.go, generated on 2026-01-19; each family's
// price is proportional to the vCPUs. EKS, gp3, public IPv4 and NAT are of the pages "Amazon
// EKS pricing", "Amazon EBS pricing" and "Amazon VPC pricing", as they were quoted in 2026.
func List() Prices {
	p := Prices{
		Date:   "2026-01-19",
		Source: "AWS's price list",
		Region: "us-east-1",

		ControlPlane: 0.10, ExtendedSupport: 0.60,
		GiBMonth: 0.08, PublicIPv4: 0.005, NATGateway: 0.045,
		Types: map[string]float64{
			"t3.nano": 0.0052, "t3.micro": 0.0104, "t3.small": 0.0208, "t3.medium": 0.0416,
			"t3.large": 0.0832, "t3.xlarge": 0.1664, "t3.2xlarge": 0.3328,
		},
	}
	perCPU := map[string]float64{
		"m5": 0.048, "m6i": 0.048, "m6a": 0.0432, "m7i": 0.0504, "m7a": 0.05796,
		"c6i": 0.0425, "c6a": 0.03825, "c7i": 0.044625,
		"r5": 0.063, "r6i": 0.063, "r6a": 0.0567, "r7i": 0.06615,
	}
	for _, t := range Types() {
		family, _, _ := strings.Cut(t.Name, ".")
		if price, ok := perCPU[family]; ok {
			p.Types[t.Name] = price * float64(t.CPUs)
		}
	}
	return p
}

// Instance is what an instance of a type costs an hour; an error where no price is known.
func (p Prices) Instance(name string) (float64, error) {
	price, ok := p.Types[name]
	if !ok || price <= 0 {
		return 0, fmt.Errorf("the table of prices of %s has none for %s", p.Date, name)
	}
	return price, nil
}

// Disk is what a root volume of EKS's node groups (gp3, 20 GiB) costs an hour.
func (p Prices) Disk() float64 { return p.GiBMonth * float64(storage/Gi) / HoursPerMonth }
