package scenarios

import (
	"slices"
	"testing"
)

func TestLargest(t *testing.T) {
	for _, c := range []struct {
		scenario string
		set      map[string]string
		real     int
		want     []string
	}{
		{"one-pod", nil, 10, []string{"one-pod"}},
		{"hundred-pods", nil, 10, []string{"pods"}},
		{"headless", nil, 10, []string{"pods", "headless"}}, // the second restarts them: old and new run beside one another
		{"eks-nginx", nil, 10, []string{"ns2", "services"}},
		{"eks-nginx", nil, -1, []string{"ns2", "services"}},
		{"eks-nginx", nil, 0, []string{"ns2", "services"}}, // what istiod itself holds
	} {
		s, err := Open(c.scenario, c.set)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range s.Plan().Largest(Shares{Real: c.real}) {
			got = append(got, s.Steps[i].Name)
		}
		if !slices.Equal(got, c.want) {
			for i, l := range s.Plan().loads {
				_, sidecars := s.Plan().most(Shares{Real: c.real}, l.from, l.to)
				t.Logf("%s: %d sidecars, %d objects", s.Steps[i].Name, sidecars, l.objects)
			}
			t.Errorf("%s with %d real: %q, want %q", c.scenario, c.real, got, c.want)
		}
	}
	// Steps that change nothing, and steps that take away.
	const head = `name: x
title: x
cluster: {nodes: [{type: m6i.xlarge, count: 1}]}
steps:
  - name: a
    actions:
      - namespace: {name: ns1, injection: true}
      - namespace: {name: ns2, injection: true}
      - deployment: {namespace: ns1, name: test, image: nginx, replicas: 8}
      - deployment: {namespace: ns2, name: other, image: nginx, replicas: 2}
`
	for steps, want := range map[string][]int{
		"":                             {0},
		"  - {name: b, actions: []}\n": {0},
		"  - {name: b, actions: [{expose: {namespace: ns1, deployment: test, ports: [{port: 80}]}}]}\n":                {0, 1},
		"  - {name: b, actions: [{delete: {kind: Namespace, name: ns2}}]}\n  - {name: c, actions: []}\n":               {0},
		"  - {name: b, actions: [{revisions: {namespace: ns1, service: s, count: 50}}]}\n  - {name: c, actions: []}\n": {1},
	} {
		s, err := Load("x.yaml", []byte(head+steps), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Plan().Largest(Shares{Real: 10}); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v; loads %v", steps, got, want, s.Plan().loads)
		}
	}
	if got := (Plan{}).Largest(Shares{Real: 10}); got != nil {
		t.Errorf("of no scenario: %v", got)
	}
}
