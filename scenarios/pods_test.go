package scenarios

import "testing"

func TestContainerName(t *testing.T) {
	for image, want := range map[string]string{
		"nginx":                              "nginx",
		"nginx:1.27":                         "nginx",
		"example.com:5000/team/app:v1":       "app",
		"example.com/app@sha256:0123456789a": "app",
	} {
		if got := ContainerName(image); got != want {
			t.Errorf("ContainerName(%q) = %q, want %q", image, got, want)
		}
	}
}
