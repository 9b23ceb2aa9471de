package e2e

import (
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The suite's own things, made once in BeforeSuite.
var (
	// work is a folder that every user may enter; the runs' folders are in it.
	work string
	// binary is the built program, at a path of its own, so that its processes are known.
	binary string
	// istioctl and kubectl are the judges.
	istioctl, kubectl string
	// invoker is who runs the suite.
	invoker *identity
	// random chooses moments; Ginkgo prints its seed and takes it with -ginkgo.seed.
	random *rand.Rand
	// host is what the machine looked like before.
	host hostState
)

func TestE2E(t *testing.T) {
	if os.Getenv("MESHBENCH_E2E") == "" && os.Getenv(kindVariable) == "" {
		t.Skip("takes a quarter of an hour: set MESHBENCH_E2E=1, or run make test")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "meshbench on the embedded cluster")
}

var _ = BeforeSuite(func() {
	random = rand.New(rand.NewSource(GinkgoRandomSeed()))
	var err error
	work, err = os.MkdirTemp("", "meshbench-e2e-")
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chmod(work, 0o755)).To(Succeed())
	host = readHost()

	binary = filepath.Join(work, "meshbench")
	out, err := exec.Command("go", "build", "-o", binary, "../cmd/meshbench").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))

	invoker = &identity{name: "the invoking user", uid: os.Getuid(), dir: filepath.Join(work, "invoker"), env: os.Environ()}
	Expect(os.Mkdir(invoker.dir, 0o755)).To(Succeed())

	By("obtaining the components, which may take a quarter of an hour the first time")
	invoker.run(30*time.Minute, "components").succeeds()
	for _, line := range strings.Split(strings.TrimSpace(invoker.run(15*time.Minute, "components", "kubectl", "istioctl").succeeds()), "\n") {
		fields := strings.Fields(line) // name, version, path
		Expect(fields).To(HaveLen(3), line)
		switch fields[0] {
		case "kubectl":
			kubectl = fields[2]
		case "istioctl":
			istioctl = fields[2]
		}
	}
	Expect(kubectl).To(BeAnExistingFile())
	Expect(istioctl).To(BeAnExistingFile())
})

var _ = AfterSuite(func() {
	for _, c := range started {
		c.kill()
	}
	if failed {
		fmt.Printf("the runs' folders are kept in %s\n", work)
		return
	}
	Expect(os.RemoveAll(work)).To(Succeed())
})

// failed says that some spec did.
var failed bool

// A failure shows what the last commands of its spec said.
var _ = ReportAfterEach(func(report SpecReport) {
	if !report.Failed() {
		return
	}
	failed = true
	for _, c := range started[max(0, len(started)-2):] {
		fmt.Println(c.story())
	}
})
