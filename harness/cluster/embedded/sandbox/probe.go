package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster/embedded/redirect"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/serviceproxy"
)

// Namespaces are the process attributes with which a sandbox starts: the namespaces
// directly when the calling process may make them (real root), else inside a user
// namespace in which the caller is root. It is a session of its own, so that Ctrl-C on
// the terminal reaches the maker alone, which then ends the sandbox in order.
//
// There is deliberately no parent death signal: it is sent when the thread that made
// the child ends, and would kill the sandbox before it could clear away. The lifeline
// does the same without either fault.
func Namespaces() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Setsid: true,
	}
	if !Privileged() {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		attr.GidMappingsEnableSetgroups = false
	}
	return attr
}

// Privileged reports whether the process is root with CAP_SYS_ADMIN. Root in a container
// often lacks it and takes the way of an ordinary user.
func Privileged() bool {
	if os.Geteuid() != 0 {
		return false
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// Probe tries on this machine what a sandbox needs from the kernel: the namespaces,
// mounts in them (/proc, tmpfs), a bridge and a pair of interfaces, and with applications a
// packet filter that redirects. The error says what is refused and what to do. Nothing is
// left.
func Probe(ctx context.Context, applications bool) error {
	word := probeWord
	if applications {
		word = probeApplicationsWord
	}
	probe := exec.CommandContext(ctx, "/proc/self/exe")
	probe.Args = []string{os.Args[0], Command, word}
	probe.SysProcAttr = Namespaces()
	probe.Env = []string{}
	var stderr bytes.Buffer
	probe.Stderr = &stderr
	err := probe.Run()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(stderr.String())
	if refused, found := strings.CutPrefix(text, redirectionRefused); found {
		return fmt.Errorf("this machine does not let meshbench redirect traffic in pods, which a scenario that sends requests needs: %s", refused)
	}
	if text != "" {
		err = errors.New(text)
	}
	return fmt.Errorf("this machine does not let meshbench make a sandbox of Linux namespaces: %w\n%s", err, advice(readSysctl))
}

// advice says which settings forbid namespaces and how to change them.
func advice(sysctl func(name string) string) string {
	var lines []string
	for _, s := range []struct{ name, bad, want string }{
		{"kernel.unprivileged_userns_clone", "0", "1"},             // Debian
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"}, // Ubuntu 23.10 and later
		{"user.max_user_namespaces", "0", "15000"},                 // RHEL 7, hardened hosts
		{"user.max_net_namespaces", "0", "15000"},
		{"user.max_pid_namespaces", "0", "15000"},
		{"user.max_mnt_namespaces", "0", "15000"},
	} {
		if sysctl(s.name) == s.bad {
			lines = append(lines, fmt.Sprintf("%s is %s: an administrator can allow it with `sudo sysctl -w %s=%s`, or run meshbench as root", s.name, s.bad, s.name, s.want))
		}
	}
	if len(lines) == 0 {
		lines = []string{"run meshbench as root; in a container, start the container with --privileged, or with " +
			"--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"}
	}
	return strings.Join(lines, "\n")
}

// readSysctl is a kernel setting's value; empty when the kernel does not have it.
func readSysctl(name string) string {
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// redirectionRefused begins what the probe says when all is well but for redirection.
const redirectionRefused = "redirection: "

// probeMain is the probe's inside.
func probeMain(applications bool) int {
	if err := probeInside(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if !applications {
		return 0
	}
	goruntime.LockOSThread() // capabilities belong to threads
	users, err := runtime.AllUsers()
	if err == nil {
		err = serviceproxy.Probe()
	}
	if err == nil {
		err = redirect.Probe(users) // last: it gives up rights
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, redirectionRefused+err.Error())
		return 1
	}
	return 0
}

func probeInside() error {
	if err := mountBasics("/tmp"); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add a network bridge (is the kernel module bridge there?): %w", err)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add a pair of network interfaces (is the kernel module veth there?): %w", err)
	}
	return nil
}
