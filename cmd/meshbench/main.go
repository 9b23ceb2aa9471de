// Command meshbench measures what an Istio sidecar costs and why. See `meshbench
// --help` and the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/cluster/embedded/light"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/internal/redact"
	"github.com/meshbench/meshbench/internal/shortage"
	"github.com/meshbench/meshbench/internal/signals"
	"github.com/meshbench/meshbench/internal/standin"
	"github.com/meshbench/meshbench/internal/standin/server"
	buildversion "github.com/meshbench/meshbench/internal/version"
	"github.com/meshbench/meshbench/internal/vitals"
)

// Exit codes, as the README has them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2   // bad command line, or a scenario file with problems
	exitMissed      = 3   // the run was finished, an expectation was missed
	exitTimeout     = 4   // the run's time limit was hit
	exitUnsettled   = 6   // the run was finished, a step was measured before the mesh settled
	exitInterrupted = 130 // Ctrl-C or SIGTERM
)

// version is set by the linker (Makefile), else by main from the build's information.
var version string

// exit is an error with an exit code of its own. A nil err says that everything worth
// saying was said.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// console is where a command's words go.
type console struct {
	out, err io.Writer
	command  string // its path, for messages
}

func consoleOf(cmd *cobra.Command) console {
	return console{cmd.OutOrStdout(), cmd.ErrOrStderr(), cmd.CommandPath()}
}

func main() {
	version = buildversion.Of(version)
	// The embedded cluster is this program again, inside namespaces of its own.
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case sandbox.Command:
			os.Exit(sandbox.Main(os.Args[2:]))
		case runtime.InitCommand:
			os.Exit(runtime.InitMain(os.Args[2:]))
		case light.Command:
			os.Exit(light.Main(os.Args[2:]))
		case standin.Command:
			os.Exit(server.Main())
		}
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	asked := make(chan os.Signal, 2)
	signal.Notify(asked, signals.Ending()...)
	go func() {
		s := <-asked
		fmt.Fprintf(stderr, "\n%s: cleaning up (once more to stop at once)\n", s)
		cancel(fmt.Errorf("%w by signal: %s", harness.ErrInterrupted, s))
		<-asked
		// The sandbox ends with this process, and takes everything in it along.
		os.Exit(exitInterrupted)
	}()

	// Names of objects, lines of logs and answers of servers are in what is said.
	stdout, stderr = plain.NewOutput(stdout), plain.NewOutput(stderr)
	if file := os.Getenv(vitals.Variable); file != "" {
		go func() {
			if err := vitals.Follow(ctx, file, vitals.Interval); err != nil {
				fmt.Fprintln(stderr, "warning:", err)
			}
		}()
	}

	quiet()

	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var coded *exit
	if !errors.As(err, &coded) {
		coded = &exit{exitFailure, err}
		if ctx.Err() != nil {
			coded.code = exitInterrupted
		}
	}
	if message := coded.Error(); message != "" {
		fmt.Fprintln(stderr, "meshbench: "+redact.Text(message)) // it may quote a manifest
		if advice := shortage.Advice(err); advice != "" {
			fmt.Fprintln(stderr, advice)
		}
	}
	return coded.code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "meshbench",
		Short: "Measure what an Istio sidecar costs, and why",
		Long: `meshbench puts objects into a mesh step by step, waits until the mesh is quiet, and
reads what every sidecar costs. A scenario file says which objects; one command does
the rest, on a Kubernetes cluster made of processes on this machine.`,
		Example: `  meshbench list                        # list the scenarios
  meshbench run headless                # run one, about 2 minutes
  meshbench run eks-nginx --real all    # the 20-node experiment with 200 real sidecars
  meshbench report runs/headless-...    # regenerate a run's report from its log`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd, err)
	})
	root.AddCommand(runCommand(), measureCommand(), upCommand(), downCommand(), gcCommand(), listCommand(), validateCommand(),
		componentsCommand(), reportCommand(), compareCommand(), gateCommand(), historyCommand(),
		fitCommand(), predictCommand(), importMeshCommand(), explainCommand(), adviseCommand(), imagesCommand(), preflightCommand())
	checkArgs(root)
	return root
}

// checkArgs makes wrong arguments of any command errors of the command line.
func checkArgs(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				// Flags that exclude one another are looked at by cobra, too, but later and as
				// any other error.
				if err := errors.Join(check(cmd, args), cmd.ValidateFlagGroups()); err != nil {
					return usage(cmd, err)
				}
				return nil
			}
		}
		checkArgs(c)
	}
}

// usage is an error of the command line.
func usage(cmd *cobra.Command, err error) error { return usageOf(cmd.CommandPath(), err) }

// usageOf is usage of the command with that path.
func usageOf(command string, err error) error {
	return &exit{exitUsage, fmt.Errorf("%w\nSee '%s --help'", err, command)}
}

// quiet discards what client libraries log through globals: they return it as errors, too, or try
// again. klog's own switches would still let its errors through to stderr.
func quiet() {
	klog.SetLogger(logr.Discard())
	log.SetOutput(io.Discard)
}
