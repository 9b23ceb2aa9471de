package metrics

// traffic are metrics of runs that send requests. The report's section about them hands them
// over.
func traffic() []Metric {
	without := func() map[Format]string {
		return and(leave("the field traffic says it", JSON), and(leave("the section about traffic has its own tables", Tables), leave("of one load, not of a step", Compare)))
	}
	row := func(name, title, help string, unit Unit, shown Shown, better Better, source string) Metric {
		return Metric{Name: name, Title: title, Help: help, Unit: unit, Shown: shown, Better: better, Source: source, Of: "load", Without: without()}
	}
	const fortio = "Fortio's result"
	all := []Metric{
		row("traffic_requests_per_second", "requests a second", "Requests a second that a load sent.", Count, "", Higher, fortio),
		row("traffic_failed_requests", "failed requests", "Requests of a load that were not answered with success.", Count, "", Lower, fortio),
	}
	for _, q := range [][2]string{{"median", "50"}, {"tail", "99"}} {
		all = append(all, row("traffic_latency_"+q[0]+"_seconds", q[0]+" latency", "Time in which "+q[1]+" % of a load's requests were answered.", Seconds, Millis, Lower, fortio))
	}
	for _, side := range []string{"source", "target"} {
		all = append(all, row("traffic_"+side+"_cpu_per_thousand_cores", "CPU of the "+side+"'s proxies", "CPU of all proxies of a load's "+side+" for 1,000 requests a second.", Cores, Millicores, Lower, "/metrics/resource, before and after"))
	}
	return all
}
