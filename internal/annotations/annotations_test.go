package annotations

import "testing"

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

// FuzzIsReal: what is read can be written again as it stood, give or take a sign and zeros.
func FuzzIsReal(f *testing.F) {
	for _, seed := range []string{"2", "all", "-1", "", "5s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		real, given, err := IsReal(map[string]string{Real: value})
		if !given || err == nil && (real < -1 || real == -1 != (value == All)) {
			t.Errorf("%q: read as %d, %v, %v", value, real, given, err)
		}
	})
}
