package costmodel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/instances"
	"github.com/meshbench/meshbench/observations"
)

// defaultRuns are the logs that the built-in model was fitted from: of the scenario
// cost-model as it is and with services=145 pods=12 headless=120, of cost-model-headless,
// of cost-model-proxies with proxies=200 (ended before its last step, which was too much for
// the machine), of eks-nginx, whose sidecars lived through changes, of routing-cost and
// routing-cost-entries, whose logs are the first to count routing, of istio-bench with
// namespaces=6, the first to record peaks, and of istiod-cost with so many Services, of which
// some were ended before their last steps. The large one has two of its steps, storm and rest,
// without Services and with 1,000, in both of which 1,000 proxies connect.
var defaultRuns = []string{"cost-model", "cost-model-large", "cost-model-headless", "cost-model-proxies", "eks-nginx", "routing-cost", "routing-cost-entries", "istio-bench",
	"istiod-cost-20", "istiod-cost-100", "istiod-cost-400", "istiod-cost-1000", "istiod-cost-http-10", "istiod-cost-http-1000", "istiod-cost-large"}

func fitLogs(t *testing.T, o Options, names ...string) (*Model, error) {
	t.Helper()
	var logs []Log
	for _, n := range names {
		logs = append(logs, readLog(t, n))
	}
	return Fit(logs, o)
}

// TestDefault fits the built-in model again. UPDATE_DEFAULT=1 rewrites it.
func TestDefault(t *testing.T) {
	m, err := fitLogs(t, Options{}, defaultRuns...)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := m.Write(&text); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_DEFAULT") != "" {
		if err := os.WriteFile("default.json", text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		builtin = text.Bytes()
	}
	if !bytes.Equal(text.Bytes(), builtin) {
		t.Errorf("default.json is not what its runs give; UPDATE_DEFAULT=1 go test rewrites it")
	}
	if len(m.Sidecar.Tied) > 0 || len(m.IstiodIn(Storm).Tied) > 0 {
		t.Errorf("the scenarios for the model let columns move together: %+v", m.Sidecar.Tied)
	}
	if m.Sidecar.R2 < 0.99 {
		t.Errorf("R² of a sidecar's memory is %.3f", m.Sidecar.R2)
	}
	// Repeats of one step scatter by 8 %, by three times that in storms of light proxies, which
	// ran beside much else on two CPUs.
	for state, scatter := range map[string]float64{Rest: 0.12, Storm: 0.25, Churn25: 0.12, Churn50: 0.15} {
		if l := m.IstiodIn(state); l == nil {
			t.Errorf("there is no model of istiod, %s", inState(state))
		} else if l.R2 < 0.95 || l.Share > scatter {
			t.Errorf("R² of istiod's memory %s is %.3f, its scatter %.1f %%", inState(state), l.R2, 100*l.Share)
		}
	}
}

// TestUnseenMesh predicts meshes whose runs are not among those fitted.
func TestUnseenMesh(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for log, services := range map[string][]Services{
		"cost-model-check": {
			{Count: 60, Pods: 5, Ports: port(80, Detected)},
			{Count: 5, Pods: 20, Headless: true, Ports: port(80, Detected)},
		},
		"cost-model-check-wide": {
			{Count: 150, Pods: 3, Ports: port(80, Detected)},
			{Count: 10, Pods: 12, Headless: true, Ports: port(80, Detected)},
		},
	} {
		t.Run(log, func(t *testing.T) {
			run := readLog(t, log)
			d, err := observe([]Log{run})
			if err != nil || len(d.fresh) != 1 {
				t.Fatalf("%d points: %v", len(d.fresh), err)
			}
			a, err := m.Predict(Question{Mesh: Mesh{Services: services, Own: port(80, Detected)}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(configurations(t, run)["mesh probe/probe"], a.Objects); diff != "" {
				t.Errorf("configuration (-counted +predicted):\n%s", diff)
			}
			measured := d.fresh[0].Y
			if off := a.Sidecar.Bytes/measured - 1; math.Abs(off) > 0.1 {
				t.Errorf("predicted %.1f Mi, measured %.1f Mi: off by %+.1f %%, want within 10 %%", a.Sidecar.Bytes/mi, measured/mi, 100*off)
			}
			t.Logf("predicted %.1f Mi (%s), measured %.1f Mi", a.Sidecar.Bytes/mi, a.Sidecar.interval(mi, "%.1f"), measured/mi)
			if len(d.istiod[Storm]) != 1 {
				t.Fatalf("%d points of istiod", len(d.istiod[Storm]))
			}
			istiod := d.istiod[Storm][0]
			e := m.IstiodIn(Storm).Predict(named(istiodColumns, istiod.X))
			if istiod.Y < e.Lo || istiod.Y > e.Hi {
				t.Errorf("istiod: predicted %.1f Mi (%s), measured %.1f Mi", e.Bytes/mi, e.interval(mi, "%.1f"), istiod.Y/mi)
			}
			t.Logf("istiod: predicted %.1f Mi (%s), measured %.1f Mi", e.Bytes/mi, e.interval(mi, "%.1f"), istiod.Y/mi)
		})
	}
}

// TestShares checks the sums for an article's machines: 27 pods fit an m6i.large beside
// its own two.
func TestShares(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	large, err := instances.Lookup("m6i.large")
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Predict(Question{Mesh: Mesh{Own: port(80, Detected)}, Proxies: 28, Pods: 28 + SystemPods, Services: 1 + SystemServices, Machines: []instances.Type{large}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.All, 28*a.Sidecar.Bytes; math.Abs(got.Bytes-want) > 1 || math.Abs(got.Hi-28*a.Sidecar.Hi) > 1 {
		t.Errorf("28 sidecars: %+v, want 28 times %+v", got, a.Sidecar)
	}
	s := a.Shares[0]
	if s.Pods != 27 || s.Machines != 2 || math.Abs(s.Full/s.Sidecar-27) > 1e-9 || math.Abs(s.Sidecar*float64(s.Allocatable)-a.Sidecar.Bytes) > 1 {
		t.Errorf("share of an m6i.large: %+v", s)
	}
}

// TestHeadlessSlope holds the model's slope against the line through the run that does
// nothing but add headless pods, and looks for both beside the published one.
func TestHeadlessSlope(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	e, unknown := m.Cost(HeadlessPod)
	if unknown != "" {
		t.Fatal(unknown)
	}
	if len(m.Headless) != 1 || m.Headless[0].To < 3000 {
		t.Fatalf("lines of headless pods: %+v, want one to 3,000 pods or more", m.Headless)
	}
	l := m.Headless[0]
	points := fresh(t, "cost-model-headless")
	first, last := points[0], points[len(points)-1]
	if slope := (last.Y - first.Y) / (last.X[1] - first.X[1]); slope < l.PerPod.Lo || slope > l.PerPod.Hi {
		t.Errorf("a headless pod costs %.4f MB between first and last step, %s by the line", slope/mb, l.PerPod.interval(mb, "%.4f"))
	}
	if math.Abs(e.Bytes/l.PerPod.Bytes-1) > 0.05 {
		t.Errorf("a headless pod costs %.4f MB by the model, %.4f MB by the line", e.Bytes/mb, l.PerPod.Bytes/mb)
	}
	var out bytes.Buffer
	if err := m.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("by this model %.4f", e.Bytes/mb),
		fmt.Sprintf("%d to %d listeners %.4f", l.From, l.To, l.PerPod.Bytes/mb),
		"published: real Envoy, 100 to 3,000 headless pods 0.083",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("the text does not say %q:\n%s", want, out.String())
		}
	}
}

// fresh are a run's points of sidecars that started in place.
func fresh(t *testing.T, name string) []Point {
	t.Helper()
	d, err := observe([]Log{readLog(t, name)})
	if err != nil {
		t.Fatal(err)
	}
	return d.fresh
}

// TestHeadlessLines checks which steps make a line.
func TestHeadlessLines(t *testing.T) {
	point := func(run string, clusters, listeners, chains, y float64) Point {
		return Point{Run: run, X: []float64{clusters, listeners, chains, 7, 9, 15}, Y: y}
	}
	got := headlessLines([]Point{
		point("a", 15, 10, 21, 110), point("a", 15, 20, 41, 220), point("a", 15, 30, 61, 330),
		point("a", 16, 40, 81, 999), // another Service
		point("a", 15, 40, 80, 999), // a pod whose port is TCP
		point("b", 15, 10, 21, 110), point("b", 15, 20, 41, 220),
	})
	if len(got) != 1 || got[0].Run != "a" || got[0].Steps != 3 || got[0].From != 10 || got[0].To != 30 || math.Abs(got[0].PerPod.Bytes-11) > 1e-9 {
		t.Errorf("%+v, want one line of run a with 11 a pod", got)
	}
}

// TestEKS fits what was not made to be fitted: the model must say so.
func TestEKS(t *testing.T) {
	_, err := fitLogs(t, Options{}, "eks-nginx")
	if err == nil || !strings.Contains(err.Error(), "--grown") {
		t.Errorf("freshly started sidecars alone: %v; want too few, and the way out", err)
	}
	m, err := fitLogs(t, Options{Grown: true}, "eks-nginx")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := m.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Collinear: routeConfigs always moved with clusters",
		"Collinear: virtualHosts always moved with clusters",
		"Collinear: filterChains always moved with listeners",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, out.String())
		}
	}
}

// run writes a log of steps with the sidecars of one workload.
type run struct {
	records []observations.Record
	now     time.Time
}

func newRun(id string) *run {
	r := &run{now: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}
	r.add(observations.Record{Run: &observations.Run{Schema: observations.Schema, ID: id, Mesh: observations.Mesh{Istio: "1.23.2", Envoy: "1.40.0"}}})
	return r
}

func (r *run) add(rec observations.Record) {
	rec.Time = r.now
	r.records = append(r.records, rec)
}

// step adds one; each pod is a name and its Mi.
func (r *run) step(number int, settled bool, restart string, pods map[string]float64, witness string) {
	add := func(rec observations.Record) { rec.Step = &number; r.add(rec) }
	usage := func(pod string, m float64) observations.Record {
		return observations.Record{Usage: &observations.Usage{Namespace: "ns", Pod: pod, Container: observations.SidecarContainer, Workload: "ns/web", MemoryBytes: int64(m * mi), Witness: pod == witness}}
	}
	add(observations.Record{Begin: &observations.Begin{Name: fmt.Sprint("step", number)}})
	if restart != "" {
		add(observations.Record{Action: &observations.Action{Name: "restart", Detail: "restart " + restart}})
	}
	add(usage("on-the-way", 1000))
	add(observations.Record{Settle: &observations.Settle{Settled: settled}})
	for pod, m := range pods {
		add(usage(pod, m))
	}
	// istiod was higher while it pushed; what is read after the measurement does not count.
	series := func(m int64) observations.Record {
		return observations.Record{Series: &observations.Series{Containers: []observations.SeriesPoint{
			{Namespace: "ns", Pod: "istiod", Container: observations.IstiodContainer, MemoryBytes: m * mi},
			{Namespace: "ns", Pod: "a", Container: observations.SidecarContainer, MemoryBytes: 999 * mi},
		}}}
	}
	r.add(series(70))
	r.add(series(60))
	add(observations.Record{Istiod: &observations.Istiod{Pod: "ns/istiod", MemoryBytes: 50 * mi, Proxies: len(pods)}})
	add(observations.Record{Proxy: &observations.Proxy{Workload: "ns/web", Objects: observations.ConfigObjects{Clusters: number}}})
	add(observations.Record{Measure: &observations.Measure{}})
	r.add(series(1000))
}

// TestHistory checks which sidecars count as started in place.
func TestHistory(t *testing.T) {
	r := newRun("r")
	r.step(0, true, "", map[string]float64{"a": 10, "b": 12}, "")
	r.step(1, true, "", map[string]float64{"a": 99, "b": 13, "c": 11}, "a")
	r.step(2, false, "", map[string]float64{"d": 10}, "")
	r.step(3, true, "ns/web", map[string]float64{"e": 20}, "")
	r.step(4, true, "ns/other", map[string]float64{"d": 14, "f": 15}, "")
	d, err := observe([]Log{{"r", r.records}})
	if err != nil {
		t.Fatal(err)
	}
	read := func(points []Point) map[string]float64 {
		m := map[string]float64{}
		for _, p := range points {
			m[p.Step] = p.Y / mi
		}
		return m
	}
	got := []map[string]float64{read(d.fresh), read(d.grown), read(d.istiod[Storm]), read(d.grownIstiod)}
	want := []map[string]float64{
		{"step0": 11, "step1": 11, "step4": 15},
		{"step1": 13, "step3": 20, "step4": 14},
		{"step0": 70},
		{"step1": 70, "step3": 70, "step4": 70},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fresh, grown, fresh istiod, grown istiod (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"r, step step2: it was not settled"}, d.skipped); diff != "" {
		t.Errorf("skipped: %s", diff)
	}
}

func TestRunsThatDoNotGoTogether(t *testing.T) {
	a, b := newRun("a"), newRun("b")
	b.records[0].Run.Mesh.Envoy = "1.39.0"
	for name, test := range map[string]struct {
		logs []Log
		want string
	}{
		"other Envoy": {[]Log{{"a", a.records}, {"b", b.records}}, "cannot fit a and b together: they differ in something memory depends on: Envoy (1.40.0 and 1.39.0)"},
		"twice":       {[]Log{{"a", a.records}, {"again", a.records}}, "again: run a is given twice"},
		"empty":       {[]Log{{"a", nil}}, "a: the log is empty"},
	} {
		if _, err := Fit(test.logs, Options{}); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestReadBadModels(t *testing.T) {
	edit := func(change func(m map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal(builtin, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":       {"# model", "not a cost model (invalid character"},
		"a report":      {`{"scenario": "headless"}`, `not a cost model (kind "")`},
		"other version": {edit(func(m map[string]any) { m["schema"] = 99 }), "format version 99, this program reads version 3"},
		"version 2":     {`{"kind": "meshbench cost model", "schema": 2, "istiod": {"points": 9}}`, "format version 2, this program reads version 3: fit it again"},
		"a state gone":  {edit(func(m map[string]any) { m["istiod"] = m["istiod"].([]any)[1:] }), "damaged"},
		"cut":           {string(builtin[:len(builtin)/2]), "not a cost model (unexpected EOF)"},
		"no sidecar":    {edit(func(m map[string]any) { delete(m, "sidecar") }), "damaged"},
		"a term gone": {edit(func(m map[string]any) {
			s := m["sidecar"].(map[string]any)
			s["terms"] = s["terms"].([]any)[1:]
		}), "damaged"},
	} {
		path := filepath.Join(t.TempDir(), "model.json")
		if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want the path and %q", name, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(builtin)
	f.Add([]byte(`{"kind":"meshbench cost model","schema":1,"runs":[{}],"sidecar":{"points":1,"degreesOfFreedom":1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parse(text)
		if err != nil {
			return
		}
		// What was accepted can be computed with and printed.
		a, err := m.Predict(Question{Proxies: 1, Extrapolate: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Print(&bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
		if err := m.Print(&bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestFigures checks that each step is a point of a residual plot.
func TestFigures(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	figures := m.Figures()
	if want := 2 + len(States()); len(figures) != want {
		t.Fatalf("%d figures, want %d: one of sidecars, one of routing and one of each state of istiod", len(figures), want)
	}
	for name, f := range figures {
		svg, err := f.SVG(760, true)
		if err != nil || !bytes.Contains(svg, []byte("<svg")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	points := figures["residuals-sidecar.svg"].Series
	if got := len(points[len(points)-1].Points); got != m.Sidecar.Points {
		t.Errorf("%d points, want %d", got, m.Sidecar.Points)
	}
}

// TestDeleted: what lived through a deletion is in no fit, and it is said why.
func TestDeleted(t *testing.T) {
	r := newRun("r")
	r.step(0, true, "", map[string]float64{"a": 10, "b": 12}, "")
	zero := 1
	r.step(1, true, "", map[string]float64{"b": 13, "c": 11}, "")
	for i, rec := range r.records {
		if rec.Begin != nil && *rec.Step == 1 {
			r.records = slices.Insert(r.records, i+1, observations.Record{Time: rec.Time, Step: &zero,
				Action: &observations.Action{Name: "delete", Detail: "delete Namespace x"}})
			break
		}
	}
	d, err := observe([]Log{{"r", r.records}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want int }{
		"fresh": {len(d.fresh), 2}, "grown": {len(d.grown), 0}, "deleted": {len(d.deleted), 1},
		"fresh istiod": {len(d.istiod[Storm]), 1}, "grown istiod": {len(d.grownIstiod), 0}, "deleted istiod": {len(d.deletedIstiod), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d points, want %d", name, c.got, c.want)
		}
	}
	want := []string{
		"r, step step1: sidecars of ns/web lived through a deletion or a drain (step step1: delete Namespace x)",
		"r, step step1: istiod lived through a deletion (step step1: delete Namespace x)",
	}
	if diff := cmp.Diff(want, d.leftGrown); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(d.leftFresh) > 0 {
		t.Errorf("left out of the fresh: %v", d.leftFresh)
	}
}

// TestResumed: what was measured after an interruption is in no fit, and it is said.
func TestResumed(t *testing.T) {
	r := newRun("r")
	r.step(0, true, "", map[string]float64{"a": 10, "b": 12}, "")
	n := len(r.records)
	r.step(1, true, "", map[string]float64{"c": 13, "d": 11}, "")
	log := slices.Insert(slices.Clone(r.records), n, observations.Record{Resume: &observations.Resume{After: 0, Cluster: observations.NewCluster, History: true}})
	d, err := observe([]Log{{"r", log}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.fresh) != 1 || len(d.skipped) != 1 || d.skipped[0] != "r, step step1: it was measured after an interruption" {
		t.Errorf("%d points, left out %q", len(d.fresh), d.skipped)
	}
	if d, err = observe([]Log{{"r", observations.WithResumed(log)}}); err != nil || len(d.fresh) != 2 {
		t.Errorf("asked for: %d points, %v", len(d.fresh), err)
	}
}
