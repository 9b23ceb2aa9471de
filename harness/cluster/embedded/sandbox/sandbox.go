// Package sandbox is the inside of an embedded cluster: a process that is the first one
// of its own namespaces and runs the control plane, the virtual nodes and the pods.
//
//	host                         | sandbox: (user,) mount, network, PID, IPC, UTS namespaces
//	meshbench ----- lifeline --> | first process --- etcd, kube-apiserver, ...
//	kubectl --> 127.0.0.1:PORT ----- copies -------> 10.0.0.10:443
//	meshbench down --> control.sock                  pods on bridge mesh0
//
// A socket keeps the network namespace it was made in: the listener on the host's
// loopback is made by the maker and handed over, connections to the API server are made
// inside. The control socket is a file, and files are shared.
//
// The sandbox ends, and removes everything that lies outside its namespaces (cgroups
// and the state folder), when it is told to (control socket, SIGTERM), when the lifeline
// ends because its maker did, and when a process of the control plane dies. With its
// first process the kernel ends all others, the network and the mounts.
//
// The first process is also the one to which orphans fall. There are none: every
// container has a PID namespace of its own, in which its own first process gets them,
// and the control plane's programs start no others.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/internal/signals"
)

// A word after Command makes the process that Probe starts, without and with applications.
const (
	probeWord             = "probe"
	probeApplicationsWord = "probe-applications"
)

// Main is the hidden command: args are the arguments after [Command]. It returns the
// exit code.
func Main(args []string) int {
	// Outside namespaces of its own it would change the machine's mounts.
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "this command is meshbench's own: use `meshbench up` to make a cluster")
		return 2
	}
	if len(args) > 0 && (args[0] == probeWord || args[0] == probeApplicationsWord) {
		return probeMain(args[0] == probeApplicationsWord)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	// Nothing that is started here shall inherit these, the lock above all.
	for fd := ConfigFD; fd < endFD; fd++ {
		syscall.CloseOnExec(fd)
	}
	events := events{os.NewFile(EventFD, "events")}
	err := serve(events)
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "giving up: %v\n", err)
	events.send(Event{Error: err.Error()})
	return 1
}

// serve runs the sandbox until its end, which is an error unless it was asked for.
func serve(events events) error {
	// From here on the signals only ask.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, signals.Ending()...)

	config, err := readConfig(os.NewFile(ConfigFD, "config"))
	if err != nil {
		return err
	}
	s := newServer(config, events)
	go func() {
		s.end(fmt.Errorf("%w by signal %v", errAsked, <-asked))
	}()
	go func() { s.end(s.watchLifeline(os.NewFile(LifelineFD, "lifeline"))) }()
	err = s.run()
	if errors.Is(err, errAsked) {
		slog.Info("ending", "reason", err)
		err = nil
	}
	return errors.Join(err, s.close())
}

// readConfig decodes the configuration.
func readConfig(file io.ReadCloser) (Config, error) {
	defer file.Close()
	var config Config
	if err := json.NewDecoder(bounded.Reader(file, bounded.Answer)).Decode(&config); err != nil {
		return Config{}, fmt.Errorf("read the sandbox's configuration: %w", err)
	}
	return config, nil
}

// watchLifeline returns when the sandbox shall end because its maker did; never after
// Detach.
func (s *server) watchLifeline(lifeline io.Reader) error {
	var word [1]byte
	if _, err := io.ReadFull(lifeline, word[:]); err == nil && word[0] == Detach {
		s.detached.Store(true)
		select {}
	}
	return fmt.Errorf("%w: the command that made this cluster has let go of it", errAsked)
}
