package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// Share is how many of the judged cases are good.
type Share struct{ Good, All int }

func (s *Share) judge(ok, judged bool) {
	if ok {
		s.Good++
	}
	if judged {
		s.All++
	}
}

// String is the share in words.
func (s Share) String() string { return fmt.Sprintf("%d of %d", s.Good, s.All) }

// Score is what the verdict is made of.
type Score struct {
	Measured     Share // steps
	Settled      Share // measured steps
	Expectations Share
	Counts       Share // as published
	Memory       Share // steps whose median lies near the published range
}

// Score counts what is as it should be.
func (r *Report) Score() Score {
	total := len(r.Environment.Steps)
	sc := Score{Measured: Share{total - len(r.Missing), total}}
	for _, s := range r.Steps {
		for _, e := range s.Expectations {
			sc.Expectations.judge(e.OK, e.Got != nil || s.Measured)
		}
		for _, f := range s.Published {
			switch {
			case f.IsCount():
				sc.Counts.judge(f.Match, f.Got != nil || s.Measured)
			case f.What == "memory":
				sc.Memory.judge(f.Match, f.Got != nil || s.Measured && !r.Environment.CountsOnly)
			}
		}
		if s.Measured {
			sc.Settled.judge(s.Settled, true)
		}
	}
	return sc
}

// summary is the verdict in one line.
func (r *Report) summary() string {
	sc := r.Score()
	parts := []string{sc.Measured.String() + " steps measured"}
	if sc.Expectations.All > 0 {
		parts = append(parts, sc.Expectations.String()+" expectations hold")
	}
	if sc.Counts.All > 0 {
		parts = append(parts, sc.Counts.String()+" published counts match")
	}
	if sc.Memory.All > 0 {
		parts = append(parts, fmt.Sprintf("median memory within %g %% of the published range at %s steps", 100*PublishedTolerance, sc.Memory))
	}
	if n := sc.Settled.All - sc.Settled.Good; n > 0 {
		parts = append(parts, fmt.Sprintf("%s not settled: %s", words.Plural(n, "step"), strings.Join(r.Unsettled(), ", ")))
	}
	return r.Verdict() + ": " + strings.Join(parts, "; ") + "."
}

// Verdict is one word for the run: ok, MISS (an expectation), INCOMPLETE, or UNSETTLED (a
// step was measured before the mesh was quiet).
func (r *Report) Verdict() string {
	switch {
	case len(r.Missed()) > 0:
		return "MISS"
	case !r.Finished:
		return "INCOMPLETE"
	case len(r.Unsettled()) > 0:
		return "UNSETTLED"
	default:
		return "ok"
	}
}

// findings are what a reader must not miss, the worst first.
func (r *Report) findings() []sections.Finding {
	var found []sections.Finding
	add := func(level, kind, step, format string, args ...any) {
		found = append(found, sections.Finding{Level: level, Kind: kind, Step: step, Text: fmt.Sprintf(format, args...)})
	}
	if !r.Finished {
		add(observations.Error, "incomplete", "", "%s", r.Incomplete())
	}
	for _, m := range r.Missed() {
		add(observations.Error, "missed", m.Step, "%s", m.Expectation)
	}
	note := ""
	for _, s := range r.Steps {
		for _, f := range s.Published {
			if f.Match || f.Got == nil || f.What == "witnessMemory" {
				continue
			}
			note = cmp.Or(note, s.figures.Note)
			if f.IsCount() {
				got := fmt.Sprintf("%g", *f.Got)
				if f.Change {
					got = fmt.Sprintf("%+g", *f.Got)
				}
				add(observations.Warning, "published", s.Name, "%s: %s published, %s here", f.What, f.Range(), got)
			} else {
				add(observations.Warning, "published", s.Name, "median memory of %.1f Mi lies more than %g %% outside the published %s Mi",
					*f.Got, 100*PublishedTolerance, f.Range())
			}
		}
	}
	if note != "" {
		add(observations.Info, "published", "", "%s", note)
	}
	if sc := r.Score(); sc.Settled.All > 0 && sc.Settled.Good == 0 {
		add(observations.Warning, observations.Unsettled, "", "No step settled; the figures are unreliable.")
	}
	for _, s := range r.Steps {
		if text := s.UnsettledText(); text != "" {
			add(observations.Warning, observations.Unsettled, s.Name, "%s", text)
		}
	}
	found = append(found, r.eventFindings()...)
	found = append(found, r.resumeFindings()...)
	for _, s := range r.Sections {
		found = append(found, s.Findings...)
	}
	for _, s := range r.Steps {
		for _, p := range s.Proxies {
			if p.Rejected > 0 {
				add(observations.Warning, observations.Rejected, s.Name, "%s/%s refused %s of its configuration: its counts are of what it kept",
					p.Namespace, p.Pod, words.Plural(p.Rejected, "update"))
			}
		}
		if i := s.Istiod; i != nil && i.Rejected > 0 && s.Number == len(r.Environment.Steps) {
			add(observations.Warning, observations.Rejected, s.Name, "proxies refused %s of configuration since istiod's start", words.Plural(int(i.Rejected), "update"))
		}
		if a, b, ok := s.disagreement(); ok {
			add(observations.Warning, "disagree", s.Name, "two witnesses of %s hold different configurations: %s has %s, %s has %s",
				a.Workload, a.Pod, rowsText(a.Rows), b.Pod, rowsText(b.Rows))
		}
		if s.Measured && s.Memory.Samples == 0 && !r.Environment.CountsOnly {
			add(observations.Warning, "unread", s.Name, "no memory was read of any real sidecar that was never dumped")
		}
		if o := r.Environment.Observed; s.Measured && s.Rows == nil && (o == nil || o.Witnesses > 0) {
			add(observations.Warning, "unread", s.Name, "no proxy's configuration was read")
		}
	}
	if len(r.EnvoyBuilds) > 1 {
		add(observations.Warning, "builds", "", "Sidecars run different builds of Envoy: %s.", strings.Join(r.EnvoyBuilds, ", "))
	}
	for i := 1; i < len(r.Steps); i++ {
		if r.told(func(s sections.Section) bool { return s.Changed[r.Steps[i].Name] }) {
			continue // for all steps at once
		}
		// With workloads that differ by what is tried, a step's median says little.
		mixed := r.told(func(s sections.Section) bool { return s.Mixed })
		if text := configGrowth(&r.Steps[i-1], &r.Steps[i], !mixed); text != "" {
			add(observations.Info, "growth", r.Steps[i].Name, "%s", text)
		}
	}
	for _, f := range r.histories() {
		add(observations.Info, f.Kind, f.Step, "%s", f.Text)
	}
	if text := r.witnessEffect(); text != "" {
		add(observations.Info, "witness", "", "%s", text)
	}
	if text, step := r.keptAlive(); text != "" {
		add(observations.Info, observations.KeptAlive, step, "%s", text)
	}
	env := r.Environment
	if n := len(r.Steps); n > 0 && r.Steps[n-1].Objects != nil {
		o := r.Steps[n-1].Objects
		add(observations.Info, "sidecars", "", "Real sidecars at the last step: %d of %d (%s).", o.RealSidecars, o.Sidecars,
			realText(env.Cluster.RealPerDeployment))
		for _, kind := range []struct {
			name         string
			all, running int
		}{{"gateways", o.Gateways, o.RealGateways}, {"waypoints", o.Waypoints, o.RealWaypoints}} {
			if kind.all > 0 {
				add(observations.Info, kind.name, "", "Real %s at the last step: %d of %d. They have statistics of their own.", kind.name, kind.running, kind.all)
			}
		}
		if text, missing := lightText(r.Steps[n-1].Light); missing {
			add(observations.Warning, observations.ProxyLight, "", "%s", text)
		} else if text != "" {
			add(observations.Info, observations.ProxyLight, "", "%s", text)
		}
		if o.EndedPods > 0 {
			add(observations.Info, "ended", "", "Pods that had ended (completed, failed or evicted) at the last step: %d. They are in no other count.", o.EndedPods)
		}
	}
	if len(env.Cluster.Simulated) > 0 {
		add(observations.Info, "simulated", "", "Not real on this cluster: %s.", strings.Join(env.Cluster.Simulated, "; "))
	}
	for _, note := range env.Cluster.Notes {
		add(observations.Info, "cluster", "", "%s.", note)
	}
	if env.CPUProfile {
		add(observations.Warning, observations.Unprofiled, "", "istiod's CPU was profiled (--profile), which costs time and memory: the figures of this run are not for comparing.")
	}
	if o := env.Observed; o != nil {
		of := "all namespaces"
		if len(o.Namespaces) > 0 {
			of = "namespaces " + strings.Join(o.Namespaces, ", ")
		}
		text := "The mesh was measured as it ran, in " + of + ": nothing was changed. Whether anybody had read a proxy's configuration before, which stays in its memory, is not known: never dumped here means not by this run."
		if o.Witnesses == 0 {
			text += " No configuration was read, as was asked for, so counts are unknown."
		}
		add(observations.Info, "observed", "", "%s", text)
	}
	limits := ""
	if env.Cluster.LimitsEnforcedBy != "" {
		limits = "; limits are enforced by: " + env.Cluster.LimitsEnforcedBy
	}
	if env.CountsOnly {
		add(observations.Info, "memory", "", "Counts alone were read (--counts-only): the steps waited for no memory, and what sidecars used is unknown.")
	} else {
		add(observations.Info, "memory", "", "Memory is the working set of container %s (pilot-agent and Envoy) from %s, read from: %s%s.",
			observations.SidecarContainer, env.Reader(), cmp.Or(env.Cluster.MemorySource, "unknown"), limits)
	}
	if r.CountsInLines() {
		add(observations.Info, "lines", "", "Published counts are lines that istioctl proxy-config printed, its header line included, so one was added to the rows counted here before comparing; report.json has the rows.")
	}
	if env.Cluster.Baseline != observations.BaselineEKS && r.hasFigures() {
		text := "This cluster has another shape than the published one, so its absolute figures were not compared, only the changes against the first step."
		if held := env.Cluster.Objects; len(held) > 0 {
			text += " What shifts them is what it held before the mesh: " + strings.Join(held, ", ") + "."
		}
		add(observations.Info, "published", "", "%s", text)
	}
	worst := []string{observations.Error, observations.Warning, observations.Info}
	slices.SortStableFunc(found, func(a, b sections.Finding) int {
		return slices.Index(worst, a.Level) - slices.Index(worst, b.Level)
	})
	return found
}

// told says whether a section has what is asked for.
func (r *Report) told(has func(sections.Section) bool) bool {
	return slices.ContainsFunc(r.Sections, has)
}

// UnsettledText says that the step was not measured in a quiet mesh, and why; "" when
// it was, or was not measured.
func (s *Step) UnsettledText() string {
	switch {
	case s.Settle == nil && s.Measured:
		return "measured without waiting for a quiet mesh"
	case s.Settle != nil && s.Settle.Settled && len(s.Disturbed) > 0:
		return fmt.Sprintf("the mesh did not stay quiet while it was measured (%s): these figures may be of an intermediate state", strings.Join(s.Disturbed, "; "))
	case s.Settle != nil && !s.Settle.Settled:
		return fmt.Sprintf("the mesh did not settle within %.0f s (%s): these figures may be of an intermediate state",
			s.Settle.Seconds, cmp.Or(strings.Join(s.Settle.Unmet, "; "), "no reason recorded"))
	}
	return ""
}

// hasFigures says whether anything was published for a step.
func (r *Report) hasFigures() bool {
	for _, s := range r.Steps {
		if s.figures != nil {
			return true
		}
	}
	return false
}

// Incomplete says how far the run got and why it ended.
func (r *Report) Incomplete() string {
	var b strings.Builder
	switch {
	case r.Outcome != "":
		fmt.Fprintf(&b, "The run ended early (%s", r.Outcome)
		if r.Error != "" {
			fmt.Fprintf(&b, ": %s", r.Error)
		}
		b.WriteString(").")
	case r.Truncated:
		b.WriteString("The log ends in the middle of a record: the run was cut off.")
	default:
		b.WriteString("The log has no end: the run was cut off or still goes on.")
	}
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, " Not measured: %s.", strings.Join(r.Missing, ", "))
	}
	return b.String()
}

// toldApart is how many workloads without a sidecar are told of on their own, each with its
// rule; of what is beyond that in a step only the number is said.
const toldApart = 6

// eventFindings are the run's warnings and errors, those of one kind in one step as one.
func (r *Report) eventFindings() []sections.Finding {
	type key struct{ step, kind string }
	var found []sections.Finding
	index := map[key]int{}
	more := map[int]int{}
	told := map[key]int{}
	ends := r.told(func(s sections.Section) bool { return s.SidecarEnds })
	for _, e := range r.Events {
		// Settle records say it already, with the conditions.
		if e.Level != observations.Warning && e.Level != observations.Error || e.Kind == observations.Unsettled {
			continue
		}
		// A section tells of the ends of sidecars with what led to them.
		if ends && e.restart && strings.HasSuffix(e.Object, "/"+observations.SidecarContainer) {
			continue
		}
		k := key{e.Step, e.Kind}
		told[k]++
		if i, ok := index[k]; ok && (e.Kind != observations.NoSidecar || told[k] > toldApart) {
			more[i]++
			continue
		}
		index[k] = len(found)
		text := e.Message
		if e.Object != "" {
			text = e.Object + ": " + text
		}
		found = append(found, sections.Finding{Level: e.Level, Kind: e.Kind, Step: e.Step, Text: e.Kind + ": " + text})
	}
	for i, n := range more {
		found[i].Text += fmt.Sprintf(" (and %d more)", n)
	}
	return found
}

// disagreement finds two witnesses of the same workload whose rows differ.
func (s *Step) disagreement() (a, b observations.Proxy, ok bool) {
	for i, a := range s.Proxies {
		for _, b := range s.Proxies[i+1:] {
			if a.Workload == b.Workload && a.Rows != b.Rows {
				return a, b, true
			}
		}
	}
	return a, b, false
}

func rowsText(c observations.Counts) string {
	return fmt.Sprintf("%d clusters, %d listeners, %d routes, %d endpoints", c.Cluster, c.Listener, c.Route, c.Endpoint)
}

// witnessEffect says how much more memory dumped proxies hold; "" when no step has
// both kinds.
func (r *Report) witnessEffect() string {
	var low, high float64
	var most *Step
	var published []string
	for i := range r.Steps {
		s := &r.Steps[i]
		if f, ok := s.PublishedOf("witnessMemory"); ok {
			if m, ok := s.PublishedOf("memory"); ok {
				published = append(published, fmt.Sprintf("%s beside %s Mi", f.Range(), m.Range()))
			}
		}
		beside := s.besideWitnesses()
		if beside.Samples == 0 || s.WitnessMemory.Samples == 0 {
			continue
		}
		d := float64(s.WitnessMemory.MedianBytes-beside.MedianBytes) / words.Mi
		if most == nil {
			low, high, most = d, d, s
		}
		low = min(low, d)
		if d > high {
			high, most = d, s
		}
	}
	if most == nil {
		return ""
	}
	beside := most.besideWitnesses()
	held, at := fmt.Sprintf("%+.1f Mi", high), "at"
	if low < high {
		held, at = fmt.Sprintf("%+.1f to %+.1f Mi", low, high), "most at"
	}
	text := fmt.Sprintf("Reading a proxy's configuration dump makes Envoy grow: witnesses held %s against the median of sidecars never dumped (%s %s: %.1f beside %.1f Mi). Witnesses are kept out of the memory statistics.",
		held, at, most.Name, float64(most.WitnessMemory.MedianBytes)/words.Mi, float64(beside.MedianBytes)/words.Mi)
	if len(published) > 0 {
		text += fmt.Sprintf(" The published table shows the same for the one pod that was dumped: %s.", strings.Join(published, ", "))
	}
	return text
}

// besideWitnesses is the memory of sidecars never dumped of those workloads that a witness
// is of: others may have another configuration.
func (s *Step) besideWitnesses() Memory {
	dumped := map[string]bool{}
	for _, c := range s.Sidecars {
		if c.Witness {
			dumped[c.Workload] = true
		}
	}
	var memory []int64
	for _, c := range s.Sidecars {
		if !c.Witness && dumped[c.Workload] {
			memory = append(memory, c.MemoryBytes)
		}
	}
	return memoryOf(memory)
}
