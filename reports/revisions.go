package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/growth"
)

// ki is the unit of what one revision costs.
const ki = 1 << 10

// per is a growth in bytes a revision, in Mi for the number of revisions that growth is
// told for.
func (r *Report) per(bytes float64) float64 { return bytes * float64(r.Growth.PerRevisions) / mi }

// slopeText is a slope with its interval, in Mi.
func (r *Report) slopeText(s *growth.Slope) (slope, interval string) {
	slope = fmt.Sprintf("%.1f", r.per(s.BytesPerRevision))
	if s.Lo != nil {
		interval = fmt.Sprintf("%.1f to %.1f", r.per(*s.Lo), r.per(*s.Hi))
	}
	return slope, interval
}

// moreRevisions says whether the number of revisions differs between two steps.
func (r *Report) moreRevisions(a, b string) bool {
	if r.Growth == nil {
		return false
	}
	before, _ := r.Growth.At(a)
	now, _ := r.Growth.At(b)
	return before != now
}

// shown is a workload's name for people. A Knative Service's is that of the Deployment of
// its first revision.
func shown(workload string) string { return strings.TrimSuffix(workload, "-00001-deployment") }

// limitText is a memory limit in Mi.
func limitText(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(bytes)/mi)
}

// between are the revisions at which a container ended.
func between(after, until int) string {
	if after == until {
		return fmt.Sprintf("at %d revisions", until)
	}
	return fmt.Sprintf("between %d and %d revisions", after, until)
}

// publishedGrowth is what was published of growth; never nil.
func (r *Report) publishedGrowth() *observations.PublishedGrowth {
	if p := r.Growth.Published; p != nil {
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
		return fmt.Sprintf("started anew (%s)", w.Ends[0].Reason)
	}
	return "survived"
}

// growthTable sets the workloads side by side, and beneath them what was published. The
// last column may be long.
func (r *Report) growthTable() section {
	g := r.Growth
	t := section{title: "Growth with revisions", header: []string{"workload", "limit Mi", fmt.Sprintf("Mi per %d revisions", g.PerRevisions),
		"95 % interval", "memory Mi", "at revisions", "what happened"}}
	for i := range g.Workloads {
		w := &g.Workloads[i]
		row := []string{shown(w.Name), limitText(w.LimitBytes), "-", "-", "-", "-", happened(w)}
		if w.Slope != nil {
			row[2], row[3] = r.slopeText(w.Slope)
			row[3] = cmp.Or(row[3], "- (two points)")
		}
		if p, ok := w.Last(); ok {
			row[4], row[5] = mib(p.MemoryBytes), fmt.Sprint(p.Revisions)
		}
		t.rows = append(t.rows, row)
	}
	p := r.publishedGrowth()
	if p.GrowthMi > 0 {
		row := []string{"published", "-", fmt.Sprintf("%g", p.GrowthMi), "-", "-", "-", "-"}
		if p.KilledAtMi > 0 {
			row[1] = fmt.Sprintf("%g", p.KilledAtMi)
		}
		if p.KilledBetween != [2]int{} {
			row[6] = "killed " + between(p.KilledBetween[0], p.KilledBetween[1])
		}
		t.rows = append(t.rows, row)
	}
	if p.SurvivesAtMi > 0 {
		row := []string{"published", fmt.Sprintf("%g", p.SurvivesAtMi), "-", "-", "-", "-", "survived"}
		if p.SurvivesMi > 0 {
			row[4] = fmt.Sprintf("%g", p.SurvivesMi)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// growthNotes say what the table of growth is made of.
func (r *Report) growthNotes() []string {
	g := r.Growth
	made := map[string]string{
		"shape":   "Revisions are the objects that Knative makes of them, without Knative.",
		"knative": "Revisions were made by Knative Serving.",
	}[g.Mode]
	notes := []string{cmp.Or(made, "Revisions: "+g.Mode+".")}
	notes = append(notes, "The slope is that of the least-squares line through the medians at the settled steps. Sidecars whose container was started anew are no part of it. The interval tells how straight the growth of this run is, not what another one would give.")
	for _, w := range g.Workloads {
		if w.Witness {
			notes = append(notes, shown(w.Name)+" has no sidecar that was never dumped: its figures are of witnesses, which a dump makes larger.")
		}
	}
	if p := r.publishedGrowth(); p.Source != "" {
		notes = append(notes, "Published: "+p.Source)
	}
	return notes
}

// growthTables are the figures behind the table of growth.
func (r *Report) growthTables() []section {
	if r.Growth == nil {
		return nil
	}
	return slices.Concat([]section{r.endTable(), r.pointTable(), r.rowsTable()}, r.holderTables(), []section{r.reconnectTable(), r.programTable()})
}

// endTable lists the ends of sidecars: of each pod the first, and how many came after it.
func (r *Report) endTable() section {
	t := section{title: "Sidecars that were killed or started anew", header: []string{"at", "step", "pod", "why", "limit Mi", "last sample Mi", "revisions", "again", "what was started anew"}}
	for _, w := range r.Growth.Workloads {
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
				last = mib(e.LastBytes)
			}
			revisions := fmt.Sprint(e.Until)
			if e.After != e.Until {
				revisions = fmt.Sprintf("%d-%d", e.After, e.Until)
			}
			t.rows = append(t.rows, []string{fmt.Sprintf("%.0f s", e.Seconds), e.Step, pod, e.Reason, limitText(e.LimitBytes), last, revisions, fmt.Sprint(e.Again), then(e)})
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
		return fmt.Sprintf("survived its start, %s Mi at %d revisions", mib(e.ThenBytes), e.ThenRevisions)
	}
	return "survived its start"
}

// pointTable lists what was fitted.
func (r *Report) pointTable() section {
	t := section{title: "Memory by number of revisions", header: []string{"workload", "step", "revisions", "sidecars", "memory Mi", "line Mi", "in the fit"}}
	for _, w := range r.Growth.Workloads {
		for _, p := range w.Points {
			row := []string{shown(w.Name), p.Step, fmt.Sprint(p.Revisions), fmt.Sprint(p.Sidecars), mib(p.MemoryBytes), "-", "yes"}
			if w.Slope != nil {
				row[5] = fmt.Sprintf("%.1f", w.Slope.At(float64(p.Revisions))/mi)
			}
			switch {
			case p.Restarted:
				row[6] = "no: started anew"
			case !p.Settled:
				row[6] = "no: not quiet"
			}
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// rowsTable says what a revision adds to a proxy's configuration.
func (r *Report) rowsTable() section {
	t := section{title: "Configuration for each revision", header: []string{"workload", "witness", "cluster", "listener", "route", "endpoint", "config_dump kB"}}
	for _, w := range r.Growth.Workloads {
		c := w.Configuration
		if c == nil {
			continue
		}
		row := []string{shown(w.Name), c.Pod}
		for _, n := range c.Rows {
			row = append(row, rowsGrowth(n))
		}
		t.rows = append(t.rows, append(row, fmt.Sprintf("%.1f", c.DumpBytesPerRevision/1e3)))
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
func (r *Report) holderTables() []section {
	w := r.Growth.Grows()
	if w == nil {
		return nil
	}
	memory := section{title: "What holds the memory of a revision: " + shown(w.Name), header: []string{"what", "objects", "KiB", "95 % interval", "share of the growth"}}
	row := func(what, objects string, bytes, lo, hi float64) {
		cells := []string{what, objects, fmt.Sprintf("%.1f", bytes/ki), "-", "-"}
		if lo != hi {
			cells[3] = fmt.Sprintf("%.1f to %.1f", lo/ki, hi/ki)
		}
		if s := w.Slope.BytesPerRevision; s > 0 {
			cells[4] = fmt.Sprintf("%.0f %%", 100*bytes/s)
		}
		memory.rows = append(memory.rows, cells)
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
	account := section{title: "Envoy's own account: " + shown(w.Name), header: []string{"step", "revisions", "working set Mi", "physical Mi", "heap Mi", "allocated Mi"}}
	if a := w.Account; a != nil {
		of := ""
		if a.Witness {
			of = "witness: "
			account.title += ", the witness"
			slope(of+"working set", a.Memory)
		}
		slope(of+"held by Envoy's allocator", a.Physical)
		slope(of+"Envoy's heap", a.Heap)
		slope(of+"allocated by Envoy", a.Allocated)
		for _, p := range a.Points {
			account.rows = append(account.rows, []string{p.Step, fmt.Sprint(p.Revisions), mib(p.MemoryBytes), mib(p.PhysicalBytes), mib(p.HeapBytes), mib(p.AllocatedBytes)})
		}
	}
	if p := w.Prediction; p != nil {
		if p.Unknown == "" {
			row("by the cost model", "-", p.BytesPerRevision, p.Lo, p.Hi)
		}
		for _, g := range p.Groups {
			objects := fmt.Sprintf("%.4g", g.ObjectsPerRevision)
			if g.Unknown != "" {
				memory.rows = append(memory.rows, []string{"of it " + g.Name, objects, "-", g.Unknown, "-"})
				continue
			}
			row("of it "+g.Name, objects, g.BytesPerRevision, g.Lo, g.Hi)
		}
	}
	stats := section{title: "Envoy's statistics for each revision: " + shown(w.Name), header: []string{"of", "statistics", "share"}}
	for _, s := range w.Configuration.Stats {
		stats.rows = append(stats.rows, []string{s.Of, fmt.Sprintf("%.4g", s.PerRevision), fmt.Sprintf("%.1f %%", 100*s.Share)})
	}
	return []section{memory, account, stats}
}

func (r *Report) reconnectTable() section {
	t := section{title: "Connections to istiod that were made anew", header: []string{"at", "step", "pod", "revisions", "before Mi", "after Mi", "revisions meanwhile", "not explained by them Mi", "mesh"}}
	for _, c := range r.Growth.Reconnects {
		row := []string{fmt.Sprintf("%.0f s", c.Seconds), c.Step, c.Pod, fmt.Sprintf("%.0f", c.Revisions), "-", "-", "-", "-", "busy"}
		if c.Quiet {
			row[8] = "quiet"
		}
		if step, ok := c.StepBytes(); ok {
			row[4], row[5] = mib(c.BeforeBytes), mib(c.AfterBytes)
			row[6], row[7] = fmt.Sprintf("%.0f", c.Came), fmt.Sprintf("%+.1f", step/mi)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// programTable is the control plane by number of revisions.
func (r *Report) programTable() section {
	t := section{title: "Control plane by number of revisions: memory at each step's end, CPU in each step", header: []string{"step", "revisions"}}
	slopes := []string{fmt.Sprintf("per %d revisions", r.Growth.PerRevisions), "-"}
	at := map[string]int{} // row of a step
	width := 2
	for _, p := range r.Growth.Programs {
		istiod := p.Name == "istiod"
		t.header = append(t.header, p.Name+" Mi", p.Name+" CPU s")
		add := []string{"-", "-"}
		if p.Memory != nil {
			add[0] = fmt.Sprintf("%+.1f", r.per(p.Memory.BytesPerRevision))
		}
		if istiod {
			t.header = append(t.header, "pushes", "mean push ms")
			add = append(add, "-", "-")
		}
		slopes = append(slopes, add...)
		for _, q := range p.Points {
			i, ok := at[q.Step]
			if !ok {
				i = len(t.rows)
				at[q.Step] = i
				t.rows = append(t.rows, []string{q.Step, fmt.Sprint(q.Revisions)})
			}
			for len(t.rows[i]) < width {
				t.rows[i] = append(t.rows[i], "-")
			}
			t.rows[i] = append(t.rows[i], mib(q.MemoryBytes), fmt.Sprintf("%.1f", q.CPUSeconds))
			if istiod {
				t.rows[i] = append(t.rows[i], fmt.Sprintf("%.0f", q.Pushes), fmt.Sprintf("%.1f", q.PushSeconds*1e3))
			}
		}
		width = len(t.header)
	}
	if len(t.rows) == 0 {
		return t
	}
	for i := range t.rows {
		for len(t.rows[i]) < width {
			t.rows[i] = append(t.rows[i], "-")
		}
	}
	t.rows = append(t.rows, slopes)
	return t
}
