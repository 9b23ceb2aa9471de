package meshfacts

import "testing"

func TestKubernetesOf(t *testing.T) {
	for istio, want := range map[string]string{
		"1.22.3": "1.27 to 1.30", "1.23.2": "1.27 to 1.30", "1.24.0": "1.28 to 1.31", "1.27.0": "1.29 to 1.33",
		"1.31.0-alpha.eed52ebb66ad": "", "latest": "", "": "",
	} {
		got, known := KubernetesOf(istio)
		if known != (want != "") || known && got.String() != want {
			t.Errorf("%q: %v, %v; want %q", istio, got, known, want)
		}
	}
}
