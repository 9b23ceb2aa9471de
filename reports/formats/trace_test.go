package formats

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestTrace reads the file as the specification of OTLP's JSON has it: identifiers in
// hexadecimal, times as strings of nanoseconds, enumerations as numbers.
func TestTrace(t *testing.T) {
	for name, records := range reportstest.Logs() {
		t.Run(name, func(t *testing.T) {
			r := build(t, records)
			text := printed(t, r, TraceName)
			var data struct {
				ResourceSpans []struct {
					ScopeSpans []struct {
						Spans []struct {
							TraceID           string `json:"traceId"`
							SpanID            string `json:"spanId"`
							ParentSpanID      string `json:"parentSpanId"`
							Name              string
							Kind              int
							StartTimeUnixNano string
							EndTimeUnixNano   string
							Status            *struct{ Code int }
							Events            []struct{ TimeUnixNano string }
						}
					}
				}
			}
			if err := json.Unmarshal([]byte(text), &data); err != nil {
				t.Fatal(err)
			}
			type times struct{ begin, end uint64 }
			spans := map[string]times{}
			names := map[string]bool{}
			number := func(text string) uint64 {
				n, err := strconv.ParseUint(text, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			all := data.ResourceSpans[0].ScopeSpans[0].Spans
			for i, s := range all {
				one := times{number(s.StartTimeUnixNano), number(s.EndTimeUnixNano)}
				trace, err := hex.DecodeString(s.TraceID)
				id, err2 := hex.DecodeString(s.SpanID)
				if err != nil || err2 != nil || len(trace) != 16 || len(id) != 8 || s.TraceID != all[0].TraceID {
					t.Errorf("span %s has identifiers %q and %q", s.Name, s.TraceID, s.SpanID)
				}
				if _, twice := spans[s.SpanID]; twice || one.end < one.begin || s.Kind != 1 {
					t.Errorf("span %s, %s: %+v, kind %d", s.Name, s.SpanID, one, s.Kind)
				}
				parent, known := spans[s.ParentSpanID]
				switch {
				case i == 0 && s.ParentSpanID != "", i > 0 && !known:
					t.Errorf("span %s is below %q", s.Name, s.ParentSpanID)
				case i > 0 && (one.begin+1000 < parent.begin || one.end > parent.end+1000): // rounded
					t.Errorf("span %s, %+v, is not within its parent's %+v", s.Name, one, parent)
				}
				spans[s.SpanID], names[s.Name] = one, true
			}
			for _, step := range r.Steps {
				if !names[step.Name] {
					t.Errorf("no span for step %s", step.Name)
				}
			}
			want := 1
			if !r.Finished {
				want = 2
			}
			if s := all[0].Status; s == nil || s.Code != want || len(all[0].Events) != len(r.Events) {
				t.Errorf("the run's span has status %+v and %d events of %d", s, len(all[0].Events), len(r.Events))
			}
		})
	}
}
