package faults

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/internal/skip"
)

// suite is what the first of the suite's processes makes for all of them.
type suite struct {
	Work, Binary string
	// Version is the program's.
	Version string
}

// A process's own things, set before its first spec.
var (
	made suite
	// lab has what all users and commands have in common.
	lab *program.Lab
	// others are those of users that the spec under way has wrapped.
	others []*program.Lab
)

// nightly is the label of faults that CI does not make each time.
const nightly = "nightly"

func TestFaults(t *testing.T) {
	if os.Getenv("MESHBENCH_E2E") == "" {
		skip.Missing(t, "takes half an hour: set MESHBENCH_E2E=1, or run make faults")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "faults in runs on the embedded cluster")
}

var _ = SynchronizedBeforeSuite(func() []byte {
	if needsEngine() == "" {
		joinNodes() // before anybody looks at what there is on the machine
	}
	l := program.Prepare("mbf-")
	made.Work, made.Binary = l.Work, l.Binary
	version, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	Expect(err).NotTo(HaveOccurred())
	made.Version = strings.TrimSpace(string(version))
	data, err := json.Marshal(made)
	Expect(err).NotTo(HaveOccurred())
	return data
}, func(data []byte) {
	Expect(json.Unmarshal(data, &made)).To(Succeed())
	lab = program.NewLab(made.Work, made.Binary)
})

var _ = SynchronizedAfterSuite(func() { lab.End() }, func() { program.Remove(made.Work) })

// Whatever a spec does, nothing may be left of its commands, nor of those before.
var _ = AfterEach(func() { lab.Clean() })

// A failure shows what the last commands of its spec said.
var _ = ReportAfterEach(func(report SpecReport) {
	for _, l := range append(others, lab) {
		l.Tell(made.Work, report)
	}
	others = nil
})
