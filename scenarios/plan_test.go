package scenarios

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSidecars(t *testing.T) {
	for _, c := range []struct {
		scenario string
		real     int
		want     int
	}{
		{"one-pod", 10, 1},
		{"hundred-pods", 10, 10},
		{"hundred-pods", -1, 100},
		{"headless", 10, 20},  // a restart: 10 old, 10 new
		{"headless", -1, 125}, // a restart: 100 and a quarter
		{"eks-nginx", 10, 20},
		{"eks-nginx", -1, 200},
		{"eks-nginx", 0, 0},
		{"knative-revisions", -1, 4}, // one, two and one with a Sidecar resource
		{"knative-revisions", 1, 3},
	} {
		s, err := Open(c.scenario, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Plan().Sidecars(c.real); got != c.want {
			t.Errorf("%s with %d real: %d, want %d", c.scenario, c.real, got, c.want)
		}
	}
}

// The published experiment has 7 pods of its own system's at the start, 44 on 20 nodes.
func TestPhases(t *testing.T) {
	s, err := Open("eks-nginx", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Phase{
		{Nodes: []NodeGroup{{Type: "m6i.32xlarge", Count: 1}}, MostPods: 100 + 6},
		{Nodes: []NodeGroup{{Type: "m6i.large", Count: 20}}, MostPods: 200 + 44},
	}
	if diff := cmp.Diff(want, s.Plan().Phases); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPlan checks the plan for every way in which steps state their needs.
func TestPlan(t *testing.T) {
	const plain = `{namespace: {name: ns2}}`
	pods := func(kind, spec string) string {
		return `{apply: {manifest: '{apiVersion: apps/v1, kind: ` + kind + `, metadata: {namespace: ns1, name: x}, spec: ` + spec + `}'}}`
	}
	first := PlannedDeployment{"ns1", "test", 1, true}
	for name, c := range map[string]struct {
		actions  string
		sidecars int // besides the one of the first step
		want     Plan
	}{
		"a namespace labelled for injection": {
			actions:  `{namespace: {name: ns2, labels: {istio-injection: enabled}}}, {deployment: {namespace: ns2, name: a, image: a, replicas: 3}}`,
			sidecars: 3,
			want: Plan{MostNodes: 4, MostPods: 4, Images: []string{"nginx", "a"},
				Deployments: []PlannedDeployment{first, {"ns2", "a", 3, true}}},
		},
		"a namespace labelled with a revision": {
			actions:  `{namespace: {name: ns2, labels: {istio.io/rev: default}}}, {deployment: {namespace: ns2, name: a, image: a, replicas: 3}}`,
			sidecars: 3,
			want: Plan{MostNodes: 4, MostPods: 4, Images: []string{"nginx", "a"},
				Deployments: []PlannedDeployment{first, {"ns2", "a", 3, true}}},
		},
		"pods that ask": {
			actions:  plain + `, {deployment: {namespace: ns2, name: a, image: a, replicas: 3, labels: {sidecar.istio.io/inject: "true"}}}`,
			sidecars: 3,
			want: Plan{MostNodes: 4, MostPods: 4, Images: []string{"nginx", "a"},
				Deployments: []PlannedDeployment{first, {"ns2", "a", 3, true}}},
		},
		"pods that refuse": {
			actions: `{deployment: {namespace: ns1, name: a, image: a, labels: {sidecar.istio.io/inject: "false"}}},
				{deployment: {namespace: ns1, name: b, image: b, annotations: {sidecar.istio.io/inject: "false"}}}`,
			want: Plan{MostNodes: 4, MostPods: 3, Images: []string{"nginx", "a", "b"},
				Deployments: []PlannedDeployment{first, {"ns1", "a", 1, false}, {"ns1", "b", 1, false}}},
		},
		"a Deployment of a manifest, updated": {
			actions: pods("Deployment", `{replicas: 8, template: {spec: {containers: [{image: a}]}}}`) + `, ` +
				pods("Deployment", `{replicas: 8, template: {spec: {containers: [{image: b}]}}}`),
			sidecars: 10,
			want: Plan{MostNodes: 4, MostPods: 11, Images: []string{"nginx", "a", "b"},
				Deployments: []PlannedDeployment{first, {"ns1", "x", 8, true}}},
		},
		"a Deployment recreated": {
			actions:  pods("Deployment", `{replicas: 8, strategy: {type: Recreate}}`) + `, {restart: {namespace: ns1, deployment: x}}`,
			sidecars: 8,
			want: Plan{MostNodes: 4, MostPods: 9, Images: []string{"nginx"},
				Deployments: []PlannedDeployment{first, {"ns1", "x", 8, true}}},
		},
		"all pods side by side": {
			actions:  pods("Deployment", `{replicas: 8, strategy: {rollingUpdate: {maxSurge: 100%}}}`) + `, {restart: {namespace: ns1, deployment: x}}`,
			sidecars: 16,
			want: Plan{MostNodes: 4, MostPods: 17, Images: []string{"nginx"},
				Deployments: []PlannedDeployment{first, {"ns1", "x", 8, true}}},
		},
		"pods on every node": {
			actions:  pods("DaemonSet", `{template: {spec: {containers: [{image: a}]}}}`) + `, {nodes: {groups: [{type: m6i.large, count: 6}]}}`,
			sidecars: 6,
			want: Plan{MostNodes: 6, MostPods: 7, Images: []string{"nginx", "a"},
				Deployments: []PlannedDeployment{first}},
		},
		"a pod on its node's network has no sidecar": {
			actions: pods("Pod", `{hostNetwork: true, containers: [{image: a}]}`),
			want: Plan{MostNodes: 4, MostPods: 2, Images: []string{"nginx", "a"},
				Deployments: []PlannedDeployment{first}},
		},
		"jobs": {
			actions: pods("Job", `{parallelism: 2, template: {spec: {containers: [{image: a}]}}}`) + `, ` +
				pods("CronJob", `{jobTemplate: {spec: {template: {spec: {containers: [{image: b}]}}}}}`),
			sidecars: 3,
			want: Plan{MostNodes: 4, MostPods: 4, Images: []string{"nginx", "a", "b"},
				Deployments: []PlannedDeployment{first}},
		},
		"what was deleted makes room": {
			actions: pods("StatefulSet", `{replicas: 5}`) + `, {delete: {kind: StatefulSet, namespace: ns1, name: x}}, ` +
				`{deployment: {namespace: ns1, name: a, image: a, replicas: 4}}`,
			sidecars: 5,
			want: Plan{MostNodes: 4, MostPods: 6, Images: []string{"nginx", "a"},
				Deployments: []PlannedDeployment{first, {"ns1", "a", 4, true}}},
		},
		"a namespace labelled afterwards, and a restart": {
			actions: plain + `, {deployment: {namespace: ns2, name: a, image: a, replicas: 4}},
				{apply: {manifest: '{apiVersion: v1, kind: Namespace, metadata: {name: ns2, labels: {istio-injection: enabled}}}'}},
				{restart: {namespace: ns2, deployment: a}}`,
			sidecars: 5,
			want: Plan{MostNodes: 4, MostPods: 6, Images: []string{"nginx", "a"},
				Deployments: []PlannedDeployment{first, {"ns2", "a", 4, true}}},
		},
		"an upgrade restarts one Deployment after another": {
			actions: `{deployment: {namespace: ns1, name: a, image: a, replicas: 8}}, {deployment: {namespace: ns1, name: b, image: b, replicas: 4}},
				{upgrade: {istio: 1.23.2, restart: [{namespace: ns1, deployment: a}, {namespace: ns1, deployment: b}]}}, {upgrade: {istio: 1.23.2}}`,
			sidecars: 14,
			want: Plan{MostNodes: 4, MostPods: 15, Images: []string{"nginx", "a", "b"}, Upgrades: []string{"1.23.2"},
				Deployments: []PlannedDeployment{first, {"ns1", "a", 8, true}, {"ns1", "b", 4, true}}},
		},
		"nodes of another type": {
			actions: `{nodes: {groups: [{type: m6i.xlarge, count: 2}]}}`,
			want:    Plan{MostNodes: 6, MostPods: 1, Images: []string{"nginx"}, Deployments: []PlannedDeployment{first}},
		},
		"revisions": {
			actions:  `{revisions: {namespace: ns1, service: a, count: 5}}, {revisions: {namespace: ns1, service: b, count: 1, minScale: 2}}`,
			sidecars: 2,
			want: Plan{MostNodes: 4, MostPods: 3, Images: []string{"nginx", "dev.local/app"}, ShapesRevisions: true,
				Deployments: []PlannedDeployment{first, {"ns1", "b-00001-deployment", 2, true}}},
		},
		"revisions that Knative collects": {
			actions: `{revisions: {namespace: ns1, service: a, count: 5, mode: knative, kept: 2}}`,
			want: Plan{MostNodes: 4, MostPods: 1, Images: []string{"nginx"}, Knative: true, CollectsRevisions: true,
				Deployments: []PlannedDeployment{first}},
		},
		"gateways": {
			actions: `{apply: {manifest: '{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {namespace: ns1, name: g}}'}}`,
			want: Plan{MostNodes: 4, MostPods: 1, Images: []string{"nginx"}, Gateways: []string{"ns1/g"},
				Deployments: []PlannedDeployment{first}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Load("test.yaml", frame("", c.actions), nil)
			if err != nil {
				t.Fatal(err)
			}
			plan := s.Plan()
			if diff := cmp.Diff(c.want, plan, cmpopts.IgnoreUnexported(Plan{}), cmpopts.IgnoreFields(Plan{}, "Phases")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got, want := plan.Sidecars(-1), 1+c.sidecars; got != want {
				t.Errorf("%d sidecars, want %d", got, want)
			}
		})
	}
}

// TestSidecarsOfUpgrades checks that an upgrade's restarts need room as any restart does.
func TestSidecarsOfUpgrades(t *testing.T) {
	s, err := Load("test.yaml", frame("", `{scale: {namespace: ns1, deployment: test, replicas: 8}},
		{upgrade: {istio: 1.23.2, restart: [{namespace: ns1, deployment: test}]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Plan().Sidecars(-1); got != 10 {
		t.Errorf("%d, want 8 and a quarter", got)
	}
}
