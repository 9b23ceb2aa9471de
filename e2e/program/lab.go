// Package program uses meshbench as its users do: it builds it, and runs its commands as one
// user or another. Suites of end-to-end tests are made of it; it fails their specs by Gomega.
package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/footprint"
)

// Lab is what one process of a suite tries the program in: what its users and commands have in
// common.
type Lab struct {
	// Work is a folder that every user may enter; the runs' folders are in it.
	Work string
	// Binary is the built program, at a path of its own, so that its processes are known.
	Binary string
	// Invoker is who runs the suite.
	Invoker *Identity

	caches   []string       // variables that name the invoking user's caches
	before   footprint.Look // what the machine was like
	ordinary *Identity      // once there is one

	mu         sync.Mutex
	commands   []*Command
	identities []*Identity
	clusters   map[string]footprint.Cluster // that are guarded, by kubeconfig
}

// BinaryEnv is the environment variable that may name a program which is built already.
const BinaryEnv = "MESHBENCH_E2E_BINARY"

// Build builds the program into a folder, or copies the one that [BinaryEnv] names, and
// returns its path there.
func Build(dir string) (string, error) {
	binary := filepath.Join(dir, "meshbench")
	if built := os.Getenv(BinaryEnv); built != "" {
		content, err := os.ReadFile(built)
		if err == nil {
			err = os.WriteFile(binary, content, 0o755)
		}
		if err != nil {
			return "", fmt.Errorf("take the program of %s: %w", BinaryEnv, err)
		}
		return binary, nil
	}
	out, err := exec.Command("go", "build", "-o", binary, "github.com/meshbench/meshbench/cmd/meshbench").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return binary, nil
}

// NewLab makes the lab of this process of the suite, which shares work and binary with the
// others.
func NewLab(work, binary string) *Lab {
	GinkgoHelper()
	l := &Lab{Work: work, Binary: binary}
	var err error
	l.caches, err = caches()
	Expect(err).NotTo(HaveOccurred())
	l.before, err = footprint.Take(context.Background(), l.mounts())
	Expect(err).NotTo(HaveOccurred())
	dir := filepath.Join(work, fmt.Sprintf("invoker-%d", GinkgoParallelProcess()))
	Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
	l.Invoker = l.NewIdentity("the invoking user", dir)
	return l
}

// caches are the variables by which commands with another home find the caches of the invoking
// user: meshbench's, and those of the go command, which builds components.
func caches() ([]string, error) {
	root := os.Getenv("MESHBENCH_CACHE")
	if root == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the user's caches: %w", err)
		}
		root = filepath.Join(dir, "meshbench")
	}
	found := []string{"MESHBENCH_CACHE=" + root}
	names := []string{"GOCACHE", "GOMODCACHE", "GOENV"}
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("ask the go command for its caches: %w", err)
	}
	for i, value := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		found = append(found, names[i]+"="+value)
	}
	return found, nil
}

// users are all identities so far.
func (l *Lab) users() []*Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.identities)
}

// Commands are all uses of the program so far, in the order of their starts.
func (l *Lab) Commands() []*Command {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.commands)
}

// Kill ends all commands that still run.
func (l *Lab) Kill() {
	for _, c := range l.Commands() {
		c.Kill()
	}
}
