package eks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks/ekstest"
	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
	"github.com/meshbench/meshbench/observations"
)

// life is the published experiment's: a large node, then both, then 20 small ones; and
// besides some of these that go again.
func life(ctx context.Context, l *lab, s *Source, request cluster.Request) (err error) {
	c, err := l.up(ctx, s, request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Delete(context.WithoutCancel(ctx))) }()
	large, small := cluster.NodeGroup{InstanceType: "m6i.32xlarge", Count: 1}, cluster.NodeGroup{InstanceType: "m6i.large", Count: 20}
	for _, groups := range [][]cluster.NodeGroup{{large, small}, {small}} {
		if err := c.SetNodes(ctx, groups); err != nil {
			return err
		}
	}
	small.Count = 18
	for _, n := range l.kube.All()[:1] {
		l.kube.Cordon(n.Name)
	}
	if err := c.SetNodes(ctx, []cluster.NodeGroup{small}); err != nil {
		return err
	}
	_, err = c.Facts(ctx)
	return err
}

// nodesNow are the nodes by type.
func nodesNow(l *lab) map[string]int {
	counts := map[string]int{}
	for _, n := range l.kube.All() {
		counts[n.Labels[cluster.InstanceTypeLabel]]++
	}
	return counts
}

func TestLife(t *testing.T) {
	l := newLab(t)
	l.kube.Cluster = "meshbench-eks-nginx-4711"
	s := source(settings.Settings{Yes: true, Owner: "ana"})
	request := l.request(t)
	c, err := l.up(t.Context(), s, request)
	if err != nil {
		t.Fatal(err)
	}
	if got := nodesNow(l); !maps.Equal(got, map[string]int{"m6i.32xlarge": 1}) {
		t.Errorf("at the start there are %v", got)
	}
	l.tagged(t, c, "ana")

	// The nodes of both, then of one alone.
	large, small := cluster.NodeGroup{InstanceType: "m6i.32xlarge", Count: 1}, cluster.NodeGroup{InstanceType: "m6i.large", Count: 20}
	for _, tt := range []struct {
		groups []cluster.NodeGroup
		want   map[string]int
	}{
		{[]cluster.NodeGroup{large, small}, map[string]int{"m6i.32xlarge": 1, "m6i.large": 20}},
		{[]cluster.NodeGroup{small}, map[string]int{"m6i.large": 20}},
		{[]cluster.NodeGroup{{InstanceType: "m6i.large", Count: 22}}, map[string]int{"m6i.large": 22}},
	} {
		if err := c.SetNodes(t.Context(), tt.groups); err != nil {
			t.Fatal(err)
		}
		if got := nodesNow(l); !maps.Equal(got, tt.want) {
			t.Errorf("%v: there are %v", tt.groups, got)
		}
	}

	// Of those that go, the cordoned one is ended by itself.
	last := slices.MaxFunc(l.kube.All(), func(a, b corev1.Node) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	l.kube.Cordon(last.Name)
	if err := c.SetNodes(t.Context(), []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 20}}); err != nil {
		t.Fatal(err)
	}
	if got := l.aws.Ended(); len(got) != 1 || !strings.HasSuffix(last.Spec.ProviderID, "/"+got[0]) {
		t.Errorf("%v were ended one by one, not %s", got, last.Spec.ProviderID)
	}

	facts, err := c.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if facts.Provider != "eks" || facts.Baseline != observations.BaselineEKS || !strings.HasPrefix(facts.Kubernetes, "v1.30") ||
		len(facts.Simulated) != 1 || !strings.Contains(facts.Simulated[0], l.aws.URL) ||
		!strings.Contains(strings.Join(facts.Notes, "\n"), "a node of type m6i.32xlarge takes 250 pods in a managed node group of EKS, not 737") {
		t.Errorf("the facts are %+v", facts)
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Errorf("once more: %v", err)
	}
	l.nothingLeft(t)
	if denied := l.kube.Denied(); len(denied) > 0 {
		t.Errorf("tokens were refused: %s", denied)
	}
	for _, want := range []string{
		"Each run of this command makes in what answers in AWS's place at " + l.aws.URL + ", region us-east-1, and deletes at its end:",
		"EKS control plane, Kubernetes 1.30 (extended support)  $0.600 an hour",
		"At most $8.82 an hour",
		"waiting for the EKS control plane (creating)",
		"waiting for node group meshbench-eks-nginx-4711-m6i-large (creating)",
		"deleting EKS cluster meshbench-eks-nginx-4711",
	} {
		if !strings.Contains(l.text(), want) {
			t.Errorf("%q was not said in\n%s", want, l.text())
		}
	}
}

// tagged fails where something that was made lacks a tag.
func (l *lab) tagged(t *testing.T, c *Cluster, owner string) {
	t.Helper()
	found, err := c.target.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for kind, things := range found {
		for _, x := range things {
			count++
			if x.tags[runTag] != c.run || x.tags[ownerTag] != owner || !expires(x.tags).After(time.Now()) {
				t.Errorf("%s %s has tags %v", kind, x.name, x.tags)
			}
		}
	}
	if all := left(t, l); count != 5 || len(all) != 6 { // the node is no thing of its own
		t.Errorf("%d things with tags are found of %v", count, all)
	}
}

// TestEachCallFails lets each call fail that a run makes, one in each run. Whatever it is,
// the run says so, and nothing is left once AWS works again and gc was run; nor before,
// where it is no call that deleting needs.
func TestEachCallFails(t *testing.T) {
	l := newLab(t)
	if err := life(t.Context(), l, source(settings.Settings{Yes: true}), l.request(t)); err != nil {
		t.Fatal(err)
	}
	l.nothingLeft(t)
	calls := l.aws.Calls()
	if len(calls) < 29 {
		t.Errorf("only these calls were made: %v", calls)
	}
	cleaning := []string{
		"eks:DescribeCluster", "eks:ListNodegroups", "eks:DescribeNodegroup", "eks:ListAddons", "eks:DescribeAddon",
		"eks:DeleteNodegroup", "eks:DeleteAddon", "eks:DeleteCluster",
		"iam:ListRoleTags", "iam:ListAttachedRolePolicies", "iam:DetachRolePolicy", "iam:DeleteRole",
	}
	fails := func(call string, f ekstest.Failure, want string) {
		t.Run(call+" "+f.Code, func(t *testing.T) {
			l := newLab(t)
			l.aws.Steps = 1
			if slices.Contains(cleaning, call) { // once there is something to clean
				l.aws.Before = func(now string) {
					if now == "eks:CreateAddon" {
						l.aws.Fail(call, f)
					}
				}
			} else {
				l.aws.Fail(call, f)
			}
			err := life(t.Context(), l, source(settings.Settings{Yes: true}), l.request(t))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("the run ended with %v, which does not say %q", err, want)
			}
			l.aws.Before = nil
			l.aws.Fail(call, ekstest.Failure{})
			if !slices.Contains(cleaning, call) {
				l.nothingLeft(t)
			} else if all := left(t, l); len(all) == 0 || !strings.Contains(err.Error(), "meshbench down --cluster eks --region us-east-1 --run eks-nginx-4711") {
				t.Errorf("%v is left, and how to delete it must be said: %v", all, err)
			}
			if err := collect(t.Context(), "eks-nginx-4711"); err != nil {
				t.Error(err)
			}
			l.nothingLeft(t)
		})
	}
	for _, call := range calls {
		fails(call, ekstest.Failure{Status: 403, Code: "AccessDeniedException", Message: "no"}, "docs/eks.md")
	}
	for _, call := range []string{"ec2:DescribeVpcs", "iam:CreateRole", "eks:CreateCluster", "eks:DeleteCluster"} {
		fails(call, ekstest.Failure{Status: 400, Code: "ExpiredTokenException", Message: "no"}, "have expired")
	}
}

// Each call is answered once with a throttling, and the SDK tries again.
func TestThrottled(t *testing.T) {
	l := newLab(t)
	if err := life(t.Context(), l, source(settings.Settings{Yes: true}), l.request(t)); err != nil {
		t.Fatal(err)
	}
	calls := l.aws.Calls()
	l = newLab(t)
	for _, call := range calls {
		l.aws.Fail(call, ekstest.Failure{Status: 429, Code: "ThrottlingException", Message: "slow down", Times: 1})
	}
	if err := life(t.Context(), l, source(settings.Settings{Yes: true}), l.request(t)); err != nil {
		t.Fatal(err)
	}
	l.nothingLeft(t)
}

// What EKS says of a thing that it cannot make is shown, and nothing is left.
func TestCannotBeMade(t *testing.T) {
	for thing, want := range map[string]string{
		"cluster/*":            "the control plane could not be made: InsufficientFreeAddresses: the subnets are full",
		"nodegroup/*32xlarge":  "node group meshbench-eks-nginx-4711-m6i-32xlarge could not be made (CREATE_FAILED): InsufficientFreeAddresses: the subnets are full",
		"addon/metrics-server": "add-on metrics-server could not be installed: InsufficientFreeAddresses: the subnets are full",
	} {
		t.Run(thing, func(t *testing.T) {
			l := newLab(t)
			l.aws.Broken = map[string][2]string{thing: {"InsufficientFreeAddresses", "the subnets are full"}}
			_, err := l.up(t.Context(), source(settings.Settings{Yes: true}), l.request(t))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			l.nothingLeft(t)
		})
	}
}

// A run that is interrupted leaves nothing, wherever it is.
func TestInterrupted(t *testing.T) {
	for _, call := range []string{
		"iam:CreateRole", "iam:AttachRolePolicy", "eks:CreateCluster", "eks:DescribeCluster", "eks:CreateNodegroup", "eks:DescribeNodegroup",
		"eks:CreateAddon", "eks:DescribeAddon", "eks:UpdateNodegroupConfig", "eks:DescribeUpdate", "eks:DeleteNodegroup",
	} {
		t.Run(call, func(t *testing.T) {
			l := newLab(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			seen := 0
			interrupted := errors.New("Ctrl-C")
			l.aws.Before = func(now string) {
				if now == call {
					if seen++; seen == 1 {
						cancel(interrupted)
					}
				}
			}
			err := life(ctx, l, source(settings.Settings{Yes: true}), l.request(t))
			if err == nil {
				t.Errorf("the run did not end, after %d calls", seen)
			}
			l.aws.Before = nil
			l.nothingLeft(t)
		})
	}
}

// killedEnv makes of this test's program a run that is killed: it holds the run's folder.
const killedEnv = "MESHBENCH_EKS_KILLED"

// killed makes a cluster and prints what it is doing.
func killed() int {
	small := []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 2}}
	say := func(line string) { fmt.Println(line) }
	request := cluster.Request{
		Spec:  cluster.Spec{Name: "killed", Nodes: small, Dir: os.Getenv(killedEnv)},
		Istio: []string{"1.23.2"}, Charts: os.Getenv(killedEnv), Status: say, Note: say,
	}
	s := source(settings.Settings{Yes: true, TTL: time.Hour})
	offer, err := s.New(context.Background(), request)
	if err == nil {
		_, err = offer.Provider.Create(context.Background(), request.Spec)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("made")
	time.Sleep(time.Minute)
	return 0
}

// Wherever a run is killed, what it left is found by its tags: by its name at once, by its
// time to live when that is over. Others' things stay.
func TestKilled(t *testing.T) {
	for _, at := range []string{"eks:CreateCluster", "eks:CreateNodegroup", "eks:CreateAddon", "made"} {
		t.Run(at, func(t *testing.T) {
			l := newLab(t)
			foreign := l.foreign(t)
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), killedEnv+"="+t.TempDir())
			reached := make(chan struct{}, 1)
			l.aws.Before = func(call string) {
				if call == at {
					// The call is under way, and answered.
					go func() { time.Sleep(100 * time.Millisecond); reached <- struct{}{} }()
				}
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() {
				var all []byte
				for buffer := make([]byte, 1<<10); ; {
					n, err := out.Read(buffer)
					all = append(all, buffer[:n]...)
					if at == "made" && strings.Contains(string(all), "\nmade\n") || err != nil {
						reached <- struct{}{}
						return
					}
				}
			}()
			<-reached
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			l.aws.Before = nil
			if all := left(t, l); len(all) <= len(foreign) {
				t.Fatalf("the run had made nothing yet: %v", all)
			}

			s := source(settings.Settings{})
			found, err := s.Leftovers(t.Context(), "")
			if err != nil || len(found) > 0 {
				t.Errorf("before its time is over, %v is found, %v", found, err)
			}
			a, err := open(t.Context(), settings.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			later, err := a.leftovers(t.Context(), "", time.Now().Add(2*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			found, err = s.Leftovers(t.Context(), "killed")
			if err != nil || len(found) == 0 || len(found) != len(later.listed()) {
				t.Fatalf("%v is found by the run's name, %v by its time; %v", found, later.listed(), err)
			}
			if err := s.Remove(t.Context(), found, func(string) {}); err != nil {
				t.Fatal(err)
			}
			if all := left(t, l); !slices.Equal(all, foreign) {
				t.Errorf("left: %v, before the run there was %v", all, foreign)
			}
		})
	}
}

// foreign makes a cluster with a node group that are somebody else's, and returns what is in
// the account then.
func (l *lab) foreign(t *testing.T) []string {
	t.Helper()
	a, err := open(t.Context(), settings.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{account: a, settings: settings.Settings{TTL: time.Hour}, progress: l.say, every: time.Millisecond, now: time.Now}
	role, err := (&Cluster{provider: p, tags: map[string]string{"team": "x"}}).makeRole(t.Context(), role{name: "theirs", service: "eks.amazonaws.com"})
	if err != nil {
		t.Fatal(err)
	}
	subnets, _, err := p.findSubnets(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.eks.CreateCluster(t.Context(), &eks.CreateClusterInput{
		Name: aws.String("theirs"), RoleArn: aws.String(role), Version: aws.String("1.30"),
		ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: []string{subnets[0].ID, subnets[1].ID}}, Tags: map[string]string{"team": "x"},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.eks.CreateNodegroup(t.Context(), &eks.CreateNodegroupInput{
		ClusterName: aws.String("theirs"), NodegroupName: aws.String("theirs"), NodeRole: aws.String(role), Subnets: []string{subnets[0].ID},
		Tags: map[string]string{"team": "x"},
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 * ekstest.Steps { // until it is ACTIVE
		if _, err := a.describe(t.Context(), "theirs"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.nodeGroup(t.Context(), "theirs", "theirs"); err != nil {
			t.Fatal(err)
		}
	}
	return left(t, l)
}

// A cluster of the user's gets node groups and loses them again; what was there stays.
func TestNamedCluster(t *testing.T) {
	l := newLab(t)
	before := l.foreign(t)
	l.kube.Cluster = "theirs"
	request := l.request(t)
	c, err := l.up(t.Context(), source(settings.Settings{Yes: true, Cluster: "theirs"}), request)
	if err != nil {
		t.Fatal(err)
	}
	nodes := l.kube.All()
	own := 0
	for i := range nodes {
		if c.Owns(&nodes[i]) {
			own++
		}
	}
	if own != 1 || len(nodes) != 3 { // moto's default are two nodes
		t.Errorf("%d of %d nodes are the run's", own, len(nodes))
	}
	// A second one of that name must not take down the first.
	if _, err := l.up(t.Context(), source(settings.Settings{Yes: true, Cluster: "theirs"}), request); err == nil || !strings.Contains(err.Error(), "there are already things of run eks-nginx-4711") {
		t.Errorf("a second run of the name ends with %v", err)
	}
	if got := nodesNow(l)["m6i.32xlarge"]; got != 1 {
		t.Errorf("%d nodes of the first are left", got)
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := left(t, l); !slices.Equal(after, before) {
		t.Errorf("left: %v, before there was %v", after, before)
	}
}

// Where EKS has no add-on metrics-server, the manifest is applied; on a cluster of the user's
// it is taken away again.
func TestMetricsByManifest(t *testing.T) {
	l := newLab(t)
	l.foreign(t)
	l.aws.Addons = nil
	c, err := l.up(t.Context(), source(settings.Settings{Yes: true, Cluster: "theirs"}), l.request(t))
	if err != nil {
		t.Fatal(err)
	}
	const deployment = "/apis/apps/v1/namespaces/kube-system/deployments/metrics-server"
	if objects := l.kube.Objects(); len(objects) != 9 || !slices.Contains(objects, deployment) {
		t.Errorf("applied were %v", objects)
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if objects := l.kube.Objects(); len(objects) > 0 {
		t.Errorf("left on the cluster: %v", objects)
	}
}
