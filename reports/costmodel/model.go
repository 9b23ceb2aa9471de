// Package costmodel says what a mesh will cost. [Fit] makes a model of runs: memory of a
// sidecar as a linear function of the objects in its configuration, and of istiod as one
// of Services, pods, proxies and endpoints. [Model.Predict] puts a mesh that was never
// run into it.
//
// # What is fitted
//
// An observation is the median over the never-dumped sidecars of one workload in one
// settled step, beside the configuration of that workload's witness. Sidecars of a step
// are not independent of one another (Envoy's heap grows in whole steps at the same
// configuration), so that their readings one by one would make intervals too narrow.
//
// What routing costs is fitted on top, to what the sidecar's model leaves over in logs that
// count it: older logs do not, and have none, so that the six columns of configuration
// objects are the same with and without it.
//
// Memory depends on a proxy's past, too: listeners that came and went leave a larger
// heap behind. Only sidecars that started in their step count, and not those that a
// rolling restart started, which held the listeners of both old and new pods for a while.
// How far the others are from the model is reported beside it.
//
// Istiod has a model for each state of the mesh ([States]): at rest, in the storm of
// connections after its restart, and under churn of its proxies' pods. But at rest it is of
// the highest of a step, of readings a second apart: what is left at the step's end depends
// on when Go's runtime gave memory back. A storm is of an istiod that started in its step,
// rest of a step that only waited. Repeats scatter by a share of their memory, whence
// proportional models.
package costmodel

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/observations"
)

// Schema is the version of a model's file format.
const Schema = 3

// kind is what a model's file says it is.
const kind = "meshbench cost model"

// Model is what [Fit] makes. Its JSON form is the file of `meshbench fit`.
type Model struct {
	Kind   string   `json:"kind"`
	Schema int      `json:"schema"`
	Runs   []Source `json:"runs"`
	// Readings is the number of sidecars' readings behind the sidecar's observations.
	Readings int     `json:"readings"`
	Sidecar  *Linear `json:"sidecar"`
	// Routing is on top of Sidecar, whose estimate it is added to: what routes of VirtualServices,
	// subsets, ServiceEntries, policies and access logs cost. It is nil, and NoRouting says why,
	// where the runs have none, or too few.
	Routing   *Linear `json:"routing,omitempty"`
	NoRouting string  `json:"noRouting,omitempty"`
	// Headless are the runs that say alone what a headless pod costs.
	Headless []HeadlessLine `json:"headless,omitempty"`
	// Istiod are the models of istiod by state, as [States] lists them.
	Istiod []IstiodState `json:"istiod"`
	// SidecarHistory and IstiodHistory are about readings that were not fitted.
	SidecarHistory *History `json:"sidecarHistory,omitempty"`
	IstiodHistory  *History `json:"istiodHistory,omitempty"`
	// SidecarPeaks are how far sidecars went over what they settled on; nil where the runs do
	// not tell.
	SidecarPeaks *Peaks `json:"sidecarPeaks,omitempty"`
	// Skipped are the steps that could not be used.
	Skipped []string `json:"skipped,omitempty"`
	// LeftOut are what was measured and is in no fit, with the reasons: memory after a deletion
	// or a drain is no growth.
	LeftOut []string `json:"leftOut,omitempty"`

	// Calibration is of somebody's own proxy, by [Model.Calibrated]; it is in no file.
	Calibration *Calibration `json:"-"`
}

// History is how far those that lived through changes are from the model of those that
// started in place, in bytes: observed less fitted, by step.
type History struct {
	Steps  int     `json:"steps"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Options change a fit.
type Options struct {
	// Grown fits proxies and control planes that lived through changes as well, but not those
	// that lived through a deletion or a drain.
	Grown bool
}

// Fit makes a model of runs. Runs that differ in what memory depends on are refused, and
// so are too few steps.
func Fit(logs []Log, o Options) (*Model, error) {
	d, err := observe(logs)
	if err != nil {
		return nil, err
	}
	m := &Model{Kind: kind, Schema: Schema, Runs: d.sources, Readings: d.sidecars, Skipped: d.skipped, LeftOut: d.leftFresh}
	sidecar := d.fresh
	if o.Grown {
		sidecar, d.istiod[Storm] = slices.Concat(sidecar, d.grown), slices.Concat(d.istiod[Storm], d.grownIstiod)
		m.LeftOut = slices.Concat(m.LeftOut, d.leftGrown)
	}
	if m.Sidecar, err = fit(sidecarColumns, sidecar); err != nil {
		hint := "the scenario cost-model is made for it"
		if !o.Grown && len(d.grown) > 0 {
			hint += fmt.Sprintf(", and --grown takes %d more steps, of proxies that lived through changes", len(d.grown))
		}
		return nil, fmt.Errorf("a model of sidecars: %w; %s", err, hint)
	}
	if o.Grown {
		m.fitRouting(slices.Concat(d.routed, d.routedGrown))
	} else {
		m.fitRouting(d.routed)
	}
	m.Headless = headlessLines(sidecar)
	m.SidecarPeaks = d.peaks()
	m.fitIstiod(d.istiod)
	if !o.Grown {
		m.SidecarHistory = m.Sidecar.history(sidecarColumns, slices.Concat(d.grown, d.deleted))
		m.IstiodHistory = m.IstiodIn(Storm).history(istiodColumns, slices.Concat(d.grownIstiod, d.deletedIstiod))
	}
	return m, nil
}

// history compares points with the model.
func (l *Linear) history(columns []string, points []Point) *History {
	if l == nil || len(points) == 0 {
		return nil
	}
	var off []float64
	for _, p := range points {
		off = append(off, p.Y-l.Predict(named(columns, p.X)).Bytes)
	}
	return &History{Steps: len(points), Median: median(off), Min: slices.Min(off), Max: slices.Max(off)}
}

// Write writes the model's file.
func (m *Model) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(m)
}

// Read reads a model's file.
func Read(path string) (*Model, error) {
	text, err := bounded.File(path, bounded.OwnFile)
	if err != nil {
		return nil, fmt.Errorf("read the cost model: %w", err)
	}
	m, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

//go:embed default.json
var builtin []byte

// Default is the model that comes with the program: of runs of the scenarios cost-model,
// cost-model-headless, cost-model-proxies, eks-nginx, routing-cost and routing-cost-entries on
// an embedded cluster. Its Runs
// say with which sizes and on which machine; the runs' logs are in testdata.
func Default() (*Model, error) { return parse(builtin) }

func parse(text []byte) (*Model, error) {
	m := &Model{}
	var file struct { // what every version begins with
		Kind   string `json:"kind"`
		Schema int    `json:"schema"`
	}
	expected := "expected a file that `meshbench fit` wrote"
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&file); err != nil {
		return nil, fmt.Errorf("not a cost model (%w); %s", err, expected)
	}
	if file.Kind != kind {
		return nil, fmt.Errorf("not a cost model (kind %q); %s", file.Kind, expected)
	}
	if file.Schema != Schema {
		return nil, fmt.Errorf("the cost model has format version %d, this program reads version %d: fit it again", file.Schema, Schema)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(m); err != nil {
		return nil, fmt.Errorf("not a cost model (%w); %s", err, expected)
	}
	if m.Sidecar == nil || len(m.Runs) == 0 || !m.Sidecar.valid(sidecarColumns) || !m.validIstiod() || m.Routing != nil && !m.Routing.valid(routingColumns) {
		return nil, fmt.Errorf("the cost model is damaged; %s", expected)
	}
	return m, nil
}

// valid says whether a model that was read can be computed with.
func (l *Linear) valid(columns []string) bool {
	if l.DF < 1 || l.Points < 1 || !(l.Weight > 0) || len(l.Inverse) != len(l.Terms) || len(l.Terms)+len(l.Tied)+len(l.Fixed) != len(columns) {
		return false
	}
	var names []string
	for k, t := range l.Terms {
		if len(l.Inverse[k]) != len(l.Terms) {
			return false
		}
		names = append(names, t.Column)
	}
	for _, t := range l.Tied {
		if len(t.Relation) != len(l.Terms)+1 {
			return false
		}
		names = append(names, t.Column)
	}
	for _, f := range l.Fixed {
		names = append(names, f.Column)
	}
	slices.Sort(names)
	return slices.Equal(names, slices.Sorted(slices.Values(columns)))
}

// Unit is something a mesh may have one more of, and what that adds to a sidecar.
type Unit struct {
	Name    string
	Objects observations.ConfigObjects
}

// Units are what the costs of a fit are told for.
func Units() []Unit {
	one := func(p Protocol, headless bool, pods int) observations.ConfigObjects {
		return Services{Pods: pods, Headless: headless}.port(p)
	}
	http := one(HTTP, false, 0)
	http.VirtualHosts++ // of the route configuration that it shares
	return []Unit{
		{"a Service port, detected", one(Detected, false, 0)},
		{"a Service port, http", http},
		{"a Service port, tcp", one(TCP, false, 0)},
		{"a pod behind a Service port", observations.ConfigObjects{Endpoints: 1}},
		{"a pod behind a headless port, detected", HeadlessPod},
		{"a pod behind a headless port, tcp", observations.ConfigObjects{Listeners: 1, FilterChains: 1}},
	}
}

// Cost is what the model says that objects add to a sidecar. Where it cannot tell,
// unknown says why.
func (m *Model) Cost(o observations.ConfigObjects) (e Estimate, unknown string) {
	e, unknown = m.Sidecar.Slope(named(sidecarColumns, sidecarValues(o)))
	return m.Calibration.cost(e), unknown
}
