package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/instances"
)

// What a cluster needs, measured on the nine steps of eks-nginx: a real sidecar is a
// pilot-agent and an Envoy.
const (
	planeBytes   = 1500 << 20 // control plane, nodes, istiod and metrics-server
	sidecarBytes = 45 << 20
	// lightBytes are those of a light proxy and of what istiod holds of it, measured with 980
	// (docs/light.md).
	lightBytes = 3 << 20
	diskBytes  = 512 << 20 // logs and dumps
)

// Preflight implements cluster.Provider.
func (p *provider) Preflight(ctx context.Context, spec cluster.Spec) error {
	var errs []error
	for _, group := range spec.Nodes {
		if _, err := instances.Lookup(group.InstanceType); err != nil {
			errs = append(errs, err)
		}
	}
	if n, most := max(cluster.Nodes(spec.Nodes), spec.MostNodes), kubelet.NodeRange().Size(); n > most {
		errs = append(errs, fmt.Errorf("%d nodes are too many: an embedded cluster has addresses for %d", n, most))
	}
	if _, err := stateRoot(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs,
		sandbox.Probe(ctx, p.DataPlane || spec.Applications != nil),
		checkMemory(spec.Sidecars, spec.LightProxies),
		checkInotify(spec.Sidecars),
		checkDisk(os.TempDir()),
	)
	if spec.Dir != "" {
		errs = append(errs, checkDisk(spec.Dir))
	}
	return errors.Join(errs...)
}

// checkMemory compares what is available with what the run needs.
func checkMemory(sidecars, light int) error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return fmt.Errorf("read available memory: %w", err)
	}
	available, err := availableMemory(string(text))
	if err != nil {
		return err
	}
	base := int64(planeBytes) + int64(light)*lightBytes
	need := base + int64(sidecars)*sidecarBytes
	if available >= need {
		return nil
	}
	fit := max(0, (available-base)/sidecarBytes)
	if light > 0 {
		return fmt.Errorf("not enough memory: a cluster with %d real sidecars and %d light proxies needs about %d Mi and %d Mi are available; "+
			"free some, or ask for fewer (--real, of which %d fit in all; --light)", sidecars, light, need>>20, available>>20, fit)
	}
	return fmt.Errorf("not enough memory: a cluster with %d real sidecars needs about %d Mi and %d Mi are available; "+
		"free some, or ask for fewer real sidecars (--real; %d fit in all)", sidecars, need>>20, available>>20, fit)
}

// availableMemory is MemAvailable of /proc/meminfo in bytes.
func availableMemory(meminfo string) (int64, error) {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read available memory: %w", err)
			}
			return kb << 10, nil
		}
	}
	return 0, errors.New("read available memory: /proc/meminfo has no MemAvailable")
}

// checkInotify compares the sidecars with the user's inotify instances. Real root gives
// each pod a user id of its own, so that the limit holds for each pod alone.
func checkInotify(sidecars int) error {
	if sandbox.Privileged() {
		return nil
	}
	budget, err := runtime.InotifyBudget()
	if err != nil {
		return err
	}
	if sidecars <= budget.Sidecars {
		return nil
	}
	return fmt.Errorf("not enough inotify instances for %d real sidecars: fs.inotify.max_user_instances is %d for each user, "+
		"%d are in use, and a sidecar takes two, so that %d sidecars fit; ask for fewer (--real), run as root, or raise it: "+
		"sudo sysctl -w fs.inotify.max_user_instances=%d",
		sidecars, budget.Max, budget.Used, budget.Sidecars, budget.Used+2*sidecars+64)
}

// checkDisk wants room for logs and dumps in dir.
func checkDisk(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("read free space of %s: %w", dir, err)
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < diskBytes {
		return fmt.Errorf("not enough disk space in %s: %d Mi are free, %d Mi are needed", dir, free>>20, int64(diskBytes)>>20)
	}
	return nil
}
