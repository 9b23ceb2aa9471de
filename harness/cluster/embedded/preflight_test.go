package embedded_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
)

func TestPreflight(t *testing.T) {
	for _, user := range users() {
		for _, test := range []struct {
			name string
			spec cluster.Spec
			want []string // parts of the error; none means that all is well
		}{
			{name: "a small run", spec: cluster.Spec{Sidecars: 5}},
			{
				name: "several problems at once",
				spec: cluster.Spec{Sidecars: 1_000_000, Nodes: []cluster.NodeGroup{{InstanceType: "m6i.largest", Count: 1}}},
				want: []string{"not enough memory", "1000000 real sidecars", "--real", "m6i.largest"},
			},
			{
				name: "more nodes at one time than have addresses",
				spec: cluster.Spec{Nodes: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 1}}, MostNodes: 3829},
				want: []string{"3829 nodes are too many", "3828"},
			},
			{name: "as many as have", spec: cluster.Spec{MostNodes: 3828}},
			{name: "applications that run", spec: cluster.Spec{Applications: &cluster.Applications{}}},
		} {
			t.Run(user.name+"/"+test.name, func(t *testing.T) {
				l := newLab(t, user)
				said, err := l.start(makerTask{Do: "preflight", Spec: test.spec}).end()
				if (err != nil) != (len(test.want) > 0) {
					t.Errorf("preflight ended with %v: %s", err, said)
				}
				for _, want := range test.want {
					if !strings.Contains(said, want) {
						t.Errorf("%q is not in:\n%s", want, said)
					}
				}
				// An ordinary user's sidecars share one limit of inotify instances.
				const inotify = "sysctl -w fs.inotify.max_user_instances"
				if said := strings.Contains(said, inotify); test.spec.Sidecars > 1000 && said != (user.name != "root") {
					t.Errorf("%s is told %q: %v", user.name, inotify, said)
				}
			})
		}
	}
}

// TestPreflightWithoutNamespaces forbids namespaces as an administrator can, for one
// process: limits on namespaces hold in each user namespace on its own.
func TestPreflightWithoutNamespaces(t *testing.T) {
	l := newLab(t, users()[0])
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inner := l.command(makerTask{Do: "preflight"})
	script := `echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh", self}, inner.Args[1:]...)...)
	cmd.Env = inner.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: syscall.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: syscall.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("no error: %s", out)
	}
	if want := "sysctl -w user.max_net_namespaces="; !strings.Contains(string(out), want) {
		t.Errorf("%q is not in:\n%s", want, out)
	}
}
