package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkRun runs scenarios as a user does, with the components cached, and prints
// the seconds of one run: make benchmark. The targets on two cores are 120 s for
// headless and 300 s for eks-nginx.
func BenchmarkRun(b *testing.B) {
	for _, scenario := range []string{"headless", "eks-nginx"} {
		b.Run(scenario, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command("../bin/meshbench", "run", scenario, "--out", filepath.Join(b.TempDir(), "run"))
				cmd.Stderr = os.Stderr
				if out, err := cmd.Output(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/run")
		})
	}
}
