package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// memorySource are the flags that say where containers' memory and CPU are read; commands
// that read share them.
type memorySource struct {
	source sample.Source
	job    string
	match  map[string]string
}

// memorySources are the words for --memory-source, the default first.
var memorySources = []string{observations.ThroughMetrics, observations.ThroughPrometheus, observations.ThroughKubelet}

func (m *memorySource) flags(f *pflag.FlagSet) {
	p := &m.source.Prometheus
	f.StringVar(&m.source.Through, "memory-source", memorySources[0], "where memory and CPU are read: metrics (the metrics API), prometheus, or kubelet (the nodes' /metrics/resource, which takes the right to get nodes/proxy)")
	f.StringVar(&p.URL, "prometheus-url", "", "`URL` of a Prometheus that scrapes the kubelets' /metrics/cadvisor or /metrics/resource")
	f.StringVar(&p.TokenFile, "prometheus-token-file", "", "`file` with a bearer token for it")
	f.StringVar(&p.CAFile, "prometheus-ca", "", "`file` with the certificates to check its own with")
	f.StringVar(&p.CertFile, "prometheus-cert", "", "`file` with a client certificate for it")
	f.StringVar(&p.KeyFile, "prometheus-key", "", "`file` with that certificate's key")
	f.BoolVar(&p.Insecure, "prometheus-insecure", false, "do not check its certificate")
	f.StringVar(&m.job, "prometheus-job", "", "read the series of this `job` alone, where several scrape the kubelets")
	f.StringToStringVar(&m.match, "prometheus-match", nil, "read the series with this `label=value` alone, e.g. cluster=prod (repeatable)")
}

// read returns the source that the flags in f stand for. Errors are of the command line.
func (m *memorySource) read(f *pflag.FlagSet) (sample.Source, error) {
	o := m.source
	if !slices.Contains(memorySources, o.Through) {
		return o, fmt.Errorf("--memory-source %s: known are: %s", o.Through, strings.Join(memorySources, ", "))
	}
	if o.Through != observations.ThroughPrometheus {
		var foreign error
		f.Visit(func(flag *pflag.Flag) {
			if strings.HasPrefix(flag.Name, "prometheus-") {
				foreign = fmt.Errorf("--%s is for another source: add --memory-source prometheus", flag.Name)
			}
		})
		return o, foreign
	}
	o.Prometheus.Match = maps.Clone(m.match)
	if m.job != "" {
		if o.Prometheus.Match == nil {
			o.Prometheus.Match = map[string]string{}
		}
		if job, there := o.Prometheus.Match["job"]; there && job != m.job {
			return o, fmt.Errorf("--prometheus-job %s and --prometheus-match job=%s: give one of them", m.job, job)
		}
		o.Prometheus.Match["job"] = m.job
	}
	return o, checkPrometheus(o.Prometheus)
}

// checkPrometheus says what of the flags cannot be right, whatever the server is.
func checkPrometheus(p sample.Prometheus) error {
	if p.URL == "" {
		return errors.New("--memory-source prometheus: add --prometheus-url, e.g. http://127.0.0.1:9090")
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("--prometheus-url %s: give a URL like http://127.0.0.1:9090", p.URL)
	case u.User != nil:
		return errors.New("--prometheus-url: a run records its command line, so leave user and password out, and give a token with --prometheus-token-file")
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("--prometheus-url %s: leave out what comes after the path", p.URL)
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/api/v1"):
		return fmt.Errorf("--prometheus-url %s: leave out /api/v1", p.URL)
	case (p.CertFile == "") != (p.KeyFile == ""):
		return errors.New("--prometheus-cert and --prometheus-key belong together: give both")
	case p.Insecure && p.CAFile != "":
		return errors.New("--prometheus-insecure checks no certificate: leave --prometheus-ca out")
	case u.Scheme == "http" && (p.CertFile != "" || p.CAFile != "" || p.Insecure):
		return fmt.Errorf("--prometheus-url %s: certificates are for https", p.URL)
	}
	for _, file := range [][2]string{
		{"token-file", p.TokenFile}, {"ca", p.CAFile}, {"cert", p.CertFile}, {"key", p.KeyFile},
	} {
		if file[1] == "" {
			continue
		}
		if _, err := os.ReadFile(file[1]); err != nil {
			return fmt.Errorf("--prometheus-%s: %w", file[0], err)
		}
	}
	for label := range p.Match {
		if !model.LegacyValidation.IsValidLabelName(label) {
			return fmt.Errorf("--prometheus-match %s: give the name of a label, e.g. cluster=prod", label)
		}
	}
	return nil
}
