package eks

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
)

// implied are rights that AWS asks for where others are used, without a call of their own.
//
// Source: the Service Authorization Reference, "Actions, resources, and condition keys" for
// Amazon EKS and IAM: dependent actions, and tags on creation.
var implied = []string{
	"eks:TagResource", "iam:CreateServiceLinkedRole", "iam:PassRole", "iam:TagRole",
}

// private makes a subnet of the default VPC one that is not public.
func (l *lab) private(t *testing.T) {
	t.Helper()
	a, err := open(t.Context(), settings.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	described, err := a.describe(t.Context(), "theirs")
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.ec2.ModifySubnetAttribute(t.Context(), &ec2.ModifySubnetAttributeInput{
		SubnetId: aws.String(described.ResourcesVpcConfig.SubnetIds[0]), MapPublicIpOnLaunch: &ec2types.AttributeBooleanValue{Value: aws.Bool(false)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The policy in docs/eks.md is exactly what is called, and what AWS asks for besides.
func TestPolicy(t *testing.T) {
	called := map[string]bool{}
	note := func(l *lab) {
		for _, c := range l.aws.Calls() {
			called[c] = true
		}
	}
	// A run with all roles made and prefixes delegated, one with roles given, on a subnet
	// that is not public, and gc.
	l := newLab(t)
	request := l.request(t)
	request.Spec.Phases[1].Nodes[0].MaxPods = 110
	if err := life(t.Context(), l, source(settings.Settings{Yes: true}), request); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(l.text(), "installing add-on vpc-cni") {
		t.Errorf("prefixes were not delegated:\n%s", l.text())
	}
	l.nothingLeft(t)
	note(l)
	l = newLab(t)
	l.foreign(t)
	l.private(t)
	l.aws.Forget() // what made theirs
	if _, err := source(settings.Settings{Yes: true, Cluster: "theirs", NodeRole: "theirs"}).New(t.Context(), l.request(t)); err != nil {
		t.Fatal(err)
	}
	if err := collect(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	note(l)

	text, err := os.ReadFile("../../../docs/eks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, policy, _ := strings.Cut(string(text), "```json\n")
	policy, _, found := strings.Cut(policy, "```")
	var document struct {
		Statement []struct{ Action []string }
	}
	if err := json.Unmarshal([]byte(policy), &document); !found || err != nil {
		t.Fatalf("docs/eks.md has no policy: %v", err)
	}
	var allowed []string
	for _, s := range document.Statement {
		allowed = append(allowed, s.Action...)
	}
	slices.Sort(allowed)
	for _, right := range implied {
		called[right] = true
	}
	want := slices.Sorted(maps.Keys(called))
	// A right that nobody needs to be given.
	want = slices.DeleteFunc(want, func(s string) bool { return s == "sts:GetCallerIdentity" })
	if !slices.Equal(allowed, want) {
		t.Errorf("the policy in docs/eks.md allows\n%s\nand needed is\n%s", strings.Join(allowed, "\n"), strings.Join(want, "\n"))
	}
}
