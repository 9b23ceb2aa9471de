package explanation

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/words"
)

// Subject is a configuration that can be explained.
type Subject struct {
	Attribution *proxyconfig.Attribution
	Options     Options
}

// ErrNoDumps is of a run that has no dumps.
var ErrNoDumps = errors.New("the run has no dumps: it has no witness, or was made with --metrics-only")

// Explain explains the subject. A scope is of sidecars alone: no Sidecar resource narrows what a
// gateway sees.
func (s Subject) Explain(m *costmodel.Model, scope proxyconfig.Egress) *Explanation {
	o := s.Options
	o.Scope = scope
	if !s.Attribution.Node.Sidecar() {
		o.Scope = nil
	}
	return Explain(s.Attribution, m, o)
}

// ReadFiles takes apart the configuration in a file with Envoy's answer to /config_dump;
// clusters has that to /clusters, "" for none.
func ReadFiles(configDump, clusters string) (*proxyconfig.Attribution, error) {
	dump, err := bounded.Open(configDump, bounded.Dump)
	if err != nil {
		return nil, err
	}
	defer dump.Close()
	var hosts io.Reader
	if clusters != "" {
		file, err := bounded.Open(clusters, bounded.Dump)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		hosts = file
	}
	return proxyconfig.Attribute(dump, hosts)
}

// OfRun takes apart what the witnesses of a run held: of a step, the last that has dumps by
// default, and of a workload, NAMESPACE/NAME, all by default. One of each workload is taken.
func OfRun(dir, step, workload string) ([]Subject, error) {
	records, truncated, err := observations.ReadFile(filepath.Join(dir, observations.LogName))
	if err != nil {
		return nil, err
	}
	r, err := reports.Build(records, truncated)
	if err != nil {
		return nil, err
	}
	return Of(dir, r, step, workload)
}

// Of is [OfRun] of a run whose report is built.
func Of(dir string, r *reports.Report, step, workload string) ([]Subject, error) {
	s, err := chosen(r, step)
	if err != nil {
		return nil, err
	}
	var list []Subject
	var others []string
	for _, p := range s.Proxies {
		if len(p.Dumps) == 0 || slices.ContainsFunc(list, func(x Subject) bool { return x.Options.Of == of(s, p) }) {
			continue
		}
		if workload != "" && p.Workload != workload {
			others = append(others, p.Workload)
			continue
		}
		clusters := p.Dumps["clusters"]
		if clusters != "" {
			clusters = filepath.Join(dir, clusters)
		}
		a, err := ReadFiles(filepath.Join(dir, p.Dumps["config_dump"]), clusters)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the dump of %s/%s in step %s is not in the folder (%s): copy the folder dumps next to the log", p.Namespace, p.Pod, s.Name, p.Dumps["config_dump"])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Dumps["config_dump"], err)
		}
		list = append(list, Subject{a, Options{Of: of(s, p), Measured: measured(s, p)}})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("step %s has no dump of workload %s; it has those of %s", s.Name, workload, strings.Join(others, ", "))
	}
	return list, nil
}

// of names a witness's workload in a step.
func of(s *reports.Step, p observations.Proxy) string { return p.Workload + " in step " + s.Name }

// chosen is the step of that name, or the last with dumps.
func chosen(r *reports.Report, name string) (*reports.Step, error) {
	var found *reports.Step
	var names []string
	for i := range r.Steps {
		s := &r.Steps[i]
		if !slices.ContainsFunc(s.Proxies, func(p observations.Proxy) bool { return len(p.Dumps) > 0 }) {
			if s.Name == name {
				return nil, fmt.Errorf("step %s has no dumps", name)
			}
			continue
		}
		names = append(names, s.Name)
		if name == "" || s.Name == name {
			found = s
		}
	}
	switch {
	case len(names) == 0:
		return nil, ErrNoDumps
	case found == nil:
		return nil, fmt.Errorf("the run has no step %s; steps with dumps are %s", name, strings.Join(names, ", "))
	}
	return found, nil
}

// measured is what never-dumped sidecars of the witness's workload took in the step.
func measured(s *reports.Step, p observations.Proxy) *Measured {
	if p.Kind != observations.ProxySidecar {
		return nil
	}
	var bytes []int64
	for _, c := range s.Sidecars {
		if c.Workload == p.Workload && !c.Witness && c.MemoryBytes > 0 {
			bytes = append(bytes, c.MemoryBytes)
		}
	}
	if len(bytes) == 0 {
		return nil
	}
	median, low, high := words.Spread(bytes)
	return &Measured{Step: s.Name, Sidecars: len(bytes), Median: median, Min: low, Max: high}
}
