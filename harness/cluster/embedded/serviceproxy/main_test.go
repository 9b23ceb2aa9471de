package serviceproxy

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/skip"
)

// insideVariable is set in the test binary that runs in a network namespace of its own.
const insideVariable = "SERVICEPROXY_TEST_INSIDE"

// inNamespace runs the calling test or benchmark again in a user and a network namespace of
// its own, as an ordinary user's sandbox is, and reports whether this is that run.
func inNamespace(t testing.TB, args ...string) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	if len(args) == 0 {
		args = []string{"-test.run=^" + t.Name() + "$", "-test.v"}
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideVariable+"=yes")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			skip.NotHere(t, "namespaces are refused here: %v", err)
		}
		t.Fatal(err)
	}
	return false
}
