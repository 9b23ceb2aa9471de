package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"

	"github.com/meshbench/meshbench/internal/childenv"
)

// machine is this machine, as far as it is asked before a cluster is made.
type machine interface {
	// run runs a program and returns its standard output; the error has the standard error.
	run(ctx context.Context, program string, args ...string) (string, error)
	// read reads a file.
	read(path string) (string, error)
}

// host is the real machine.
type host struct{}

func (host) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = childenv.Engine()
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if text := strings.TrimSpace(said.String()); text != "" {
			return "", errors.New(text) // it says more than an exit code
		}
		return "", err
	}
	return strings.TrimSpace(out.String()), nil
}

func (host) read(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// engine is a container engine, by its client program.
type engine struct {
	machine
	binary string
}

// engines are the programs that kind knows, in the order in which kind looks for them,
// with what their -v begins with: docker may be a link to podman.
var engines = []struct{ binary, banner string }{
	{"docker", "Docker version"}, {"nerdctl", "nerdctl version"}, {"finch", "finch version"}, {"podman", "podman version"},
}

// findEngine finds the container engine that kind would take, which the environment
// variable KIND_EXPERIMENTAL_PROVIDER may name.
func findEngine(ctx context.Context, m machine) (engine, error) {
	const variable = "KIND_EXPERIMENTAL_PROVIDER"
	if chosen := os.Getenv(variable); chosen != "" {
		known := []string{"docker", "nerdctl", "nerdctl.lima", "finch", "podman"}
		if !slices.Contains(known, chosen) {
			return engine{}, fmt.Errorf("%s=%s: known are %s", variable, chosen, strings.Join(known, ", "))
		}
		return engine{m, chosen}, nil
	}
	for _, e := range engines {
		if said, err := m.run(ctx, e.binary, "-v"); err == nil && strings.HasPrefix(said, e.banner) {
			return engine{m, e.binary}, nil
		}
	}
	return engine{}, errors.Join(ctx.Err(), errors.New("no container engine: install docker, podman or nerdctl (on Debian: apt install docker.io), or use --cluster embedded, which needs none"))
}

// option tells kind to use the engine.
func (e engine) option() kindcluster.ProviderOption {
	switch e.binary {
	case "docker":
		return kindcluster.ProviderWithDocker()
	case "podman":
		return kindcluster.ProviderWithPodman()
	}
	return kindcluster.ProviderWithNerdctl(e.binary)
}

// engineFacts describe an engine.
type engineFacts struct {
	arch    string // GOARCH
	cpus    int
	memory  int64  // bytes
	cgroups string // 1 or 2
	version string
}

// facts asks the engine about itself. The error says what to do when it does not answer.
func (e engine) facts(ctx context.Context) (engineFacts, error) {
	format := "{{.Architecture}} {{.NCPU}} {{.MemTotal}} {{.CgroupVersion}} {{.ServerVersion}}"
	if e.binary == "podman" {
		format = "{{.Host.Arch}} {{.Host.CPUs}} {{.Host.MemTotal}} {{.Host.CgroupsVersion}} {{.Version.Version}}"
	}
	said, err := e.run(ctx, e.binary, "info", "--format", format)
	if ctx.Err() != nil {
		return engineFacts{}, context.Cause(ctx)
	}
	if err != nil {
		if strings.Contains(strings.ToLower(err.Error()), "permission denied") {
			return engineFacts{}, fmt.Errorf("this user may not use %s: run as root, or join its group and log in again (sudo usermod -aG %[1]s $USER): %w", e.binary, err)
		}
		return engineFacts{}, fmt.Errorf("%s does not answer: start it (sudo systemctl start %[1]s): %w", e.binary, err)
	}
	words := strings.Fields(said)
	if len(words) != 5 {
		return engineFacts{}, fmt.Errorf("`%s info` says %q, which is not understood", e.binary, said)
	}
	f := engineFacts{arch: goarch(words[0]), cgroups: strings.TrimPrefix(words[3], "v"), version: words[4]}
	f.cpus, _ = strconv.Atoi(words[1])
	f.memory, _ = strconv.ParseInt(words[2], 10, 64)
	return f, nil
}

// goarch is Go's word for a machine's architecture in the words of uname.
func goarch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// imageArch is the architecture of an image that the engine has; "" when it has not.
func (e engine) imageArch(ctx context.Context, image string) string {
	arch, _ := e.run(ctx, e.binary, "image", "inspect", "--format", "{{.Architecture}}", image)
	return arch
}

// preloadedScript lists the images that a node image is delivered with.
const preloadedScript = `containerd >/dev/null 2>&1 & for i in $(seq 40); do ctr version >/dev/null 2>&1 && break; sleep 0.25; done; ctr --namespace=k8s.io images ls -q`

// preloaded are the names of the images inside a node image, which the engine has: its
// containerd is started in a container of its own and asked, as kind does when it makes one.
func (e engine) preloaded(ctx context.Context, nodeImage string) ([]string, error) {
	said, err := e.run(ctx, e.binary, "run", "--rm", "--security-opt", "seccomp=unconfined", "--entrypoint", "bash", nodeImage, "-c", preloadedScript)
	if err != nil {
		return nil, fmt.Errorf("look into node image %s: %w", nodeImage, err)
	}
	return strings.Fields(said), nil
}

// save writes an image of the engine to a file, under the name by which pods ask for it.
func (e engine) save(ctx context.Context, image, file string) error {
	full, err := canonical(image)
	if err == nil {
		_, err = e.run(ctx, e.binary, "save", "-o", file, full)
	}
	if err != nil {
		return fmt.Errorf("save image %s of %s: %w", image, e.binary, err)
	}
	return nil
}
