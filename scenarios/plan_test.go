package scenarios

import (
	"testing"
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

// TestSidecarsOfUpgrades: what an upgrade restarts needs room like any restart.
func TestSidecarsOfUpgrades(t *testing.T) {
	s, err := Open("upgrade", map[string]string{"replicas": "8"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Steps {
		for _, a := range s.Steps[i].Actions {
			if u, ok := a.Change.(*Upgrade); ok {
				u.Restart = []Restart{{Namespace: "ns1", Deployment: "test"}, {Namespace: "ns1", Deployment: "none"}}
				s.Steps = s.Steps[:i+1] // without the action restart
			}
		}
		if len(s.Steps) == i+1 {
			break
		}
	}
	if got := s.Plan().Sidecars(-1); got != 10 {
		t.Errorf("%d, want 8 and a quarter", got)
	}
}
