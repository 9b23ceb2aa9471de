package annotations

import (
	"slices"
	"testing"
)

func TestIsReal(t *testing.T) {
	for _, c := range []struct {
		annotations map[string]string
		real        int
		given, ok   bool
	}{
		{nil, 0, false, true},
		{map[string]string{"a": "b"}, 0, false, true},
		{map[string]string{Real: "0"}, 0, true, true},
		{map[string]string{Real: "2"}, 2, true, true},
		{map[string]string{Real: "all"}, -1, true, true},
		{map[string]string{Real: "-1"}, 0, true, false},
		{map[string]string{Real: "All"}, 0, true, false},
		{map[string]string{Real: ""}, 0, true, false},
		{map[string]string{Real: "2.0"}, 0, true, false},
	} {
		real, given, err := IsReal(c.annotations)
		if real != c.real || given != c.given || (err == nil) != c.ok {
			t.Errorf("%v: got %d, %v, %v", c.annotations, real, given, err)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		key, value string
		ok         bool
	}{
		{Real, "2", true}, {Real, "two", false},
		{Lasts, "5s", true}, {Lasts, "0s", true}, {Lasts, "5", false}, {Lasts, "-5s", false},
		{Lasts + ".c", "1m", true}, {Lasts + ".c", "later", false}, {Lasts + ".", "1m", false}, {Lasts + "c", "1m", false},
		{ExitCode, "0", true}, {ExitCode, "255", true}, {ExitCode, "256", false}, {ExitCode, "-1", false},
		{ExitCode + ".c", "1", true}, {ExitCode + ".c", "one", false},
		{"simulate.meshbench.dev/last", "5s", false}, {"meshbench.dev/revision", "2", true},
		{"sidecar.istio.io/inject", "perhaps", true}, {"other.meshbench.dev/x", "", true},
	} {
		found := Problems(map[string]string{c.key: c.value, "a": "b"})
		if (len(found) == 0) != c.ok {
			t.Errorf("%s: %q: got %v", c.key, c.value, found)
		}
	}
	two := Problems(map[string]string{Lasts: "?", ExitCode: "?"})
	if len(two) != 2 || two[0].Key != ExitCode || two[1].Key != Lasts {
		t.Errorf("got %v", two)
	}
}

func TestIsGateway(t *testing.T) {
	type set = map[string]string
	for _, c := range []struct {
		labels, annotations set
		want                bool
	}{
		{nil, nil, false},
		{set{"istio": "ingressgateway"}, nil, false}, // a name, which anything may have
		{nil, set{"inject.istio.io/templates": "gateway"}, true},
		{nil, set{"inject.istio.io/templates": "sidecar, gateway"}, true},
		{nil, set{"inject.istio.io/templates": "sidecar,gateways"}, false},
		{nil, set{"inject.istio.io/templates": "waypoint"}, true},
		{set{"gateway.istio.io/managed": "istio.io-mesh-controller"}, nil, true},
	} {
		if got := IsGateway(c.labels, c.annotations); got != c.want {
			t.Errorf("%v %v: got %v", c.labels, c.annotations, got)
		}
	}
}

// FuzzProblems: what IsReal cannot read is a problem, and nothing else of that key is.
func FuzzProblems(f *testing.F) {
	for _, seed := range []string{"2", "all", "-1", "", "5s"} {
		f.Add(Real, seed)
		f.Add(Lasts+".c", seed)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		found := Problems(map[string]string{key: value})
		_, _, err := IsReal(map[string]string{key: value})
		refused := slices.ContainsFunc(found, func(p Problem) bool { return p.Key == Real })
		if (err != nil) != refused {
			t.Errorf("%s: %q: read as %v, checked as %v", key, value, err, found)
		}
	})
}
