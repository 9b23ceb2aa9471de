package sandbox

import (
	"strings"
	"testing"
)

func TestAdviceNamesTheSetting(t *testing.T) {
	for _, test := range []struct {
		name    string
		sysctls map[string]string
		want    []string
	}{
		{"Debian", map[string]string{"kernel.unprivileged_userns_clone": "0"}, []string{"sysctl -w kernel.unprivileged_userns_clone=1"}},
		{"Ubuntu", map[string]string{"kernel.apparmor_restrict_unprivileged_userns": "1"}, []string{"sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"}},
		{"hardened", map[string]string{"user.max_user_namespaces": "0", "user.max_net_namespaces": "0"}, []string{
			"sysctl -w user.max_user_namespaces=15000", "sysctl -w user.max_net_namespaces=15000",
		}},
		{"allowed by all of them, as in a container", map[string]string{
			"kernel.unprivileged_userns_clone": "1", "kernel.apparmor_restrict_unprivileged_userns": "0", "user.max_user_namespaces": "96365",
		}, []string{"--privileged"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := advice(func(name string) string { return test.sysctls[name] })
			if lines := strings.Count(got, "\n") + 1; lines != len(test.want) {
				t.Errorf("%d lines, want %d: %s", lines, len(test.want), got)
			}
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not in %s", want, got)
				}
			}
		})
	}
}
