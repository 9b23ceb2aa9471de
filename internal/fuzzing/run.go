package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopLimit is how long the go command may take to end once it is asked to.
const stopLimit = 30 * time.Second

// fuzz runs a target for a time. What the go command says goes to out. An input that fails is
// no error.
func fuzz(ctx context.Context, out io.Writer, p parser, length time.Duration, parallel int) (record, error) {
	args := []string{
		"test", "./" + p.folder, "-run", "^$", "-fuzz", "^" + p.target + "$", "-fuzztime", length.String(),
		// Left alone it takes up to a minute to make one input smaller that covers something
		// new, which for archives is all of the time.
		"-fuzzminimizetime", "100x",
	}
	if parallel > 0 {
		args = append(args, "-parallel", strconv.Itoa(parallel))
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = stopLimit
	said, in, err := os.Pipe()
	if err != nil {
		return record{}, fmt.Errorf("make a pipe: %w", err)
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = in, in
	r := record{Date: time.Now().UTC().Format(time.DateOnly), Commit: commit(ctx), Package: p.folder, Target: p.target}
	if err := cmd.Start(); err != nil {
		return r, errors.Join(fmt.Errorf("run the go command: %w", err), in.Close())
	}
	in.Close()
	readErr := r.read(io.TeeReader(said, out))
	err = cmd.Wait()
	if ctx.Err() != nil { // interrupted: what was run counts
		return r, readErr
	}
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		return r, fmt.Errorf("run the go command: %w", err)
	case err != nil && len(r.Crashes) == 0 && r.Executions == 0:
		return r, errors.New("the go command failed before anything was run; see above")
	case err != nil && len(r.Crashes) == 0 && r.late:
		// The go command was not done in time with stopping, as on a machine that does other
		// things; no input failed.
	case err != nil && len(r.Crashes) == 0:
		r.Crashes = []string{"without an input that was kept"}
	case err == nil && r.Executions == 0:
		return r, errors.New("nothing was run, in so short a time or without such a target")
	}
	return r, readErr
}

// commit is what is fuzzed; "" where git does not say.
func commit(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--tags", "--always").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// What the go command says (internal/fuzz of Go 1.18 to 1.26):
//
//	fuzz: elapsed: 3s, execs: 325017 (108336/sec), new interesting: 11 (total: 202)
//	    Failing input written to testdata/fuzz/FuzzLoad/af69258a12129d6c
//	failure while testing seed corpus entry: FuzzLoad/seed#0
var (
	progressLine = regexp.MustCompile(`^fuzz: elapsed: (\S+), execs: (\d+) \(\d+/sec\), new interesting: (\d+) \(total: (\d+)\)`)
	failingLine  = regexp.MustCompile(`^\s*Failing input written to (\S+)`)
	seedLine     = regexp.MustCompile(`^\s*(?:fuzz: )?failure while testing seed corpus entry: (\S+)`)
)

// read takes in what the go command says of a target. The last line of progress counts.
func (r *record) read(said io.Reader) error {
	lines := bufio.NewReader(said)
	for {
		line, err := lines.ReadString('\n')
		if m := progressLine.FindStringSubmatch(line); m != nil {
			elapsed, parseErr := time.ParseDuration(m[1])
			if parseErr != nil {
				return fmt.Errorf("read the progress %q: %w", line, parseErr)
			}
			r.Seconds = elapsed.Seconds()
			for i, into := range []*int64{&r.Executions, &r.New, &r.Interesting} {
				if *into, parseErr = strconv.ParseInt(m[i+2], 10, 64); parseErr != nil {
					return fmt.Errorf("read the progress %q: %w", line, parseErr)
				}
			}
		}
		if strings.TrimSpace(line) == "context deadline exceeded" {
			r.late = true
		}
		for _, failure := range []*regexp.Regexp{failingLine, seedLine} {
			if m := failure.FindStringSubmatch(line); m != nil {
				r.Crashes = append(r.Crashes, m[1])
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what the go command says: %w", err)
		}
	}
}
