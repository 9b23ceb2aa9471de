package scenarios

import "testing"

// TestShares: how many proxies of each kind there are at most, by what the run and what
// workloads say.
func TestShares(t *testing.T) {
	s, err := Load("test.yaml", []byte(`
apiVersion: meshbench.dev/v1
name: shares
title: shares
cluster: {nodes: [{type: m6i.32xlarge, count: 2}]}
steps:
- name: one
  actions:
  - namespace: {name: ns1, injection: true}
  - deployment: {namespace: ns1, name: plain, image: nginx, replicas: 10}
  - deployment: {namespace: ns1, name: own, image: nginx, replicas: 20, sidecars: {real: 2, light: all}}
  - deployment: {namespace: ns1, name: none, image: nginx, replicas: 5, sidecars: {real: 0, light: 0}}
- name: two
  actions:
  - delete: {kind: Deployment, namespace: ns1, name: own}
  - scale: {namespace: ns1, deployment: plain, replicas: 15}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		shares Shares
		want   Proxies
	}{
		"as by default":   {Shares{Real: 10}, Proxies{12, 18}},
		"all real":        {Shares{Real: -1}, Proxies{15, 18}},
		"all others":      {Shares{Real: 1, Light: -1}, Proxies{3, 27}},
		"some others":     {Shares{Real: 1, Light: 4}, Proxies{3, 22}},
		"only one's real": {Shares{Real: 3, Light: -1, RealFor: []string{"ns1/plain"}}, Proxies{3, 27}},
	} {
		if got := s.Plan().Proxies(c.shares); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if own := s.Plan().OwnLight(); len(own) != 1 || own[0] != "ns1/own" {
		t.Errorf("%q ask for light proxies", own)
	}
}
