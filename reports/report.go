// Package reports computes what a run found from its log: a report is a pure function of
// the log, whenever and wherever [Build] is called. Package formats prints it, package
// figures draws it.
//
// Every step holds the metrics of the table in package metrics. A topic that only some runs
// have hands over a section (package sections), which formats print as they find it.
package reports

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/breaks"
	"github.com/meshbench/meshbench/reports/calls"
	"github.com/meshbench/meshbench/reports/growth"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/phases"
	"github.com/meshbench/meshbench/reports/replay"
	"github.com/meshbench/meshbench/reports/requests"
	"github.com/meshbench/meshbench/reports/revisions"
	"github.com/meshbench/meshbench/reports/scoping"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/slopes"
	"github.com/meshbench/meshbench/reports/traffic"
)

// Report is what a run found. Its JSON form is report.json.
type Report struct {
	Scenario string `json:"scenario"`
	Cluster  string `json:"cluster"` // the name of its source, as --cluster takes it
	Istio    string `json:"istio"`   // version
	Envoy    string `json:"envoy"`   // version, or the build that proxies reported
	// EnvoyBuilds are the builds that the proxies themselves reported, sorted.
	EnvoyBuilds []string `json:"envoyBuilds,omitempty"`
	// Finished says that every step was measured and the log was closed. A report
	// that is not finished covers the part of the run that its log holds.
	Finished bool `json:"finished"`
	// Outcome is the word the run ended with (observations.End); "" when cut off.
	Outcome string `json:"outcome,omitempty"`
	Error   string `json:"error,omitempty"`
	// Truncated says that the log ends in the middle of a record.
	Truncated bool `json:"truncated,omitempty"`
	// Missing names the steps that were not measured.
	Missing []string `json:"missing,omitempty"`
	// Summary is the verdict in one line, after the word ok, MISS, INCOMPLETE or UNSETTLED.
	Summary string    `json:"summary"`
	Run     string    `json:"run"` // name of the run's folder
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"` // until the log's last record, without pauses before it went on
	// Resumes are the times that the run was interrupted and went on.
	Resumes []observations.Resume `json:"resumes,omitempty"`

	Steps    []Step             `json:"steps"` // those that were begun, in order
	Findings []sections.Finding `json:"findings"`
	Events   []Event            `json:"events"` // those of the log, and one for each restart
	// Growth is how memory grew with revisions of Knative Services; nil when there were none.
	Growth *growth.Growth `json:"growth,omitempty"`
	// Traffic is what loads of requests took; nil when there were none.
	Traffic *traffic.Traffic `json:"traffic,omitempty"`
	// Calls are single requests, with the proofs of what became of them.
	Calls []calls.Call `json:"calls,omitempty"`
	// Replay sets counts beside those of the cluster that the scenario was imported from; nil
	// where none are known.
	Replay *replay.Replay `json:"replay,omitempty"`
	// Harness is the cost of this program, ControlPlane that of the cluster's: CPU
	// until the last step's end, memory at the highest of the steps' ends.
	Harness      *observations.Cost `json:"harness,omitempty"`
	ControlPlane *observations.Cost `json:"controlPlane,omitempty"`
	// PublishedSource says where the published figures come from.
	PublishedSource string `json:"publishedSource,omitempty"`
	// Environment is everything that memory depends on, as the log holds it.
	Environment observations.Run `json:"environment"`

	// past is where the run's memory has a history.
	past *breaks.Breaks

	// Sections are the topics of this run beside what every run has.
	Sections []sections.Section `json:"-"`

	// Phases tell where the wall time went; report.trace.json is their form for machines.
	Phases *phases.Phases `json:"-"`

	// Series is the memory of the proxies over the whole run, sorted by pod. It is not part
	// of report.json, which it would make many times larger: the log has it.
	Series []PodSeries `json:"-"`
}

// Step is one step of a run. What could not be read is nil.
type Step struct {
	Number int    `json:"number"` // in the scenario, from 1
	Name   string `json:"name"`
	Do     string `json:"do,omitempty"` // in words
	// Metrics are all that was read of the step, by the names that package metrics and
	// docs/metrics.md list and every other format uses. Fields below hold parts of the same
	// in another shape: with who it is of, or as readers of older reports know it.
	Metrics map[string]metrics.Figure `json:"metrics"`
	// Measured says that the measurement was completed.
	Measured bool `json:"measured"`
	// Resumed says that it was measured after an interruption, so that its memory has another
	// past than in a run without one: it is not compared. Counts are as ever.
	Resumed bool                  `json:"resumed,omitempty"`
	Objects *observations.Objects `json:"objects" jsonschema:"nullable"`
	// Rows are the rows that istioctl proxy-config prints, without its header line.
	// They, ConfigObjects and ConfigDumpBytes are of the witness that Witness names.
	Rows            *observations.Counts        `json:"rows" jsonschema:"nullable"`
	ConfigObjects   *observations.ConfigObjects `json:"configObjects" jsonschema:"nullable"`
	ConfigDumpBytes int64                       `json:"configDumpBytes"`
	Witness         string                      `json:"witness,omitempty"` // namespace/pod
	// Memory is of the real sidecars (container istio-proxy) that were never dumped,
	// WitnessMemory of those that were.
	Memory        Memory `json:"memory"`
	WitnessMemory Memory `json:"witnessMemory"`
	// Settled says that the mesh was quiet before the step was measured and stayed so; Disturbed
	// says what moved while it was measured.
	Settled      bool          `json:"settled"`
	Disturbed    []string      `json:"disturbed,omitempty"`
	Expectations []Expectation `json:"expectations"`
	// Unjudged are expectations that need not hold, as WhyUnjudged says.
	Unjudged    []observations.Expectation `json:"unjudged,omitempty"`
	WhyUnjudged string                     `json:"whyUnjudged,omitempty"`
	Published   []PublishedFigure          `json:"published,omitempty"`
	// Workloads split Memory by workload, sorted by name.
	Workloads []Workload `json:"workloads,omitempty"`
	// EnvoyAllocated is what the Envoys of never-dumped sidecars say they have allocated.
	EnvoyAllocated Memory `json:"envoyAllocated"`
	// AgentHeld is the heap and stacks that the pilot-agents of the witnesses hold; a dump,
	// which Envoy answers, does not change it.
	AgentHeld Memory `json:"agentHeld"`
	// CPU is of the same sidecars as Memory.
	CPU    CPU     `json:"cpu"`
	Istiod *Istiod `json:"istiod,omitempty"`
	// Light are the light proxies at the step's end.
	Light   *observations.Light   `json:"light,omitempty"`
	Settle  *observations.Settle  `json:"settle,omitempty"`
	Actions []observations.Action `json:"actions,omitempty"`
	// Churn are the rounds of actions churn, with what each took.
	Churn   []observations.Churn `json:"churn,omitempty"`
	Seconds float64              `json:"seconds"` // of the whole step
	Began   float64              `json:"began"`   // seconds from the run's start, without pauses
	// Time is when it began.
	Time time.Time `json:"-"`
	// Harness and ControlPlane are costs from the run's start to the step's end.
	Harness      *observations.Cost `json:"harness,omitempty"`
	ControlPlane *observations.Cost `json:"controlPlane,omitempty"`
	// Sidecars are the readings behind the statistics, sorted by pod.
	Sidecars []Sidecar `json:"sidecars,omitempty"`
	// Others are the proxies that are no sidecars, a group for each kind, sorted by kind.
	Others []Others `json:"otherProxies,omitempty"`
	// Proxies are all witnesses' configurations, in the log's order.
	Proxies []observations.Proxy `json:"proxies,omitempty"`

	// Profiles are those of istiod that were kept during the step, of its heap near the peak
	// or of its CPU, with the functions that hold or use most.
	Profiles []observations.Profile `json:"profiles,omitempty"`

	figures *observations.Published
	// counts are those that expectations and published figures are about, by their word.
	counts map[string]int
	// Kinds are the objects of the witness's configuration, in the order of reports; none
	// where it was not read.
	Kinds []ConfigKind `json:"-"`
}

// Workload is one workload's share of a step's memory.
type Workload struct {
	Name   string `json:"name"` // namespace/name
	Memory Memory `json:"memory"`
}

// Sidecar is one sidecar's reading in one step.
type Sidecar struct {
	Pod         string `json:"pod"` // namespace/name
	Workload    string `json:"workload,omitempty"`
	Node        string `json:"node,omitempty"`
	MemoryBytes int64  `json:"memoryBytes"`
	CPUNano     int64  `json:"cpuNanocores"`
	CPUUnknown  bool   `json:"cpuUnknown,omitempty"` // then CPUNano is 0 and stands for nothing
	Witness     bool   `json:"witness,omitempty"`    // dumped before the reading
}

// Event is an event of the log with its place in the run: the step that was under way.
type Event struct {
	Step    string  `json:"step,omitempty"`
	Seconds float64 `json:"seconds"` // from the run's start
	observations.Event

	restart bool // of a restart's record
}

// Unsettled names the steps that were measured before the mesh was quiet, in the run's
// order: their figures are of a mesh that was still moving.
func (r *Report) Unsettled() []string {
	var names []string
	for _, s := range r.Steps {
		if s.Measured && !s.Settled {
			names = append(names, s.Name)
		}
	}
	return names
}

// Build computes the report of a log, complete or not; truncated is what reading it
// said. It fails where the log does not say what was run, or contradicts itself.
//
// Within a step the last reading counts, and for memory only readings after the
// step's wait for quiet ended. A step that begins again starts over.
func Build(records []observations.Record, truncated bool) (*Report, error) {
	if len(records) == 0 || records[0].Run == nil {
		return nil, errors.New("the log ends before it says what was run: there is nothing to report")
	}
	run := *records[0].Run
	clock := observations.ClockOf(records)
	r := &Report{
		Scenario:    run.Scenario,
		Cluster:     run.Cluster.Provider,
		Istio:       run.Mesh.Istio,
		Envoy:       run.Mesh.Envoy,
		Truncated:   truncated,
		Run:         run.ID,
		Started:     records[0].Time,
		Seconds:     clock.At(records[len(records)-1].Time),
		Steps:       []Step{},
		Findings:    []sections.Finding{},
		Events:      []Event{},
		Environment: run,
		Phases:      phases.Of(records),
		past:        breaks.Of(records),
	}
	var (
		steps  = make([]*readings, len(run.Steps)) // nil until begun
		istiod *observations.Istiod                // the last one read
		builds = map[string]bool{}
		series = map[string]*PodSeries{}
		closed bool
		during string // step that is under way
		under  *readings
		// apart says that the cluster is another one than that of the step before.
		apart   bool
		resumed = observations.ResumedSteps(records)
	)
	for i, rec := range records[1:] {
		if rec.Step != nil {
			n := *rec.Step
			if n < 0 || n >= len(steps) {
				return nil, fmt.Errorf("record %d of the log belongs to step %d, but scenario %q has %d steps", i+2, n+1, run.Scenario, len(steps))
			}
			during = run.Steps[n]
			if rec.Measure != nil {
				during = ""
			}
			if steps[n] == nil || rec.Begin != nil {
				var before *readings
				if n > 0 {
					before = steps[n-1]
				}
				steps[n] = newReadings(rec.Time, istiod, before)
				steps[n].resumed, steps[n].apart, apart = resumed[n], apart, false
			}
			steps[n].add(rec)
			if under = steps[n]; rec.Measure != nil {
				under = nil
			}
		}
		switch {
		case rec.Run != nil:
			return nil, fmt.Errorf("record %d of the log describes a second run: a log is of one run", i+2)
		case rec.Istiod != nil:
			istiod = rec.Istiod
		case rec.Live != nil:
			// Collecting by force is no work of the next step.
			if l := rec.Live; istiod != nil && l.CPUSeconds > 0 && istiod.Pod == l.Namespace+"/"+l.Pod {
				after := *istiod
				after.CPUSeconds, istiod = l.CPUSeconds, &after
			}
		case rec.Series != nil:
			if under != nil && rec.Series.Measured.IsZero() { // what is read more rarely misses peaks
				under.peaks.add(rec.Time, rec.Series, func(pod string) bool { return series[pod] != nil && !math.IsInf(series[pod].Dumped, 1) })
			}
			addSeries(series, rec.Series, clock.At(rec.SeriesTime()))
		case rec.Proxy != nil:
			dumped(series, rec.Proxy.Namespace+"/"+rec.Proxy.Pod, clock.At(rec.Time))
		case rec.Envoy != nil && rec.Envoy.Version != "":
			builds[rec.Envoy.Version] = true
			// Which the harness does not know before one has started.
			r.Environment.Mesh.Workers = cmp.Or(r.Environment.Mesh.Workers, rec.Envoy.Workers)
		case rec.Event != nil:
			r.Events = append(r.Events, Event{Step: during, Seconds: clock.At(rec.Time), Event: *rec.Event})
		case rec.Restart != nil:
			r.Events = append(r.Events, Event{Step: during, Seconds: clock.At(rec.Time), Event: restartEvent(rec.Restart), restart: true})
		case rec.Resume != nil:
			during, under = "", nil
			r.Resumes = append(r.Resumes, *rec.Resume)
			r.Events = append(r.Events, Event{Seconds: clock.At(rec.Time), Event: resumeEvent(rec.Resume, run.Steps)})
			if rec.Resume.Cluster == observations.NewCluster {
				// Pods of that cluster are other ones, whatever their names.
				apart, istiod = true, nil
				r.closeSeries(series, records)
				series = map[string]*PodSeries{}
			}
		case rec.End != nil:
			closed = true
			r.Outcome, r.Error = rec.End.Outcome, rec.End.Error
		}
	}
	for build := range builds {
		r.EnvoyBuilds = append(r.EnvoyBuilds, build)
	}
	slices.Sort(r.EnvoyBuilds)
	r.closeSeries(series, records)
	if r.Envoy == "" && len(r.EnvoyBuilds) > 0 {
		// A cluster whose proxy image the harness did not choose: commit/version/state/kind/TLS.
		r.Envoy = r.EnvoyBuilds[0]
		if parts := strings.Split(r.Envoy, "/"); len(parts) == 5 {
			r.Envoy = parts[1]
		}
	}

	table := metrics.Table()
	primary := primaries{}
	for i, in := range steps {
		if in == nil {
			r.Missing = append(r.Missing, run.Steps[i])
			continue
		}
		s := in.step(table, primary)
		s.Number, s.Name = i+1, cmp.Or(s.Name, run.Steps[i])
		s.Began, s.Time, s.Resumed = clock.At(in.began), in.began, in.resumed
		if !s.Measured {
			r.Missing = append(r.Missing, s.Name)
		}
		r.Steps = append(r.Steps, s)
		r.Harness = highest(r.Harness, s.Harness)
		r.ControlPlane = highest(r.ControlPlane, s.ControlPlane)
	}
	r.Finished = closed && len(r.Missing) == 0
	// Changes are against the scenario's first step, not the first one the log holds.
	var first *Step
	if len(steps) > 0 && steps[0] != nil {
		first = &r.Steps[0]
	}
	for i := range r.Steps {
		r.Steps[i].expect(first, r.Steps)
		// The absolute figures hold for the shape of cluster that they were taken on.
		if run.Cluster.Baseline == observations.BaselineEKS {
			r.Steps[i].comparePublished(first)
		}
		if f := r.Steps[i].figures; f != nil {
			r.PublishedSource = cmp.Or(r.PublishedSource, f.Source)
		}
	}
	if costs := workloadCosts(r.Steps); costs != nil {
		r.Sections = append(r.Sections, *costs)
	}
	if r.Growth = growth.Build(records); r.Growth != nil {
		r.Sections = append(r.Sections, revisions.Section(r.Growth, run.Steps))
	}
	if run.PublishedSeries != nil {
		r.Sections = append(r.Sections, slopes.Section(run.PublishedSeries, r.Istio, r.sizes(run.PublishedSeries.By)))
	}
	if of, err := r.scoping(records, steps); err != nil {
		return nil, err
	} else if of != nil {
		r.Sections = append(r.Sections, scoping.Section(of))
	}
	if r.Traffic = traffic.Build(records); r.Traffic != nil {
		r.Sections = append(r.Sections, traffic.Section(r.Traffic))
		r.expectAnswers()
	}
	if r.Calls = calls.Build(records); len(r.Calls) > 0 {
		if of := calls.Section(r.Calls); len(of.Summary.Rows) > 0 {
			r.Sections = append(r.Sections, of)
		}
		r.expectProofs()
	}
	if len(r.Steps) > 0 && r.Steps[0].Number == 1 {
		if r.Replay = replay.Of(run.Source, r.Steps[0].Name, r.Steps[0].Proxies); r.Replay != nil {
			r.Sections = append(r.Sections, replay.Section(r.Replay))
		}
	}
	var sent []requests.Step
	for i := range r.Steps {
		sent = append(sent, requests.Step{Name: r.Steps[i].Name, Proxies: r.Steps[i].Proxies})
	}
	if of := requests.Section(sent); of != nil {
		r.Sections = append(r.Sections, *of)
	}
	r.Summary = r.summary()
	r.Findings = append(r.Findings, r.findings()...)
	return r, nil
}

// highest joins the cost until a step's end to that until an earlier one's.
func highest(before, now *observations.Cost) *observations.Cost {
	if before == nil || now == nil {
		return cmp.Or(now, before)
	}
	return &observations.Cost{
		CPUSeconds:  max(before.CPUSeconds, now.CPUSeconds),
		MemoryBytes: max(before.MemoryBytes, now.MemoryBytes),
	}
}

// ObjectCounts are the counts of objects that expectations and published figures are about.
func ObjectCounts() []string { return []string{"nodes", "pods", "services"} }

// RowCounts are the counts of a proxy's rows that they are about.
func RowCounts() []string { return []string{"cluster", "listener", "route", "endpoint"} }

// Count is a count by the word of expectations: one of ObjectCounts or RowCounts, or another
// that a metric has (metrics.Metric.Word); ok is false when it was not read.
func (s *Step) Count(what string) (n int, ok bool) {
	n, ok = s.counts[what]
	return n, ok
}

// Dump is a raw answer of a proxy or a profile of istiod, beside the log.
type Dump struct {
	Step, Pod, Kind string
	Path            string // relative to the run's folder
}

// Dumps are the raw answers that the run kept, in the log's order, and each step's profiles
// after its own.
func (r *Report) Dumps() []Dump {
	var dumps []Dump
	for _, s := range r.Steps {
		for _, p := range s.Proxies {
			for _, kind := range slices.Sorted(maps.Keys(p.Dumps)) {
				dumps = append(dumps, Dump{s.Name, p.Namespace + "/" + p.Pod, kind, p.Dumps[kind]})
			}
		}
		for _, p := range s.Profiles {
			dumps = append(dumps, Dump{s.Name, p.Pod, p.Kind + " profile", p.Path})
		}
	}
	return dumps
}
