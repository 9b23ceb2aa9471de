package reports

import (
	"encoding/csv"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/meshbench/meshbench/reports/growth"
)

// CSV prints one row for each step and metric, after one that says whether the run was
// finished, which is of no step. Counts are rows, without istioctl's
// header line; where lines were published, the published columns are one less too.
// Metrics that were not read have no row. subject is the workload or type that a
// metric is of, where it is not of the whole step. Rows of growth with revisions come last;
// they are of no step, either.
func CSV(w io.Writer, r *Report) error {
	out := csv.NewWriter(w)
	out.Write([]string{"run", "scenario", "step", "name", "metric", "subject", "value", "unit", "published", "published_high", "match"})
	out.Write([]string{r.Run, r.Scenario, "", "", "finished", "", number(one(r.Finished)), "", "", "", ""})
	for _, s := range r.Steps {
		row := func(metric, subject string, value float64, unit string) {
			line := []string{r.Run, r.Scenario, strconv.Itoa(s.Number), s.Name, metric, subject, number(value), unit, "", "", ""}
			if f, ok := s.published(metric); ok {
				scale, less := 1.0, 0.0
				switch f.Unit {
				case unitMi:
					scale = mi
				case unitLines:
					less = 1
				}
				line[8] = number(f.Published*scale - less)
				if f.PublishedHigh != 0 {
					line[9] = number(f.PublishedHigh * scale)
				}
				line[10] = strconv.FormatBool(f.Match)
			}
			out.Write(line)
		}
		row("measured", "", one(s.Measured), "")
		if r.Growth != nil {
			if n, ok := r.Growth.At(s.Name); ok {
				row("revisions", "", float64(n), "")
			}
		}
		row("settled", "", one(s.Settled), "")
		for _, what := range objectCounts {
			if n, ok := s.count(what); ok {
				row(what, "", float64(n), "")
			}
		}
		if s.Objects != nil {
			row("sidecars", "", float64(s.Objects.Sidecars), "")
			row("realSidecars", "", float64(s.Objects.RealSidecars), "")
		}
		for _, what := range rowCounts {
			if n, ok := s.count(what); ok {
				row(what, "", float64(n), unitRows)
			}
		}
		if s.ConfigObjects != nil {
			for _, k := range configKinds(*s.ConfigObjects) {
				row("config."+k.name, "", float64(k.count), "")
			}
			row("configDump", "", float64(s.ConfigDumpBytes), "bytes")
		}
		memory := func(metric, subject string, m Memory) {
			if m.Samples == 0 {
				return
			}
			row(metric, subject, float64(m.MedianBytes), "bytes")
			row(metric+".min", subject, float64(m.MinBytes), "bytes")
			row(metric+".max", subject, float64(m.MaxBytes), "bytes")
			row(metric+".samples", subject, float64(m.Samples), "")
		}
		memory("memory", "", s.Memory)
		memory("witnessMemory", "", s.WitnessMemory)
		for _, wl := range s.Workloads {
			memory("workloadMemory", wl.Name, wl.Memory)
		}
		memory("envoyAllocated", "", s.EnvoyAllocated)
		memory("agentHeld", "", s.AgentHeld)
		if s.CPU.Samples > 0 {
			row("cpu", "", float64(s.CPU.MedianNano), "nanocores")
		}
		if i := s.Istiod; i != nil {
			row("istiod.memory", "", float64(i.MemoryBytes), "bytes")
			row("istiod.resident", "", float64(i.ResidentBytes), "bytes")
			row("istiod.proxies", "", float64(i.Proxies), "")
			if w := i.Since; w != nil {
				row("istiod.cpu", "", w.CPUSeconds, "seconds")
				for _, kind := range slices.Sorted(maps.Keys(w.Pushes)) {
					row("istiod.pushes", kind, w.Pushes[kind], "")
				}
				row("istiod.meanPush", "", w.MeanPushSeconds, "seconds")
				row("istiod.meanConvergence", "", w.MeanConvergenceSeconds, "seconds")
			}
		}
		if s.Settle != nil {
			row("settle", "", s.Settle.Seconds, "seconds")
		}
		row("step", "", s.Seconds, "seconds")
		for _, e := range s.Expectations {
			if e.Got != nil {
				row("change", e.What, float64(*e.Got), "")
				row("change.want", e.What, float64(e.Want), "")
			}
		}
	}
	if r.Growth != nil {
		r.growthCSV(out)
	}
	out.Flush()
	return out.Error()
}

// growthCSV prints growth with revisions, which is of no step; subject is the workload,
// the sidecar or the program.
func (r *Report) growthCSV(out *csv.Writer) {
	row := func(metric, subject string, value float64, unit string, published ...float64) {
		line := []string{r.Run, r.Scenario, "", "", metric, subject, number(value), unit, "", "", ""}
		for i, p := range published {
			if p > 0 {
				line[8+i] = number(p)
			}
		}
		out.Write(line)
	}
	published := r.publishedGrowth()
	slope := func(metric, subject string, s *growth.Slope, published float64) {
		if s == nil {
			return
		}
		row(metric, subject, s.BytesPerRevision, "bytes/revision", published)
		if s.Lo != nil {
			row(metric+".lo", subject, *s.Lo, "bytes/revision")
			row(metric+".hi", subject, *s.Hi, "bytes/revision")
		}
	}
	for _, w := range r.Growth.Workloads {
		if w.LimitBytes > 0 {
			row("growth.limit", w.Name, float64(w.LimitBytes), "bytes")
		}
		slope("growth", w.Name, w.Slope, published.GrowthMi*mi/float64(r.Growth.PerRevisions))
		if a := w.Account; a != nil {
			slope("growth.envoyPhysical", w.Name, a.Physical, 0)
			slope("growth.envoyHeap", w.Name, a.Heap, 0)
			slope("growth.envoyAllocated", w.Name, a.Allocated, 0)
		}
		if c := w.Configuration; c != nil {
			for _, n := range c.Rows {
				row("growth."+n.Kind, w.Name, n.PerRevision, "rows/revision")
			}
			row("growth.configDump", w.Name, c.DumpBytesPerRevision, "bytes/revision")
		}
		row("growth.kills", w.Name, float64(len(w.Kills())), "")
		for _, k := range w.Kills() {
			row("kill.after", k.Pod, float64(k.After), "revisions", float64(published.KilledBetween[0]))
			row("kill.until", k.Pod, float64(k.Until), "revisions", float64(published.KilledBetween[1]))
			row("kill.lastSample", k.Pod, float64(k.LastBytes), "bytes")
		}
	}
	for _, p := range r.Growth.Programs {
		slope("growth.program", p.Name, p.Memory, 0)
	}
}

// number prints a value without an exponent and without needless digits.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
