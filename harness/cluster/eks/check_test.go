package eks

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks/ekstest"
	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
	"github.com/meshbench/meshbench/instances"
)

func offersOf(names ...string) (all []offered) {
	for _, n := range names {
		name, extended := strings.CutSuffix(n, "x")
		all = append(all, offered{name, extended})
	}
	return all
}

func TestChoose(t *testing.T) {
	now := offersOf("1.32", "1.31", "1.30x", "1.29x")
	for name, tt := range map[string]struct {
		all          []offered
		asked, istio string
		want, note   string
	}{
		"the newest that is supported": {now, "", "1.23.2", "1.30", ""},
		"of a newer Istio":             {now, "", "1.27.0", "1.32", ""},
		"all are too new":              {offersOf("1.36", "1.35", "1.34x", "1.33x"), "", "1.23.2", "1.33", "Istio 1.23.2 is published to support Kubernetes 1.27 to 1.30, and EKS offers 1.33, 1.34, 1.35, 1.36: 1.33 is the nearest"},
		"all are too old":              {offersOf("1.26", "1.25x"), "", "1.23.2", "1.26", "1.26 is the nearest"},
		"an Istio that is not known":   {now, "", "1.31.0-alpha.x", "1.32", "which versions of Kubernetes Istio 1.31.0-alpha.x supports is not known here"},
		"asked for":                    {now, "1.29", "1.23.2", "1.29", ""},
		"asked for, and too new":       {now, "1.32", "1.23.2", "1.32", "Istio 1.23.2 is published to support Kubernetes 1.27 to 1.30, not 1.32"},
	} {
		got, note, err := choose(tt.all, tt.asked, tt.istio)
		if err != nil || got.Name != tt.want || (note == "") != (tt.note == "") || !strings.Contains(note, tt.note) {
			t.Errorf("%s: %s, %q, %v", name, got.Name, note, err)
		}
	}
	if _, _, err := choose(now, "1.28", "1.23.2"); err == nil || err.Error() != "--kubernetes 1.28: EKS does not offer it (any more): it offers 1.29, 1.30, 1.31, 1.32" {
		t.Errorf("one that is gone: %v", err)
	}
}

func TestLimits(t *testing.T) {
	group := func(name string, count, maxPods int) cluster.NodeGroup {
		return cluster.NodeGroup{InstanceType: name, Count: count, MaxPods: maxPods}
	}
	for name, tt := range map[string]struct {
		groups   []cluster.NodeGroup
		pods     int
		prefixes bool
		note     string
		err      string
	}{
		"the published large node":      {groups: []cluster.NodeGroup{group("m6i.32xlarge", 1, 0)}, pods: 106, note: "takes 250 pods in a managed node group of EKS, not 737"},
		"the published small ones":      {groups: []cluster.NodeGroup{group("m6i.large", 20, 0)}, pods: 244},
		"more on a node":                {groups: []cluster.NodeGroup{group("m6i.large", 4, 110)}, pods: 244, prefixes: true},
		"more than by addresses":        {groups: []cluster.NodeGroup{group("m6i.large", 4, 58)}, prefixes: true, note: "takes 110 pods in a managed node group of EKS, not 58"},
		"fewer":                         {groups: []cluster.NodeGroup{group("m6i.large", 4, 20)}, note: "takes 29 pods in a managed node group of EKS, not 20"},
		"too many on a small node":      {groups: []cluster.NodeGroup{group("m6i.large", 4, 111)}, err: "111 pods on a node of type m6i.large are more than a managed node group of EKS allows, 110"},
		"too many on a large node":      {groups: []cluster.NodeGroup{group("m6i.32xlarge", 1, 500)}, err: "500 pods on a node of type m6i.32xlarge are more than a managed node group of EKS allows, 250"},
		"too many for the large node":   {groups: []cluster.NodeGroup{group("m6i.32xlarge", 1, 0)}, pods: 306, err: "306 pods do not fit on the nodes: in managed node groups of EKS they take 250"},
		"enough with prefixes only":     {groups: []cluster.NodeGroup{group("m6i.large", 2, 0)}, pods: 100, prefixes: true, note: "100 pods are more than the 58 that the nodes have addresses for"},
		"a type that nobody knows":      {groups: []cluster.NodeGroup{group("m6i.lagre", 2, 0)}, err: "did you mean m6i.large"},
		"what the published does is in": {groups: []cluster.NodeGroup{group("m6i.large", 4, 111)}, err: "The published scenario eks-nginx fits as it is"},
	} {
		got, err := limitsOf([]cluster.Phase{{Nodes: tt.groups, Pods: tt.pods}})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		notes := strings.Join(got.Notes, "\n")
		if err != nil || got.Prefixes != tt.prefixes || tt.note == "" && notes != "" && !tt.prefixes || !strings.Contains(notes, tt.note) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestQuote(t *testing.T) {
	large, small := []cluster.NodeGroup{{InstanceType: "m6i.32xlarge", Count: 1}}, []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 20}}
	q := quote{
		account: &account{ID: "123456789012", Region: "eu-west-1"}, prices: instances.List(), version: offered{"1.31", false},
		phases: []cluster.Phase{{Nodes: large}, {Nodes: small}}, public: true, nat: true, spot: true, roles: 2,
	}
	text, err := q.text()
	if err != nil {
		t.Fatal(err)
	}
	const want = `Each run of this command makes in AWS account 123456789012, region eu-west-1, and deletes at its end:
  EKS control plane, Kubernetes 1.31                                                          $0.100 an hour
  1 x m6i.32xlarge, at the start (on demand; spot costs less)                                 $6.144 an hour
  20 x m6i.large, later (on demand; spot costs less)                                          $1.920 an hour
  21 disks (gp3, 20 GiB)                                                                      $0.046 an hour
  21 public IPv4 addresses                                                                    $0.105 an hour
  NAT gateways, which are there anyway at $0.045 an hour each; what nodes pull costs besides  $0.000 an hour
  2 IAM roles                                                                                 free
At most $8.32 an hour, so at most $8.32 for a run of 1 h, without taxes and data transfer.
Prices are us-east-1's of 2026-01-19 (AWS's price list), not eu-west-1's: give those with --price-file.`
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	q.phases = []cluster.Phase{{Nodes: []cluster.NodeGroup{{InstanceType: "x9.large", Count: 1}}}}
	if _, err := q.text(); err == nil || !strings.Contains(err.Error(), "none for x9.large: give a --price-file") {
		t.Errorf("a type without a price: %v", err)
	}
}

func TestPriceFile(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		err  string
		want float64 // of an m6i.large
	}{
		"one price":        {"date: 2026-11-01\nregion: us-east-1\ntypes: {m6i.large: 0.2}\n", "", 0.2},
		"another region":   {"date: 2026-11-01\nregion: eu-west-1\ncontrolPlane: 0.1\nextendedSupport: 0.6\ngibMonth: 0.088\npublicIPv4: 0.005\nnatGateway: 0.048\ntypes: {m6i.large: 0.107}\n", "", 0.107},
		"half a region":    {"date: 2026-11-01\nregion: eu-west-1\ntypes: {m6i.large: 0.107}\n", "controlPlane is missing, and the built-in one is of us-east-1", 0},
		"without a date":   {"region: us-east-1\n", "say with date and region when and where", 0},
		"a word too much":  {"date: x\nregion: us-east-1\nprice: 1\n", `unknown field "price"`, 0},
		"what is not YAML": {"{", "--price-file", 0},
	} {
		file := filepath.Join(t.TempDir(), "prices.yaml")
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		prices, err := readPrices(file)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got, e := prices.Instance("m6i.large"); err != nil || e != nil || got != tt.want {
			t.Errorf("%s: %v, %v, %v", name, got, err, e)
		}
		_, e := prices.Instance("m6i.xlarge")
		if known := e == nil; known != (prices.Region == "us-east-1") {
			t.Errorf("%s: the price of a type that is not in the file of %s is known: %v", name, prices.Region, known)
		}
	}
	if _, err := readPrices("nowhere.yaml"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestCheckSubnets(t *testing.T) {
	phases := []cluster.Phase{{Nodes: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 20}}, Pods: 244}}
	for name, tt := range map[string]struct {
		subnets []subnet
		want    string
	}{
		"as they should be":  {[]subnet{{"a", "z1", true, 250}, {"b", "z2", true, 250}}, ""},
		"none":               {nil, "the subnets are in 0 zone ()"},
		"one zone":           {[]subnet{{"a", "z1", true, 250}, {"b", "z1", true, 250}}, "the subnets are in 1 zone (z1), and EKS needs two"},
		"one without free":   {[]subnet{{"a", "z1", true, 1000}, {"b", "z2", true, 5}}, "subnet b has 5 free addresses, and EKS needs 6"},
		"too small together": {[]subnet{{"a", "z1", true, 100}, {"b", "z2", true, 100}}, "the subnets have 200 free addresses, and nodes and pods need 276 at least"},
	} {
		err := checkSubnets(tt.subnets, phases)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What cannot be is said in one sentence before anything is made, with what to do.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		flags   settings.Settings
		arrange func(*testing.T, *lab)
		request func(*cluster.Request)
		want    string
	}{
		"no credentials": {arrange: func(t *testing.T, _ *lab) {
			t.Setenv("AWS_ACCESS_KEY_ID", "")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		}, want: "there are no AWS credentials that can be used: set AWS_ACCESS_KEY_ID"},
		"expired ones": {arrange: func(_ *testing.T, l *lab) {
			l.aws.Fail("sts:GetCallerIdentity", ekstest.Failure{Status: 403, Code: "ExpiredToken", Message: "The security token included in the request is expired"})
		}, want: "the AWS credentials have expired: log in again"},
		"wrong ones": {arrange: func(_ *testing.T, l *lab) {
			l.aws.Fail("sts:GetCallerIdentity", ekstest.Failure{Status: 403, Code: "InvalidClientTokenId", Message: "no"})
		}, want: "AWS does not accept these credentials"},
		"a profile that is not there": {flags: settings.Settings{Profile: "nobody"}, want: "--aws-profile nobody: the AWS configuration has no such profile"},
		"no region": {arrange: func(t *testing.T, _ *lab) {
			t.Setenv("AWS_REGION", "")
			t.Setenv("AWS_DEFAULT_REGION", "")
		}, want: "no AWS region is set: give --region"},
		"a region that is none": {arrange: func(_ *testing.T, l *lab) {
			// As EC2 answers where another region of the partition does; elsewhere the name is not found.
			l.aws.Fail("ec2:DescribeRegions", ekstest.Failure{Code: "InvalidParameterValue", Message: "Invalid region"})
		}, want: "there is no AWS region us-east-1: give another one with --region"},
		"no rights": {arrange: func(_ *testing.T, l *lab) {
			l.aws.Fail("ec2:DescribeVpcs", ekstest.Failure{Status: 403, Code: "UnauthorizedOperation"})
		}, want: "give it the policy in docs/eks.md"},
		"a version that is gone":  {flags: settings.Settings{Kubernetes: "1.28"}, want: "--kubernetes 1.28: EKS does not offer it (any more): it offers 1.29, 1.30, 1.31, 1.32"},
		"a quota that is small":   {arrange: func(_ *testing.T, l *lab) { l.aws.Quota = 160 }, want: "the run needs 168 vCPUs at one time, and of the account's quota of 160 (on-demand, standard families, L-1216C47A) 0 are in use"},
		"a quota that is used up": {arrange: useCPUs, want: "of the account's quota of 170 (on-demand, standard families, L-1216C47A) 8 are in use"},
		"a type the region lacks": {request: func(r *cluster.Request) {
			r.Spec.Phases[1].Nodes = []cluster.NodeGroup{{InstanceType: "m7a.large", Count: 20}}
		}, arrange: func(_ *testing.T, l *lab) { l.aws.Types = []string{"m6i.32xlarge"} }, want: "region us-east-1 has no instances of type m7a.large"},
		"one subnet":                     {flags: settings.Settings{Subnets: []string{"subnet-1"}}, want: "--subnets: give two or more, in two zones"},
		"subnets that are not there":     {flags: settings.Settings{Subnets: []string{"subnet-1", "subnet-2"}}, want: "region us-east-1 has not all subnets of --subnets"},
		"a role that is not there":       {flags: settings.Settings{NodeRole: "nobody"}, want: "--node-role nobody: the account has no such IAM role"},
		"a cluster that is not there":    {flags: settings.Settings{Cluster: "nobody"}, want: "--eks-cluster nobody: there is no EKS cluster of that name in us-east-1"},
		"a role for a cluster of theirs": {flags: settings.Settings{Cluster: "theirs", ClusterRole: "x"}, want: "--cluster-role is for clusters that are made"},
		"no time to live":                {flags: settings.Settings{TTL: time.Second}, want: "--ttl 1s: give the time that a run takes"},
		"too many pods":                  {request: func(r *cluster.Request) { r.Spec.Phases[0].Pods = 306 }, want: "306 pods do not fit on the nodes"},
		"nobody agreed":                  {request: func(r *cluster.Request) { r.Confirm = nil }, flags: settings.Settings{Owner: "ask"}, want: "this costs money: add --yes"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			if tt.arrange != nil {
				tt.arrange(t, l)
			}
			request := l.request(t)
			if tt.request != nil {
				tt.request(&request)
			}
			tt.flags.Yes = tt.flags.Owner != "ask"
			_, err := source(tt.flags).New(t.Context(), request)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for _, call := range l.aws.Calls() {
				if _, action, _ := strings.Cut(call, ":"); strings.HasPrefix(action, "Create") || strings.HasPrefix(action, "Attach") {
					t.Errorf("%s was called", call)
				}
			}
		})
	}
}

// The name of a region that is none is not found.
func TestExplainNoHost(t *testing.T) {
	err := explain(fmt.Errorf("ask: %w", &net.DNSError{Err: "no such host", Name: "sts.us-east-9.amazonaws.com"}))
	if !strings.Contains(err.Error(), "look at the region's name (--region)") {
		t.Error(err)
	}
}

// useCPUs lets the account have an instance of 8 vCPUs, and a quota in which it is missing.
func useCPUs(t *testing.T, l *lab) {
	l.aws.Quota = 170
	a, err := open(t.Context(), settings.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	images, err := a.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.ec2.RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: images.Images[0].ImageId, InstanceType: ec2types.InstanceTypeM6i2xlarge, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		CpuOptions: &ec2types.CpuOptionsRequest{CoreCount: aws.Int32(4), ThreadsPerCore: aws.Int32(2)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever is asked and says no pays nothing; a yes holds for all runs of a command.
func TestAgree(t *testing.T) {
	l := newLab(t)
	request := l.request(t)
	asked, say := 0, false
	request.Confirm = func(_ context.Context, text string) (bool, error) {
		if asked++; !strings.Contains(text, "At most $") {
			t.Errorf("asked for %q", text)
		}
		return say, nil
	}
	s := source(settings.Settings{})
	if _, err := s.New(t.Context(), request); err == nil || !strings.Contains(err.Error(), "nothing was made: the answer was no") {
		t.Errorf("a no: %v", err)
	}
	say = true
	for range 2 {
		if _, err := s.New(t.Context(), request); err != nil {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	l.nothingLeft(t)
}
