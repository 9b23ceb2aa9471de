package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	Work, Binary string
	// Version is the program's.
	Version string
	// Resumes says that runs can be gone on with.
	Resumes bool
}

// A process's own things, set before its first spec.
var (
	made suite
	// lab has what all users and commands have in common.
	lab *program.Lab
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
	var err error
	made.Work, err = os.MkdirTemp("", "mbf-")
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chmod(made.Work, 0o755)).To(Succeed())
	made.Binary, err = program.Build(made.Work)
	Expect(err).NotTo(HaveOccurred())
	who := program.NewLab(made.Work, made.Binary).Invoker
	By("obtaining the components, which may take a quarter of an hour the first time")
	who.Run(30*time.Minute, "components", "--traffic").Succeeds()
	made.Resumes = strings.Contains(who.Run(time.Minute, "run", "--help").Succeeds(), "--resume")
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

var _ = SynchronizedAfterSuite(func() {
	if lab != nil {
		lab.Kill()
		lab.Clean()
	}
}, func() {
	if _, err := os.Stat(failures()); err == nil {
		fmt.Printf("the runs' folders are kept in %s\n", made.Work)
		return
	}
	Expect(os.RemoveAll(made.Work)).To(Succeed())
})

// Whatever a spec does, nothing may be left of its commands, nor of those before.
var _ = AfterEach(func() { lab.Clean() })

// failures is a file that is there once a spec has failed in any process.
func failures() string { return filepath.Join(made.Work, "failures") }

// A failure shows what the last commands of its spec said.
var _ = ReportAfterEach(func(report SpecReport) {
	if !report.Failed() || lab == nil {
		return
	}
	_ = os.WriteFile(failures(), nil, 0o644)
	commands := lab.Commands()
	for _, c := range commands[max(0, len(commands)-2):] {
		fmt.Fprintln(GinkgoWriter, c.Story())
	}
})
