package assemble

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/providers"
	"github.com/meshbench/meshbench/scenarios"
)

// sourceWith is a source of clusters with its flags read.
func sourceWith(t *testing.T, name string, args ...string) cluster.Source {
	t.Helper()
	for _, s := range providers.Table() {
		if s.Name() != name {
			continue
		}
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		s.Flags(flags)
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Fatalf("there is no source %s", name)
	return nil
}

// TestWhatRuns says for each workload of traffic what runs, and refuses what would not.
func TestWhatRuns(t *testing.T) {
	g := NewWithT(t)
	program := filepath.Join(t.TempDir(), "web")
	g.Expect(os.WriteFile(program, nil, 0o755)).To(Succeed())
	file := filepath.Join(t.TempDir(), "x.yaml")
	g.Expect(os.WriteFile(file, []byte(`apiVersion: meshbench.dev/v1
name: x
title: Requests
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: client, image: fortio/fortio:1.75.3}
      - deployment: {namespace: ns1, name: web, image: nginx, replicas: 2}
      - expose: {namespace: ns1, deployment: web, ports: [{name: http, port: 80}]}
      - traffic: {from: ns1/client, to: "web.ns1:80", qps: 1, duration: 1s}
`), 0o600)).To(Succeed())
	for _, c := range []struct {
		source cluster.Source
		want   []string
	}{
		{sourceWith(t, "embedded"), []string{"ns1/web answers requests: container nginx runs a stand-in for nginx", "ns1/client sends requests: container fortio runs Fortio, built from its module"}},
		{sourceWith(t, "embedded", "--program", "library/nginx="+program), []string{"ns1/web answers requests: container nginx runs a stand-in for nginx", "ns1/client sends requests: container fortio runs Fortio, built from its module"}},
		{sourceWith(t, "embedded", "--program", "nginx="+program), []string{"ns1/web answers requests: container nginx runs " + program + " of this machine", "ns1/client sends requests: container fortio runs Fortio, built from its module"}},
		{sourceWith(t, "kind"), []string{"ns1/web answers requests: container nginx runs its image, nginx", "ns1/client sends requests: container fortio runs its image, fortio/fortio:1.75.3"}},
	} {
		o := Options{Source: c.source, Shares: scenarios.Shares{Real: 10}}
		s, err := o.Open(file, nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(o.Applications(s)).To(Equal(c.want))
		o.Shares.Real = 1
		refused := ContainSubstring("x.yaml:12:18: steps[0].actions[4].traffic: ns1/web cannot answer all requests: of its 2 pods, the containers of 1 would be simulated (--real 1 or sidecars.real)")
		if c.source.RunsImages() {
			continue
		}
		g.Expect(o.Check(t.Context(), s)).To(MatchError(refused))
	}
}
