package program

import (
	"os/exec"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Ask asks a container engine (docker, podman), which must do it, and returns what it prints.
func Ask(engine string, args ...string) string {
	GinkgoHelper()
	out, err := exec.Command(engine, args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s %s: %s", engine, strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// Held are a container engine's containers and volumes, container/NAME and volume/NAME, sorted.
func Held(engine string) []string {
	GinkgoHelper()
	held := strings.Fields(Ask(engine, "ps", "-a", "--format", "container/{{.Names}}") + "\n" + Ask(engine, "volume", "ls", "--format", "volume/{{.Name}}"))
	slices.Sort(held)
	return held
}
