package eks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks/ekstest"
	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/skip"
)

// keys are accepted by the emulator.
var keys = aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}

var server struct {
	once sync.Once
	moto *ekstest.Moto
	err  error
}

func TestMain(m *testing.M) {
	if os.Getenv(killedEnv) != "" {
		os.Exit(killed())
	}
	code := m.Run()
	if server.moto != nil {
		server.moto.Stop()
	}
	os.Exit(code)
}

// lab is an empty account of an emulated AWS, with an API server that its clusters lead to.
type lab struct {
	aws  *ekstest.AWS
	kube *ekstest.Kube
	mu   sync.Mutex
	said []string // what the provider said while it worked
}

// newLab empties the account and sets the environment for the SDK.
func newLab(t *testing.T) *lab {
	t.Helper()
	server.once.Do(func() { server.moto, server.err = ekstest.Start(context.Background()) })
	if errors.Is(server.err, ekstest.ErrMissing) {
		skip.Missing(t, "%v", server.err)
	}
	if server.err != nil {
		t.Fatal(server.err)
	}
	l := &lab{kube: ekstest.NewKube(keys)}
	l.aws = ekstest.New(server.moto, l.kube)
	// Emptying it takes moto seconds, which make many of tests that leave nothing.
	all, err := l.aws.Left(t.Context())
	if err != nil || len(all) > 0 {
		err = server.moto.Reset(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	l.kube.Metrics = func() bool { return len(l.aws.AddonsLeft()) > 0 }
	t.Cleanup(l.aws.Close)
	t.Cleanup(l.kube.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": l.aws.URL, "AWS_REGION": "us-east-1", "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	return l
}

// source is the provider's source with flags.
func source(flags settings.Settings) *Source {
	if flags.TTL == 0 {
		flags.TTL = time.Hour
	}
	return &Source{settings: flags, every: 2 * time.Millisecond}
}

// request asks for the published experiment's nodes.
func (l *lab) request(t *testing.T) cluster.Request {
	large, small := []cluster.NodeGroup{{InstanceType: "m6i.32xlarge", Count: 1}}, []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 20}}
	return cluster.Request{
		Spec: cluster.Spec{
			Name: "eks-nginx-4711", Nodes: large, Dir: t.TempDir(),
			Phases: []cluster.Phase{{Nodes: large, Pods: 106}, {Nodes: small, Pods: 244}},
		},
		Istio: []string{"1.23.2"}, Charts: t.TempDir(),
		Obtain: func(context.Context, *components.Store, ...components.Name) (components.Set, error) { return nil, nil },
		Status: l.say, Note: l.say,
	}
}

func (l *lab) say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, line)
}

// text is all that was said.
func (l *lab) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.said, "\n")
}

// left names what is in the account and what nodes there are.
func left(t *testing.T, l *lab) []string {
	t.Helper()
	all, err := l.aws.Left(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range l.kube.All() {
		all = append(all, "node "+n.Name)
	}
	slices.Sort(all)
	return all
}

// nothingLeft fails where the account is not empty.
func (l *lab) nothingLeft(t *testing.T) {
	t.Helper()
	if all := left(t, l); len(all) > 0 {
		t.Errorf("left in the account:\n%s", strings.Join(all, "\n"))
	}
}

// up makes the cluster of a request.
func (l *lab) up(ctx context.Context, s *Source, request cluster.Request) (*Cluster, error) {
	offer, err := s.New(ctx, request)
	if err != nil {
		return nil, err
	}
	c, err := offer.Provider.Create(ctx, request.Spec)
	if err != nil {
		return nil, err
	}
	return c.(*Cluster), nil
}

// collect is what meshbench gc does.
func collect(ctx context.Context, run string) error {
	s := source(settings.Settings{})
	found, err := s.Leftovers(ctx, run)
	if err != nil {
		return err
	}
	if err := s.Remove(ctx, found, func(string) {}); err != nil {
		return fmt.Errorf("remove %v: %w", found, err)
	}
	return nil
}
