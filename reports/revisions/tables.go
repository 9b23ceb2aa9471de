package revisions

import (
	"cmp"
	"fmt"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/growth"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// topic is growth as its section tells it.
type topic struct{ *growth.Growth }

// per is a growth in bytes a revision, in Mi for the number of revisions that growth is
// told for.
func (g topic) per(bytes float64) float64 { return bytes * float64(g.PerRevisions) / words.Mi }

// slopeText is a slope with its interval, in Mi.
func (g topic) slopeText(s *growth.Slope) (slope, interval string) {
	slope = fmt.Sprintf("%.1f", g.per(s.BytesPerRevision))
	if s.Lo != nil {
		interval = fmt.Sprintf("%.1f to %.1f", g.per(*s.Lo), g.per(*s.Hi))
	}
	return slope, interval
}

// between are the revisions at which a container ended.
func between(after, until int) string {
	if after == until {
		return fmt.Sprintf("at %d revisions", until)
	}
	return fmt.Sprintf("between %d and %d revisions", after, until)
}

// published is what was published of growth; never nil.
func (g topic) published() *observations.PublishedGrowth {
	if p := g.Published; p != nil {
		return p
	}
	return &observations.PublishedGrowth{}
}

// happened is what became of a workload, in short.
func happened(w *growth.Workload) string {
	k, killed := w.Kill()
	switch {
	case killed && w.Outcome == growth.KilledAgain:
		return fmt.Sprintf("killed %s, and again at its start", between(k.After, k.Until))
	case killed:
		return "killed " + between(k.After, k.Until)
	case w.Outcome == growth.Restarted:
		return fmt.Sprintf("restarted (%s)", w.Ends[0].Reason)
	}
	return "survived"
}

// summary sets the workloads side by side, and beneath them what was published. The
// last column may be long.
func (g topic) summary() sections.Table {
	t := sections.Table{Title: "Growth with revisions", Header: []string{"workload", "limit Mi", fmt.Sprintf("Mi per %d revisions", g.PerRevisions),
		"95 % interval", "memory Mi", "at revisions", "what happened"}}
	for i := range g.Workloads {
		w := &g.Workloads[i]
		row := []string{words.Workload(w.Name), words.Limit(w.LimitBytes), "-", "-", "-", "-", happened(w)}
		if w.Slope != nil {
			row[2], row[3] = g.slopeText(w.Slope)
			row[3] = cmp.Or(row[3], "- (two points)")
		}
		if p, ok := w.Last(); ok {
			row[4], row[5] = words.Mib(p.MemoryBytes), fmt.Sprint(p.Revisions)
		}
		t.Rows = append(t.Rows, row)
	}
	p := g.published()
	if p.GrowthMi > 0 {
		row := []string{"published", "-", fmt.Sprintf("%g", p.GrowthMi), "-", "-", "-", "-"}
		if p.KilledAtMi > 0 {
			row[1] = fmt.Sprintf("%g", p.KilledAtMi)
		}
		if p.KilledBetween != [2]int{} {
			row[6] = "killed " + between(p.KilledBetween[0], p.KilledBetween[1])
		}
		t.Rows = append(t.Rows, row)
	}
	if p.SurvivesAtMi > 0 {
		row := []string{"published", fmt.Sprintf("%g", p.SurvivesAtMi), "-", "-", "-", "-", "survived"}
		if p.SurvivesMi > 0 {
			row[4] = fmt.Sprintf("%g", p.SurvivesMi)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// notes say what the table of growth is made of.
func (g topic) notes() []string {
	made := map[string]string{
		"shape":   "Revisions are the objects that Knative makes of them, without Knative.",
		"knative": "Revisions were made by Knative Serving.",
	}[g.Mode]
	notes := []string{cmp.Or(made, "Revisions: "+g.Mode+".")}
	notes = append(notes, "The slope is that of the least-squares line through the medians at the settled steps. Sidecars whose container restarted are left out. The interval shows how straight the growth of this run is, not what another run would give.")
	for _, w := range g.Workloads {
		if w.Witness {
			notes = append(notes, words.Workload(w.Name)+" has no sidecar that was never dumped: its figures are of witnesses, which a dump makes larger.")
		}
	}
	if p := g.published(); p.Source != "" {
		notes = append(notes, "Published: "+p.Source)
	}
	return notes
}

// endTable lists the ends of sidecars: of each pod the first, and how many came after it.
func (g topic) endTable() sections.Table {
	t := sections.Table{Title: "Killed or restarted sidecars", Header: []string{"at", "step", "pod", "why", "limit Mi", "last sample Mi", "revisions", "again", "after the restart"}}
	for _, w := range g.Workloads {
		seen := map[string]bool{}
		for _, e := range w.Ends {
			if seen[e.Pod] {
				continue // Again counts it
			}
			seen[e.Pod] = true
			pod, last := e.Pod, "-"
			if e.Witness {
				pod += " (witness)"
			}
			if e.LastBytes > 0 {
				last = words.Mib(e.LastBytes)
			}
			revisions := fmt.Sprint(e.Until)
			if e.After != e.Until {
				revisions = fmt.Sprintf("%d-%d", e.After, e.Until)
			}
			t.Rows = append(t.Rows, []string{fmt.Sprintf("%.0f s", e.Seconds), e.Step, pod, e.Reason, words.Limit(e.LimitBytes), last, revisions, fmt.Sprint(e.Again), then(e)})
		}
	}
	return t
}

// then is what became of the container that was started after another's end.
func then(e growth.End) string {
	switch {
	case e.SurvivedStart == nil:
		return "the log does not tell what became of it"
	case !*e.SurvivedStart:
		return "did not survive its start"
	case e.ThenBytes > 0:
		return fmt.Sprintf("survived its start, %s Mi at %d revisions", words.Mib(e.ThenBytes), e.ThenRevisions)
	}
	return "survived its start"
}

// pointTable lists what was fitted.
func (g topic) pointTable() sections.Table {
	t := sections.Table{Title: "Memory by number of revisions", Header: []string{"workload", "step", "revisions", "sidecars", "memory Mi", "line Mi", "in the fit"}}
	for _, w := range g.Workloads {
		for _, p := range w.Points {
			row := []string{words.Workload(w.Name), p.Step, fmt.Sprint(p.Revisions), fmt.Sprint(p.Sidecars), words.Mib(p.MemoryBytes), "-", "yes"}
			if w.Slope != nil {
				row[5] = fmt.Sprintf("%.1f", w.Slope.At(float64(p.Revisions))/words.Mi)
			}
			switch {
			case p.Restarted:
				row[6] = "no: restarted"
			case !p.Settled:
				row[6] = "no: not quiet"
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// rowsTable says what a revision adds to a proxy's configuration.
func (g topic) rowsTable() sections.Table {
	t := sections.Table{Title: "Configuration for each revision", Header: []string{"workload", "witness", "cluster", "listener", "route", "endpoint", "config_dump kB"}}
	for _, w := range g.Workloads {
		c := w.Configuration
		if c == nil {
			continue
		}
		row := []string{words.Workload(w.Name), c.Pod}
		for _, n := range c.Rows {
			row = append(row, rowsGrowth(n))
		}
		t.Rows = append(t.Rows, append(row, fmt.Sprintf("%.1f", c.DumpBytesPerRevision/1e3)))
	}
	return t
}

// rowsGrowth is the growth of rows in words: "2 exactly, +6 once (r200)".
func rowsGrowth(n growth.Rows) string {
	if !n.Exact {
		return fmt.Sprintf("%.3f on average", n.PerRevision)
	}
	text := fmt.Sprintf("%.0f exactly", n.PerRevision)
	for _, o := range n.Once {
		text += fmt.Sprintf(", %+d once (%s)", o.Change, o.Step)
	}
	return text
}

// holderTables say what holds the memory of a revision, by the workload that grew most.
func (g topic) holderTables() []sections.Table {
	w := g.Grows()
	if w == nil {
		return nil
	}
	memory := sections.Table{Title: "What holds the memory of a revision: " + words.Workload(w.Name), Header: []string{"what", "objects", "KiB", "95 % interval", "share of the growth"}}
	row := func(what, objects string, bytes, lo, hi float64) {
		cells := []string{what, objects, fmt.Sprintf("%.1f", bytes/words.Ki), "-", "-"}
		if lo != hi {
			cells[3] = fmt.Sprintf("%.1f to %.1f", lo/words.Ki, hi/words.Ki)
		}
		if s := w.Slope.BytesPerRevision; s > 0 {
			cells[4] = fmt.Sprintf("%.0f %%", 100*bytes/s)
		}
		memory.Rows = append(memory.Rows, cells)
	}
	slope := func(what string, s *growth.Slope) {
		switch {
		case s == nil:
		case s.Lo == nil:
			row(what, "-", s.BytesPerRevision, 0, 0)
		default:
			row(what, "-", s.BytesPerRevision, *s.Lo, *s.Hi)
		}
	}
	slope("working set", w.Slope)
	account := sections.Table{Title: "Envoy's own account: " + words.Workload(w.Name), Header: []string{"step", "revisions", "working set Mi", "physical Mi", "heap Mi", "allocated Mi"}}
	if a := w.Account; a != nil {
		of := ""
		if a.Witness {
			of = "witness: "
			account.Title += ", the witness"
			slope(of+"working set", a.Memory)
		}
		slope(of+"held by Envoy's allocator", a.Physical)
		slope(of+"Envoy's heap", a.Heap)
		slope(of+"allocated by Envoy", a.Allocated)
		for _, p := range a.Points {
			account.Rows = append(account.Rows, []string{p.Step, fmt.Sprint(p.Revisions), words.Mib(p.MemoryBytes), words.Mib(p.PhysicalBytes), words.Mib(p.HeapBytes), words.Mib(p.AllocatedBytes)})
		}
	}
	if p := w.Prediction; p != nil {
		if p.Unknown == "" {
			row("by the cost model", "-", p.BytesPerRevision, p.Lo, p.Hi)
		}
		for _, g := range p.Groups {
			objects := fmt.Sprintf("%.4g", g.ObjectsPerRevision)
			if g.Unknown != "" {
				memory.Rows = append(memory.Rows, []string{"of it " + g.Name, objects, "-", g.Unknown, "-"})
				continue
			}
			row("of it "+g.Name, objects, g.BytesPerRevision, g.Lo, g.Hi)
		}
	}
	stats := sections.Table{Title: "Envoy's statistics for each revision: " + words.Workload(w.Name), Header: []string{"of", "statistics", "share"}}
	for _, s := range w.Configuration.Stats {
		stats.Rows = append(stats.Rows, []string{s.Of, fmt.Sprintf("%.4g", s.PerRevision), fmt.Sprintf("%.1f %%", 100*s.Share)})
	}
	return []sections.Table{memory, account, stats}
}

func (g topic) reconnectTable() sections.Table {
	t := sections.Table{Title: "Reconnections to istiod", Header: []string{"at", "step", "pod", "revisions", "before Mi", "after Mi", "revisions meanwhile", "not explained by them Mi", "mesh"}}
	for _, c := range g.Reconnects {
		row := []string{fmt.Sprintf("%.0f s", c.Seconds), c.Step, c.Pod, fmt.Sprintf("%.0f", c.Revisions), "-", "-", "-", "-", "busy"}
		if c.Quiet {
			row[8] = "quiet"
		}
		if step, ok := c.StepBytes(); ok {
			row[4], row[5] = words.Mib(c.BeforeBytes), words.Mib(c.AfterBytes)
			row[6], row[7] = fmt.Sprintf("%.0f", c.Came), fmt.Sprintf("%+.1f", step/words.Mi)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// programTable is the control plane by number of revisions.
func (g topic) programTable() sections.Table {
	t := sections.Table{Title: "Control plane by number of revisions: memory at each step's end, CPU in each step", Header: []string{"step", "revisions"}}
	slopes := []string{fmt.Sprintf("per %d revisions", g.PerRevisions), "-"}
	at := map[string]int{} // row of a step
	width := 2
	for _, p := range g.Programs {
		istiod := p.Name == "istiod"
		t.Header = append(t.Header, p.Name+" Mi", p.Name+" CPU s")
		add := []string{"-", "-"}
		if p.Memory != nil {
			add[0] = fmt.Sprintf("%+.1f", g.per(p.Memory.BytesPerRevision))
		}
		if istiod {
			t.Header = append(t.Header, "pushes", "mean push ms")
			add = append(add, "-", "-")
		}
		slopes = append(slopes, add...)
		for _, q := range p.Points {
			i, ok := at[q.Step]
			if !ok {
				i = len(t.Rows)
				at[q.Step] = i
				t.Rows = append(t.Rows, []string{q.Step, fmt.Sprint(q.Revisions)})
			}
			for len(t.Rows[i]) < width {
				t.Rows[i] = append(t.Rows[i], "-")
			}
			t.Rows[i] = append(t.Rows[i], words.Mib(q.MemoryBytes), fmt.Sprintf("%.1f", q.CPUSeconds))
			if istiod {
				t.Rows[i] = append(t.Rows[i], fmt.Sprintf("%.0f", q.Pushes), fmt.Sprintf("%.1f", q.PushSeconds*1e3))
			}
		}
		width = len(t.Header)
	}
	if len(t.Rows) == 0 {
		return t
	}
	for i := range t.Rows {
		for len(t.Rows[i]) < width {
			t.Rows[i] = append(t.Rows[i], "-")
		}
	}
	t.Rows = append(t.Rows, slopes)
	return t
}
