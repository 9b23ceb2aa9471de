package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/internal/reliability"
)

var _ = Describe("time", func() {
	// A machine's clock is nobody's to set; the parts that take time are asked in a time of
	// their own.
	It("a step of the harness's own clock (unit tests)", Label(ofResource), func() {
		unit("a step of the harness's own clock (in a simulated time, by unit tests)", "./harness", "TestClock|TestSettleAnew|TestSteady",
			"the clock was set ahead and back by an hour and by seconds while a step settles", "the step is said, and what is waited for is waited for anew")
	})
	It("Go modules that were changed after their download (unit tests)", Label(ofResource), func() {
		unit("Go modules that were changed after their download (by unit tests)", "./harness/components", "TestChangedModules",
			"source of a module in the go command's cache was changed", "is not what was downloaded; nothing is made of it")
	})
})

// unit makes a row of a fault that is made in unit tests.
func unit(name, pkg, tests, did, said string) {
	GinkgoHelper()
	out, err := exec.Command("go", "test", "-count=1", "-run", "^("+tests+")$", "-v", "../../"+strings.TrimPrefix(pkg, "./")).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	Expect(strings.Count(string(out), "\n--- PASS: ")+strings.Count(string(out), "=== RUN")).To(BeNumerically(">", 1), string(out))
	Expect(string(out)).NotTo(ContainSubstring("--- SKIP"))
	keep(name, did, said)
}

// keep keeps the row of a fault that unit tests have made.
func keep(name, did, said string) {
	GinkgoHelper()
	Expect(os.MkdirAll(filepath.Dir(resultsFile()), 0o755)).To(Succeed())
	Expect(reliability.Append(resultsFile(), reliability.Result{
		Name: name, Kind: ofResource, Stage: "unit test", Did: did, Outcome: reliability.Completed, Said: said,
		Seed: GinkgoRandomSeed(), Passed: true, Time: time.Now().UTC(), Version: made.Version,
	})).To(Succeed())
}
