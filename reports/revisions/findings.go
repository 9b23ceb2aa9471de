package revisions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/growth"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// findings are what a reader must not miss about growth.
func (g topic) findings() []sections.Finding {
	var found []sections.Finding
	add := func(level, kind, format string, args ...any) {
		found = append(found, sections.Finding{Level: level, Kind: kind, Text: fmt.Sprintf(format, args...)})
	}
	killed := false
	var most float64 // of the workloads' slopes
	for i := range g.Workloads {
		w := &g.Workloads[i]
		killed = killed || len(w.Kills()) > 0
		if w.Slope != nil {
			most = max(most, w.Slope.BytesPerRevision)
		}
	}
	published := g.published()
	for i := range g.Workloads {
		w := &g.Workloads[i]
		if text := g.killText(w); text != "" {
			add(observations.Warning, "limit", "%s", text)
		}
		add(observations.Info, "revisions", "%s", g.growthText(w, most))
		last, ok := w.Last()
		asPublished := published.SurvivesAtMi > 0 && float64(w.LimitBytes) == published.SurvivesAtMi*words.Mi
		// That a sidecar which barely grows survives is no news.
		if w.Outcome != growth.Survived || !ok || last.Revisions == 0 || barely(w, most) || !killed && !asPublished {
			continue
		}
		text := fmt.Sprintf("%s survived %d revisions", words.Workload(w.Name), last.Revisions)
		if w.LimitBytes > 0 {
			text += fmt.Sprintf(" with a limit of %s Mi", words.Limit(w.LimitBytes))
		}
		text += fmt.Sprintf(": %s Mi", words.Mib(last.MemoryBytes))
		if asPublished && published.SurvivesMi > 0 {
			text += fmt.Sprintf(" (published: survives at %g Mi, with %g Mi)", published.SurvivesAtMi, published.SurvivesMi)
		}
		add(observations.Info, "limit", "%s.", text)
	}
	measured := 0
	for _, w := range g.Workloads {
		for _, p := range w.Points {
			measured = max(measured, p.Revisions)
		}
	}
	if measured < g.Revisions {
		add(observations.Warning, "revisions", "There were %d revisions at the most, of which memory was measured with %d: the run ended, or sidecars were gone, before it was read.", g.Revisions, measured)
	}
	if w := g.Grows(); w != nil {
		add(observations.Info, "revisions", "%s", addedText(w))
		if text := holdersText(w); text != "" {
			add(observations.Info, "revisions", "%s", text)
		}
	}
	if text := reconnectText(g.Reconnects); text != "" {
		add(observations.Info, observations.Reconnect, "%s", text)
	}
	if text := g.programsText(); text != "" {
		add(observations.Info, "revisions", "%s", text)
	}
	return found
}

// barely says whether a workload grew by less than a tenth of most.
func barely(w *growth.Workload, most float64) bool {
	return w.Slope != nil && w.Slope.BytesPerRevision < most/10
}

// growthText says how a workload grew; most is the largest growth of all.
func (g topic) growthText(w *growth.Workload, most float64) string {
	s := w.Slope
	if s == nil {
		return fmt.Sprintf("%s: growth unknown: %s.", words.Workload(w.Name), w.NoSlope)
	}
	slope, interval := g.slopeText(s)
	small := barely(w, most)
	var text string
	switch {
	case s.Lo != nil && *s.Lo <= 0:
		text = fmt.Sprintf("%s did not grow with revisions: %s Mi per %d (95 %% interval %s)", words.Workload(w.Name), slope, g.PerRevisions, interval)
	case interval != "":
		text = fmt.Sprintf("%s grew by %s Mi per %d revisions (95 %% interval %s), %.3f Mi a revision", words.Workload(w.Name), slope, g.PerRevisions, interval, s.BytesPerRevision/words.Mi)
	default:
		text = fmt.Sprintf("%s grew by %s Mi per %d revisions, %.3f Mi a revision", words.Workload(w.Name), slope, g.PerRevisions, s.BytesPerRevision/words.Mi)
	}
	if p := g.published(); p.GrowthMi > 0 && !small {
		text += fmt.Sprintf("; published: about %g", p.GrowthMi)
	}
	text += fmt.Sprintf(". Fitted through %s, from %d to %d revisions", words.Plural(s.Points, "point"), s.From, s.To)
	if interval == "" {
		text += ", which are too few for an interval"
	}
	restarted, unquiet := 0, 0
	for _, p := range w.Points {
		switch {
		case p.Restarted:
			restarted++
		case !p.Settled:
			unquiet++
		}
	}
	if restarted > 0 {
		text += fmt.Sprintf("; %s after a kill or restart left out", words.Plural(restarted, "point"))
	}
	if n, why := w.LeftOut(); n > 0 {
		text += fmt.Sprintf("; %s after a deletion or a drain left out, as that is no growth (%s)", words.Plural(n, "point"), why)
	}
	if unquiet > 0 {
		text += fmt.Sprintf("; %s of an unsettled mesh left out", words.Plural(unquiet, "point"))
	}
	if small {
		text += fmt.Sprintf(". That is %.1f %% of the largest growth here", 100*max(0, s.BytesPerRevision)/most)
		if c := w.Configuration; c != nil {
			text += fmt.Sprintf(": a revision adds %s to its configuration", rowsList(c))
		}
	}
	return text + "."
}

// killText says when a workload's sidecars were killed, and what came of it; "" for never.
func (g topic) killText(w *growth.Workload) string {
	k, ok := w.Kill()
	if !ok {
		return ""
	}
	text := fmt.Sprintf("%s was killed %s", words.Workload(w.Name), between(k.After, k.Until))
	if k.Witness {
		text = fmt.Sprintf("%s, a witness, was killed %s", k.Pod, between(k.After, k.Until))
	}
	if k.LimitBytes > 0 {
		text += fmt.Sprintf(", at its limit of %s Mi", words.Limit(k.LimitBytes))
	}
	if p := g.published(); p.KilledBetween != [2]int{} && (k.LimitBytes == 0 || float64(k.LimitBytes) == p.KilledAtMi*words.Mi) {
		text += fmt.Sprintf(" (published: %s)", between(p.KilledBetween[0], p.KilledBetween[1]))
	}
	if k.LastBytes > 0 {
		text += fmt.Sprintf("; the last sample before it: %s Mi", words.Mib(k.LastBytes))
	}
	text += ". After the restart: " + then(k)
	if k.Again > 0 {
		text += fmt.Sprintf("; it ended %s", words.Plural(k.Again, "more time"))
	}
	pods := map[string]bool{}
	for _, other := range w.Kills() {
		pods[other.Pod] = true
	}
	if n := len(pods) - 1; n > 0 {
		text += fmt.Sprintf(" (and %s of this workload)", words.Plural(n, "other sidecar"))
	}
	return text + "."
}

// rowsList is what a revision adds, in words.
func rowsList(c *growth.Configuration) string {
	var exact, mean []string
	for _, n := range c.Rows {
		text := fmt.Sprintf("%.3g %ss", n.PerRevision, n.Kind)
		if n.Exact {
			exact = append(exact, text)
		} else {
			mean = append(mean, text)
		}
	}
	var parts []string
	if len(exact) > 0 {
		parts = append(parts, "exactly "+strings.Join(exact, ", "))
	}
	if len(mean) > 0 {
		parts = append(parts, "on average "+strings.Join(mean, ", "))
	}
	return strings.Join(parts, ", and ")
}

// addedText says what a revision adds to the configuration.
func addedText(w *growth.Workload) string {
	c := w.Configuration
	text := fmt.Sprintf("Each revision adds %s (rows) and %.1f kB of config_dump to %s", rowsList(c), c.DumpBytesPerRevision/1e3, words.Workload(w.Name))
	for _, n := range c.Rows {
		for _, o := range n.Once {
			text += fmt.Sprintf("; %+d %ss once, at %s, with %s", o.Change, n.Kind, o.Step, o.Why)
		}
	}
	return text + "."
}

// holdersText says what holds the memory of a revision.
func holdersText(w *growth.Workload) string {
	s := w.Slope.BytesPerRevision
	if s <= 0 {
		return ""
	}
	text := fmt.Sprintf("Of %.1f KiB that %s grows with a revision", s/words.Ki, words.Workload(w.Name))
	var parts []string
	if a := w.Account; a != nil && a.Allocated != nil {
		parts = append(parts, fmt.Sprintf("Envoy has allocated %.1f (%.0f %%); the rest is heap that it holds without use, and pilot-agent", a.Allocated.BytesPerRevision/words.Ki, 100*a.Allocated.BytesPerRevision/s))
	}
	switch p := w.Prediction; {
	case p == nil:
	case p.Unknown != "":
		parts = append(parts, "the cost model cannot tell ("+p.Unknown+")")
	default:
		most := slices.MaxFunc(p.Groups, func(a, b growth.Group) int { return cmp.Compare(a.BytesPerRevision, b.BytesPerRevision) })
		model := fmt.Sprintf("the cost model predicts %.1f (%.1f to %.1f), %+.0f %% against what was measured, most of it by %s (%.1f)", p.BytesPerRevision/words.Ki, p.Lo/words.Ki, p.Hi/words.Ki, 100*(p.BytesPerRevision/s-1), most.Name, most.BytesPerRevision/words.Ki)
		if len(p.Outside) > 0 {
			model += ", though far outside of what it was fitted on (" + strings.Join(p.Outside, "; ") + ")"
		}
		parts = append(parts, model)
	}
	switch c := w.Configuration; {
	case len(c.Stats) > 0:
		parts = append(parts, fmt.Sprintf("of the statistics that Envoy lists for a revision %.0f %% by number are of kind %s", 100*c.Stats[0].Share, c.Stats[0].Of))
	case c.StatsTo > 0:
		parts = append(parts, fmt.Sprintf("statistics hold none of it: Envoy lists %d with %d revisions and %d with %d", c.StatsFrom, c.From, c.StatsTo, c.To))
	}
	if len(parts) == 0 {
		return ""
	}
	return text + ": " + strings.Join(parts, "; ") + "."
}

// reconnectText tells of the reconnect with the largest step of memory, and how many there
// were; "" for none.
func reconnectText(all []growth.Reconnect) string {
	if len(all) == 0 {
		return ""
	}
	var most *growth.Reconnect
	var size float64
	for i := range all {
		if step, ok := all[i].StepBytes(); ok && (most == nil || step > size) {
			most, size = &all[i], step
		}
	}
	text := "istiod closed connections at their maximum age and proxies reconnected " + words.Plural(len(all), "time")
	if most == nil {
		return text + "; memory was not sampled around it."
	}
	text += fmt.Sprintf("; the largest step of memory around one is %+.1f Mi (%s, %.0f s, %.0f revisions: %s to %s Mi)",
		size/words.Mi, most.Pod, most.Seconds, most.Revisions, words.Mib(most.BeforeBytes), words.Mib(most.AfterBytes))
	switch {
	case most.Quiet && most.Came < 0.5:
		text += " with no new object"
	case most.Came >= 0.5:
		text += fmt.Sprintf(", beside the %.1f Mi of %.0f revisions that came meanwhile", most.ExpectedBytes/words.Mi, most.Came)
	default:
		text += " in a mesh that was not quiet"
	}
	return text + "."
}

// programsText says how the control plane grew.
func (g topic) programsText() string {
	var parts []string
	for _, p := range g.Programs {
		if p.Memory == nil {
			continue
		}
		first, last := p.Points[0], p.Points[len(p.Points)-1]
		parts = append(parts, fmt.Sprintf("%s %+.1f Mi (%s at %d, %s at %d)", p.Name, g.per(p.Memory.BytesPerRevision), words.Mib(first.MemoryBytes), first.Revisions, words.Mib(last.MemoryBytes), last.Revisions))
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("Control plane per %d revisions: %s.", g.PerRevisions, strings.Join(parts, ", "))
}
