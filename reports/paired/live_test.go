package paired

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/reports/gate"
	"github.com/meshbench/meshbench/reports/store"
)

// lives are pairs with istiod's live heap, which scatters as it was seen to, and is by a share
// more in the candidate.
func lives(by float64, change func(r *store.Record)) []store.Record {
	random := rand.New(rand.NewPCG(15, 5))
	records := runs(6, 0.003, change)
	for i := range records {
		r := &records[i]
		for _, s := range r.Steps {
			v := 21 * math.Exp(0.006*random.NormFloat64()) * (1 << 20)
			if r.Pair.Side == store.Candidate {
				v *= 1 + by
			}
			s.Values["istiod_live_heap_bytes"] = v
		}
	}
	return records
}

// TestLive: istiod's live heap is judged, and not where only one side collects by force,
// which sides of two versions of meshbench may alone.
func TestLive(t *testing.T) {
	const found = "headless: istiod's live heap (istiod_live_heap_bytes) +"
	for name, tt := range map[string]struct {
		by      float64
		options Options
		kind    gate.Kind
	}{
		"the same":               {0, Options{}, gate.OK},
		"10 % more":              {0.1, Options{}, gate.Regression},
		"off":                    {0.1, Options{Alarms: map[string]float64{"istiod_live_heap_bytes": 0}}, gate.OK},
		"off with all of istiod": {0.1, Options{Alarms: map[string]float64{"istiod_memory_bytes": 0}}, gate.OK},
		"an alarm of the other":  {0.1, Options{Alarms: map[string]float64{"istiod_memory_bytes": 9}}, gate.Regression},
	} {
		v, err := Judge(lives(tt.by, nil), tt.options)
		if err != nil {
			t.Fatal(err)
		}
		said := slices.ContainsFunc(v.Findings, func(f gate.Finding) bool { return strings.HasPrefix(f.Text, found) })
		if v.Kind != tt.kind || said != (tt.kind == gate.Regression) {
			t.Errorf("%s: %s, %v", name, v.Kind, v.Findings)
		}
	}
	collects := func(r *store.Record) { r.Environment.ForcedGC = true }
	if _, err := Judge(lives(0.1, collects), Options{}); err == nil || !strings.Contains(err.Error(), "differ in what was not asked for: garbage collected by force at each step (--force-gc): no in the reference, yes in the candidate") {
		t.Errorf("one side collects: %v", err)
	}
	records := lives(0.1, collects)
	for i := range records {
		records[i].Pair.Asked = "meshbench=" + records[i].Pair.Side
	}
	v, err := Judge(records, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Kind != gate.OK || len(v.Differences) != 1 || !strings.Contains(v.Differences[0], "are not compared") ||
		slices.ContainsFunc(v.Figures, func(f Figure) bool { return strings.HasPrefix(f.Metric, "istiod_") }) {
		t.Errorf("two versions: %s, %q, %v", v.Kind, v.Differences, v.Findings)
	}
}
