package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// The benchmarks run the built program as a user does, with the components cached: make
// benchmark. Each gives its figures by names of its own in the benchmark format; the program
// in internal/performance makes a table of them.

// Sizes of the benchmarks, after -args. The defaults are for ten minutes on two cores.
var (
	benchRuns  = flag.Int("bench.runs", 100, "runs that are reported and gated at once")
	benchLog   = flag.String("bench.log", "", "the log of a run of headless to report and gate; \"\" for the one that was benchmarked")
	benchReal  = flag.String("bench.real", "all", "real sidecars of the step of 100 pods")
	benchNodes = flag.String("bench.nodes", "50,100,200", "nodes of the three sizes of simulated pods, ten pods and five Services each")
	benchIstio = flag.Int("bench.istioctl", 10, "proxies that istioctl is asked for its four tables of; its time is scaled to 100")
)

// built is the built program.
const built = "../bin/meshbench"

// meshbench runs the program and returns what it printed and what it took.
func meshbench(tb testing.TB, args ...string) (stdout []byte, took spent) {
	tb.Helper()
	return execute(tb, built, args...)
}

// spent is what a command took. CPU is of the process and of its children that it waited for.
type spent struct{ wall, cpu time.Duration }

func (s *spent) add(o spent) { s.wall, s.cpu = s.wall+o.wall, s.cpu+o.cpu }

// execute runs a command to its end.
func execute(tb testing.TB, name string, args ...string) ([]byte, spent) {
	tb.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	begun := time.Now()
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out, spent{time.Since(begun), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
}

// headlessLog is the log of the last run of headless; nil for none yet.
var headlessLog []byte

// BenchmarkRun runs scenarios and gives the seconds of one run. The targets on two cores are
// 60 s for headless and 180 s for eks-nginx.
func BenchmarkRun(b *testing.B) {
	for _, scenario := range []string{"headless", "eks-nginx"} {
		b.Run(scenario, func(b *testing.B) {
			for b.Loop() {
				log := runOnce(b, scenario)
				if scenario == "headless" {
					headlessLog = log
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/run")
		})
	}
}

// runOnce runs a scenario and returns its log.
func runOnce(b *testing.B, scenario string, flags ...string) []byte {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "run")
	meshbench(b, append([]string{"run", scenario, "--out", dir}, flags...)...)
	log, err := os.ReadFile(filepath.Join(dir, observations.LogName))
	if err != nil {
		b.Fatal(err)
	}
	return log
}

// BenchmarkHundredRuns reports a hundred runs of headless, and gates them against a baseline
// of four: the same log in a hundred folders.
func BenchmarkHundredRuns(b *testing.B) {
	switch {
	case *benchLog != "":
		log, err := os.ReadFile(*benchLog)
		if err != nil {
			b.Fatal(err)
		}
		headlessLog = log
	case headlessLog == nil:
		headlessLog = runOnce(b, "headless")
	}
	dir := b.TempDir()
	var runs []string
	for i := range *benchRuns {
		run := filepath.Join(dir, fmt.Sprintf("run-%03d", i+1))
		if err := os.Mkdir(run, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(run, observations.LogName), headlessLog, 0o644); err != nil {
			b.Fatal(err)
		}
		runs = append(runs, run)
	}
	baseline := filepath.Join(dir, "baseline.json")
	meshbench(b, append([]string{"gate", "--baseline", baseline, "--accept", "--why", "a benchmark"}, runs[:4]...)...)
	for _, command := range []struct {
		name string
		args []string
	}{{"report", []string{"report"}}, {"gate", []string{"gate", "--baseline", baseline}}} {
		b.Run(command.name, func(b *testing.B) {
			var all spent
			for b.Loop() {
				_, took := meshbench(b, append(command.args, runs...)...)
				all.add(took)
			}
			b.ReportMetric(all.wall.Seconds()/float64(b.N), "s")
			b.ReportMetric(all.cpu.Seconds()/float64(b.N), "cpu-s")
			b.ReportMetric(float64(len(runs)), "runs")
			b.ReportMetric(float64(len(headlessLog)*len(runs)), "log-B")
		})
	}
}
