package formats

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/phases"
)

// TraceName is the name of the format [Trace].
const TraceName = "trace"

// Trace prints the run's phases as a trace of OpenTelemetry: OTLP's JSON, which its
// collector, Jaeger and Tempo read from a file or at /v1/traces. The run is the root span,
// each phase a span below the one it is a part of; events of the run are those of the root.
func Trace(w io.Writer, r *reports.Report) error {
	// The same run has the same identifiers, whenever its trace is made.
	id := sha256.Sum256([]byte(r.Run + r.Started.UTC().Format(time.RFC3339Nano)))
	t := &trace{id: id[:16], began: r.Phases.Began}
	root := t.span(nil, phases.Phase{Name: "run " + r.Scenario, Kind: "run", Seconds: r.Phases.Seconds(), Parts: r.Phases.Parts})
	root.Attributes = append(root.Attributes, attribute("meshbench.run", r.Run), attribute("meshbench.outcome", r.Outcome),
		attribute("meshbench.istio", r.Istio), attribute("meshbench.envoy", r.Envoy), attribute("meshbench.cluster", r.Cluster))
	root.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK}
	if !r.Finished {
		root.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: r.Summary}
	}
	for _, e := range r.Events {
		root.Events = append(root.Events, &tracepb.Span_Event{
			TimeUnixNano: nano(r.Started.Add(time.Duration(e.Seconds * float64(time.Second)))), Name: e.Kind,
			Attributes: []*commonpb.KeyValue{attribute("level", e.Level), attribute("object", e.Object), attribute("message", e.Message)},
		})
	}
	env := r.Environment
	data := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			attribute("service.name", "meshbench"), attribute("service.version", env.Meshbench),
			attribute("os.description", env.Host.OS+", Linux "+env.Host.Kernel), attribute("host.cpus", fmt.Sprint(env.Host.CPUs)),
		}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "meshbench", Version: env.Meshbench}, Spans: t.spans}},
	}}}
	text, err := otlpJSON(data)
	if err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// trace collects spans.
type trace struct {
	id    []byte
	began time.Time
	spans []*tracepb.Span
}

// span adds a phase and its parts.
func (t *trace) span(parent []byte, p phases.Phase) *tracepb.Span {
	id := make([]byte, 8)
	binary.BigEndian.PutUint64(id, uint64(len(t.spans)+1)) // 0 is no span
	at := func(seconds float64) uint64 {
		return nano(t.began.Add(time.Duration(seconds * float64(time.Second))))
	}
	s := &tracepb.Span{
		TraceId: t.id, SpanId: id, ParentSpanId: parent, Name: p.Name, Kind: tracepb.Span_SPAN_KIND_INTERNAL,
		StartTimeUnixNano: at(p.Began), EndTimeUnixNano: at(p.Began + p.Seconds),
		Attributes: []*commonpb.KeyValue{attribute("meshbench.phase", p.Kind)},
	}
	t.spans = append(t.spans, s)
	for _, part := range p.Parts {
		t.span(id, part)
	}
	return s
}

func nano(t time.Time) uint64 { return uint64(t.UnixNano()) }

func attribute(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// otlpJSON is OTLP's JSON, which is not quite that of its protobuf messages: identifiers are
// hexadecimal and enumerations are numbers (opentelemetry.io/docs/specs/otlp, "JSON Protobuf
// Encoding").
func otlpJSON(data *tracepb.TracesData) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(data)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	if err := hexIDs(tree); err != nil {
		return nil, err
	}
	// Of encoding/json the same tree gives the same bytes, which protojson does not promise.
	text, err = json.MarshalIndent(tree, "", " ")
	return append(text, '\n'), err
}

// hexIDs writes identifiers in hexadecimal where base64 stands.
func hexIDs(tree any) error {
	switch node := tree.(type) {
	case []any:
		for _, below := range node {
			if err := hexIDs(below); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, below := range node {
			if text, ok := below.(string); ok && (key == "traceId" || key == "spanId" || key == "parentSpanId") {
				id, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
				node[key] = hex.EncodeToString(id)
			} else if err := hexIDs(below); err != nil {
				return err
			}
		}
	}
	return nil
}
