package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/observations"
)

// TestMain lets this executable be what meshbench's own is: the sandbox, a container's
// first process, and the command that makes a cluster.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch args := os.Args[2:]; os.Args[1] {
		case sandbox.Command:
			os.Exit(sandbox.Main(args))
		case runtime.InitCommand:
			os.Exit(runtime.InitMain(args))
		case makerCommand:
			os.Exit(makerMain(args))
		}
	}
	os.Exit(m.Run())
}

// makerCommand is the hidden command of this test that uses the provider as meshbench's
// commands do, so that tests can kill it, and run it as another user.
const makerCommand = "maker"

// makerTask is what a maker does, its only argument as JSON.
type makerTask struct {
	Do         string // make (until interrupted), up, nodes, facts, down, sweep, preflight
	Spec       cluster.Spec
	Components components.Set
	Memory     runtime.MemoryMode
}

// What a maker prints, each on a line.
const (
	saidStatus = "status: "
	saidReady  = "ready: " // and the kubeconfig
	saidDied   = "died: "
	saidFacts  = "facts: " // as JSON
)

// facts is what a cluster tells.
type facts struct {
	Cluster observations.Cluster
	Plane   map[string]observations.Cost
	Sandbox observations.Cost
}

func makerMain(args []string) int {
	var task makerTask
	if err := json.Unmarshal([]byte(args[0]), &task); err != nil {
		panic(err)
	}
	if err := task.run(); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

func (task makerTask) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	provider := embedded.New(embedded.Options{
		Components: func(context.Context) (components.Set, error) { return task.Components, nil },
		Memory:     task.Memory,
		Exported:   true, // tests are others than the maker
		Progress:   func(line string) { fmt.Println(saidStatus + line) },
		Died: func(err error) {
			fmt.Println(saidDied + err.Error())
			cancel(err)
		},
	})
	switch task.Do {
	case "preflight":
		return provider.Preflight(ctx, task.Spec)
	case "sweep":
		return embedded.Sweep()
	case "nodes", "facts", "down":
		c, err := embedded.Attach(task.Spec.Name)
		if err != nil {
			return err
		}
		switch task.Do {
		case "nodes":
			return c.SetNodes(ctx, task.Spec.Nodes)
		case "down":
			return c.Delete(ctx)
		}
		var f facts
		var costs cluster.Costs
		var errs [2]error
		f.Cluster, errs[0] = c.Facts(ctx)
		costs, errs[1] = c.Costs(ctx)
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		f.Plane, f.Sandbox = costs.ControlPlane, *costs.Nodes
		text, err := json.Marshal(f)
		fmt.Println(saidFacts + string(text))
		return err
	}
	task.Spec.Detached = task.Do == "up"
	c, err := provider.Create(ctx, task.Spec)
	if err != nil {
		return err
	}
	if err := c.(cluster.Finisher).Finish(ctx); err != nil {
		return errors.Join(err, c.Delete(context.Background()))
	}
	fmt.Println(saidReady + c.Kubeconfig())
	if task.Do == "up" {
		return nil
	}
	<-ctx.Done()
	err = context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil // interrupted, as wanted
	}
	return errors.Join(err, c.Delete(context.Background()))
}
