package scenarios

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// foreign is the baseline of another cluster than EKS.
const foreign = `apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {topology.istio.io/network: one}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [172.18.0.2]}, {addresses: [172.18.0.3]}, {addresses: [172.18.0.4]}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  replicas: 5
  template: {metadata: {labels: {k8s-app: kube-dns}}, spec: {containers: [{name: coredns, image: coredns}]}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kindnet, namespace: kube-system}
spec:
  template: {metadata: {labels: {app: kindnet}}, spec: {containers: [{name: kindnet, image: kindnet}]}}
`

const foreignScenario = `name: foreign
title: An imported cluster
cluster:
  nodes: [{type: m6i.large, count: 1}]
  baseline: parts/system.yaml
  serviceRange: 10.96.0.0/12
mesh:
  istio: 1.23.2
  values: {revision: blue, global: {proxy: {clusterDomain: corp.internal}}, pilot: {replicaCount: 2}}
  tags: [stable]
  revisions:
    - {name: green, istio: 1.22.3, tags: [next], values: {meshConfig: {trustDomain: corp}}}
source:
  proxies:
    - {namespace: ns2, kind: StatefulSet, name: db, pod: db-0, counts: {cluster: 7, listenerObjects: 3}}
    - {namespace: ns1, deployment: web, pod: web-1, counts: {endpoint: 9}}
    - {namespace: ns1, deployment: web, pod: web-2, counts: {endpoint: 9}}
steps:
  - name: base
    actions:
      - namespace: {name: ns1, labels: {istio.io/rev: stable}}
      - namespace: {name: ns2, labels: {istio.io/rev: green}}
      - namespace: {name: ns3, labels: {istio.io/rev: next}}
      - namespace: {name: ns4, labels: {istio-injection: enabled}}
      - deployment: {namespace: ns1, name: web, image: nginx}
      - statefulset: {namespace: ns2, name: db, image: nginx}
      - deployment: {namespace: ns3, name: web, image: nginx}
      - deployment: {namespace: ns4, name: web, image: nginx}
`

// writeFiles writes files with their folders below a new one.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// TestImported holds that a scenario of an imported cluster is planned for its own baseline and
// revisions, and that its rendered form stands for the same.
func TestImported(t *testing.T) {
	folder := writeFiles(t, map[string]string{"foreign.yaml": foreignScenario, "parts/system.yaml": foreign})
	s, err := Open(filepath.Join(folder, "foreign.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := s.Render()
	if err != nil {
		t.Fatal(err)
	}
	kept := t.TempDir()
	if err := s.Keep(kept); err != nil {
		t.Fatal(err)
	}
	again, err := Load(filepath.Join(kept, "scenario.yaml"), rendered, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, rendered)
	}
	for name, s := range map[string]*Scenario{"as written": s, "rendered": again} {
		t.Run(name, func(t *testing.T) {
			system := s.System()
			if !system.Replaces() || system.APIServers != 3 || system.Domain != "corp.internal" || system.ServiceRange != "10.96.0.0/12" || system.Pods != 5 || system.Daemons != 1 {
				t.Errorf("system %+v", system)
			}
			m, err := system.Load()
			if err != nil || len(m.Objects) != 4 {
				t.Errorf("%d objects, %v", len(m.Objects), err)
			}
			plan := s.Plan()
			if diff := cmp.Diff([]string{"1.22.3"}, plan.Upgrades); diff != "" {
				t.Error(diff)
			}
			// Two of istiod, one of its revision, metrics-server, five and one of the baseline, four
			// of the step.
			if got := plan.Phases[0].MostPods; got != 14 {
				t.Errorf("%d pods", got)
			}
			injected := map[string]bool{}
			for _, d := range plan.Deployments {
				injected[d.Namespace] = d.Injected
			}
			if diff := cmp.Diff(map[string]bool{"ns1": true, "ns3": true, "ns4": false}, injected); diff != "" {
				t.Error(diff)
			}
			want := []Witness{{Namespace: "ns2", Kind: "StatefulSet", Name: "db"}, {Namespace: "ns1", Deployment: "web"}}
			if diff := cmp.Diff(want, s.Witnesses); diff != "" {
				t.Error(diff)
			}
			tags := []any{s.Mesh.ChartValues()["revisionTags"], s.Mesh.Revisions[0].ChartValues()["revisionTags"], s.Mesh.Revisions[0].ChartValues()["revision"]}
			if diff := cmp.Diff([]any{[]any{"stable"}, []any{"next"}, "green"}, tags); diff != "" {
				t.Error(diff)
			}
			if counts := s.Source.Proxies[0].Counts.Counts(); len(counts) != 2 || counts[0].Change != 7 || counts[1].What != "listenerObjects" {
				t.Errorf("counts %v", counts)
			}
		})
	}
}

// TestImportedNames holds that names of Services end as the mesh's values say.
func TestImportedNames(t *testing.T) {
	const answers = `      - deployment: {namespace: ns1, name: load, image: fortio/fortio}
      - expose: {namespace: ns1, name: web, deployment: web, ports: [{name: http, port: 80}]}
      - traffic: {from: ns1/load, to: "web.ns1.svc.DOMAIN:80", qps: 1, duration: 1s}
`
	for domain, ok := range map[string]bool{"corp.internal": true, "cluster.local": false} {
		text := foreignScenario + strings.ReplaceAll(answers, "DOMAIN", domain)
		folder := writeFiles(t, map[string]string{"foreign.yaml": text, "parts/system.yaml": foreign})
		_, err := Open(filepath.Join(folder, "foreign.yaml"), nil)
		if (err == nil) != ok {
			t.Errorf("%s: %v", domain, err)
		}
	}
}

// TestBaselineChanges holds that a file that has changed is noticed.
func TestBaselineChanges(t *testing.T) {
	folder := writeFiles(t, map[string]string{"foreign.yaml": foreignScenario, "parts/system.yaml": foreign})
	s, err := Open(filepath.Join(folder, "foreign.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "parts/system.yaml"), []byte(strings.Replace(foreign, "replicas: 5", "replicas: 6", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"kept":   s.Keep(t.TempDir()),
		"loaded": func() error { _, err := s.System().Load(); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "has changed since the scenario was checked") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestOwnBaseline holds that a scenario that asks for nothing has the program's own.
func TestOwnBaseline(t *testing.T) {
	s, err := Open("eks-nginx", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.System() != nil || s.System().Replaces() || !slices.Equal(s.Plan().Upgrades, nil) {
		t.Errorf("system %+v", s.System())
	}
}
