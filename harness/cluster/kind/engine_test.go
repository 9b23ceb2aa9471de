package kind

import (
	"context"
	"testing"
)

func TestFindEngine(t *testing.T) {
	for name, c := range map[string]struct {
		said     map[string]string
		variable string
		want     string
		words    []string
	}{
		"docker":                {said: map[string]string{"docker -v": "Docker version 28.2.2", "podman -v": "podman version 5.0"}, want: "docker"},
		"podman called docker":  {said: map[string]string{"docker -v": "podman version 5.0", "podman -v": "podman version 5.0"}, want: "podman"},
		"nerdctl before podman": {said: map[string]string{"nerdctl -v": "nerdctl version 2.0", "podman -v": "podman version 5.0"}, want: "nerdctl"},
		"by the variable":       {said: map[string]string{"docker -v": "Docker version 28.2.2"}, variable: "podman", want: "podman"},
		"unknown variable":      {variable: "lxc", words: []string{"KIND_EXPERIMENTAL_PROVIDER=lxc", "docker, nerdctl"}},
		"none":                  {words: []string{"no container engine", "install docker"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KIND_EXPERIMENTAL_PROVIDER", c.variable)
			e, err := findEngine(context.Background(), &fakeMachine{said: c.said})
			if c.words != nil {
				wantWords(t, err, c.words...)
				return
			}
			if err != nil || e.binary != c.want {
				t.Errorf("%q, %v, want %q", e.binary, err, c.want)
			}
		})
	}
}

func TestEngineFacts(t *testing.T) {
	for name, c := range map[string]struct {
		binary string
		m      *fakeMachine
		want   engineFacts
		words  []string
	}{
		"docker": {binary: "docker", m: &fakeMachine{said: map[string]string{dockerInfo: "aarch64 8 1024 2 28.2.2"}},
			want: engineFacts{"arm64", 8, 1024, "2", "28.2.2"}},
		"podman": {binary: "podman", m: &fakeMachine{said: map[string]string{podmanInfo: "amd64 4 2048 v2 5.1.0"}},
			want: engineFacts{"amd64", 4, 2048, "2", "5.1.0"}},
		"not running": {binary: "docker", m: &fakeMachine{fails: map[string]string{"docker info": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."}},
			words: []string{"docker does not answer", "systemctl start docker", "Cannot connect"}},
		"no rights": {binary: "docker", m: &fakeMachine{fails: map[string]string{"docker info": "permission denied while trying to connect to the Docker daemon socket"}},
			words: []string{"may not use docker", "usermod -aG docker"}},
		"nonsense": {binary: "docker", m: &fakeMachine{said: map[string]string{dockerInfo: "x86_64"}}, words: []string{"not understood"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := engine{c.m, c.binary}.facts(context.Background())
			if c.words != nil {
				wantWords(t, err, c.words...)
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}
