package scoping

import (
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/quantile"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

const (
	mb = 1e6
	gb = 1e9
)

// Section is the part of a report.
func Section(s *Scoping) sections.Section {
	out := sections.Section{
		Name:    "scoping",
		Summary: s.summary(),
		Parts: []sections.Part{
			{Title: "Step by step", Tables: []sections.Table{s.steps()}},
			{Title: "istiod's times, 99th percentiles of each step", Tables: []sections.Table{s.times()}},
		},
		Findings: s.findings(),
	}
	if s.Prediction != nil {
		out.Parts = append(out.Parts, sections.Part{Title: "The saving, by the cost model and measured", Tables: []sections.Table{s.prediction()}})
	}
	if len(s.Probes) > 0 {
		t := s.arrivals()
		out.Parts = append(out.Parts, sections.Part{Title: t.Title, Tables: []sections.Table{t}})
	}
	if len(s.Walks) > 0 {
		out.Parts = append(out.Parts, sections.Part{Title: "Requests along the graph", Tables: []sections.Table{s.walks()}})
	}
	if len(s.Proofs) > 0 {
		t := sections.Table{Title: "Single calls along the graph", Header: []string{"step", "to prove", "calls", "proved"}}
		for _, p := range s.Proofs {
			t.Rows = append(t.Rows, []string{p.Step, p.Proves, fmt.Sprint(p.All), fmt.Sprint(p.Held)})
		}
		out.Parts = append(out.Parts, sections.Part{Title: t.Title, Tables: []sections.Table{t}})
	}
	out.Notes = s.notes()
	out.Samples, out.Properties = s.samples()
	return out
}

// of is a cell about a phase; "" where there is no such step.
func of(p *Phase, text func(*Phase) string) string {
	if p == nil {
		return ""
	}
	return text(p)
}

func published(value float64, unit string) string {
	if value == 0 {
		return "-"
	}
	return words.Number(value) + unit
}

// summary sets the figures beside the published ones.
func (s *Scoping) summary() sections.Table {
	t := sections.Table{
		Title:  fmt.Sprintf("A graph of %d Services and %d proxies, %d dependencies each", len(s.Graph.Services), s.Graph.Pods, s.Graph.Dependencies),
		Header: []string{"what", "published", "unscoped", "at the scope", "running on", "restarted", "published scoped"},
	}
	var without, with observations.PublishedScope
	if s.Published != nil {
		without, with = s.Published.Unscoped, s.Published.Scoped
	}
	last := s.Last
	if last == s.Before {
		last = nil // the same step
	}
	row := func(what, before, after string, text func(*Phase) string) {
		t.Rows = append(t.Rows, []string{what, before, of(s.Before, text), of(last, text), of(s.Running, text), of(s.Restarted, text), after})
	}
	proxies := float64(s.Graph.Pods)
	config := func(scale float64, format string) func(*Phase) string {
		return func(p *Phase) string {
			if p.Config == nil || p.Config.DumpBytes == 0 {
				return "unknown"
			}
			return fmt.Sprintf(format, float64(p.Config.DumpBytes)*scale)
		}
	}
	memory := func(scale float64, format string) func(*Phase) string {
		return func(p *Phase) string {
			if p.Samples == 0 {
				return "unknown"
			}
			return fmt.Sprintf(format, float64(p.Median)*scale)
		}
	}
	row("dump of a proxy", published(without.ConfigMB, " MB"), published(with.ConfigMB, " MB"), config(1/mb, "%.2f MB"))
	row("dumps of all", published(without.AllConfigGB, " GB"), published(with.AllConfigGB, " GB"), config(proxies/gb, "%.2f GB"))
	row("memory of a proxy", published(without.MemoryMB, " MB"), published(with.MemoryMB, " MB"), memory(1/mb, "%.1f MB"))
	row("memory of all", published(without.AllMemoryGB, " GB"), published(with.AllMemoryGB, " GB"), memory(proxies/gb, "%.1f GB"))
	row("istiod, memory", published(without.IstiodMemoryGB, " GB"), published(with.IstiodMemoryGB, " GB"), func(p *Phase) string {
		if p.Istiod == nil || p.Istiod.MemoryBytes == 0 {
			return "unknown"
		}
		return fmt.Sprintf("%.2f GB", float64(p.Istiod.MemoryBytes)/gb)
	})
	row("istiod, peak", "-", "-", func(p *Phase) string { return known(float64(p.IstiodPeak)/gb, "%.2f GB") })
	row("istiod, mean CPU", published(without.IstiodCores, " cores"), published(with.IstiodCores, " cores"), func(p *Phase) string {
		if cores, ok := p.cores(); ok {
			return fmt.Sprintf("%.2f cores", cores)
		}
		return "unknown"
	})
	row("istiod, peak CPU", "-", "-", func(p *Phase) string { return known(p.IstiodCPUPeak, "%.2f cores") })
	return t
}

func known(value float64, format string) string {
	if value == 0 {
		return "unknown"
	}
	return fmt.Sprintf(format, value)
}

// cores is istiod's CPU over the step.
func (p *Phase) cores() (cores float64, ok bool) {
	if p.Istiod == nil || p.IstiodBefore == nil || p.Seconds <= 0 {
		return 0, false
	}
	return (p.Istiod.CPUSeconds - p.IstiodBefore.CPUSeconds) / p.Seconds, true
}

// steps has a row for each step.
func (s *Scoping) steps() sections.Table {
	t := sections.Table{Title: "Step by step", Header: []string{"step", "proxies", "sidecars", "memory, MB", "lowest", "highest", "dump, MB", "clusters", "istiod, MB", "peak, MB", "istiod, CPU s", "pushes"}}
	for i := range s.Phases {
		p := &s.Phases[i]
		row := []string{p.Name, string(p.State), fmt.Sprint(p.Samples), "unknown", "", "", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown"}
		if !p.Settled {
			row[1] += ", not settled"
		}
		if p.Samples > 0 {
			row[3], row[4], row[5] = fmt.Sprintf("%.1f", float64(p.Median)/mb), fmt.Sprintf("%.1f", float64(p.Low)/mb), fmt.Sprintf("%.1f", float64(p.High)/mb)
		}
		if p.Config != nil {
			row[6], row[7] = fmt.Sprintf("%.2f", float64(p.Config.DumpBytes)/mb), fmt.Sprint(p.Config.Objects.Clusters)
		}
		if p.Istiod != nil && p.Istiod.MemoryBytes > 0 {
			row[8] = fmt.Sprintf("%.0f", float64(p.Istiod.MemoryBytes)/mb)
		}
		row[9] = known(float64(p.IstiodPeak)/mb, "%.0f")
		if p.Istiod != nil && p.IstiodBefore != nil {
			row[10] = fmt.Sprintf("%.1f", p.Istiod.CPUSeconds-p.IstiodBefore.CPUSeconds)
			var pushes float64
			for kind, n := range p.Istiod.Pushes {
				pushes += n - p.IstiodBefore.Pushes[kind]
			}
			row[11] = fmt.Sprintf("%.0f", pushes)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// timed are istiod's histograms by their names.
func timed(p *Phase) []struct {
	name string
	p99  quantile.Estimate
} {
	return []struct {
		name string
		p99  quantile.Estimate
	}{{"pilot_xds_push_time", p.P99.Push}, {"pilot_proxy_convergence_time", p.P99.Convergence}, {"pilot_proxy_queue_time", p.P99.Queue}}
}

// times has a row for each step.
func (s *Scoping) times() sections.Table {
	t := sections.Table{Title: "istiod's times, 99th percentiles of each step", Header: []string{"step", "proxies", "pods replaced", "push", "pushes", "convergence", "proxies' pushes", "queue"}}
	bound := s.bound()
	if bound > 0 {
		t.Header = append(t.Header, fmt.Sprintf("all below %g s", bound))
	}
	for i := range s.Phases {
		p := &s.Phases[i]
		replaced := 0
		for _, c := range p.Churn {
			replaced += len(c.Chosen)
		}
		row := []string{
			p.Name, string(p.State), fmt.Sprint(replaced), p.P99.Push.String(), count(p.P99.Push),
			p.P99.Convergence.String(), count(p.P99.Convergence), p.P99.Queue.String(),
		}
		if bound > 0 {
			row = append(row, s.below(p, bound))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func count(e quantile.Estimate) string {
	if !e.Known {
		return "unknown"
	}
	return fmt.Sprintf("%.0f", e.Count)
}

func (s *Scoping) bound() float64 {
	if s.Published == nil {
		return 0
	}
	return s.Published.BoundSeconds
}

// below says whether a step's percentiles keep to a bound.
func (s *Scoping) below(p *Phase, bound float64) string {
	var above, unknown []string
	for _, x := range timed(p) {
		switch within, ok := x.p99.Within(bound); {
		case !ok:
			unknown = append(unknown, x.name)
		case !within:
			above = append(above, x.name)
		}
	}
	switch {
	case len(above) > 0:
		return "no: " + strings.Join(above, ", ")
	case len(unknown) > 0:
		return "unknown: " + strings.Join(unknown, ", ")
	}
	return "yes"
}

// prediction sets the model beside what was measured.
func (s *Scoping) prediction() sections.Table {
	p := s.Prediction
	t := sections.Table{Title: "The saving, by the cost model and measured", Header: []string{"of a proxy", "before", "predicted after", "measured after"}}
	after := func(text func(*observations.Proxy) string) string {
		if s.Restarted == nil || s.Restarted.Config == nil {
			return "unknown"
		}
		return text(s.Restarted.Config)
	}
	number := func(what string, before, predicted int, measured func(*observations.Proxy) int) {
		t.Rows = append(t.Rows, []string{what, fmt.Sprint(before), fmt.Sprint(predicted), after(func(o *observations.Proxy) string { return fmt.Sprint(measured(o)) })})
	}
	number("clusters", p.Before.Objects.Clusters, p.After.Objects.Clusters, func(o *observations.Proxy) int { return o.Objects.Clusters })
	number("listeners", p.Before.Objects.Listeners, p.After.Objects.Listeners, func(o *observations.Proxy) int { return o.Objects.Listeners })
	number("filter chains", p.Before.Objects.FilterChains, p.After.Objects.FilterChains, func(o *observations.Proxy) int { return o.Objects.FilterChains })
	number("route configurations", p.Before.Objects.RouteConfigs, p.After.Objects.RouteConfigs, func(o *observations.Proxy) int { return o.Objects.RouteConfigs })
	number("virtual hosts", p.Before.Objects.VirtualHosts, p.After.Objects.VirtualHosts, func(o *observations.Proxy) int { return o.Objects.VirtualHosts })
	number("endpoints", p.Before.Objects.Endpoints, p.After.Objects.Endpoints, func(o *observations.Proxy) int { return o.Objects.Endpoints })
	t.Rows = append(t.Rows, []string{
		"dump, MB", fmt.Sprintf("%.2f", float64(p.Before.DumpBytes)/mb), fmt.Sprintf("%.2f", float64(p.After.DumpBytes)/mb),
		after(func(o *observations.Proxy) string { return fmt.Sprintf("%.2f", float64(o.DumpBytes)/mb) }),
	})
	measured := "unknown"
	if p.Known {
		measured = fmt.Sprintf("%.1f", p.Measured/words.Mi)
	}
	t.Rows = append(t.Rows, []string{"saving, Mi", "", fmt.Sprintf("%.1f (%.1f to %.1f)", p.Saving/words.Mi, p.Lo/words.Mi, p.Hi/words.Mi), measured})
	return t
}

// walks has a row for each load of requests.
func (s *Scoping) walks() sections.Table {
	t := sections.Table{Title: "Requests along the graph", Header: []string{"step", "calls", "requests", "not answered with 200", "seconds", "meanwhile"}}
	for i := range s.Walks {
		w := &s.Walks[i]
		all, failed := w.Requests()
		what := strings.Join(w.Meanwhile, ", ")
		if w.DoneSeconds > 0 {
			what += fmt.Sprintf("; acknowledged by every proxy after %.1f s", w.DoneSeconds)
		}
		t.Rows = append(t.Rows, []string{w.Step, fmt.Sprint(len(w.Loads)), fmt.Sprint(all), fmt.Sprint(failed), fmt.Sprintf("%.0f", w.Seconds), what})
	}
	return t
}

// notes say how to read the tables.
func (s *Scoping) notes() []string {
	notes := []string{fmt.Sprintf("Memory is the median of sidecars of the graph that run and were never dumped; that of all proxies is this median times %d.", s.Graph.Pods)}
	if s.Published != nil && s.Published.Source != "" {
		notes = append(notes, "Published: "+s.Published.Source+".")
	}
	notes = append(notes, "Percentiles are of the difference of istiod's buckets over the whole step, linear inside a bucket, whose bounds stand beside; none stands for a step without a push. "+
		"pilot_proxy_convergence_time begins after the debounce and ends when the response is sent.")
	if len(s.Probes) > 0 {
		notes = append(notes, "A change's way to the proxies is from the API server's answer to the acknowledgement of each light proxy that sees it: a Service that is made, and an endpoint of it.")
	}
	return notes
}

// findings are what must not be missed.
func (s *Scoping) findings() []sections.Finding {
	var found []sections.Finding
	add := func(level, step, format string, args ...any) {
		found = append(found, sections.Finding{Level: level, Kind: "scoping", Step: step, Text: fmt.Sprintf(format, args...)})
	}
	if s.Before != nil && s.Restarted != nil && s.Before.Samples > 0 && s.Restarted.Samples > 0 {
		was, is := float64(s.Before.Median), float64(s.Restarted.Median)
		add(observations.Info, s.Restarted.Name, "scoped and restarted, a sidecar takes %.1f MB in place of %.1f MB: %.1f MB less, for %d proxies %.1f GB.",
			is/mb, was/mb, (was-is)/mb, s.Graph.Pods, (was-is)*float64(s.Graph.Pods)/gb)
	}
	if text := s.keeps(); text != "" {
		add(observations.Info, s.Running.Name, "%s", text)
	}
	if p := s.Prediction; p != nil {
		switch {
		case !p.Known:
		case p.Holds():
			add(observations.Info, s.Restarted.Name, "the cost model said that the scope saves %.1f Mi a proxy, measured were %.1f Mi: %+.0f %%, within %.0f %%.", p.Saving/words.Mi, p.Measured/words.Mi, 100*p.Off(), 100*Tolerance)
		default:
			add(observations.Warning, s.Restarted.Name, "the cost model said that the scope saves %.1f Mi a proxy, measured were %.1f Mi: %+.0f %%, not within %.0f %%.", p.Saving/words.Mi, p.Measured/words.Mi, 100*p.Off(), 100*Tolerance)
		}
		for _, w := range p.Warnings {
			add(observations.Info, "", "of the predicted saving: %s.", w)
		}
	} else if s.Scope != nil {
		add(observations.Warning, "", "no saving was predicted: %s.", s.NoPrediction)
	}
	for i := range s.Walks {
		if w := &s.Walks[i]; w.Holds() {
			all, _ := w.Requests()
			add(observations.Info, w.Step, "%d requests along the %d calls of the graph, all answered with 200%s.", all, len(w.Loads), during(w.Meanwhile))
		} // else it is an expectation that was missed, which is told
	}
	for _, p := range s.Proofs {
		if p.Held == p.All {
			add(observations.Info, p.Step, "all %d calls along the graph that were to prove %s did.", p.All, p.Proves)
		}
	}
	for i := range s.Probes {
		p := &s.Probes[i]
		if p.Missing() > 0 {
			add(observations.Warning, p.Step, "%d of %d acknowledgements of probes (%s) did not come within %g s.", p.Missing(), p.Expected, p.Kind, p.Limit)
		}
	}
	if bound := s.bound(); bound > 0 {
		for i := range s.Phases {
			p := &s.Phases[i]
			if len(p.Churn) == 0 {
				continue
			}
			switch answer := s.below(p, bound); {
			case answer == "yes":
				add(observations.Info, p.Name, "istiod's 99th percentiles of push, convergence and queue time stay below the published %g s while pods are replaced (%s).", bound, p.State)
			default:
				add(observations.Warning, p.Name, "istiod's 99th percentiles below the published %g s while pods are replaced (%s): %s.", bound, p.State, answer)
			}
		}
	}
	return found
}

func during(actions []string) string {
	if len(actions) == 0 {
		return ""
	}
	return " while this was done: " + strings.Join(actions, ", ")
}

// keeps judges the statement that a running proxy does not give its memory back; "" where it
// cannot be.
func (s *Scoping) keeps() string {
	if s.Pairs == 0 || s.Restarted == nil || s.Restarted.Samples == 0 || s.Last.Samples == 0 {
		return ""
	}
	saved := float64(s.Last.Median - s.Restarted.Median)
	if saved <= 0 {
		return ""
	}
	share := s.Given / saved
	verdict := "holds in part"
	switch {
	case share < KeptShare:
		verdict = "holds"
	case share > GivenShare:
		verdict = "does not hold"
	}
	return fmt.Sprintf("scoped, sidecars that ran on gave back %.1f MB (median of %d), restarted ones take %.1f MB less: that a running proxy does not give memory back %s (%.0f %%).",
		s.Given/mb, s.Pairs, saved/mb, verdict, 100*max(0, share))
}

// samples are the metrics of the whole run, and properties the same for JUnit.
func (s *Scoping) samples() (samples []metrics.Sample, properties [][2]string) {
	p := s.Prediction
	if p == nil {
		return nil, nil
	}
	samples = append(samples,
		metrics.Sample{Metric: "scope_predicted_saving_bytes", Value: p.Saving},
		metrics.Sample{Metric: "scope_predicted_saving_bytes", Bound: "lo", Value: p.Lo},
		metrics.Sample{Metric: "scope_predicted_saving_bytes", Bound: "hi", Value: p.Hi})
	properties = append(properties, [2]string{"predicted saving", fmt.Sprintf("%.1f Mi a proxy", p.Saving/words.Mi)})
	if p.Known {
		samples = append(samples, metrics.Sample{Metric: "scope_saving_bytes", Value: p.Measured})
		properties = append(properties, [2]string{"saving", fmt.Sprintf("%.1f Mi a proxy", p.Measured/words.Mi)})
	}
	return samples, properties
}

// differs names the counts that are not equal.
func differs(computed observations.ProxyHolds, is *observations.Proxy) []string {
	var list []string
	compare := func(what string, a, b int) {
		if a != b {
			list = append(list, fmt.Sprintf("%s %d computed, %d there", what, a, b))
		}
	}
	c, o := computed.Objects, is.Objects
	compare("clusters", c.Clusters, o.Clusters)
	compare("listeners", c.Listeners, o.Listeners)
	compare("filter chains", c.FilterChains, o.FilterChains)
	compare("route configurations", c.RouteConfigs, o.RouteConfigs)
	compare("virtual hosts", c.VirtualHosts, o.VirtualHosts)
	compare("endpoints", c.Endpoints, o.Endpoints)
	r, q := computed.Rows, is.Rows
	compare("cluster rows", r.Cluster, q.Cluster)
	compare("listener rows", r.Listener, q.Listener)
	compare("route rows", r.Route, q.Route)
	compare("endpoint rows", r.Endpoint, q.Endpoint)
	return list
}
