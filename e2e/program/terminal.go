package program

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// Terminal is one that a command runs on, as in a window.
type Terminal struct{ master *os.File }

// Close closes the window: the kernel tells the session of the terminal by SIGHUP, and whoever
// writes to it from then on gets an error.
func (t *Terminal) Close() error { return t.master.Close() }

// StartRunOnTerminal is StartRun on a terminal of its own, whose session the command leads.
func (who *Identity) StartRunOnTerminal(scenario string, args ...string) (*Command, *Terminal) {
	GinkgoHelper()
	return who.startOnTerminal(scenario, args, func(c *Command, terminal, slave *os.File) {
		c.cmd.Env = append(c.cmd.Env, "TERM=xterm")
		c.cmd.Stdout, c.cmd.Stderr = slave, slave
		go func() {
			// Ends with an error once the terminal is closed on either side.
			_, _ = io.Copy(writers{&c.Stdout, &c.Both}, terminal)
		}()
	})
}

// StartRunByNohup is StartRunOnTerminal by nohup(1), and what it says goes elsewhere: it is to go on
// without its terminal.
func (who *Identity) StartRunByNohup(scenario string, args ...string) (*Command, *Terminal) {
	GinkgoHelper()
	return who.startOnTerminal(scenario, args, func(c *Command, _, _ *os.File) {
		nohup, err := exec.LookPath("nohup")
		Expect(err).NotTo(HaveOccurred())
		c.cmd.Path, c.cmd.Args = nohup, append([]string{"nohup"}, c.cmd.Args...)
	})
}

// startOnTerminal starts a run that leads the session of a terminal of its own and reads from it,
// once it is set up.
func (who *Identity) startOnTerminal(scenario string, args []string, setUp func(c *Command, terminal, slave *os.File)) (*Command, *Terminal) {
	GinkgoHelper()
	terminal, slave, err := openTerminal()
	Expect(err).NotTo(HaveOccurred())
	defer slave.Close()
	out, args := who.newRun(scenario, args)
	c := who.prepare(args)
	c.Out = out
	c.cmd.Stdin = slave
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who.Credential, Setsid: true, Setctty: true}
	setUp(c, terminal.master, slave)
	c.launch()
	return c, terminal
}

// openTerminal makes a pair of ends (pts(4)).
func openTerminal() (*Terminal, *os.File, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make a terminal: %w", err), master.Close())
	}
	var number int
	var asked error
	err = raw.Control(func(fd uintptr) {
		if asked = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); asked == nil {
			number, asked = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err = errors.Join(err, asked); err == nil {
		var slave *os.File
		if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err == nil {
			return &Terminal{master}, slave, nil
		}
	}
	return nil, nil, errors.Join(fmt.Errorf("make a terminal: %w", err), master.Close())
}

// prepare is a use of the program that is not started yet.
func (who *Identity) prepare(args []string) *Command {
	c := &Command{Args: args, Who: who, ended: make(chan struct{})}
	c.cmd = exec.Command(who.lab.Binary, args...)
	c.cmd.Dir, c.cmd.Env = who.Dir, who.Env
	// A process group of its own: a Ctrl-C meant for the suite is not meant for it.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who.Credential, Setpgid: true}
	c.cmd.Stdout = writers{&c.Stdout, &c.Both}
	c.cmd.Stderr = &c.Both
	return c
}
