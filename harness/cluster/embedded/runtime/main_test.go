package runtime

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/skip"
)

// The tests of this package run in namespaces as the sandbox has them. A test that
// calls sandboxed starts the test binary again, for itself alone, as real root and as
// an ordinary user with a user namespace.
const (
	stageVariable = "RUNTIME_TEST_STAGE"
	stageEnter    = "enter"  // make namespaces, and go on as stageInside
	stageInside   = "inside" // run the test
	modeVariable  = "RUNTIME_TEST_MODE"
	// programCommand makes the test binary one of the programs that tests run in
	// containers.
	programCommand = "test-program"
	// ordinaryUser is nobody.
	ordinaryUser = 65534
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case InitCommand:
			os.Exit(InitMain(os.Args[2:]))
		case programCommand:
			os.Exit(testProgram(os.Args[2:]))
		}
	}
	switch os.Getenv(stageVariable) {
	case stageEnter:
		os.Exit(enterNamespaces())
	case stageInside:
		if err := mountSandboxProc(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// enterNamespaces starts the test binary again in namespaces of its own.
func enterNamespaces() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stageVariable+"="+stageInside)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			fmt.Printf("%s: %v\n", refused, err)
			return 0
		}
		return 1
	}
	return 0
}

const refused = "namespaces are refused here"

func mountSandboxProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	return unix.Mount("proc", "/proc", "proc", 0, "")
}

// modes are the ways in which tests run, as far as this user can show them.
func modes() []string {
	if os.Getuid() == 0 {
		return []string{"root", "user"}
	}
	return []string{"user"}
}

// sandboxed reports whether the test runs in a sandbox. When not it runs it in sandboxes,
// and the caller has nothing left to do.
func sandboxed(t *testing.T) bool {
	t.Helper()
	if os.Getenv(stageVariable) == stageInside {
		return true
	}
	for _, mode := range modes() {
		t.Run(mode, func(t *testing.T) {
			name, _, _ := strings.Cut(t.Name(), "/")
			cmd := sandboxCommand(t, mode, "-test.run=^"+name+"$", "-test.v")
			output, err := cmd.CombinedOutput()
			switch {
			case err != nil:
				t.Fatalf("%v\n%s", err, output)
			case bytes.Contains(output, []byte(refused)):
				skip.NotHere(t, "%s", output)
			case !bytes.Contains(output, []byte("--- PASS: "+name+" ")):
				t.Fatalf("the test did not run:\n%s", output)
			}
			t.Logf("%s", output)
		})
	}
	return false
}

func sandboxCommand(t testing.TB, mode string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := os.MkdirTemp("", "runtime-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// The go command's folder is closed to other users.
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "runtime.test")
	data, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(binary, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), stageVariable+"="+stageEnter, modeVariable+"="+mode)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if mode == "user" && os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: ordinaryUser, Gid: ordinaryUser}
		if err := os.Chown(dir, ordinaryUser, ordinaryUser); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	cmd.Dir = dir
	return cmd
}

var gateway = netip.MustParsePrefix("10.0.0.1/16")

// newRuntime makes a runtime that is closed with the test.
func newRuntime(t testing.TB, change func(*Config)) *Runtime {
	t.Helper()
	config := Config{Dir: filepath.Join(t.TempDir(), "state"), Bridge: "mesh0", Gateway: gateway, PerPodUsers: true}
	if change != nil {
		change(&config)
	}
	r, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing the runtime: %v", err)
		}
	})
	t.Logf("memory from %s; notes: %q", r.MemorySource(), r.Notes())
	return r
}

func newPod(t testing.TB, r *Runtime, name, address string) *Pod {
	t.Helper()
	p, err := r.CreatePod(t.Context(), PodConfig{UID: name, Namespace: "test", Name: name, IP: netip.MustParseAddr(address)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// program describes a container that runs one of the programs of testProgram.
func program(t testing.TB, args ...string) ContainerConfig {
	t.Helper()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return ContainerConfig{
		Name: "c", Program: self, Args: append([]string{programCommand}, args...),
		Env:    []string{"PATH=" + defaultPath, "GREETING=hello"},
		UserID: -1, Log: filepath.Join(t.TempDir(), "0.log"),
	}
}

func start(t testing.TB, p *Pod, config ContainerConfig) *Container {
	t.Helper()
	c, err := p.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// finish waits for a container's end.
func finish(t testing.TB, c *Container) Exit {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(time.Minute):
		t.Fatalf("container did not end; its log:\n%s", logOf(t, c))
	}
	return c.Exit()
}

func logOf(t testing.TB, c *Container) string {
	t.Helper()
	return readLog(t, c.config.Log, LogOptions{Tail: -1})
}

func readLog(t testing.TB, path string, options LogOptions) string {
	t.Helper()
	reader, err := ReadLogs(context.Background(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	data, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for range 600 {
		if condition() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it did not come about that %s", what)
}

// testProgram is what tests run in containers.
func testProgram(args []string) int {
	switch args[0] {
	case "sleep": // until SIGTERM when told to listen, else for ever
		fmt.Println("sleeping")
		if len(args) > 1 && args[1] == "polite" {
			return untilTerminated()
		}
		for {
			time.Sleep(time.Hour)
		}
	case "allocate": // MEBIBYTES, by a child when there is a second argument; then stay
		if len(args) > 2 {
			cmd := exec.Command("/proc/self/exe", programCommand, "allocate", args[1])
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			if err := cmd.Run(); err != nil {
				return 7 // as pilot-agent: ends by itself when its Envoy has
			}
			return 0
		}
		var mebibytes int
		fmt.Sscan(args[1], &mebibytes)
		memory, err := unix.Mmap(-1, 0, mebibytes<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return 1
		}
		for i := 0; i < len(memory); i += 4096 {
			memory[i] = 1
		}
		fmt.Println("allocated")
		return untilTerminated()
	case "burn": // the given CPU time, then stay
		duration, _ := time.ParseDuration(args[1])
		for used := (unix.Rusage{}); time.Duration(used.Utime.Nano()+used.Stime.Nano()) < duration; {
			unix.Getrusage(unix.RUSAGE_SELF, &used)
		}
		fmt.Println("burnt")
		return untilTerminated()
	case "listen": // NETWORK ADDRESS, and greet everyone
		listener, err := net.Listen(args[1], args[2])
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("listening")
		for {
			conn, err := listener.Accept()
			if err != nil {
				return 1
			}
			fmt.Fprintf(conn, "hello %s", conn.RemoteAddr().(*net.TCPAddr).IP)
			conn.Close()
		}
	case "fetch": // ADDRESS
		conn, err := net.Dial("tcp", args[1])
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if _, err := io.Copy(os.Stdout, conn); err != nil {
			return 1
		}
		return 0
	}
	return 99
}

func untilTerminated() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	<-signals
	return 0
}
