package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
)

// report is report.json in the shape that is promised to its readers.
type report struct {
	Scenario, Cluster, Istio, Envoy string
	Finished                        bool
	Steps                           []step
}

type step struct {
	Name            string
	Objects         struct{ Nodes, Pods, Services int }
	Rows            rows
	ConfigObjects   map[string]int
	ConfigDumpBytes int64
	Memory          memory
	WitnessMemory   memory
	EnvoyAllocated  memory
	AgentHeld       memory
	Settled         bool
	Metrics         map[string]struct{ Value float64 }
	Profiles        []struct {
		Kind, Path string
		Top        []struct {
			Name string
			Flat int64
		}
	}
	Expectations []struct {
		What string
		Want int
		Got  *int
		OK   bool
	}
}

type rows struct{ Cluster, Listener, Route, Endpoint int }

type memory struct {
	MedianBytes, MinBytes, MaxBytes int64
	Samples                         int
}

// report reads the run's report.json.
func (c *command) report() report {
	GinkgoHelper()
	data, err := os.ReadFile(filepath.Join(c.Out, "report.json"))
	Expect(err).NotTo(HaveOccurred())
	var r report
	Expect(json.Unmarshal(data, &r)).To(Succeed())
	return r
}

// counts are the rows of all steps.
func (r report) counts() []rows {
	var all []rows
	for _, s := range r.Steps {
		all = append(all, s.Rows)
	}
	return all
}

// agreesWithIstioctl compares the rows of every dump that a run kept with what the real
// istioctl prints for it, and returns how many dumps there were.
func (c *command) agreesWithIstioctl() int {
	GinkgoHelper()
	records, truncated, err := observations.ReadFile(filepath.Join(c.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	Expect(truncated).To(BeFalse())
	dumps := 0
	for _, record := range records {
		p := record.Proxy
		if p == nil {
			continue
		}
		dumps++
		config, clusters := filepath.Join(c.Out, p.Dumps["config_dump"]), filepath.Join(c.Out, p.Dumps["clusters"])
		printed := observations.Counts{
			Cluster:  printedRows("cluster", config),
			Listener: printedRows("listener", config),
			Route:    printedRows("route", config),
			Endpoint: printedRows("endpoint", clusters),
		}
		Expect(p.Rows).To(Equal(printed), "rows of %s/%s in %s against istioctl's", p.Namespace, p.Pod, config)
	}
	return dumps
}

// printedRows counts what `istioctl proxy-config` prints for a dump, without the header.
func printedRows(kind, dump string) int {
	GinkgoHelper()
	out, err := exec.Command(made.Istioctl, "proxy-config", kind, "--file", dump).Output()
	Expect(err).NotTo(HaveOccurred(), "istioctl proxy-config %s --file %s: %s", kind, dump, out)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return len(lines) - 1
}
