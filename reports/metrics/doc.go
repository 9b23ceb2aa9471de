package metrics

import (
	"fmt"
	"strings"
)

// Document is docs/metrics.md: the table of metrics in Markdown, and the names that metrics
// had before.
func Document() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Metrics")
	line("")
	line("A metric has one name in every format: the key in `steps[].metrics` of report.json, the")
	line("column `metric` of report.csv, the family of report.openmetrics.txt (after `meshbench_`), the")
	line("unit of report.bench.txt, and the name in `meshbench gate --limit` and in baselines. The page")
	line("and report.md show the same metrics under titles for people.")
	line("")
	line("This page is printed from the table in [reports/metrics](../reports/metrics/table.go); a test")
	line("holds it to that. To add a metric, let harness/sample read it, let harness record it, and add")
	line("a row to the table.")
	line("")
	line("- Names end with the unit: `bytes`, `seconds`, `cores`. Those without one are counts, or 1")
	line("  and 0 for yes and no.")
	line("- Exact metrics are the same whenever nothing has changed; `compare` and `gate` call any")
	line("  difference a change. Noisy ones are compared by medians and a rank test.")
	line("- Of a metric that is read of several pods, `value` is the median. report.json has `min`,")
	line("  `max` and `samples` beside it, report.csv the rows NAME.min, NAME.max and NAME.samples.")
	line("  Of a fit, NAME.lo and NAME.hi bound the interval; OpenMetrics says so in the label `bound`.")
	line("- Where it says the metrics API, a run with `--memory-source` has read Prometheus or the")
	line("  kubelets instead (`memory is read from` in the reports, `readThrough` in the log).")
	line("")
	line("| name | what it is | unit | kind | better | read from | of | not in |")
	line("|---|---|---|---|---|---|---|---|")
	for _, m := range Table() {
		kind := ""
		switch {
		case m.Exact:
			kind = "exact"
		case m.In(Compare) || m.In(Bench):
			kind = "noisy"
		}
		line("| `%s` | %s | %s | %s | %s | %s | %s | %s |", m.Name, m.Help, m.Unit, kind, m.Better, m.Source, m.of(), m.notIn())
	}
	line("")
	for _, text := range istiodText {
		line("%s", text)
	}
	line("")
	line("## Names before 2026-11-29")
	line("")
	line("Until 2026-11-29 each format had names of its own. Old logs need nothing: reports made from")
	line("them again have the new names. Baselines with the old names of `compare and gate` are still")
	line("read, and `--limit` still takes them; `--accept` writes the new ones. Values are the same, but")
	line("for `cpu` in CSV, which was in nanocores and is in cores. The column `unit` of CSV is empty")
	line("for counts, where it sometimes was `rows` or `revisions`. The label `pod` of")
	line("`config_dump_bytes` is gone: the field `witness` of report.json says it. The family `sidecars`")
	line("was split by the label `real`: it now counts all, and `real_sidecars` those that run.")
	line("report.json keeps the fields that it had, beside `metrics`.")
	line("")
	line("| name | CSV | OpenMetrics | benchmark format | compare and gate |")
	line("|---|---|---|---|---|")
	for _, m := range Table() {
		if m.renamed() {
			line("| `%s` | %s | %s | %s | %s |", m.Name, m.was(CSV), m.was(OpenMetrics), m.was(Bench), m.was(Compare))
		}
	}
	return b.String()
}

// of is what single values are of, for people.
func (m Metric) of() string {
	switch {
	case m.Repeated && m.Without[Tables] == othersSay:
		return "every real proxy of that kind"
	case m.Repeated:
		return "every real sidecar"
	case m.Of == OfPod && m.Read != nil:
		return "the pods asked"
	}
	return m.Of
}

// notIn are the formats that leave the metric out, with the reasons.
func (m Metric) notIn() string {
	var parts []string
	for _, f := range Formats() {
		if why := m.Without[f]; why != "" {
			if n := len(parts) - 1; n >= 0 && strings.HasSuffix(parts[n], " ("+why+")") {
				parts[n] = strings.TrimSuffix(parts[n], " ("+why+")") + ", " + string(f) + " (" + why + ")"
				continue
			}
			parts = append(parts, string(f)+" ("+why+")")
		}
	}
	return strings.Join(parts, "; ")
}

// renamed says whether the metric had another name anywhere.
func (m Metric) renamed() bool {
	for _, old := range m.Was {
		if old.Name != m.Name {
			return true
		}
	}
	return false
}

// was lists the names that the metric had in a format; "" where it has kept its name or had
// none.
func (m Metric) was(f Format) string {
	var names []string
	for _, old := range m.Was {
		if old.Format == f && old.Name != m.Name {
			names = append(names, "`"+old.Name+"`")
		}
	}
	return strings.Join(names, ", ")
}
