package e2e

import (
	"encoding/json"
	"math/rand"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/internal/skip"
)

// suite is what the first of the suite's processes makes for all of them.
type suite struct {
	// Work is a folder that every user may enter; the runs' folders are in it.
	Work string
	// Binary is the built program, at a path of its own, so that its processes are known.
	Binary string
	// Istioctl and Kubectl are the judges.
	Istioctl, Kubectl string
}

// A process's own things, set before its first spec.
var (
	// made is what there is for all.
	made suite
	// invoker is who runs the suite.
	invoker *identity
	// lab has what all users and commands have in common.
	lab *program.Lab
	// random chooses moments; Ginkgo prints its seed and takes it with --seed.
	random *rand.Rand
)

// nightly is the label of what is left out of make test for the time it takes: further
// versions to build, further ways to the same end.
const nightly = "nightly"

func TestE2E(t *testing.T) {
	if os.Getenv("MESHBENCH_E2E") == "" && os.Getenv(kindVariable) == "" {
		skip.Missing(t, "takes a quarter of an hour: set MESHBENCH_E2E=1, or run make test")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "meshbench on the embedded cluster")
}

var _ = SynchronizedBeforeSuite(func() []byte {
	l := program.Prepare("mbe-")
	made.Work, made.Binary = l.Work, l.Binary
	for _, line := range strings.Split(strings.TrimSpace(l.Invoker.Run(15*time.Minute, "components", "kubectl", "istioctl").Succeeds()), "\n") {
		fields := strings.Fields(line) // name, version, path
		Expect(fields).To(HaveLen(3), line)
		switch fields[0] {
		case "kubectl":
			made.Kubectl = fields[2]
		case "istioctl":
			made.Istioctl = fields[2]
		}
	}
	Expect(made.Kubectl).To(BeAnExistingFile())
	Expect(made.Istioctl).To(BeAnExistingFile())
	data, err := json.Marshal(made)
	Expect(err).NotTo(HaveOccurred())
	return data
}, func(data []byte) {
	Expect(json.Unmarshal(data, &made)).To(Succeed())
	random = rand.New(rand.NewSource(GinkgoRandomSeed() + int64(GinkgoParallelProcess())))
	lab = program.NewLab(made.Work, made.Binary)
	invoker = &identity{lab.Invoker}
})

var _ = SynchronizedAfterSuite(func() { lab.End() }, func() { program.Remove(made.Work) })

// Whatever a spec does, nothing may be left of its commands, nor of those before.
var _ = AfterEach(func() { lab.Clean() })

// A failure shows what the last commands of its spec said.
var _ = ReportAfterEach(func(report SpecReport) { lab.Tell(made.Work, report) })
