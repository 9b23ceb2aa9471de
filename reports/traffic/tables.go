package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

const unknown = "-"

// ms is a latency in milliseconds.
func ms(seconds float64) string { return fmt.Sprintf("%.2f", seconds*1000) }

// requests are the loads with their rates, answers and latencies.
func (t *Traffic) requests() sections.Table {
	table := sections.Table{Title: "Requests a second, and latencies", Header: []string{"step", "from", "sidecars", "asked", "conns", "sent", "failed", "p50 ms", "p90", "p99", "p99.9", "max", "answers"}}
	for i := range t.Loads {
		l := &t.Loads[i]
		row := []string{l.Step, l.From, l.Carried(), fmt.Sprint(l.QPS), fmt.Sprint(l.Connections), fmt.Sprintf("%.1f", l.Rate), fmt.Sprint(l.Failed())}
		if x := l.Latency; x != nil {
			row = append(row, ms(x.P50), ms(x.P90), ms(x.P99), ms(x.P999), ms(x.Max))
		} else {
			row = append(row, unknown, unknown, unknown, unknown, unknown)
		}
		table.Rows = append(table.Rows, append(row, answers(l)))
	}
	return table
}

// answers are how often there was which status.
func answers(l *Load) string {
	var list []string
	for _, status := range slices.Sorted(maps.Keys(l.Statuses)) {
		list = append(list, fmt.Sprintf("%s: %d", status, l.Statuses[status]))
	}
	if len(list) == 0 {
		return unknown
	}
	return strings.Join(list, ", ")
}

// withAndWithout sets loads side by side that differ in the source's sidecar only.
func (t *Traffic) withAndWithout() sections.Table {
	table := sections.Table{Title: "Latency with and without the source's sidecar", Header: []string{"step", "asked /s", "connections", "quantile", "without ms", "with ms", "added ms"}}
	for _, p := range t.pairs() {
		with, without := p.with.Latency, p.without.Latency
		for _, q := range []struct {
			name          string
			with, without float64
		}{{"p50", with.P50, without.P50}, {"p90", with.P90, without.P90}, {"p99", with.P99, without.P99}} {
			table.Rows = append(table.Rows, []string{
				p.with.Step, fmt.Sprint(p.with.QPS), fmt.Sprint(p.with.Connections), q.name, ms(q.without), ms(q.with), fmt.Sprintf("%+.2f", (q.with-q.without)*1000),
			})
		}
	}
	return table
}

// costs are what the proxies of each side took, and what was published.
func (t *Traffic) costs() sections.Table {
	table := sections.Table{Title: "CPU and memory of the proxies under load", Header: []string{"step", "from", "side", "proxies", "sent /s", "vCPU", "vCPU for 1,000 /s", "before Mi", "during Mi", "after Mi"}}
	for i := range t.Loads {
		l := &t.Loads[i]
		for _, side := range []string{observations.TrafficSource, observations.TrafficTarget} {
			var before, during, after []float64
			n := 0
			for j := range l.Proxies {
				p := &l.Proxies[j]
				if p.Side != side {
					continue
				}
				n++
				for _, x := range []struct {
					to   *[]float64
					from *observations.TrafficMemory
				}{{&before, p.Before}, {&during, p.During}, {&after, p.After}} {
					if x.from != nil {
						*x.to = append(*x.to, float64(x.from.Bytes))
					}
				}
			}
			if n == 0 {
				continue
			}
			row := []string{l.Step, l.From, side, fmt.Sprint(n), fmt.Sprintf("%.1f", l.Rate), unknown, unknown}
			if cores, per, ok := l.CPU(side); ok {
				row[5], row[6] = fmt.Sprintf("%.3f", cores), fmt.Sprintf("%.2f", per)
			}
			for _, values := range [][]float64{before, during, after} {
				if len(values) < n {
					row = append(row, unknown)
					continue
				}
				median, _, _ := words.Spread(values)
				row = append(row, fmt.Sprintf("%.1f", median/words.Mi))
			}
			table.Rows = append(table.Rows, row)
		}
	}
	if p := t.Published; p != nil {
		table.Rows = append(table.Rows, []string{
			"published", unknown, unknown, "1", fmt.Sprint(p.RequestsPerSecond), fmt.Sprintf("%.2f", p.Cores), fmt.Sprintf("%.2f", p.Cores/float64(p.RequestsPerSecond)*1000),
			unknown, fmt.Sprintf("%.1f", p.MemoryMB*1e6/words.Mi), unknown,
		})
	}
	return table
}

// memory is what loads changed in memory.
func (t *Traffic) memory() sections.Table {
	table := sections.Table{Title: "Memory by load, against rest", Header: []string{"asked /s", "connections", "side", "proxies", "at rest Mi", "during Mi", "95 % interval", "after Mi", "95 % interval after"}}
	for _, c := range t.Memory {
		during, interval := change(&c.During)
		after, afterwards := change(c.After)
		table.Rows = append(table.Rows, []string{
			fmt.Sprint(c.QPS), fmt.Sprint(c.Connections), c.Side, fmt.Sprint(c.Proxies), fmt.Sprintf("%.1f", c.Rest.Mean/words.Mi), during, interval, after, afterwards,
		})
	}
	return table
}

// effects is what more of one thing alone changes.
func (t *Traffic) effects() sections.Table {
	table := sections.Table{Title: "Memory by one thing alone", Header: []string{"side", "what changes", "proxies", "Mi", "95 % interval"}}
	for _, e := range t.Effects {
		mean, interval := change(&e.Change)
		table.Rows = append(table.Rows, []string{e.Side, e.Of, fmt.Sprint(e.Proxies), mean, interval})
	}
	return table
}

// change is an estimate in Mi with its interval.
func change(e *Estimate) (mean, interval string) {
	if e == nil {
		return unknown, unknown
	}
	mean, interval = fmt.Sprintf("%+.2f", e.Mean/words.Mi), unknown
	if e.Low != nil {
		interval = fmt.Sprintf("%+.2f to %+.2f", *e.Low/words.Mi, *e.High/words.Mi)
	}
	return mean, interval
}

// notes say what the tables are made of.
func (t *Traffic) notes() []string {
	notes := []string{t.Answer}
	if text := t.why(); text != "" {
		notes = append(notes, text)
	}
	var ways []string
	for i := range t.Loads {
		l := &t.Loads[i]
		through := map[string]string{observations.ThroughKubelet: "the nodes' /metrics/resource", observations.ThroughMetrics: "the metrics API", observations.ThroughPrometheus: "Prometheus"}[l.ReadThrough]
		if through != "" && !slices.Contains(ways, through) {
			ways = append(ways, through)
		}
	}
	text := "Requests were sent by Fortio in a pod; latencies are its own, of all requests. sidecars says whose sidecar carried them: the source's, the target's, both. CPU is that of a side's proxies together, between the first and the last reading while requests were sent"
	if len(ways) > 0 {
		text += ", read from " + strings.Join(ways, " and ")
	}
	notes = append(notes, text+"; what they use idle is in it.")
	if len(t.Memory) > 0 {
		notes = append(notes, "At rest is before the run's first load; intervals are Student's, over proxies, and say nothing of other runs. Idle sidecars carried no load: what they change, no load has changed.")
	}
	for _, text := range t.LeftOut {
		notes = append(notes, "Left out of the figures about memory: "+text+".")
	}
	if p := t.Published; p != nil {
		notes = append(notes, fmt.Sprintf("Published: %.2f vCPU and %g MB for a sidecar with %s that carries %s requests a second of %s bytes, Istio %s (%s).",
			p.Cores, p.MemoryMB, words.Plural(p.Workers, "worker thread"), count(p.RequestsPerSecond), count(p.PayloadBytes), p.Istio, p.Source))
	}
	return notes
}

// findings are what a reader must not miss.
func (t *Traffic) findings() []sections.Finding {
	found := []sections.Finding{{Level: observations.Info, Kind: "traffic", Text: t.Answer}}
	add := func(l *Load, level, format string, args ...any) {
		found = append(found, sections.Finding{Level: level, Kind: "traffic", Step: l.Step, Text: fmt.Sprintf(format, args...)})
	}
	for i := range t.Loads {
		l := &t.Loads[i]
		if l.Slow() {
			add(l, observations.Warning, "%s sent %.0f requests a second to %s, %d were asked for: the client or what answers could not keep up, and latencies are of that rate", l.From, l.Rate, l.To, l.QPS)
		}
		for _, text := range l.Unsettled {
			add(l, observations.Warning, "the load from %s began before the proxies were quiet: %s", l.From, text)
		}
		for _, text := range l.Unread {
			add(l, observations.Warning, "of the load from %s, not all is known: %s", l.From, text)
		}
	}
	return found
}

// label is a name for a load that no other of its step has.
func (t *Traffic) label(i int) string {
	name := func(l *Load) string {
		return fmt.Sprintf("%s-%dqps-%dc", strings.ReplaceAll(l.From, "/", "."), l.QPS, l.Connections)
	}
	l, n := &t.Loads[i], 1
	for j := range t.Loads[:i] {
		if o := &t.Loads[j]; o.Step == l.Step && name(o) == name(l) {
			n++
		}
	}
	if n > 1 {
		return fmt.Sprintf("%s-%d", name(l), n)
	}
	return name(l)
}

// samples are the metrics of the loads.
func (t *Traffic) samples() []metrics.Sample {
	var all []metrics.Sample
	for i := range t.Loads {
		l := &t.Loads[i]
		of := []string{"load", t.label(i)}
		add := func(metric string, value, published float64, labels ...string) {
			all = append(all, metrics.Sample{Metric: metric, Step: l.Step, Number: l.Number, Labels: slices.Concat(of, labels), Value: value, Published: published})
		}
		add("traffic_requests_per_second", l.Rate, 0)
		add("traffic_failed_requests", float64(l.Failed()), 0)
		if x := l.Latency; x != nil {
			add("traffic_latency_median_seconds", x.P50, 0)
			add("traffic_latency_tail_seconds", x.P99, 0)
		}
		for _, side := range []string{observations.TrafficSource, observations.TrafficTarget} {
			if _, per, ok := l.CPU(side); ok {
				published := 0.0
				if p := t.Published; p != nil {
					published = p.Cores / float64(p.RequestsPerSecond) * 1000
				}
				add("traffic_"+side+"_cpu_per_thousand_cores", per, published)
			}
		}
	}
	return all
}
