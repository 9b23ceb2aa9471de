package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports/advice"
)

// callSources are where calls are read.
type callSources struct {
	declared   []string
	telemetry  []string
	logs       []string
	clusters   []string
	runs       []string
	from       []string
	prometheus sample.Prometheus
	window     string
	match      map[string]string
	pods       podChoice
}

// podChoice are the pods that --from reads.
type podChoice struct {
	namespaces []string
	each       int
}

// Words for --from.
const (
	fromLogs     = "logs"
	fromClusters = "clusters"
)

func (c *callSources) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&c.declared, "calls", nil, "`file` in which calls are declared, YAML or .csv (repeatable)")
	f.StringArrayVar(&c.telemetry, "telemetry", nil, "`file` with Istio's metrics: an answer of Prometheus' API, or of a proxy to /stats/prometheus (repeatable)")
	f.StringArrayVar(&c.logs, "access-log", nil, "access log, `[NAMESPACE/POD=]PATH`, or a folder of them (repeatable)")
	f.StringArrayVar(&c.clusters, "clusters", nil, "an Envoy's answer to /clusters, `[NAMESPACE/POD=]PATH`, or a folder of them (repeatable)")
	f.StringArrayVar(&c.runs, "run", nil, "`RUN` or measure whose witnesses' requests and configurations are read (repeatable)")
	f.StringSliceVar(&c.from, "from", nil, "what is read of pods that run now: `logs`, clusters or both; clusters makes their Envoys grow (comma-separated)")
	f.IntVar(&c.pods.each, "pods", 3, "`number` of pods of each workload that --from reads; 0 for all")
	f.StringArrayVar(&c.pods.namespaces, "namespace", nil, "`namespace` whose pods --from reads (repeatable; default: all)")
	p := &c.prometheus
	f.StringVar(&p.URL, "prometheus-url", "", "`URL` of a Prometheus that has Istio's metrics")
	f.StringVar(&c.window, "window", "7d", "how far back it is asked for calls (`time` as Prometheus has it)")
	f.StringVar(&p.TokenFile, "prometheus-token-file", "", "`file` with a bearer token for it")
	f.StringVar(&p.CAFile, "prometheus-ca", "", "`file` with the certificates to check its own with")
	f.StringVar(&p.CertFile, "prometheus-cert", "", "`file` with a client certificate for it")
	f.StringVar(&p.KeyFile, "prometheus-key", "", "`file` with that certificate's key")
	f.BoolVar(&p.Insecure, "prometheus-insecure", false, "do not check its certificate")
	f.StringToStringVar(&c.match, "prometheus-match", nil, "read the series with this `label=value` alone, e.g. cluster=prod (repeatable)")
}

var promTime = regexp.MustCompile(`^([0-9]+(ms|[smhdwy]))+$`)

// check says what is wrong with the flags; declared says that a scenario may declare calls.
func (c *callSources) check(declared bool) error {
	for _, word := range c.from {
		if word != fromLogs && word != fromClusters {
			return fmt.Errorf("--from %s: give %s, %s or both", word, fromLogs, fromClusters)
		}
	}
	if !declared && len(c.declared)+len(c.telemetry)+len(c.logs)+len(c.clusters)+len(c.runs)+len(c.from) == 0 && c.prometheus.URL == "" {
		return errors.New("say who calls whom: --calls, --telemetry, --prometheus-url, --access-log, --clusters, --run or --from")
	}
	if c.pods.each < 0 {
		return fmt.Errorf("--pods %d: give a number, or 0 for all", c.pods.each)
	}
	if c.prometheus.URL == "" {
		return nil
	}
	if u, err := url.Parse(c.prometheus.URL); err != nil || u.Host == "" {
		return fmt.Errorf("--prometheus-url %s: give a URL like http://127.0.0.1:9090", c.prometheus.URL)
	}
	if !promTime.MatchString(c.window) {
		return fmt.Errorf("--window %s: give a time as Prometheus has it, e.g. 7d or 12h", c.window)
	}
	c.prometheus.Match = c.match
	return checkPrometheus(c.prometheus)
}

// read reads all sources.
func (c *callSources) read(ctx context.Context, names callgraph.Names, live *liveMesh) (*callgraph.Graph, error) {
	var graphs []*callgraph.Graph
	opened := func(path string, read func(string, io.Reader, callgraph.Names) (*callgraph.Graph, error)) error {
		in, err := bounded.Open(path, bounded.Dump)
		if err != nil {
			return fmt.Errorf("cannot read the calls: %w", err)
		}
		defer in.Close()
		g, err := read(path, in, names)
		if err == nil {
			graphs = append(graphs, g)
		}
		return err
	}
	for _, path := range c.declared {
		if err := opened(path, callgraph.Declared); err != nil {
			var problems callgraph.Problems
			if errors.As(err, &problems) {
				return nil, &exit{exitUsage, err}
			}
			return nil, err
		}
	}
	for _, path := range c.telemetry {
		if err := opened(path, callgraph.Telemetry); err != nil {
			return nil, err
		}
	}
	if c.prometheus.URL != "" {
		g, err := c.ask(ctx, names)
		if err != nil {
			return nil, err
		}
		graphs = append(graphs, g)
	}
	for _, kind := range []struct {
		flag      string
		arguments []string
		find      func(string) ([]callgraph.File, error)
		read      func(callgraph.Proxy, io.Reader, callgraph.Names) (*callgraph.Graph, error)
	}{
		{"--access-log", c.logs, callgraph.AccessLogs, callgraph.AccessLog},
		{"--clusters", c.clusters, callgraph.ClustersAnswers, callgraph.Clusters},
		{"--run", c.runs, clustersOfRun, callgraph.Clusters},
	} {
		var files []callgraph.File
		for _, argument := range kind.arguments {
			found, err := kind.find(argument)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", kind.flag, argument, err)
			}
			files = append(files, found...)
		}
		if len(files) == 0 {
			continue
		}
		g, err := callgraph.ReadFiles(files, names, kind.read)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.flag, err)
		}
		graphs = append(graphs, g)
	}
	for _, dir := range c.runs {
		g, err := declaredInRun(dir)
		if err != nil {
			return nil, err
		}
		graphs = append(graphs, g)
	}
	if len(c.from) > 0 {
		found, err := live.calls(ctx, c.from, c.pods, names)
		if err != nil {
			return nil, err
		}
		graphs = append(graphs, found...)
	}
	return callgraph.Join(graphs...), nil
}

// ask asks a Prometheus for both metrics.
func (c *callSources) ask(ctx context.Context, names callgraph.Names) (*callgraph.Graph, error) {
	match := ""
	for label, value := range c.match {
		match += fmt.Sprintf("%s=%q,", label, value)
	}
	var graphs []*callgraph.Graph
	found := 0
	for _, metric := range []string{callgraph.RequestsMetric, callgraph.ConnectionsMetric} {
		series, err := sample.Query(ctx, c.prometheus, callgraph.Query(metric, c.window, match))
		if err != nil {
			return nil, err
		}
		found += len(series)
		graphs = append(graphs, callgraph.Series(metric, "Prometheus at "+c.prometheus.URL, series, names))
	}
	if found == 0 {
		return nil, fmt.Errorf("the Prometheus at %s has no series %s or %s of the last %s: let it scrape the proxies, or give a longer --window", c.prometheus.URL, callgraph.RequestsMetric, callgraph.ConnectionsMetric, c.window)
	}
	g := callgraph.Join(graphs...)
	g.Notes = append(g.Notes, fmt.Sprintf("Prometheus knows the calls of the last %s: what is called less often is not in it", c.window))
	return g, nil
}

// clustersOfRun are the last answers to /clusters of each witness of a run.
func clustersOfRun(dir string) ([]callgraph.File, error) {
	proxies, err := witnessesOf(dir)
	if err != nil {
		return nil, err
	}
	last := map[string]callgraph.File{}
	var order []string
	for _, p := range proxies {
		if p.Dumps["clusters"] == "" || p.Kind != observations.ProxySidecar {
			continue
		}
		key := p.Namespace + "/" + p.Pod
		if !slices.Contains(order, key) {
			order = append(order, key)
		}
		_, workload := filepath.Split(p.Workload)
		last[key] = callgraph.File{
			Proxy: callgraph.Proxy{Of: callgraph.Party{Namespace: p.Namespace, Workload: workload}, Name: key},
			Path:  filepath.Join(dir, p.Dumps["clusters"]),
		}
	}
	if len(order) == 0 {
		return nil, errors.New("the run has kept no answers of witnesses")
	}
	var files []callgraph.File
	for _, key := range order {
		files = append(files, last[key])
	}
	return files, nil
}

// declaredInRun are the calls that the graphs of a run's scenario declare; none for others.
func declaredInRun(dir string) (*callgraph.Graph, error) {
	records, _, err := observations.ReadFile(filepath.Join(dir, observations.LogName))
	if err != nil {
		return nil, fmt.Errorf("cannot read the run: %w", err)
	}
	all := &callgraph.Graph{}
	for _, r := range records {
		g := r.Graph
		if g == nil {
			continue
		}
		for i, from := range g.Services {
			all.Seen = append(all.Seen, from)
			for _, called := range g.Calls[i] {
				to := g.Services[called]
				all.Calls = append(all.Calls, callgraph.Call{
					From: callgraph.Party{Namespace: from, Workload: from}, To: callgraph.Target{Namespace: to, Service: to},
					Places: []string{"graph " + g.Name + " of " + dir},
				})
			}
		}
	}
	return callgraph.Join(all), nil
}

// witnessesOf are the configurations that were read in a run, in order.
func witnessesOf(dir string) ([]observations.Proxy, error) {
	records, _, err := observations.ReadFile(filepath.Join(dir, observations.LogName))
	if err != nil {
		return nil, fmt.Errorf("cannot read the run: %w", err)
	}
	var all []observations.Proxy
	for _, r := range records {
		if r.Proxy != nil {
			all = append(all, *r.Proxy)
		}
	}
	return all, nil
}

// priceSource is what savings are computed from.
type priceSource struct {
	files []string
	model modelFlags
}

func (p *priceSource) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&p.files, "dump", nil, "`[NAMESPACE/POD=]FILE` with an Envoy's answer to /config_dump?include_eds, from which savings are computed (repeatable)")
	p.model.flags(f)
}

// dumps reads the configurations: those of files, and the largest of each witness of runs, which
// is of before it was scoped.
func (p *priceSource) dumps(runs []string) ([]advice.Dump, error) {
	var all []advice.Dump
	for _, argument := range p.files {
		files, err := callgraph.Dumps(argument)
		if err != nil {
			return nil, fmt.Errorf("--dump %s: %w", argument, err)
		}
		for _, f := range files {
			d, err := readDump(f.Path, f.Of.Namespace, f.Path)
			if err != nil {
				return nil, fmt.Errorf("--dump: %w", err)
			}
			all = append(all, d)
		}
	}
	for _, dir := range runs {
		found, err := dumpsOfRun(dir)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// dumpsOfRun are the largest configurations that each workload's witness had in a run.
func dumpsOfRun(dir string) ([]advice.Dump, error) {
	proxies, err := witnessesOf(dir)
	if err != nil {
		return nil, err
	}
	largest := map[string]observations.Proxy{}
	var order []string
	for _, p := range proxies {
		if p.Dumps["config_dump"] == "" || p.Kind != observations.ProxySidecar {
			continue
		}
		before, known := largest[p.Workload]
		if !known {
			order = append(order, p.Workload)
		}
		if p.DumpBytes > before.DumpBytes {
			largest[p.Workload] = p
		}
	}
	var all []advice.Dump
	for _, workload := range order {
		p := largest[workload]
		d, err := readDump(filepath.Join(dir, p.Dumps["config_dump"]), p.Namespace, "witness "+p.Namespace+"/"+p.Pod)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// readDump takes a configuration apart. Without a namespace it is that which the dump says.
func readDump(path, namespace, name string) (advice.Dump, error) {
	in, err := bounded.Open(path, bounded.Dump)
	if err != nil {
		return advice.Dump{}, err
	}
	defer in.Close()
	a, err := proxyconfig.Attribute(in, nil)
	if err != nil {
		return advice.Dump{}, fmt.Errorf("%s: %w", path, err)
	}
	if namespace == "" {
		namespace = a.Node.Namespace
	}
	return advice.Dump{Namespace: namespace, Name: name, Configuration: a}, nil
}
