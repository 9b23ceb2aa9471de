// Package ownnetwork runs tests in a user, a network and a mount namespace of their own, as an
// ordinary user's sandbox has them.
package ownnetwork

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/skip"
)

// variable is set in the test binary that runs inside.
const variable = "MESHBENCH_TEST_OWN_NETWORK"

// Is runs the calling test or benchmark again inside, and reports whether this is that run: the
// caller returns where it is not. args are those of the test binary; by default it runs the
// calling test alone. Where namespaces are refused the test is skipped.
func Is(t testing.TB, args ...string) bool {
	t.Helper()
	if os.Getenv(variable) != "" {
		return true
	}
	if len(args) == 0 {
		args = []string{"-test.run=^" + t.Name() + "$", "-test.v"}
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), variable+"=yes")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
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
