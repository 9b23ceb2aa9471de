package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/cluster/embedded/limits"
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
	stateBytes = 16 << 20  // kubeconfig and record; what is large is in memory
	leastNodes = 1000      // of files that can still be made on a disk

	// Measured with 6 and with 30 real sidecars on two cores: the threads of this program, the
	// control plane, istiod and metrics-server were 92, those of a sidecar 19; of inotify
	// instances of one user the API server has 6, the controller manager and metrics-server one;
	// the busiest process, this program's own, has 100 files open and 8 more for each sidecar.
	// With more cores there are more threads.
	planeThreads   = 150
	sidecarThreads = 25
	planeInotify   = 10
	planeFiles     = 150
	sidecarFiles   = 8
	lightFiles     = 2
	// addressBytes is what etcd reserves, of which most is never used.
	addressBytes = 12 << 30
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
		checkMemory(limits.Machine{}, spec.Sidecars, spec.LightProxies),
		checkInotify(spec.Sidecars),
		checkProcesses(limits.Machine{}, spec.Sidecars),
		checkFiles(spec.Sidecars, spec.LightProxies),
		checkAddressSpace(),
		checkDisk(os.TempDir(), stateBytes, "set TMPDIR to a folder on a larger disk"),
	)
	if spec.Dir != "" {
		errs = append(errs, checkDisk(spec.Dir, diskBytes, "choose another folder with --out"))
	}
	return errors.Join(errs...)
}
