package metrics

import (
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// Reasons for which formats leave metrics out.
const (
	judged     = "a state or a judgement, not a measurement"
	fieldsSay  = "the report has it as a field"
	tablesSay  = "in the table of steps"
	fewSay     = "one reading a run, too noisy to compare"
	elsewhere  = "the working set says more, and has a column"
	othersSay  = "proxies that are no sidecars have a table of their own"
	stepPeak   = "sidecar_memory_peak_bytes holds the step's"
	growthSays = "the section about revisions has its own tables"
)

// leave says why formats leave a metric out.
func leave(why string, formats ...Format) map[Format]string {
	without := map[Format]string{}
	for _, f := range formats {
		without[f] = why
	}
	return without
}

// and joins two of them.
func and(a, b map[Format]string) map[Format]string {
	for f, why := range b {
		a[f] = why
	}
	return a
}

// was lists names of before, in CSV, OpenMetrics (with the labels that told it apart), the
// benchmark format and compare; "" where it had none.
func was(csv, openMetrics, bench, compare string) []Old {
	return slices.DeleteFunc([]Old{{CSV, csv}, {OpenMetrics, openMetrics}, {Bench, bench}, {Compare, compare}}, func(o Old) bool { return o.Name == "" })
}

// Table is every metric, in the order in which formats print them.
func Table() []Metric {
	return slices.Concat(states(), configuration(), objects(), memory(), istiod(), light(), times(), judgements(), revisions(), bySize(), traffic())
}

// one is a metric's only value.
func one(v float64) []Value { return []Value{{Value: v}} }

// known is a metric's only value where it is not 0, which stands for unknown.
func known(v int64) []Value {
	if v == 0 {
		return nil
	}
	return one(float64(v))
}

// series is where peaks are read.
const series = "the series of the nodes' /metrics/resource"

// states are what is known of a run and of its steps beside what was measured.
func states() []Metric {
	run := leave(judged, Bench, Compare, Tables)
	step := and(leave(judged, Bench, Compare), leave(tablesSay, Tables))
	return []Metric{
		{Name: "run_info", Title: "the run", Help: "What the run depends on, in labels; always 1.", Source: "the log's first record",
			Without: and(and(leave(judged, Bench, Compare, Tables), leave(fieldsSay, JSON)), leave("its labels would be columns", CSV)), Was: was("", "run_info", "", "")},
		{Name: "run_finished", Title: "run finished", Help: "1 when every step was measured and the log was closed.", Better: Higher, Source: "the log's end",
			Without: and(leave(fieldsSay, JSON), run), Was: was("finished", "run_finished", "", "")},
		{Name: "run_duration_seconds", Title: "time of the run", Help: "From the log's first record to its last.", Unit: Seconds, Shown: S, Better: Lower, Source: "the log's times",
			Without: and(leave(fieldsSay, JSON), run), Was: was("", "run_duration_seconds", "", "")},
		{Name: "run_steps", Title: "steps", Help: "Steps that the scenario has.", Source: "the log's first record",
			Without: and(leave(fieldsSay, JSON), run), Was: was("", "run_steps", "", "")},
		{Name: "step_measured", Title: "step measured", Help: "1 when the step's measurement was completed.", Better: Higher, Source: "record measure",
			Without: step, Was: was("measured", "step_measured", "", ""),
			Read: func(s *Step) []Value { return one(words.Flag(s.Measure != nil)) }},
		{Name: "step_settled", Title: "step settled", Help: "1 when the mesh was quiet before the step was measured, and stayed so.", Better: Higher, Source: "record settle",
			Without: step, Was: was("settled", "step_settled", "", ""),
			Read: func(s *Step) []Value {
				return one(words.Flag(s.Settle != nil && s.Settle.Settled && (s.Measure == nil || len(s.Measure.Disturbed) == 0)))
			}},
		{Name: "step_resumed", Title: "step resumed", Help: "1 when the step was measured after an interruption, so that its memory has another past; else there is none.", Better: Lower, Source: "record resume",
			Without: and(leave(fieldsSay, JSON), step)},
	}
}

// configuration counts what the witness holds, and then what a gateway that is one does.
func configuration() []Metric {
	all := configurationOf(func(s *Step) *observations.Proxy { return s.Proxy })
	for _, m := range configurationOf(func(s *Step) *observations.Proxy { return s.Gateway }) {
		m.Name, m.Title = "gateway_"+m.Name, m.Title+" of a gateway"
		m.Help = strings.ReplaceAll(m.Help, "the witness", "the gateway")
		m.Source = "/config_dump and /clusters of a gateway that is a witness"
		m.Word, m.Column, m.Was, m.Trend, m.Rare = "gateway "+m.Word, Column{}, nil, false, true
		m.Without = leave(othersSay, Tables)
		all = append(all, m)
	}
	return all
}

func configurationOf(proxy func(*Step) *observations.Proxy) []Metric {
	var all []Metric
	for _, k := range []struct {
		word  string
		count func(observations.Counts) int
	}{
		{"cluster", func(c observations.Counts) int { return c.Cluster }},
		{"listener", func(c observations.Counts) int { return c.Listener }},
		{"route", func(c observations.Counts) int { return c.Route }},
		{"endpoint", func(c observations.Counts) int { return c.Endpoint }},
	} {
		all = append(all, Metric{
			Name: k.word + "_rows", Title: "rows of " + k.word + "s", Exact: true, Source: "the witness's /config_dump and /clusters", Word: k.word, Trend: true,
			Help:    "Rows that `istioctl proxy-config " + k.word + "` prints of the witness, without the header line.",
			Without: leave(tablesSay, Tables),
			Was:     was(k.word, "config_rows{kind="+k.word+"}", k.word+"-rows", "rows."+k.word),
			Read: func(s *Step) []Value {
				if proxy(s) == nil {
					return nil
				}
				return one(float64(k.count(proxy(s).Rows)))
			},
		})
	}
	for _, k := range []struct {
		name, word, json, bench, title string
		count                          func(observations.ConfigObjects) int
	}{
		{"clusters", "clusterObjects", "clusters", "clusters", "clusters", func(o observations.ConfigObjects) int { return o.Clusters }},
		{"listeners", "listenerObjects", "listeners", "listeners", "listeners", func(o observations.ConfigObjects) int { return o.Listeners }},
		{"filter_chains", "filterChainObjects", "filterChains", "filter-chains", "filter chains", func(o observations.ConfigObjects) int { return o.FilterChains }},
		{"route_configs", "routeObjects", "routeConfigs", "route-configs", "route configurations", func(o observations.ConfigObjects) int { return o.RouteConfigs }},
		{"virtual_hosts", "virtualHostObjects", "virtualHosts", "virtual-hosts", "virtual hosts", func(o observations.ConfigObjects) int { return o.VirtualHosts }},
		{"endpoints", "endpointObjects", "endpoints", "endpoints", "endpoints", func(o observations.ConfigObjects) int { return o.Endpoints }},
	} {
		all = append(all, Metric{
			Name: "config_" + k.name, Title: k.title, Exact: true, Source: "the witness's /config_dump and /clusters", Word: k.word,
			Help:   "Objects of this kind in the witness's configuration: " + k.title + ".",
			Column: Column{Table: ConfigTable, Title: k.title},
			Was:    was("config."+k.json, "config_objects{kind="+k.json+"}", "config-"+k.bench, "configObjects."+k.json),
			Read: func(s *Step) []Value {
				if proxy(s) == nil {
					return nil
				}
				return one(float64(k.count(proxy(s).Objects)))
			},
		})
	}
	return all
}

// peaks are those of sidecars that started in the step, or of those that ran before it.
func peaks(started bool) func(*Step) []Value {
	return func(s *Step) []Value {
		return peaksOf(s, func(p observations.Peak) (float64, bool) { return float64(p.MemoryBytes), p.Started == started })
	}
}

// peaksOf are values of the peaks of sidecars never dumped.
func peaksOf(s *Step, of func(observations.Peak) (float64, bool)) []Value {
	var values []Value
	for _, r := range s.Records {
		p := r.Peak
		if p == nil || p.Witness || p.Kind != observations.ProxySidecar {
			continue
		}
		if v, ok := of(*p); ok {
			values = append(values, Value{Of: p.Namespace + "/" + p.Pod, Workload: p.Workload, Value: v})
		}
	}
	return values
}

// memory is what sidecars cost, and the size of what makes them cost it.
func memory() []Metric {
	const api = "the metrics API, as `kubectl top pod --containers` does"
	ofKind := func(kind string, witness bool, of func(observations.Usage) (float64, bool)) func(*Step) []Value {
		return func(s *Step) []Value {
			var values []Value
			for _, u := range s.Usage {
				if v, known := of(u); known && u.Kind == kind && u.Witness == witness {
					values = append(values, Value{Of: u.Namespace + "/" + u.Pod, Workload: u.Workload, Node: u.Node, Witness: u.Witness, Value: v})
				}
			}
			return values
		}
	}
	usage := func(witness bool, of func(observations.Usage) (float64, bool)) func(*Step) []Value {
		return ofKind(observations.ProxySidecar, witness, of)
	}
	bytes := func(u observations.Usage) (float64, bool) { return float64(u.MemoryBytes), true }
	cores := func(u observations.Usage) (float64, bool) { return float64(u.CPUNano) / 1e9, u.CPUKnown() }
	return []Metric{
		{Name: "sidecar_memory_bytes", Title: "memory of a sidecar", Help: "Working set of a real sidecar (container istio-proxy: pilot-agent and Envoy) whose configuration was never dumped.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: api, Of: OfPod, Repeated: true, ByWorkload: true, Trend: true, Word: "memory",
			Column: Column{Table: SidecarTable, Title: "", Decimals: 1}, Floor: 0.035, Limit: Limit{Relative: 0.035, Absolute: 0.5 * words.Mi},
			Alarm: 0.02, Spread: 0.01, // see gate.Defaults
			Was:  append(was("memory", "sidecar_memory_bytes{witness=false}", "sidecar-B", "memory"), Old{CSV, "workloadMemory"}),
			Read: usage(false, bytes)},
		{Name: "sidecar_memory_peak_bytes", Title: "peak memory of a sidecar in the step", Help: "The most memory that any real sidecar never dumped had from the step's begin until it was measured; unknown where the log has no series of it.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: series,
			Column: Column{Table: SidecarTable, Title: "peak", Decimals: 1}, Floor: 0.1,
			Read: func(s *Step) []Value { return known(s.SidecarPeak) }},
		{Name: "sidecar_push_peak_bytes", Title: "peak of a sidecar that was sent changes", Help: "The most memory that a real sidecar never dumped, which ran before the step, had from the step's begin until it was measured: its peak at pushes.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: series, Of: OfPod, Rare: true,
			Column: Column{Table: SidecarTable, Title: "peak at pushes", Decimals: 1}, Without: leave(stepPeak, Compare),
			Read: peaks(false)},
		{Name: "sidecar_start_peak_bytes", Title: "peak of a sidecar that started", Help: "The most memory that a real sidecar never dumped, which started in the step, had from its start until it was measured: its peak at a start or restart.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: series, Of: OfPod, Rare: true,
			Column: Column{Table: SidecarTable, Title: "peak at starts", Decimals: 1}, Without: leave(stepPeak, Compare),
			Read: peaks(true)},
		{Name: "sidecar_peak_over_settled_bytes", Title: "peak of a sidecar over what it settled on", Help: "By how much a real sidecar never dumped was higher in the step than what it settled on.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: series + ", and the metrics API", Of: OfPod, Rare: true,
			Column: Column{Table: SidecarTable, Title: "peak over settled", Decimals: 1}, Without: leave(stepPeak, Compare),
			Read: func(s *Step) []Value {
				return peaksOf(s, func(p observations.Peak) (float64, bool) { return float64(p.MemoryBytes - p.SettledBytes), true })
			}},
		{Name: "witness_memory_bytes", Title: "memory of a witness", Help: "Working set of a real sidecar whose configuration was dumped before, which makes Envoy grow.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: api, Of: OfPod, Repeated: true, Word: "witnessMemory", Floor: 0.04, Collected: true,
			Without: leave(tablesSay, Tables), Was: was("witnessMemory", "sidecar_memory_bytes{witness=true}", "witness-B", "witnessMemory"),
			Read: usage(true, bytes)},
		{Name: "sidecar_cpu_cores", Title: "CPU of a sidecar", Help: "CPU that a real sidecar never dumped used in the metrics API's last window.",
			Unit: Cores, Shown: Millicores, Better: Lower, Source: api, Of: OfPod, Repeated: true,
			Column: Column{Table: SidecarTable, Title: "median CPU", Decimals: 1}, Without: leave("a window of an idle proxy tells of the moment alone", Compare),
			Was:  was("cpu", "sidecar_cpu_cores{witness=false}", "sidecar-cores", ""),
			Read: usage(false, cores)},
		{Name: "witness_cpu_cores", Title: "CPU of a witness", Help: "CPU that a real sidecar dumped before used in the metrics API's last window.",
			Unit: Cores, Shown: Millicores, Better: Lower, Source: api, Of: OfPod, Repeated: true,
			Without: and(leave("a window of an idle proxy tells of the moment alone", Compare), leave(tablesSay, Tables)),
			Was:     was("", "sidecar_cpu_cores{witness=true}", "witness-cores", ""),
			Read:    usage(true, cores)},
		{Name: "sidecar_cpu_seconds", Title: "CPU time of a sidecar in the step", Help: "CPU time that a real sidecar never dumped used since the step before was measured, or since its own start.",
			Unit: Seconds, Shown: S, Better: Lower, Source: "the nodes' /metrics/resource", Of: OfPod, Repeated: true,
			Column: Column{Table: SidecarTable, Title: "median CPU", Decimals: 2}, Floor: 0.5, // as istiod's
			Read: cpuSeconds(observations.ProxySidecar)},
		// What of a difference in memory is in neither of the next two is Envoy's outside of
		// what it has allocated.
		{Name: "envoy_allocated_bytes", Title: "memory that its Envoy has allocated", Help: "What the Envoy of a sidecar never dumped says it has allocated.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: "Envoy's /memory", Of: OfPod,
			Column: Column{Table: SidecarTable, Title: "allocated by Envoy", Decimals: 1}, Floor: 0.02,
			Was: was("envoyAllocated", "envoy_allocated_bytes", "", "envoyAllocated"),
			Read: func(s *Step) []Value {
				var values []Value
				for _, e := range s.Envoys {
					if !e.Witness && e.Kind == observations.ProxySidecar {
						values = append(values, Value{Of: e.Namespace + "/" + e.Pod, Workload: e.Workload, Value: float64(e.Allocated)})
					}
				}
				return values
			}},
		{Name: "agent_held_bytes", Title: "memory that its pilot-agent holds", Help: "Heap and stacks that the pilot-agent of a witness holds; a dump, which Envoy answers, does not change it.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: "pilot-agent's /debug/pprof/heap", Of: OfPod,
			Column: Column{Table: SidecarTable, Title: "held by pilot-agent", Decimals: 1}, Floor: 0.1, Collected: true,
			Was: was("agentHeld", "agent_held_bytes", "", "agentHeld"),
			Read: func(s *Step) []Value {
				var values []Value
				for _, a := range s.Agents {
					if a.Kind != observations.ProxySidecar {
						continue
					}
					values = append(values, Value{Of: a.Namespace + "/" + a.Pod, Workload: a.Workload, Value: float64(a.HeapBytes + a.StackBytes)})
				}
				return values
			}},
		{Name: "agent_live_heap_bytes", Title: "live heap of its pilot-agent", Help: "What the heap of a witness's pilot-agent holds after two collections that were forced after its dump; " + collections + ".",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: "pilot-agent's /debug/pprof/heap?gc=1", Of: OfPod, Collected: true, Rare: true,
			Column: Column{Table: SidecarTable, Title: "live in pilot-agent", Decimals: 1}, Floor: 0.05,
			Read: func(s *Step) []Value {
				return live(s, observations.SidecarContainer, func(_ string, l *observations.Live) bool { return l.Kind == observations.ProxySidecar })
			}},
		{Name: "gateway_memory_bytes", Title: "memory of a gateway", Help: "Working set of a real gateway's container istio-proxy; its configuration was never dumped.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: api, Of: OfPod, Repeated: true, ByWorkload: true, Trend: true, Without: leave(othersSay, Tables),
			Floor: 0.035, LimitAs: "sidecar_memory_bytes",
			Read: ofKind(observations.ProxyGateway, false, bytes)},
		{Name: "gateway_cpu_cores", Title: "CPU of a gateway", Help: "CPU that a real gateway used in the metrics API's last window.",
			Unit: Cores, Shown: Millicores, Better: Lower, Source: api, Of: OfPod, Repeated: true,
			Without: and(leave("a window of an idle proxy tells of the moment alone", Compare), leave(othersSay, Tables)),
			Read:    ofKind(observations.ProxyGateway, false, cores)},
		{Name: "gateway_cpu_seconds", Title: "CPU time of a gateway in the step", Help: "CPU time that a real gateway used since the step before was measured, or since its own start.",
			Unit: Seconds, Shown: S, Better: Lower, Source: "the nodes' /metrics/resource", Of: OfPod, Repeated: true, Without: leave(othersSay, Tables),
			Floor: 0.5, Read: cpuSeconds(observations.ProxyGateway)},
		{Name: "waypoint_memory_bytes", Title: "memory of a waypoint", Help: "Working set of a real waypoint's container istio-proxy; its configuration was never dumped.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: api, Of: OfPod, Repeated: true, ByWorkload: true, Trend: true, Without: leave(othersSay, Tables),
			Floor: 0.035, LimitAs: "sidecar_memory_bytes",
			Read: ofKind(observations.ProxyWaypoint, false, bytes)},
		// A dump holds times and versions: it is never twice the same.
		{Name: "config_dump_bytes", Title: "size of a configuration dump", Help: "Size of the witness's configuration dump, endpoints included.",
			Unit: Bytes, Shown: KB, Better: Lower, Source: "the witness's /config_dump",
			Column: Column{Table: ConfigTable, Title: "config_dump", Decimals: 1}, Floor: 0.02,
			Was: was("configDump", "config_dump_bytes", "config-dump-B", "configDumpBytes"),
			Read: func(s *Step) []Value {
				if s.Proxy == nil {
					return nil
				}
				return one(float64(s.Proxy.DumpBytes))
			}},
	}
}

// times are how long a step took.
func times() []Metric {
	return []Metric{
		{Name: "step_settle_seconds", Title: "the wait for a quiet mesh", Help: "The wait for a quiet mesh.", Unit: Seconds, Shown: S, Better: Lower, Source: "record settle",
			Column: Column{Table: WorkTable, Title: "settle"}, Without: leave("step_duration_seconds holds it", Compare), Was: was("settle", "step_settle_seconds", "settle-sec", ""),
			Read: func(s *Step) []Value {
				if s.Settle == nil {
					return nil
				}
				return one(s.Settle.Seconds)
			}},
		{Name: "step_duration_seconds", Title: "time of the step, with its wait for a quiet mesh", Help: "Time of the whole step; unknown where it was cut off.", Unit: Seconds, Shown: S, Better: Lower, Source: "record measure",
			Column: Column{Table: WorkTable, Title: "step"}, Floor: 0.5, Was: was("step", "step_duration_seconds", "step-sec", "seconds"),
			Read: func(s *Step) []Value {
				if s.Measure == nil {
					return nil
				}
				return one(s.Measure.Seconds)
			}},
	}
}

// judgements are what was expected of a step, and what came of it. A report hands them
// over.
func judgements() []Metric {
	without := func(more map[Format]string) map[Format]string {
		return and(and(leave(judged, Bench, Compare), leave("the field expectations of a step says it", JSON)), more)
	}
	table := leave("the table of expectations says it", Tables)
	return []Metric{
		{Name: "change", Title: "change", Help: "Change of a count against the first step.", Exact: true, Source: "counts of two steps", Of: "what", Without: without(table), Was: was("change", "change", "", "")},
		{Name: "change_expected", Title: "expected change", Help: "Change that the scenario expects.", Exact: true, Source: "record begin", Of: "what", Without: without(table),
			Was: was("change.want", "change_expected", "", "")},
		{Name: "expectation_ok", Title: "expectation holds", Help: "1 when the change is the expected one.", Better: Higher, Source: "both of these", Of: "what", Without: without(table),
			Was: was("", "expectation_ok", "", "")},
		{Name: "published_match", Title: "as published", Help: "1 when a count is as published, or memory within the tolerance.", Better: Higher, Source: "the published table", Of: "what",
			Without: and(without(leave(tablesSay, Tables)), and(leave("the column match says it", CSV), leave("the field published of a step says it", JSON))),
			Was:     was("", "published_match", "", "")},
	}
}

// bySize are metrics of runs beside which memory by a number of objects was published. The
// report's section about them hands them over.
func bySize() []Metric {
	without := func() map[Format]string {
		return and(leave("of a whole run, not of a step", JSON, Bench, Compare), leave("the section about them has its own table", Tables))
	}
	return []Metric{
		{Name: "slope_bytes", Title: "memory of one more object", Help: "What one more object of the published series (a Service) adds to the working set of a proxy; lo and hi bound its interval of 95 %.",
			Unit: Bytes, Shown: KB, Better: Lower, Source: "a line through the steps' medians", Of: "kind", Without: without()},
		{Name: "published_slope_bytes", Title: "published memory of one more object", Help: "The same by somebody else's figures, of their version of Istio.",
			Unit: Bytes, Shown: KB, Source: "the published table", Of: "kind", Without: without()},
		{Name: "scope_saving_bytes", Title: "memory that a scope saves a sidecar", Help: "The difference between the median working sets of sidecars that began without a scope and with it.",
			Unit: Bytes, Shown: Mi, Source: "the steps' medians", Without: without()},
		{Name: "scope_predicted_saving_bytes", Title: "predicted memory that a scope saves a sidecar", Help: "The same by the cost model, from the witness's last dump before the scope; lo and hi bound its interval of 95 %.",
			Unit: Bytes, Shown: Mi, Source: "the cost model", Without: without()},
	}
}

// revisions are metrics of runs with revisions of Knative Services. The report's section
// about them hands them over.
func revisions() []Metric {
	growth := func(bench bool) map[Format]string {
		without := and(leave("the field growth says it", JSON), leave(growthSays, Tables))
		if !bench {
			without[Bench] = "growth_per_revision_bytes says what changed"
		}
		return and(without, leave("of a whole run, not of a step", Compare))
	}
	const fit = "a line through the steps' medians"
	all := []Metric{
		{Name: "revisions", Title: "revisions", Help: "Revisions of Knative Services at the step.", Source: "record revisions", Without: growth(false), Was: was("revisions", "step_revisions", "", "")},
		{Name: "growth_per_revision_bytes", Title: "growth per revision", Help: "What a revision adds to the working set of a workload's sidecars; lo and hi bound its interval of 95 %.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: fit, Of: "workload", Without: growth(true), Was: was("growth", "growth_per_revision_bytes", "B/revision", "")},
		{Name: "published_growth_per_revision_bytes", Title: "published growth per revision", Help: "What a revision adds, as somebody else published it.", Unit: Bytes, Shown: Mi, Source: "the published table",
			Without: and(growth(false), leave("the column published says it", CSV)), Was: was("", "published_growth_per_revision_bytes", "", "")},
		{Name: "growth_envoy_physical_per_revision_bytes", Title: "growth of what Envoy's allocator holds", Help: "What a revision adds to what Envoy's allocator holds.", Unit: Bytes, Shown: Mi, Better: Lower,
			Source: "Envoy's /memory", Of: "workload", Without: growth(false), Was: was("growth.envoyPhysical", "", "", "")},
		{Name: "growth_envoy_heap_per_revision_bytes", Title: "growth of Envoy's heap", Help: "What a revision adds to Envoy's heap.", Unit: Bytes, Shown: Mi, Better: Lower,
			Source: "Envoy's /memory", Of: "workload", Without: growth(false), Was: was("growth.envoyHeap", "", "", "")},
		{Name: "growth_envoy_allocated_per_revision_bytes", Title: "growth of what Envoy has allocated", Help: "What a revision adds to what Envoy has allocated.", Unit: Bytes, Shown: Mi, Better: Lower,
			Source: "Envoy's /memory", Of: "workload", Without: growth(false), Was: was("growth.envoyAllocated", "", "", "")},
		{Name: "growth_config_dump_per_revision_bytes", Title: "growth of a configuration dump", Help: "What a revision adds to a proxy's configuration dump.", Unit: Bytes, Shown: KB, Better: Lower,
			Source: "witnesses' /config_dump", Of: "workload", Without: growth(false), Was: was("growth.configDump", "", "", "")},
	}
	for _, kind := range []string{"cluster", "listener", "route", "endpoint"} {
		all = append(all, Metric{Name: "growth_" + kind + "_rows_per_revision", Title: "growth of rows of " + kind + "s", Help: "Rows of " + kind + "s that a revision adds to what istioctl proxy-config prints.",
			Source: "witnesses' /config_dump and /clusters", Of: "workload", Without: growth(false), Was: was("growth."+kind, "growth_rows_per_revision{kind="+kind+"}", "", "")})
	}
	return append(all,
		Metric{Name: "sidecar_limit_bytes", Title: "memory limit of a sidecar", Help: "Memory limit of a workload's sidecars.", Unit: Bytes, Shown: Mi, Source: "the Kubernetes API", Of: "workload",
			Without: growth(false), Was: was("growth.limit", "sidecar_limit_bytes", "", "")},
		Metric{Name: "sidecar_kills", Title: "kills of sidecars", Help: "Sidecars' containers that were killed for their memory.", Better: Lower, Source: "the containers' status", Of: "workload",
			Without: growth(false), Was: was("growth.kills", "sidecar_kills", "", "")},
		Metric{Name: "kill_revisions", Title: "revisions at a kill", Help: "Revisions between which a sidecar was killed: after so many, until so many were there.", Better: Higher, Source: "the containers' status and record revisions",
			Of: "pod", Without: growth(false), Was: was("kill", "kill_revisions", "", "")},
		Metric{Name: "kill_last_sample_bytes", Title: "last sample before a kill", Help: "The last sample before a sidecar was killed.", Unit: Bytes, Shown: Mi, Source: "the series of /metrics/resource", Of: "pod",
			Without: growth(false), Was: was("kill.lastSample", "kill_last_sample_bytes", "", "")},
		Metric{Name: "program_growth_per_revision_bytes", Title: "growth of a program per revision", Help: "What a revision adds to the memory of a program of the control plane; lo and hi bound its interval of 95 %.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: fit, Of: "program", Without: growth(false), Was: was("growth.program", "growth_per_revision_bytes{program}", "", "")},
	)
}

// sortValues sorts values by what they are of.
func sortValues(values []Value) {
	slices.SortFunc(values, func(a, b Value) int {
		switch {
		case a.Of < b.Of:
			return -1
		case a.Of > b.Of:
			return 1
		}
		return 0
	})
}
