package costmodel

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/words"
)

const (
	ki = 1 << 10
	mi = 1 << 20
	gi = 1 << 30
	mb = 1e6
)

// printer is a writer that keeps its first error.
type printer struct {
	w   io.Writer
	err error
}

// newPrinter prints for a terminal: names of runs and of what is outside of a model come from files.
func newPrinter(w io.Writer) *printer { return &printer{w: plain.NewOutput(w)} }

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, plain.Line(fmt.Sprintf(format, args...)))
	}
}

// table prints rows whose cells are separated by tabs; all but the first column stand
// to the right.
func (p *printer) table(rows ...string) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 3, ' ', 0)
	for _, r := range align(rows) {
		fmt.Fprintln(t, "  "+r)
	}
	p.err = t.Flush()
}

// align pads cells from the left.
func align(rows []string) []string {
	var width []int
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = strings.Split(r, "\t")
		for j, c := range cells[i] {
			c = plain.Line(c)
			cells[i][j] = c
			if j == len(width) {
				width = append(width, 0)
			}
			width[j] = max(width[j], len([]rune(c)))
		}
	}
	aligned := make([]string, len(rows))
	for i, r := range cells {
		for j := 1; j < len(r); j++ {
			r[j] = fmt.Sprintf("%*s", width[j], r[j])
		}
		aligned[i] = strings.Join(r, "\t")
	}
	return aligned
}

// size prints memory in the unit that suits it.
func size(bytes float64) string {
	if math.Abs(bytes) >= gi {
		return fmt.Sprintf("%.1f Gi", bytes/gi)
	}
	return fmt.Sprintf("%.1f Mi", bytes/mi)
}

func (e Estimate) interval(unit float64, format string) string {
	return fmt.Sprintf(format+" to "+format, e.Lo/unit, e.Hi/unit)
}

// Print says what the fit found, for people.
func (m *Model) Print(w io.Writer) error {
	p := newPrinter(w)
	p.line("Measured: %s", m.Provenance())
	p.line("")
	p.line("A sidecar's memory, from the medians of %d steps (%d readings of sidecars)", m.Sidecar.Points, m.Readings)
	m.Sidecar.print(p)
	m.SidecarHistory.print(p, "A sidecar that lived through the changes")
	m.SidecarPeaks.print(p)
	p.line("")
	p.line("What one more of each costs a sidecar: the sum over the objects that it brings. A coefficient")
	p.line("above is no price of its own: filter chains of HTTP cost more than those of TCP, and so the")
	p.line("one of listeners, of which either comes with one, may be less than nothing.")
	rows := []string{"\tKiB each\t95 % interval"}
	for _, u := range Units() {
		e, unknown := m.Cost(u.Objects)
		if unknown != "" {
			rows = append(rows, fmt.Sprintf("%s\t?\t%s", u.Name, unknown))
			continue
		}
		rows = append(rows, fmt.Sprintf("%s\t%.2f\t%s", u.Name, e.Bytes/ki, e.interval(ki, "%.2f")))
	}
	p.table(rows...)
	if e, unknown := m.Cost(HeadlessPod); unknown == "" {
		rows := []string{
			"MB a headless pod\t\t95 % interval",
			fmt.Sprintf("by this model\t%.4f\t%s", e.Bytes/mb, e.interval(mb, "%.4f")),
		}
		for _, l := range m.Headless {
			rows = append(rows, fmt.Sprintf("run %s alone: the line through %d steps, %d to %d listeners\t%.4f\t%s",
				l.Run, l.Steps, l.From, l.To, l.PerPod.Bytes/mb, l.PerPod.interval(mb, "%.4f")))
		}
		rows = append(rows, fmt.Sprintf("published: real Envoy, 100 to 3,000 headless pods\t%.3f\t", PublishedHeadlessMB))
		p.line("")
		p.line("What a pod behind a headless Service costs a sidecar; its port is detected")
		p.table(rows...)
	}
	m.printRouting(p)
	m.printIstiod(p)
	if n := len(m.LeftOut); n > 0 {
		p.line("")
		p.line("Left out of the fit, as memory after a deletion or a drain is no growth, %s: %s.", words.Plural(n, "case"), strings.Join(m.LeftOut, "; "))
	}
	if len(m.Skipped) > 0 {
		p.line("")
		p.line("Not used: %s.", strings.Join(m.Skipped, "; "))
	}
	return p.err
}

func (l *Linear) print(p *printer) {
	p.line("  R² %.4f, standard deviation of the residuals %s, %d degrees of freedom", l.R2, l.scatter(1), l.DF)
	rows := []string{
		"\tKiB each\t95 % interval\tVIF\tmeasured range",
		fmt.Sprintf("(where all are 0)\t%.0f\t\t\t", l.Intercept/ki),
	}
	var moved []string
	for _, t := range l.Terms {
		rows = append(rows, fmt.Sprintf("%s\t%.2f\t%s\t%.1f\t%.0f to %.0f", t.Column, t.Coefficient/ki,
			Estimate{Lo: t.Lo, Hi: t.Hi}.interval(ki, "%.2f"), t.VIF, t.Min, t.Max))
		if t.VIF > VIFWarning {
			moved = append(moved, t.Column)
		}
	}
	p.table(rows...)
	for _, t := range l.Tied {
		p.line("  Collinear: %s.", t)
	}
	for _, f := range l.Fixed {
		p.line("  Never changed: %s was %.0f in every step, so what it costs is not known.", f.Column, f.Value)
	}
	switch {
	case len(moved) > 0:
		p.line("  Collinear: %s moved largely with other columns (VIF over %d); the sum is surer than each.", strings.Join(moved, " and "), VIFWarning)
	case len(l.Tied) == 0:
		p.line("  No two columns moved together: no VIF is over %d.", VIFWarning)
	}
}

// scatter is so many standard deviations of the residuals.
func (l *Linear) scatter(times float64) string {
	if l.proportional() {
		return fmt.Sprintf("%.1f %% of what is fitted", 100*times*l.Share)
	}
	return fmt.Sprintf("%.2f Mi", times*l.StdDev/mi)
}

func (h *History) print(p *printer, who string) {
	if h == nil {
		return
	}
	p.line("  %s is not in the model: it holds %+.1f Mi against it (median of %d, %+.1f to %+.1f).", who, h.Median/mi, h.Steps, h.Min/mi, h.Max/mi)
}

// Provenance says what the model was measured on.
func (m *Model) Provenance() string {
	r := m.Runs[0]
	var runs []string
	for _, x := range m.Runs {
		runs = append(runs, x.Scenario)
	}
	runs = slices.Compact(runs)
	envoy := r.Mesh.Envoy
	if build := strings.Split(envoy, "/"); len(build) > 2 { // as Envoy says it: commit/version/…
		envoy = build[1]
	}
	measured := m.Runs[0].Started.Format(time.DateOnly)
	first, last := measured, measured
	for _, x := range m.Runs {
		day := x.Started.Format(time.DateOnly)
		first, last = min(first, day), max(last, day)
	}
	if measured = first; last != first {
		measured += " to " + last
	}
	return fmt.Sprintf("%s, on cluster %s (Kubernetes %s), Istio %s, Envoy %s with %d worker threads, %s xDS; %s with %d CPUs; memory read from %s; %d runs (%s)",
		measured, r.Cluster.Provider, r.Cluster.Kubernetes, r.Mesh.Istio, envoy, r.Mesh.Workers,
		r.Mesh.XDS, r.Host.OS, r.Host.CPUs, r.WayOfReading(), len(m.Runs), strings.Join(runs, ", "))
}

// Figures are the residual plots by the names of their files.
func (m *Model) Figures() map[string]*plot.Figure {
	figures := map[string]*plot.Figure{"residuals-sidecar.svg": m.Sidecar.figure("Residuals: memory of a sidecar")}
	if m.Routing != nil {
		figures["residuals-routing.svg"] = m.Routing.figure("Residuals: what routing adds to the memory of a sidecar")
	}
	for _, s := range m.Istiod {
		if s.Memory != nil {
			name := strings.NewReplacer(" of ", "-", " %", "").Replace(s.State)
			figures["residuals-istiod-"+name+".svg"] = s.Memory.figure("Residuals: memory of istiod, " + inState(s.State))
		}
	}
	return figures
}

// figure shows what each step's median is off from the fit.
func (l *Linear) figure(title string) *plot.Figure {
	f := &plot.Figure{
		Title: title, XName: "fitted (Mi)", YName: "observed less fitted (Mi)",
		Note: fmt.Sprintf("R² %.4f; the lines are at ± 2 standard deviations, %s", l.R2, l.scatter(2)),
	}
	points := plot.Series{Name: "step", Colour: plot.Blue, Shape: plot.Circle}
	low, high := math.Inf(1), math.Inf(-1)
	for _, r := range l.Residuals {
		x := r.Fitted / mi
		low, high = min(low, x), max(high, x)
		points.Points = append(points.Points, plot.Point{X: x, Y: (r.Observed - r.Fitted) / mi})
	}
	for _, at := range []float64{-2, 0, 2} {
		line := plot.Series{Colour: plot.Faint, Shape: plot.Line}
		for _, x := range []float64{low, high} {
			line.Points = append(line.Points, plot.Point{X: x, Y: at * (l.StdDev/mi + l.Share*x)})
		}
		f.Series = append(f.Series, line)
	}
	f.Series = append(f.Series, points)
	return f
}

// Print says what a mesh will cost, for people.
func (a Answer) Print(w io.Writer) error {
	p := newPrinter(w)
	p.line("Configuration of each sidecar")
	rows := []string{"\tclusters\tlisteners\tfilter chains\troute configs\tvirtual hosts\tendpoints"}
	row := func(name string, o observations.ConfigObjects) {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d", name, o.Clusters, o.Listeners, o.FilterChains, o.RouteConfigs, o.VirtualHosts, o.Endpoints))
	}
	for _, part := range a.Parts {
		row(part.Name, part.Objects)
	}
	row("together", a.Objects)
	p.table(rows...)
	a.printRows(p)
	p.line("")
	p.line("Memory, with 95 %% prediction intervals")
	rows = []string{
		fmt.Sprintf("a sidecar\t%s\t%s to %s", size(a.Sidecar.Bytes), size(a.Sidecar.Lo), size(a.Sidecar.Hi)),
		fmt.Sprintf("all %d sidecars\t%s\t%s to %s", a.Proxies, size(a.All.Bytes), size(a.All.Lo), size(a.All.Hi)),
	}
	for _, s := range a.Istiod {
		if e := s.Memory; e != nil {
			rows = append(rows, fmt.Sprintf("istiod, %s\t%s\t%s to %s", inState(s.State), size(e.Bytes), size(e.Lo), size(e.Hi)))
		}
	}
	p.table(rows...)
	if h := a.History; h != nil {
		p.line("  This is of sidecars that started with the configuration in place. Those that lived through")
		p.line("  changes were off by %+.1f Mi (median of %d steps), at most by %+.1f Mi.", h.Median/mi, h.Steps, h.Max/mi)
	}
	if h := a.IstiodHistory; h != nil && a.Storm() != nil {
		p.line("  An istiod that pushed changes to its proxies was off by %+.1f Mi from one to which they all", h.Median/mi)
		p.line("  connect (median of %d steps), at most by %+.1f Mi.", h.Steps, h.Max/mi)
	}
	a.printUnknown(p)
	a.printPublished(p)
	if len(a.Shares) > 0 {
		p.line("")
		p.line("Shares of the memory that a machine leaves to pods")
		rows = []string{"\tleft to pods\ta sidecar\tpods by limit\ttheir sidecars\tmachines for all\tistiod in a storm"}
		for _, s := range a.Shares {
			istiod := "?"
			if a.Storm() != nil {
				istiod = fmt.Sprintf("%.1f %%", 100*s.Istiod)
			}
			rows = append(rows, fmt.Sprintf("%s\t%s\t%.2f %%\t%d\t%.1f %%\t%d\t%s", s.Type, size(float64(s.Allocatable)),
				100*s.Sidecar, s.Pods, 100*s.Full, s.Machines, istiod))
		}
		p.table(rows...)
	}
	a.printWarnings(p)
	p.line("")
	if p.err != nil {
		return p.err
	}
	return a.Recommendation.Print(w)
}
