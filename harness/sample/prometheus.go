package sample

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/internal/bounded"
)

// Prometheus is one that scrapes the kubelets' /metrics/cadvisor or /metrics/resource.
type Prometheus struct {
	// URL of its API, without /api/v1: http://127.0.0.1:9090. Those that speak the same API
	// (Thanos, Mimir, VictoriaMetrics) do, too.
	URL string
	// TokenFile holds a bearer token; it is read again when it changes. "" for none.
	TokenFile string
	// CAFile holds the certificates that the server's is checked with; "" for the system's.
	CAFile string
	// CertFile and KeyFile are this client's own certificate; "" for none.
	CertFile, KeyFile string
	// Insecure does not check the server's certificate.
	Insecure bool
	// Match are labels that series must have, besides those of containers: where two jobs
	// scrape the kubelets, job; where it keeps several clusters, what tells them apart.
	Match map[string]string
}

const (
	// lookBack is how far a query looks back as long as the interval of scrapes is not known.
	lookBack = 5 * time.Minute
	// lookIntervals is how many intervals it looks back from then on.
	lookIntervals = 4
	// freshIntervals is how many intervals old the last sample of a container may be: one
	// scrape may fail, and a container that is gone from the second on is not told of as if it
	// were there. Series with the kubelet's own timestamps, as these are, get no mark of
	// staleness from Prometheus, which goes on telling of them for five minutes.
	freshIntervals = 2
	// clockSlack is what its clock and this machine's may be apart: what was read after a push
	// is known by the two.
	clockSlack = 5 * time.Second
)

// prometheus reads the working sets and the counters of CPU that a Prometheus has scraped:
// container_memory_working_set_bytes, and the rate of container_cpu_usage_seconds_total
// between its last two samples. It asks for samples as they are (a range selector), not for
// values at an instant, since only those have the time that they were read at. How often the
// kubelets are scraped is seen in the samples: the median time between two. It is safe for
// concurrent use.
type prometheus struct {
	Prometheus
	api      promv1.API
	interval atomic.Int64 // of scrapes, in nanoseconds; 0 before it is known
}

func newPrometheus(o Prometheus) (*prometheus, error) {
	// client-go's transport reads tokens again as they are renewed, and checks certificates.
	client, err := rest.HTTPClientFor(&rest.Config{
		Host: o.URL, BearerTokenFile: o.TokenFile, Timeout: requestTimeout,
		WrapTransport:   bounded.Transport(bounded.Answer),
		TLSClientConfig: rest.TLSClientConfig{CAFile: o.CAFile, CertFile: o.CertFile, KeyFile: o.KeyFile, Insecure: o.Insecure},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare to ask Prometheus: %w", err)
	}
	c, err := api.NewClient(api.Config{Address: o.URL, Client: client})
	if err != nil {
		return nil, fmt.Errorf("prepare to ask Prometheus: %w", err)
	}
	return &prometheus{Prometheus: o, api: promv1.NewAPI(c)}, nil
}

// String names it, with how often it has something new where that is known.
func (p *prometheus) String() string {
	if d := time.Duration(p.interval.Load()); d > 0 {
		return fmt.Sprintf("Prometheus (a sample each %.0f s)", d.Seconds())
	}
	return "Prometheus"
}

// readings are those of the pods' containers. Samples that are older than two intervals are
// left out, as are rows that are of no container: those of a pod's cgroup (container="") and
// of its pause container (container="" or "POD"). Two values for one container are refused.
func (p *prometheus) readings(ctx context.Context, pods []Pod) ([]reading, error) {
	known := map[[2]string]bool{}
	namespaces := map[string]bool{}
	for _, pod := range pods {
		if pod.State != Ended {
			known[[2]string{pod.Namespace, pod.Name}] = true
			namespaces[pod.Namespace] = true
		}
	}
	if len(known) == 0 {
		return nil, nil
	}
	of := `namespace=~"` + strings.Join(slices.Sorted(maps.Keys(namespaces)), "|") + `"`
	return p.read(ctx, of, func(c container) bool { return known[[2]string{c.namespace, c.pod}] })
}

func (p *prometheus) of(ctx context.Context, pod Pod) ([]reading, error) {
	return p.read(ctx, fmt.Sprintf("namespace=%q,pod=%q", pod.Namespace, pod.Name),
		func(c container) bool { return c.namespace == pod.Namespace && c.pod == pod.Name })
}

// read reads containers that wanted tells, of the series that matchers select.
func (p *prometheus) read(ctx context.Context, matchers string, wanted func(container) bool) ([]reading, error) {
	found, err := p.selected(ctx, matchers, wanted)
	return found, p.named(err)
}

// named says of an error which Prometheus it is of.
func (p *prometheus) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ask Prometheus at %s: %w", p.URL, err)
}

func (p *prometheus) selected(ctx context.Context, matchers string, wanted func(container) bool) ([]reading, error) {
	now, err := p.now(ctx)
	if err != nil {
		return nil, err
	}
	for _, label := range slices.Sorted(maps.Keys(p.Match)) {
		matchers += fmt.Sprintf(",%s=%q", label, p.Match[label])
	}
	matchers += `,container!="",container!="POD"`
	memory, err := p.samples(ctx, now, "container_memory_working_set_bytes{"+matchers+"}", wanted)
	if err != nil {
		return nil, err
	}
	if len(memory) == 0 {
		return nil, fmt.Errorf("it has no sample of container_memory_working_set_bytes{%s}: let it scrape the kubelets' /metrics/cadvisor or /metrics/resource", matchers)
	}
	cpu, err := p.samples(ctx, now, `container_cpu_usage_seconds_total{`+matchers+`,cpu=~"|total"}`, wanted)
	if err != nil {
		return nil, err
	}
	every := intervals(memory)
	if len(every) == 0 {
		return nil, errors.New("it has one sample of each container only: how often it scrapes, and so whether they are old, is known from the next one on")
	}
	p.interval.Store(int64(slices.Max(slices.Collect(maps.Values(every)))))
	chosen, err := pick(memory, func(r row) bool { return now.Sub(r.last().Timestamp.Time()) <= freshIntervals*every[r.scraper] })
	if err != nil {
		return nil, err
	}
	return withCPU(chosen, cpu), nil
}

// now is the time by Prometheus' clock. It is an error where that is not this machine's.
func (p *prometheus) now(ctx context.Context) (time.Time, error) {
	begun := time.Now()
	answer, err := p.query(ctx, "time()", time.Time{})
	if err != nil {
		return time.Time{}, err
	}
	scalar, ok := answer.(*model.Scalar)
	if !ok {
		return time.Time{}, fmt.Errorf("it answers with a %s when asked for the time", answer.Type())
	}
	now := scalar.Timestamp.Time()
	if ahead := time.Until(now); ahead > clockSlack || now.Sub(begun) < -clockSlack {
		return time.Time{}, fmt.Errorf("its clock is %s from this machine's: synchronize them, for what was read after a push is known by both", ahead.Abs().Round(time.Second))
	}
	return now, nil
}

// query asks for the value of an expression at a moment; the zero time is Prometheus' now.
func (p *prometheus) query(ctx context.Context, expression string, at time.Time) (model.Value, error) {
	value, warnings, err := p.api.Query(ctx, expression, at)
	if err != nil {
		var told *promv1.Error
		if errors.As(err, &told) && told.Detail != "" {
			detail := strings.Join(strings.Fields(told.Detail), " ") // which may be a page
			err = fmt.Errorf("%w: %s", err, detail[:min(len(detail), 200)])
		}
		return nil, err
	}
	if len(warnings) > 0 { // of an answer that lacks what another store has
		return nil, fmt.Errorf("it warns of its answer: %s", strings.Join(warnings, "; "))
	}
	return value, nil
}

// row is one series of one container: its samples, oldest first, at least one.
type row struct {
	container
	labels  model.Metric
	scraper string // who scraped it; see scraperOf
	samples []model.SamplePair
}

func (r row) last() model.SamplePair { return r.samples[len(r.samples)-1] }

// samples are the last minutes of the series that a selector names, as they were scraped.
func (p *prometheus) samples(ctx context.Context, now time.Time, selector string, wanted func(container) bool) ([]row, error) {
	back := lookBack
	if every := time.Duration(p.interval.Load()); every > 0 {
		back = min(max(lookIntervals*every, time.Minute), lookBack)
	}
	answer, err := p.query(ctx, fmt.Sprintf("%s[%ds]", selector, int(back.Seconds())), now)
	if err != nil {
		return nil, err
	}
	matrix, ok := answer.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("it answers with a %s when asked for samples", answer.Type())
	}
	return rowsOf(matrix, wanted)
}

// rowsOf are the series of containers that wanted tells. It is an error where a sample is
// nothing that a container can have used, or where samples do not follow each other in time.
func rowsOf(matrix model.Matrix, wanted func(container) bool) ([]row, error) {
	var rows []row
	for _, s := range matrix {
		if s == nil {
			return nil, errors.New("its answer has a series without anything")
		}
		name := container{string(s.Metric["namespace"]), string(s.Metric["pod"]), string(s.Metric["container"])}
		if len(s.Values) == 0 || !wanted(name) {
			continue
		}
		for i, v := range s.Values {
			if !(0 <= v.Value && v.Value <= maxValue) {
				return nil, fmt.Errorf("a sample of container %s of %s/%s is %s", name.name, name.namespace, name.pod, v.Value)
			}
			if i > 0 && !v.Timestamp.After(s.Values[i-1].Timestamp) {
				return nil, fmt.Errorf("the samples of container %s of %s/%s are not in the order of their times", name.name, name.namespace, name.pod)
			}
		}
		rows = append(rows, row{name, s.Metric, scraperOf(s.Metric), s.Values})
	}
	return rows, nil
}
