package imagename

import "testing"

func TestSplit(t *testing.T) {
	for image, want := range map[string][2]string{
		"nginx":                              {"nginx", ""},
		"docker.io/istio/pilot:1.23.2":       {"docker.io/istio/pilot", "1.23.2"},
		"localhost:5000/nginx":               {"localhost:5000/nginx", ""},
		"localhost:5000/a/b:v1@sha256:01234": {"localhost:5000/a/b", "v1"},
		"fortio/fortio@sha256:01234":         {"fortio/fortio", ""},
		"":                                   {"", ""},
	} {
		if repository, tag := Split(image); [2]string{repository, tag} != want {
			t.Errorf("%s: got %q and %q, want %q", image, repository, tag, want)
		}
	}
}
