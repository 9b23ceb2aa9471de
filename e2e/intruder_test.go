package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/internal/skip"
)

// intruder is the id of a user who has nothing to do with a run.
const intruder = 65533

// asIntruder does something as that user, without any rights of root's: on a thread of its own,
// which ends after it.
func asIntruder(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: nobody else may get it
		_, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0)
		if e == 0 {
			_, _, e = syscall.RawSyscall(syscall.SYS_SETRESGID, intruder, intruder, intruder)
		}
		if e == 0 {
			_, _, e = syscall.RawSyscall(syscall.SYS_SETRESUID, intruder, intruder, intruder)
		}
		if e != 0 {
			done <- fmt.Errorf("become user %d: %w", intruder, e)
			return
		}
		done <- do()
	}()
	return <-done
}

// refused is nil where the intruder was not let in.
func refused(what string, err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("%s: let in", what)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return nil
	}
	return fmt.Errorf("%s: %w, in place of a refusal", what, err)
}

// Files that others may read in a run's folder: what reports are made of, and reports.
var shown = []string{"observations.jsonl", "report.*", "explain.html", "plots/*.svg"}

// others is what another user tries.
type others struct {
	pids  []int
	state string // folder
	out   string // the run's folder
}

// try tries everything, as the intruder, and returns how the intruder got in.
func (o others) try() (in []string) {
	err := asIntruder(func() error {
		var errs []error
		note := func(err error) { errs = append(errs, err) }
		for _, pid := range o.pids {
			for _, name := range []string{"environ", "mem", "maps", "auxv", "stack", "syscall", "io"} {
				f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
				if err == nil {
					_, err = f.Read(make([]byte, 1))
					if errors.Is(err, io.EOF) {
						err = fs.ErrNotExist // a process that has ended shows nothing
					}
					f.Close()
				}
				note(refused(fmt.Sprintf("/proc/%d/%s", pid, name), err))
			}
			for _, name := range []string{"fd", "task/" + fmt.Sprint(pid) + "/fd", "map_files"} {
				_, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", pid, name))
				note(refused(fmt.Sprintf("/proc/%d/%s", pid, name), err))
			}
			for _, name := range []string{"root", "cwd", "exe", "ns/net", "ns/mnt", "ns/user"} {
				_, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name))
				note(refused(fmt.Sprintf("/proc/%d/%s", pid, name), err))
			}
			_, err := os.ReadDir(fmt.Sprintf("/proc/%d/root/", pid))
			note(refused(fmt.Sprintf("/proc/%d/root/", pid), err))
			_, _, e := syscall.RawSyscall6(syscall.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)
			if e == 0 {
				_, _, _ = syscall.RawSyscall6(syscall.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, 0, 0, 0)
				e = 0
			}
			note(refused(fmt.Sprintf("ptrace of %d", pid), errnoOr(e)))
			note(refused(fmt.Sprintf("a signal to %d", pid), errnoOr(signal(pid))))
		}
		for _, path := range []string{o.state, filepath.Dir(o.state)} {
			_, err := os.ReadDir(path)
			note(refused(path, err))
		}
		for _, name := range []string{"control.sock", "api.sock"} {
			conn, err := net.Dial("unix", filepath.Join(o.state, name))
			if err == nil {
				conn.Close()
			}
			note(refused(name, err))
		}
		for _, name := range []string{"kubeconfig", "cluster.json", "work"} {
			_, err := os.Stat(filepath.Join(o.state, name))
			note(refused(name, err))
		}
		note(os.WriteFile("/dev/null", nil, 0)) // which everybody may
		for _, name := range []string{"intruder", "cluster/intruder", "dumps/intruder"} {
			note(refused("write "+name, os.WriteFile(filepath.Join(o.out, name), nil, 0o600)))
		}
		note(refused("write to the log", openForWriting(filepath.Join(o.out, "observations.jsonl"))))
		note(o.walk())
		return errors.Join(errs...)
	})
	if err != nil {
		in = strings.Split(err.Error(), "\n")
	}
	return in
}

func errnoOr(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// signal asks whether a signal could be sent, and sends none.
func signal(pid int) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_KILL, uintptr(pid), 0, 0)
	return e
}

func openForWriting(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		f.Close()
	}
	return err
}

// walk reads what can be read of the run's folder.
func (o others) walk() error {
	var errs []error
	_ = filepath.WalkDir(o.out, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name, _ := filepath.Rel(o.out, path)
		if d.IsDir() || slices.ContainsFunc(shown, func(pattern string) bool { ok, _ := filepath.Match(pattern, name); return ok }) {
			return nil
		}
		f, err := os.Open(path)
		if err == nil {
			f.Close()
			errs = append(errs, fmt.Errorf("%s may be read by others", name))
		}
		return nil
	})
	return errors.Join(errs...)
}

// walkAsIntruder is walk by the intruder.
func (o others) walkAsIntruder() error { return asIntruder(o.walk) }

// inodes are the sockets that processes have open.
func inodes(pids []int) map[string]int {
	found := map[string]int{}
	for _, pid := range pids {
		files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		for _, f := range files {
			target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, f.Name()))
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				found[strings.TrimSuffix(inode, "]")] = pid
			}
		}
	}
	return found
}

// listening are the sockets that wait for others in a process's network namespace: "tcp 0100007F:1F90",
// as /proc has addresses, with their inodes.
func listening(pid string) map[string]string {
	found := map[string]string{}
	for _, table := range []struct {
		name          string
		state, inode  int
		listens, kind string
	}{{"tcp", 3, 9, "0A", "tcp"}, {"tcp6", 3, 9, "0A", "tcp"}, {"udp", 3, 9, "07", "udp"}, {"udp6", 3, 9, "07", "udp"}, {"raw", 3, 9, "07", "raw"}} {
		file, err := os.Open(filepath.Join("/proc", pid, "net", table.name))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) > table.inode && fields[table.state] == table.listens {
				found[table.kind+" "+fields[1]] = fields[table.inode]
			}
		}
		file.Close()
	}
	return found
}

// abstract are the names of sockets without a file in this network namespace, with their inodes.
func abstract() map[string]string {
	found := map[string]string{}
	text, err := os.ReadFile("/proc/net/unix")
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 8 && strings.HasPrefix(fields[7], "@") {
			found[fields[7]] = fields[6]
		}
	}
	return found
}

// port is the number behind the last colon of an address as /proc has it.
func port(address string) int {
	var n int
	_, err := fmt.Sscanf(address[strings.LastIndexByte(address, ':')+1:], "%X", &n)
	Expect(err).NotTo(HaveOccurred(), address)
	return n
}

// inNetworkOf does something in a process's network namespace.
func inNetworkOf(pid int, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// gatewayOf is the address at which a process's network namespace reaches others.
func gatewayOf(pid int) net.IP {
	GinkgoHelper()
	routes, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/route", pid))
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(routes)) {
		var number uint32
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == "00000000" {
			_, err := fmt.Sscanf(fields[2], "%X", &number)
			Expect(err).NotTo(HaveOccurred())
			return net.IPv4(byte(number), byte(number>>8), byte(number>>16), byte(number>>24))
		}
	}
	Fail("no way out: " + string(routes))
	return nil
}

// asked is the status of an answer to somebody without credentials, 0 for none.
func asked(url string) int {
	target, err := neturl.Parse(url)
	if err != nil {
		return 0
	}
	// Here and not by the client, which dials in a goroutine of its own: that may be in another
	// network namespace.
	conn, err := net.DialTimeout("tcp", target.Host, time.Second)
	if err != nil {
		return 0
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // who asks knows nobody
	}}
	response, err := client.Get(url)
	if err != nil {
		conn.Close()
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// given is what stands in the environment of somebody who runs the program.
var given = []string{
	"AWS_SECRET_ACCESS_KEY=marker-of-the-environment", "GITHUB_TOKEN=marker-of-the-environment", "SSH_AUTH_SOCK=/marker-of-the-environment",
	"LD_PRELOAD=/marker-of-the-environment.so", "LD_LIBRARY_PATH=/marker-of-the-environment", "ENVOY_UID=marker-of-the-environment", "GODEBUG=",
}

var _ = Describe("another user of the machine", Label("security"), func() {
	DescribeTable("gets in nowhere while a run is under way",
		func(user func() *identity, exported bool) {
			if os.Getuid() != 0 {
				skip.NotHere(GinkgoT(), "only root can be two users")
			}
			who := user()
			with := *who.Identity
			with.Env = append(slices.Clone(with.Env), given...)
			who = &identity{&with}
			dir, err := os.MkdirTemp(made.Work, "secrets-")
			Expect(err).NotTo(HaveOccurred())
			Expect(os.Chmod(dir, 0o755)).To(Succeed())
			scenario, args := secretScenario(dir), append(secretArguments(), "--real", "1", "--light", "1")
			if exported {
				args = append(args, "--api-port")
			}
			run := who.startRun(scenario, args...)
			Eventually(run.Both.String).WithTimeout(4 * time.Minute).Should(MatchRegexp(`step 3 of 3`))
			pids := run.Trace.FindAll("envoy")
			Expect(pids).NotTo(BeEmpty())
			envoy := pids[0]
			pids = run.Trace.Living()
			Expect(len(pids)).To(BeNumerically(">", 8))

			sandboxes := run.Trace.FindAll("kube-apiserver")
			Expect(sandboxes).To(HaveLen(1))
			states, err := filepath.Glob(filepath.Join(who.Temp, fmt.Sprintf("meshbench-%d", who.UID), fmt.Sprintf("*-%d", run.PID())))
			Expect(err).NotTo(HaveOccurred())
			Expect(states).To(HaveLen(1))

			By("looking at what listens")
			open, held := inodes(pids), []string{}
			for at, inode := range listening("self") {
				if _, ours := open[inode]; ours {
					held = append(held, at)
				}
			}
			for name, inode := range abstract() {
				_, ours := open[inode]
				Expect(ours).To(BeFalse(), "the socket %s, which everybody can connect to", name)
			}
			if !exported {
				Expect(held).To(BeEmpty(), "a run has no port")
				Expect(filepath.Join(states[0], "kubeconfig")).NotTo(BeAnExistingFile())
			} else {
				Expect(held).To(HaveLen(1))
				Expect(held[0]).To(HavePrefix("tcp 0100007F:"), "the loopback's")
				for _, path := range []string{"/", "/version", "/healthz", "/readyz", "/api/v1/namespaces", "/.well-known/openid-configuration", "/metrics"} {
					Expect(asked(fmt.Sprintf("https://127.0.0.1:%d%s", port(held[0]), path))).To(Equal(http.StatusUnauthorized), path)
				}
				info, err := os.Stat(filepath.Join(states[0], "kubeconfig"))
				Expect(err).NotTo(HaveOccurred())
				Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
			}

			By("trying everything as somebody else")
			Expect(others{pids: pids, state: states[0], out: run.Out}.try()).To(BeEmpty())

			By("looking at arguments, which everybody can read, and at environments")
			for _, pid := range pids {
				line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				if err != nil || pid == run.PID() {
					continue // it has ended, or has what was typed
				}
				Expect(secretsIn(string(line))).To(BeEmpty(), "arguments of process %d", pid)
				environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
				if err == nil {
					Expect(string(environment)).NotTo(ContainSubstring("marker-of-the-environment"), "environment of process %d: %s", pid, line)
				}
			}

			By("looking at the keys inside of the sandbox")
			work := fmt.Sprintf("/proc/%d/root%s/work/controlplane", sandboxes[0], states[0])
			keys, err := os.ReadDir(work)
			Expect(err).NotTo(HaveOccurred())
			Expect(len(keys)).To(BeNumerically(">", 8))
			for _, key := range keys {
				info, err := key.Info()
				Expect(err).NotTo(HaveOccurred())
				Expect(info.Mode().Perm()&0o077).To(BeZero(), key.Name())
			}
			entries, err := os.ReadDir(filepath.Join(states[0], "work"))
			Expect(err).NotTo(HaveOccurred())
			Expect(entries).To(BeEmpty(), "outside of the sandbox there are no keys")

			By("asking from inside of a pod")
			inside := listening(fmt.Sprint(sandboxes[0]))
			var ports []string
			for at := range inside {
				if kind, address, _ := strings.Cut(at, " "); kind == "tcp" && !strings.HasPrefix(address, "0100007F") { // the loopback is no pod's
					ports = append(ports, address)
				}
			}
			AddReportEntry("listening inside", fmt.Sprint(slices.Sorted(maps.Keys(inside))))
			gateway := gatewayOf(envoy)
			Expect(inNetworkOf(envoy, func() error {
				for _, closed := range []int{2379, 2380, 10257, 10259} {
					if conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", gateway, closed), time.Second); err == nil {
						conn.Close()
						return fmt.Errorf("a pod reaches port %d of the control plane", closed)
					}
				}
				for url, path := range map[string]string{fmt.Sprintf("https://%s:443", gateway): "/version", fmt.Sprintf("https://%s:443/", gateway): "api"} {
					if status := asked(url + path); status != http.StatusUnauthorized {
						return fmt.Errorf("%s%s answers %d to a pod without a token", url, path, status)
					}
				}
				return nil
			})).To(Succeed())
			for _, address := range ports {
				Expect(port(address)).To(BeElementOf(443, 10250, 53, 9153), "what listens for pods: %s", address)
			}

			run.Wait(4 * time.Minute)
			run.Exits(0)
			run.LeavesNothing(program.Soon)
			Expect(states[0]).NotTo(BeADirectory())
			Expect(secretsBelow(run.Out)).To(BeEmpty())
			Expect(secretsIn(run.Both.String())).To(BeEmpty(), "what was said")
			Expect(others{out: run.Out}.walkAsIntruder()).To(Succeed())
		},
		Entry("of root", self, false),
		Entry("of an ordinary user", Label(nightly), ordinaryUser, false),
		Entry("of root, with a port", Label(nightly), self, true),
	)

	It("cannot prepare the folder of somebody's clusters", func() {
		if os.Getuid() != 0 {
			skip.NotHere(GinkgoT(), "only root can be two users")
		}
		for name, prepare := range map[string]func(path string) error{
			"a folder": func(path string) error { return os.Mkdir(path, 0o777) },
			"a link": func(path string) error {
				return errors.Join(os.Mkdir(path+"-elsewhere", 0o777), os.Symlink(path+"-elsewhere", path))
			},
			"a file": func(path string) error { return os.WriteFile(path, nil, 0o666) },
		} {
			tmp, err := os.MkdirTemp(made.Work, "sticky-")
			Expect(err).NotTo(HaveOccurred())
			Expect(os.Chmod(tmp, 0o777|os.ModeSticky)).To(Succeed())
			path := filepath.Join(tmp, fmt.Sprintf("meshbench-%d", invoker.UID))
			Expect(asIntruder(func() error { return prepare(path) })).To(Succeed())
			with := *invoker.Identity
			with.Env = append(slices.Clone(with.Env), "TMPDIR="+tmp)
			run := (&identity{&with}).startRun("one-pod")
			run.Wait(time.Minute)
			run.Exits(1)
			Expect(run.Both.String()).To(ContainSubstring(path+" is not a folder that only you can read"), name)
			run.LeavesNothing(program.Soon)
		}
	})

	It("finds nothing of a run that was killed", func() {
		run := invoker.startRun("one-pod")
		Eventually(run.Both.String).WithTimeout(2 * time.Minute).Should(ContainSubstring("mesh"))
		sandboxes := run.Trace.FindAll("kube-apiserver")
		Expect(sandboxes).NotTo(BeEmpty())
		for _, pid := range append(run.Trace.Living(), run.PID()) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		run.Wait(time.Minute)
		states, err := filepath.Glob(filepath.Join(invoker.Temp, fmt.Sprintf("meshbench-%d", invoker.UID), fmt.Sprintf("*-%d", run.PID())))
		Expect(err).NotTo(HaveOccurred())
		for _, state := range states { // what is left is a record, and sockets that nobody listens at
			Expect(filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					Expect(filepath.Base(path)).To(BeElementOf("cluster.json", "control.sock", "api.sock"))
				}
				return err
			})).To(Succeed())
		}
		// The next command that makes a cluster sweeps.
		next := invoker.startRun("one-pod", "--timeout", "5s")
		next.Wait(time.Minute)
		for _, state := range states {
			Expect(state).NotTo(BeADirectory())
		}
		run.LeavesNothing(20 * time.Second)
	})
})
