package reports

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// section is a table with a title, of which Markdown and HTML print the same.
type section struct {
	title  string
	header []string
	rows   [][]string
}

// numbers says of each column whether it holds nothing but numbers.
func (s section) numbers() []bool {
	all := make([]bool, len(s.header))
	for i := range all {
		all[i] = true
		for _, row := range s.rows {
			all[i] = all[i] && (row[i] == "" || strings.ContainsAny(row[i][:1], "0123456789+-"))
		}
	}
	return all
}

func (r *Report) expectationTable() section {
	var rows [][]string
	for _, s := range r.Steps {
		for _, e := range s.Expectations {
			got, mark := "-", markDiffer
			if e.Got != nil {
				got = fmt.Sprintf("%+d", *e.Got)
			}
			if e.OK {
				mark = markEqual
			}
			rows = append(rows, []string{s.Name, e.What, fmt.Sprintf("%+d", e.Want), got, mark})
		}
	}
	return section{"Expectations: changes against the first step", []string{"step", "what", "want", "got", ""}, rows}
}

// detailTables are the figures behind the table of steps.
func (r *Report) detailTables() (config, memory, istiod, work section) {
	config = section{title: "Configuration of the witness", header: []string{"step", "clusters", "listeners", "filter chains", "route configurations", "virtual hosts", "endpoints", "config_dump kB", "witness"}}
	memory = section{title: "Sidecars that were never dumped", header: []string{"step", "workload", "sidecars", "median Mi", "min Mi", "max Mi", "median CPU m", "allocated by Envoy Mi", "held by pilot-agent Mi"}}
	istiod = section{title: "istiod: memory at each step's end, work in each step", header: []string{"step", "proxies", "memory Mi", "CPU s", "pushes", "mean push ms", "mean convergence ms"}}
	work = section{title: "Steps", header: []string{"step", "what was done", "real sidecars", "settle s", "step s"}}
	for _, s := range r.Steps {
		if o := s.ConfigObjects; o != nil {
			row := []string{s.Name}
			for _, k := range configKinds(*o) {
				row = append(row, fmt.Sprint(k.count))
			}
			config.rows = append(config.rows, append(row, fmt.Sprintf("%.1f", float64(s.ConfigDumpBytes)/1e3), s.Witness))
		}
		sidecars := func(workload string, m Memory) []string {
			return []string{s.Name, workload, fmt.Sprint(m.Samples), mib(m.MedianBytes), mib(m.MinBytes), mib(m.MaxBytes), "", "", ""}
		}
		if s.Memory.Samples > 0 {
			workload := "all"
			if len(s.Workloads) == 1 {
				workload = s.Workloads[0].Name
			}
			all := sidecars(workload, s.Memory)
			all[6] = fmt.Sprintf("%.1f", float64(s.CPU.MedianNano)/1e6)
			if s.EnvoyAllocated.Samples > 0 {
				all[7] = mib(s.EnvoyAllocated.MedianBytes)
			}
			if s.AgentHeld.Samples > 0 {
				all[8] = mib(s.AgentHeld.MedianBytes)
			}
			memory.rows = append(memory.rows, all)
		}
		if len(s.Workloads) > 1 {
			for _, wl := range s.Workloads {
				memory.rows = append(memory.rows, sidecars(wl.Name, wl.Memory))
			}
		}
		if i := s.Istiod; i != nil {
			row := []string{s.Name, fmt.Sprint(i.Proxies), mib(i.MemoryBytes), "-", "-", "-", "-"}
			if d := i.Since; d != nil {
				var pushes []string
				for _, kind := range slices.Sorted(maps.Keys(d.Pushes)) {
					pushes = append(pushes, fmt.Sprintf("%s %.0f", kind, d.Pushes[kind]))
				}
				row = append(row[:3], fmt.Sprintf("%.1f", d.CPUSeconds), strings.Join(pushes, ", "),
					fmt.Sprintf("%.1f", d.MeanPushSeconds*1e3), fmt.Sprintf("%.1f", d.MeanConvergenceSeconds*1e3))
			}
			istiod.rows = append(istiod.rows, row)
		}
		row := []string{s.Name, s.Do, "-", "-", fmt.Sprintf("%.0f", s.Seconds)}
		if o := s.Objects; o != nil {
			row[2] = fmt.Sprintf("%d of %d", o.RealSidecars, o.Sidecars)
		}
		if s.Settle != nil {
			row[3] = fmt.Sprintf("%.0f", s.Settle.Seconds)
		}
		work.rows = append(work.rows, row)
	}
	return config, memory, istiod, work
}

func (r *Report) eventTable() section {
	var rows [][]string
	for _, e := range r.Events {
		rows = append(rows, []string{fmt.Sprintf("%.0f s", e.Seconds), e.Step, e.Level, e.Kind, e.Object, e.Message})
	}
	return section{"Events", []string{"at", "step", "level", "kind", "object", "message"}, rows}
}

// environmentTable is everything that memory depends on.
func (r *Report) environmentTable() section {
	env := r.Environment
	rows := [][]string{
		{"run", r.Run},
		{"started", r.Started.UTC().Format(time.RFC3339)},
		{"took", fmt.Sprintf("%.0f s", r.Seconds)},
		{"meshbench", env.Meshbench},
		{"command", strings.Join(env.Command, " ")},
		{"host", fmt.Sprintf("%s, Linux %s, %d CPUs, %.1f Gi, root: %t", env.Host.OS, env.Host.Kernel, env.Host.CPUs, float64(env.Host.Memory)/(1<<30), env.Host.Root)},
		{"cluster", env.Cluster.Provider + ", Kubernetes " + env.Cluster.Kubernetes},
		{"simulated", strings.Join(env.Cluster.Simulated, "; ")},
		{"memory is read from", env.Cluster.MemorySource},
		{"limits are enforced by", env.Cluster.LimitsEnforcedBy},
		{"Istio", env.Mesh.Istio + ", charts " + env.Mesh.Charts},
		{"Envoy", strings.Join(append([]string{env.Mesh.Envoy}, r.EnvoyBuilds...), ", ")},
		{"xDS", env.Mesh.XDS},
		{"Envoy worker threads", fmt.Sprint(env.Mesh.Workers)},
	}
	if held := env.Cluster.Objects; len(held) > 0 {
		rows = append(rows, []string{"held before the mesh", strings.Join(held, "; ")})
	}
	for _, name := range slices.Sorted(maps.Keys(env.Parameters)) {
		rows = append(rows, []string{"parameter " + name, fmt.Sprint(env.Parameters[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(env.Components)) {
		rows = append(rows, []string{"component " + name, env.Components[name]})
	}
	if r.Harness != nil {
		rows = append(rows, []string{"cost of meshbench", costText(r.Harness)})
	}
	if r.ControlPlane != nil {
		rows = append(rows, []string{"cost of the control plane", costText(r.ControlPlane)})
	}
	return section{"Environment", []string{"what", "value"}, rows}
}

// dumpLink is a raw answer of a proxy, beside the log.
type dumpLink struct {
	Step, Pod, Kind string
	Path            string // relative to the run's folder
}

// dumps are the raw answers that the run kept, in the log's order.
func (r *Report) dumps() []dumpLink {
	var links []dumpLink
	for _, s := range r.Steps {
		for _, p := range s.Proxies {
			for _, kind := range slices.Sorted(maps.Keys(p.Dumps)) {
				links = append(links, dumpLink{s.Name, p.Namespace + "/" + p.Pod, kind, p.Dumps[kind]})
			}
		}
	}
	return links
}
