// Package program uses meshbench as its users do: it builds it, and runs its commands as one
// user or another. Suites of end-to-end tests are made of it; it fails their specs by Gomega.
package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

	host     footprint.Host // what the machine looked like before
	ordinary *Identity      // once there is one

	mu       sync.Mutex
	commands []*Command
}

// Build builds the program into a folder and returns its path there.
func Build(dir string) (string, error) {
	binary := filepath.Join(dir, "meshbench")
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
	l.host, err = footprint.ReadHost()
	Expect(err).NotTo(HaveOccurred())
	dir := filepath.Join(work, fmt.Sprintf("invoker-%d", GinkgoParallelProcess()))
	Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
	l.Invoker = l.NewIdentity("the invoking user", dir)
	return l
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
