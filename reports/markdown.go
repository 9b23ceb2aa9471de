package reports

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Markdown prints the report in GitHub's Markdown; it can be used as a step summary.
func Markdown(w io.Writer, r *Report) error {
	out := &markdown{w: bufio.NewWriter(w)}
	out.line("# %s", escape(r.title()))
	out.line("")
	out.line("**%s**", escape(r.Summary))
	out.line("")
	out.stepTable(r)
	out.section("Findings")
	for _, f := range r.Findings {
		level := ""
		if f.Level != levelInfo {
			level = "**" + f.Level + "** "
		}
		out.line("- %s%s", level, escape(f.String()))
	}
	out.expectations(r)
	out.details(r)
	out.events(r)
	out.environment(r)
	return out.w.Flush()
}

// markdown prints Markdown; the first failed write is kept by the buffer.
type markdown struct{ w *bufio.Writer }

func (m *markdown) line(format string, args ...any) { fmt.Fprintf(m.w, format+"\n", args...) }

func (m *markdown) section(title string) { m.line("\n## %s\n", title) }

// table prints a section with a table, numbers to the right; without a title the table
// alone, without rows nothing. Cells are escaped.
func (m *markdown) table(title string, header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	if title != "" {
		m.section(title)
	}
	align := make([]string, len(header))
	for i := range align {
		align[i] = "---:"
		for _, row := range rows {
			if row[i] != "" && !strings.ContainsAny(row[i][:1], "0123456789+-") {
				align[i] = "---"
			}
		}
	}
	m.line("| %s |", strings.Join(header, " | "))
	m.line("| %s |", strings.Join(align, " | "))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = escape(c)
		}
		m.line("| %s |", strings.Join(cells, " | "))
	}
}

// escape keeps text from being read as markup or as the end of a table's cell.
func escape(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "*", "\\*", "_", "\\_", "<", "&lt;", ">", "&gt;",
		"[", "\\[", "\n", " ", "\r", " ").Replace(text)
}

func (m *markdown) stepTable(r *Report) {
	var rows [][]string
	published := false
	for _, row := range r.table() {
		published = published || row.published
		cells := make([]string, len(row.cells))
		for i, c := range row.cells {
			cells[i] = c.String()
		}
		if row.published {
			cells[0] = "↳ " + cells[0]
		}
		rows = append(rows, cells)
	}
	m.table("", tableHeader, rows)
	m.line("")
	if published {
		m.line("%s  ", marksLegend)
		if r.PublishedSource != "" {
			m.line("Published: %s  ", escape(r.PublishedSource))
		}
	}
	m.line("%s  ", r.countsNote())
	m.line("Memory is of real sidecars whose configuration was never dumped; a witness is one that was.")
}

func (m *markdown) expectations(r *Report) {
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
	m.table("Expectations: changes against the first step", []string{"step", "what", "want", "got", ""}, rows)
}

func (m *markdown) details(r *Report) {
	var config, memory, istiod, work [][]string
	for _, s := range r.Steps {
		if o := s.ConfigObjects; o != nil {
			row := []string{s.Name}
			for _, k := range configKinds(*o) {
				row = append(row, fmt.Sprint(k.count))
			}
			config = append(config, append(row, fmt.Sprintf("%.1f", float64(s.ConfigDumpBytes)/1e3), s.Witness))
		}
		sidecars := func(workload string, m Memory) []string {
			return []string{s.Name, workload, fmt.Sprint(m.Samples), mib(m.MedianBytes), mib(m.MinBytes), mib(m.MaxBytes), "", ""}
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
			memory = append(memory, all)
		}
		if len(s.Workloads) > 1 {
			for _, wl := range s.Workloads {
				memory = append(memory, sidecars(wl.Name, wl.Memory))
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
			istiod = append(istiod, row)
		}
		row := []string{s.Name, s.Do, "-", "-", fmt.Sprintf("%.0f", s.Seconds)}
		if o := s.Objects; o != nil {
			row[2] = fmt.Sprintf("%d of %d", o.RealSidecars, o.Sidecars)
		}
		if s.Settle != nil {
			row[3] = fmt.Sprintf("%.0f", s.Settle.Seconds)
		}
		work = append(work, row)
	}
	m.table("Configuration of the witness", []string{"step", "clusters", "listeners", "filter chains", "route configurations", "virtual hosts", "endpoints", "config_dump kB", "witness"}, config)
	m.table("Sidecars that were never dumped", []string{"step", "workload", "sidecars", "median Mi", "min Mi", "max Mi", "median CPU m", "allocated by Envoy Mi"}, memory)
	m.table("istiod: memory at each step's end, work in each step", []string{"step", "proxies", "memory Mi", "CPU s", "pushes", "mean push ms", "mean convergence ms"}, istiod)
	m.table("Steps", []string{"step", "what was done", "real sidecars", "settle s", "step s"}, work)
}

func (m *markdown) events(r *Report) {
	var rows [][]string
	for _, e := range r.Events {
		rows = append(rows, []string{fmt.Sprintf("%.0f s", e.Seconds), e.Step, e.Level, e.Kind, e.Object, e.Message})
	}
	m.table("Events", []string{"at", "step", "level", "kind", "object", "message"}, rows)
}

func (m *markdown) environment(r *Report) {
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
	m.table("Environment", []string{"what", "value"}, rows)
	if env.Mesh.Values != "" {
		m.line("\nHelm values:\n\n```yaml\n%s\n```", strings.TrimRight(env.Mesh.Values, "\n"))
	}
	var dumps []string
	for _, s := range r.Steps {
		for _, p := range s.Proxies {
			for _, kind := range slices.Sorted(maps.Keys(p.Dumps)) {
				dumps = append(dumps, fmt.Sprintf("- %s, %s/%s: [%s](<%s>)", escape(s.Name), escape(p.Namespace), escape(p.Pod), escape(kind), p.Dumps[kind]))
			}
		}
	}
	if len(dumps) > 0 {
		m.section("Raw dumps")
		m.line("%s", strings.Join(dumps, "\n"))
	}
}
