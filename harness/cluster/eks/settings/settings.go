// Package settings is what the command line says of EKS clusters. It is apart from the
// provider, so that a program without it, and so without the SDK of AWS, can say what is
// missing.
package settings

import (
	"time"

	"github.com/spf13/pflag"
)

// Name is the word for --cluster.
const Name = "eks"

// DefaultTTL is how long a run's things in AWS may stay unless asked otherwise.
const DefaultTTL = 3 * time.Hour

// Settings are the flags' values.
type Settings struct {
	// Region and Profile are for the SDK's default chain; "" for what it finds.
	Region, Profile string
	// Subnets are IDs; empty for those of the default VPC.
	Subnets []string
	// ClusterRole and NodeRole are names or ARNs of roles; "" for roles that are made.
	ClusterRole, NodeRole string
	// Kubernetes is a minor version, 1.31; "" for the newest that Istio supports.
	Kubernetes string
	// Cluster is the name of an EKS cluster that is there; "" for one that is made.
	Cluster string
	// Spot asks for spot instances.
	Spot bool
	// TTL is how long what is made may stay.
	TTL time.Duration
	// Owner is who makes it, for a tag; "" for what AWS says of the caller.
	Owner string
	// PriceFile is a YAML file with prices over those of the program.
	PriceFile string
	// Yes agrees to what costs money.
	Yes bool
}

// Where binds the flags that say where in AWS to look.
func (s *Settings) Where(f *pflag.FlagSet) {
	f.StringVar(&s.Region, "region", "", "eks: AWS `region` (default: as the AWS tools are set)")
	f.StringVar(&s.Profile, "aws-profile", "", "eks: `profile` of the AWS configuration (default: as the AWS tools are set)")
}

// Flags binds all flags.
func (s *Settings) Flags(f *pflag.FlagSet) {
	s.Where(f)
	f.StringSliceVar(&s.Subnets, "subnets", nil, "eks: `IDs` of subnets in two zones or more (default: those of the default VPC)")
	f.StringVar(&s.ClusterRole, "cluster-role", "", "eks: `name` of the control plane's IAM role (default: one is made)")
	f.StringVar(&s.NodeRole, "node-role", "", "eks: `name` of the nodes' IAM role (default: one is made)")
	f.StringVar(&s.Kubernetes, "kubernetes", "", "eks: `version` of Kubernetes, e.g. 1.31 (default: the newest that the Istio supports)")
	f.StringVar(&s.Cluster, "eks-cluster", "", "eks: `name` of a cluster of yours: it gets node groups, and only these are deleted (default: a cluster is made)")
	f.BoolVar(&s.Spot, "spot", false, "eks: spot instances, which are cheaper and may be taken away")
	f.DurationVar(&s.TTL, "ttl", DefaultTTL, "eks: time after which 'meshbench gc' deletes what a killed run left")
	f.StringVar(&s.Owner, "owner", "", "eks: `name` for the tag meshbench.dev/owner (default: the AWS identity)")
	f.StringVar(&s.PriceFile, "price-file", "", "eks: YAML `file` with prices instead of the built-in ones of us-east-1")
	f.BoolVar(&s.Yes, "yes", false, "eks: make what costs money without asking")
}
