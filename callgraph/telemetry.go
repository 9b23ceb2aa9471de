package callgraph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/meshbench/meshbench/internal/bounded"
)

// Metrics of Istio's that say who calls whom.
const (
	RequestsMetric    = "istio_requests_total"
	ConnectionsMetric = "istio_tcp_connections_opened_total"
)

// Labels are those of the metrics that a graph is made of. A query that sums over all others is
// enough.
func Labels() []string {
	return []string{
		"reporter", "source_workload", "source_workload_namespace", "source_principal",
		"destination_service", "destination_service_name", "destination_service_namespace",
		"destination_workload", "destination_workload_namespace",
	}
}

// Query is the query to a Prometheus for one of the metrics over a time like 7d. It has the last
// value that each series had, not its increase: a call that was made once, when the series
// began, has none.
func Query(metric, window, match string) string {
	return fmt.Sprintf("sum by (%s) (last_over_time(%s{%s}[%s])) > 0", strings.Join(Labels(), ", "), metric, match, window)
}

// Telemetry reads Istio's metrics istio_requests_total and istio_tcp_connections_opened_total
// from a text: an answer of Prometheus' API to a query, or what a proxy answers to
// /stats/prometheus. It is an error where neither metric is in it.
func Telemetry(name string, text io.Reader, names Names) (*Graph, error) {
	data, err := bounded.All(text, bounded.Whole)
	if err != nil {
		return nil, fmt.Errorf("read the series in %s: %w", name, err)
	}
	var found model.Vector
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		found, err = vector(data)
	} else {
		found, err = exposition(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read the series in %s: %w", name, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("cannot find %s or %s in %s: upstream's Envoy has neither, and Istio's has them unless telemetry is switched off", RequestsMetric, ConnectionsMetric, name)
	}
	return Series(RequestsMetric, name, found, names), nil
}

// vector reads an answer of Prometheus' API.
func vector(data []byte) (model.Vector, error) {
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("not an answer of Prometheus' API: %w", err)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("Prometheus' answer has status %q: %s", answer.Status, answer.Error)
	}
	switch answer.Data.Type {
	case "vector":
		var v model.Vector
		err := json.Unmarshal(answer.Data.Result, &v)
		return v, err
	case "matrix":
		var m model.Matrix
		if err := json.Unmarshal(answer.Data.Result, &m); err != nil {
			return nil, err
		}
		var v model.Vector
		for _, s := range m {
			if n := len(s.Values); n > 0 {
				v = append(v, &model.Sample{Metric: s.Metric, Value: s.Values[n-1].Value})
			}
		}
		return v, nil
	}
	return nil, fmt.Errorf("Prometheus' answer is a %s; ask for the series themselves", answer.Data.Type)
}

// exposition reads the text format that is scraped.
func exposition(data []byte) (model.Vector, error) {
	// The rest is thousands of lines of Envoy's own, in which not every name is valid.
	var ours bytes.Buffer
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(line, []byte(RequestsMetric+"{")) || bytes.HasPrefix(line, []byte(ConnectionsMetric+"{")) {
			ours.Write(line)
			if !bytes.HasSuffix(line, []byte("\n")) {
				ours.WriteByte('\n')
			}
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&ours)
	if err != nil {
		return nil, err
	}
	var all model.Vector
	for name, family := range families {
		for _, m := range family.GetMetric() {
			labels := model.Metric{model.MetricNameLabel: model.LabelValue(name)}
			for _, l := range m.GetLabel() {
				labels[model.LabelName(l.GetName())] = model.LabelValue(l.GetValue())
			}
			all = append(all, &model.Sample{Metric: labels, Value: model.SampleValue(valueOf(m))})
		}
	}
	return all, nil
}

func valueOf(m *dto.Metric) float64 {
	if c := m.GetCounter(); c != nil {
		return c.GetValue()
	}
	return m.GetUntyped().GetValue()
}

// Series makes a graph of series of the two metrics. One without a name, as sums have, is of the
// metric that is given. name says in messages where they are from.
func Series(metric, name string, series model.Vector, names Names) *Graph {
	b := newBuilder()
	for _, s := range series {
		if !(s.Value > 0) {
			continue
		}
		l := labels{s.Metric}
		a := amount{requests: int64(s.Value + 0.5)}
		if of := s.Metric[model.MetricNameLabel]; of == ConnectionsMetric || of == "" && metric == ConnectionsMetric {
			a = amount{connections: int64(s.Value + 0.5)}
		}
		l.add(b, a, name, names)
	}
	return b.graph()
}

// labels are a series'.
type labels struct{ model.Metric }

// get returns a label's value; "" for unknown, which Istio has a word for.
func (l labels) get(name string) string {
	if v := string(l.Metric[model.LabelName(name)]); v != "unknown" {
		return v
	}
	return ""
}

func (l labels) add(b *builder, a amount, place string, names Names) {
	by := bySource
	if l.get("reporter") == "destination" {
		by = byDestination
	}
	from := Party{Namespace: l.get("source_workload_namespace"), Workload: l.get("source_workload")}
	if from.Namespace == "" {
		// Mutual TLS tells the namespace where the peer's metadata do not.
		if namespace, _, ok := principal(l.get("source_principal")); ok {
			from = Party{Namespace: namespace}
		}
	}
	to, known := l.target(from, names)
	switch l.get("destination_service_name") {
	case passthrough:
		a.bypassed = true
	case blackHole:
		a.blocked = true
	}
	if by == bySource && from.Namespace != "" {
		b.seen[from.Namespace] = true
	}
	if own := l.get("destination_workload_namespace"); by == byDestination && own != "" {
		b.seen[own] = true // its proxy reports, and would report what it sends
	}
	switch {
	case from.Namespace == "":
		callee := to.String()
		if !known {
			callee = "unknown"
		}
		b.unknownCall(Caller, "unknown", callee, a, place)
	case !known:
		b.unknownCall(Callee, from.String(), "unknown", a, place)
	default:
		b.call(from, to, by, a, place)
	}
}

// target is who was called.
func (l labels) target(from Party, names Names) (Target, bool) {
	service, name := l.get("destination_service"), l.get("destination_service_name")
	own := l.get("destination_workload_namespace")
	switch {
	case strings.HasPrefix(name, "InboundPassthroughCluster") && own != "":
		// The pod was called at a port that no Service has.
		return Target{Namespace: own}, true
	case service != "":
		t := names.Target(service, from.Namespace)
		if t.Host != "" && name != "" && name != passthrough && name != blackHole {
			if ns := l.get("destination_service_namespace"); ns != "" && !strings.Contains(name, ".") {
				return Target{Namespace: ns, Service: name}, true
			}
		}
		return t, true
	case own != "":
		return Target{Namespace: own}, true
	}
	return Target{}, false
}
