package formats

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

func expectationTable(r *reports.Report) sections.Table {
	var rows [][]string
	for _, s := range r.Steps {
		for _, e := range s.Expectations {
			number, want := "%+d", "%+d"
			if e.Text != "" {
				number, want = "%d", "at least %d"
			}
			got, mark := "unknown", markDiffer
			if e.Got != nil {
				got = fmt.Sprintf(number, *e.Got)
			}
			if e.OK {
				mark = markEqual
			}
			rows = append(rows, []string{s.Name, e.Subject(), fmt.Sprintf(want, e.Want), got, mark})
		}
	}
	return sections.Table{Title: "Expectations: changes against the first step", Header: []string{"step", "what", "want", "got", ""}, Rows: rows}
}

// detailTables are the figures behind the table of steps: a column for each metric of the
// table of metrics that has one.
func detailTables(r *reports.Report) (config, memory, istiod, work sections.Table) {
	config = metricTable(r, "Configuration of the witness", metrics.ConfigTable)
	config.Header = append(config.Header, "witness")
	for i, s := range stepsWith(r, metrics.ConfigTable) {
		config.Rows[i] = append(config.Rows[i], s.Witness)
	}
	istiod = metricTable(r, "istiod: memory at each step's end, work in each step", metrics.IstiodTable)
	work = metricTable(r, "Steps", metrics.WorkTable)
	work.Header = slices.Insert(work.Header, 1, "what was done")
	for i, s := range stepsWith(r, metrics.WorkTable) {
		work.Rows[i] = slices.Insert(work.Rows[i], 1, s.Do)
	}
	return config, sidecarTable(r), istiod, work
}

// stepsWith are the steps at which a metric of the table was read.
func stepsWith(r *reports.Report, name metrics.TableName) []reports.Step {
	columns := metrics.Columns(name)
	return slices.DeleteFunc(slices.Clone(r.Steps), func(s reports.Step) bool {
		return !slices.ContainsFunc(columns, func(m metrics.Metric) bool { _, ok := s.Metrics[m.Name]; return ok })
	})
}

// columnsOf are the metrics of a table that the report has a column for.
func columnsOf(r *reports.Report, name metrics.TableName) []metrics.Metric {
	return slices.DeleteFunc(metrics.Columns(name), func(m metrics.Metric) bool {
		return m.Rare && !slices.ContainsFunc(r.Steps, func(s reports.Step) bool { _, ok := s.Metrics[m.Name]; return ok })
	})
}

// metricTable has a row for each step and a column for each metric of the table.
func metricTable(r *reports.Report, title string, name metrics.TableName) sections.Table {
	columns := columnsOf(r, name)
	t := sections.Table{Title: title, Header: []string{"step"}}
	for _, m := range columns {
		t.Header = append(t.Header, m.Header())
	}
	for _, s := range stepsWith(r, name) {
		row := []string{s.Name}
		for _, m := range columns {
			row = append(row, cell(&s, m, "-"))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// cell is a metric at the step as a table shows it; none where it was not read.
func cell(s *reports.Step, m metrics.Metric, none string) string {
	f, ok := s.Metrics[m.Name]
	if !ok {
		return none
	}
	if m.Of == metrics.OfType {
		var parts []string
		for _, v := range f.Values {
			parts = append(parts, v.Of+" "+m.Shown.With(m.Column.Decimals, v.Value))
		}
		return strings.Join(parts, ", ")
	}
	return m.Shown.With(m.Column.Decimals, f.Value)
}

// sidecarTable has a row for each step, and where they differ for each workload: the
// spread of metrics that are given by workload, the medians of the others.
func sidecarTable(r *reports.Report) sections.Table {
	columns := columnsOf(r, metrics.SidecarTable)
	t := sections.Table{Title: "Sidecars that were never dumped", Header: []string{"step", "workload"}}
	for _, m := range columns {
		if m.ByWorkload {
			for _, what := range []string{"median", "min", "max"} {
				t.Header = append(t.Header, strings.TrimSpace(what+" "+m.Header()))
			}
		} else {
			t.Header = append(t.Header, m.Header())
		}
	}
	t.Header = slices.Insert(t.Header, 2, "sidecars")
	for _, s := range r.Steps {
		of := s.Metrics[columns[0].Name] // which is of every sidecar
		row := func(workload string, all bool) {
			cells := []string{s.Name, workload, ""}
			for _, m := range columns {
				f := s.Metrics[m.Name]
				values := f.Values
				if !all {
					values = f.Workload(workload)
				}
				switch {
				case m.ByWorkload:
					median, low, high := m.Summary(values)
					cells[2] = fmt.Sprint(len(values))
					for _, v := range []float64{median, low, high} {
						cells = append(cells, m.Shown.With(m.Column.Decimals, v))
					}
				case all:
					cells = append(cells, cell(&s, m, ""))
				default:
					cells = append(cells, "")
				}
			}
			t.Rows = append(t.Rows, cells)
		}
		workloads := of.Workloads()
		switch {
		case len(workloads) == 0:
		case len(workloads) == 1:
			row(workloads[0], true)
		default:
			row("all", true)
			for _, w := range workloads {
				row(w, false)
			}
		}
	}
	return t
}

// otherTable has a row for each step and kind of proxies that are no sidecars, and where
// they differ for each of their workloads.
func otherTable(r *reports.Report) sections.Table {
	t := sections.Table{Title: "Gateways and other proxies that are no sidecars, never dumped",
		Header: []string{"step", "kind", "workload", "proxies", "median Mi", "min Mi", "max Mi", "median CPU m"}}
	counted := slices.ContainsFunc(r.Steps, func(s reports.Step) bool {
		return slices.ContainsFunc(s.Others, func(o reports.Others) bool { return o.Rows != nil })
	})
	if counted {
		t.Header = append(t.Header, reports.RowCounts()...)
		t.Header = append(t.Header, "counted of")
	}
	row := func(s *reports.Step, kind, workload string, m reports.Memory, cpu string, of *reports.Others) {
		cells := []string{s.Name, kind, workload, "0", "", "", "", cpu}
		if m.Samples > 0 {
			cells = []string{s.Name, kind, workload, fmt.Sprint(m.Samples), words.Mib(m.MedianBytes), words.Mib(m.MinBytes), words.Mib(m.MaxBytes), cpu}
		}
		switch {
		case !counted:
		case of == nil || of.Rows == nil:
			cells = append(cells, "", "", "", "", "")
		default:
			cells = append(cells, fmt.Sprint(of.Rows.Cluster), fmt.Sprint(of.Rows.Listener), fmt.Sprint(of.Rows.Route), fmt.Sprint(of.Rows.Endpoint), of.Witness)
		}
		t.Rows = append(t.Rows, cells)
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		for _, o := range s.Others {
			workload := "all"
			if len(o.Workloads) == 1 {
				workload = o.Workloads[0].Name
			}
			if o.Memory.Samples > 0 {
				row(s, o.Kind, workload, o.Memory, fmt.Sprintf("%.1f", float64(o.CPU.MedianNano)/1e6), &o)
			} else if o.Rows != nil {
				row(s, o.Kind, workload, o.Memory, "", &o)
			}
			for _, w := range o.Workloads {
				if len(o.Workloads) > 1 {
					row(s, o.Kind, w.Name, w.Memory, "", nil)
				}
			}
		}
	}
	return t
}

// phaseTable is the wall time by kind of phase.
func phaseTable(r *reports.Report) sections.Table {
	t := sections.Table{Title: "Where the time went", Header: []string{"phase", "seconds", "share %"}}
	totals := r.Phases.Totals()
	var all float64
	for _, one := range totals {
		all += one.Seconds
	}
	for _, one := range totals {
		share := ""
		if all > 0 {
			share = fmt.Sprintf("%.0f", 100*one.Seconds/all)
		}
		t.Rows = append(t.Rows, []string{one.Kind, fmt.Sprintf("%.1f", one.Seconds), share})
	}
	return t
}

// profileTable has a row for each function that a kept profile of istiod names.
func profileTable(r *reports.Report) sections.Table {
	t := sections.Table{Title: "istiod at its peak: functions that hold or use most (flat)",
		Header: []string{"step", "profile", "taken", "flat", "share %", "function"}}
	for _, s := range r.Steps {
		for _, p := range s.Profiles {
			of := p.Kind
			if slices.ContainsFunc(s.Profiles, func(o observations.Profile) bool { return o.Pod != p.Pod }) {
				of += " of " + p.Pod
			}
			shown, taken := metrics.Mi, fmt.Sprintf("at %s Mi in use", words.Mib(p.InUseBytes))
			flat := func(v int64) float64 { return float64(v) }
			if p.Kind == observations.ProfileCPU {
				shown, taken = metrics.S, fmt.Sprintf("over %.0f s", p.Seconds)
				flat = func(v int64) float64 { return float64(v) / 1e9 }
			}
			for _, f := range p.Top {
				t.Rows = append(t.Rows, []string{s.Name, of, taken,
					shown.Format(flat(f.Flat)) + " " + string(shown), fmt.Sprintf("%.1f", 100*float64(f.Flat)/float64(p.Total)), f.Name})
			}
		}
	}
	return t
}

func eventTable(r *reports.Report) sections.Table {
	var rows [][]string
	for _, e := range r.Events {
		rows = append(rows, []string{fmt.Sprintf("%.0f s", e.Seconds), e.Step, e.Level, e.Kind, e.Object, e.Message})
	}
	return sections.Table{Title: "Events", Header: []string{"at", "step", "level", "kind", "object", "message"}, Rows: rows}
}

// forcedText says whether garbage was collected by force, which is asked for and may not be
// possible.
func forcedText(r *reports.Report) string {
	read := slices.ContainsFunc(r.Steps, func(s reports.Step) bool { _, ok := s.Metrics["istiod_live_heap_bytes"]; return ok })
	if r.Environment.ForcedGC && !read {
		return "asked for, not done: see the events"
	}
	return yesNo(r.Environment.ForcedGC)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// environmentTable is everything that memory depends on.
func environmentTable(r *reports.Report) sections.Table {
	env := r.Environment
	rows := [][]string{
		{"run", r.Run},
		{"started", r.Started.UTC().Format(time.RFC3339)},
		{"took", fmt.Sprintf("%.0f s", r.Phases.Seconds())},
		{"meshbench", env.Meshbench},
		{"command", strings.Join(env.Command, " ")},
		{"host", fmt.Sprintf("%s, Linux %s, %d CPUs, %.1f Gi, root: %t", env.Host.OS, env.Host.Kernel, env.Host.CPUs, float64(env.Host.Memory)/(1<<30), env.Host.Root)},
		{"cluster", env.Cluster.Provider + ", Kubernetes " + env.Cluster.Kubernetes},
		{"simulated", strings.Join(env.Cluster.Simulated, "; ")},
		{"memory is read from", env.WayOfReading()},
		{"garbage collected by force at each step", forcedText(r)},
		{"istiod's CPU profiled", yesNo(env.CPUProfile)},
		{"counts only", yesNo(env.CountsOnly)},
		{"limits are enforced by", env.Cluster.LimitsEnforcedBy},
		{"Istio", env.Mesh.Istio + ", charts " + env.Mesh.Charts},
		{"Envoy", strings.Join(append([]string{env.Mesh.Envoy}, r.EnvoyBuilds...), ", ")},
		{"xDS", env.Mesh.XDS},
		{"Envoy worker threads", fmt.Sprint(env.Mesh.Workers)},
	}
	for _, m := range env.Mesh.Revisions {
		rows = append(rows, []string{"revision " + m.Name, "Istio " + m.Istio})
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
	return sections.Table{Title: "Environment", Header: []string{"what", "value"}, Rows: rows}
}
