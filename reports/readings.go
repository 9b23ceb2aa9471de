package reports

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/metrics"
)

// sidecarKey tells a proxy's readings before it was first dumped from those after.
type sidecarKey struct {
	pod     string
	witness bool
}

func compareKeys(a, b sidecarKey) int {
	if c := cmp.Compare(a.pod, b.pod); c != 0 || a.witness == b.witness {
		return c
	}
	if a.witness {
		return 1
	}
	return -1
}

// readings are the records of one step.
type readings struct {
	began        time.Time
	begin        observations.Begin
	actions      []observations.Action
	churns       []observations.Churn
	settle       *observations.Settle
	objects      *observations.Objects
	usage        map[sidecarKey]observations.Usage
	envoys       map[sidecarKey]observations.Envoy
	agents       map[sidecarKey]observations.Agent
	proxies      []observations.Proxy
	istiodBefore *observations.Istiod // the last one read before the step
	istiod       *observations.Istiod
	istiodAt     time.Time // when that was read
	measure      *observations.Measure
	peaks        peaks
	profiles     []observations.Profile // the last of each kind and pod
	// records are all since the wait for quiet ended.
	records []observations.Record
	// before is the step that was begun before; nil for none.
	before *readings
	read   *metrics.Step // of these records, once step was called
	// resumed and apart are [Step].Resumed, and that the step before was of another cluster.
	resumed, apart bool
}

func newReadings(began time.Time, istiod *observations.Istiod, before *readings) *readings {
	return &readings{
		before:       before,
		began:        began,
		istiodBefore: istiod,
		usage:        map[sidecarKey]observations.Usage{},
		envoys:       map[sidecarKey]observations.Envoy{},
		agents:       map[sidecarKey]observations.Agent{},
	}
}

// add takes in one record of the step.
func (in *readings) add(rec observations.Record) {
	in.records = append(in.records, rec)
	switch {
	case rec.Begin != nil:
		in.begin = *rec.Begin
	case rec.Action != nil:
		in.actions = append(in.actions, *rec.Action)
	case rec.Churn != nil:
		in.churns = append(in.churns, *rec.Churn)
	case rec.Settle != nil:
		in.settle = rec.Settle
		// Readings on the way to quiet are of another state, perhaps of pods that are gone.
		in.records = in.records[:0]
		clear(in.usage)
		clear(in.envoys)
		clear(in.agents)
	case rec.Objects != nil:
		in.objects = rec.Objects
	case rec.Usage != nil:
		u := *rec.Usage
		// A container that has just started has no memory yet.
		if u.Container == observations.SidecarContainer && u.MemoryBytes > 0 {
			in.usage[sidecarKey{u.Namespace + "/" + u.Pod, u.Witness}] = u
		}
	case rec.Envoy != nil:
		e := *rec.Envoy
		in.envoys[sidecarKey{e.Namespace + "/" + e.Pod, e.Witness}] = e
	case rec.Agent != nil:
		in.agents[sidecarKey{pod: rec.Agent.Namespace + "/" + rec.Agent.Pod}] = *rec.Agent
	case rec.Proxy != nil:
		p := *rec.Proxy
		same := func(o observations.Proxy) bool { return o.Namespace == p.Namespace && o.Pod == p.Pod }
		if i := slices.IndexFunc(in.proxies, same); i >= 0 {
			in.proxies[i] = p
		} else {
			in.proxies = append(in.proxies, p)
		}
	case rec.Istiod != nil:
		in.istiod, in.istiodAt = rec.Istiod, rec.Time
		in.peaks.istiodRead = in.settle != nil
	case rec.Profile != nil:
		p := *rec.Profile
		same := func(o observations.Profile) bool { return o.Kind == p.Kind && o.Pod == p.Pod }
		in.profiles = append(slices.DeleteFunc(in.profiles, same), p)
	case rec.Measure != nil:
		in.measure = rec.Measure
	}
}

// primaries are the workloads, by kind of proxy, whose first witness the rows are of. The
// first step that has a witness of the kind sets it: a proxy in another namespace, or outside
// the Service, sees other rows.
type primaries map[string]string

// of is the witness of a kind whose rows count; nil if none was read.
func (p primaries) of(proxies []observations.Proxy, kind string) *observations.Proxy {
	var found *observations.Proxy
	for i := range proxies {
		if of := &proxies[i]; of.Kind == kind && (found == nil || of.Workload == p[kind] && found.Workload != p[kind]) {
			found = of
		}
	}
	if found != nil && p[kind] == "" {
		p[kind] = found.Workload
	}
	return found
}

// step computes what the readings say.
func (in *readings) step(table []metrics.Metric, primary primaries) Step {
	s := Step{
		Name:         in.begin.Name,
		Do:           in.begin.Do,
		Measured:     in.measure != nil,
		Objects:      in.objects,
		Settled:      in.settle != nil && in.settle.Settled && (in.measure == nil || len(in.measure.Disturbed) == 0),
		Settle:       in.settle,
		Actions:      in.actions,
		Churn:        in.churns,
		Proxies:      in.proxies,
		Profiles:     in.profiles,
		Expectations: []Expectation{},
		Istiod:       istiodCost(in.istiodBefore, in.istiod),
		figures:      in.begin.PublishedFigures,
		Unjudged:     in.begin.Unjudged,
		WhyUnjudged:  in.begin.WhyUnjudged,
	}
	if in.measure != nil {
		s.Seconds, s.Disturbed = in.measure.Seconds, in.measure.Disturbed
		s.Harness = &in.measure.Harness
		s.ControlPlane = in.measure.ControlPlane
	}
	for _, e := range in.begin.Expect {
		s.Expectations = append(s.Expectations, Expectation{What: e.What, Of: e.Of, Kind: e.Kind, Want: e.Change})
	}
	sidecar := func(p observations.Proxy) bool { return p.Kind == observations.ProxySidecar }
	if slices.ContainsFunc(in.proxies, sidecar) {
		p := primary.of(in.proxies, observations.ProxySidecar)
		s.Rows, s.ConfigObjects, s.ConfigDumpBytes = &p.Rows, &p.Objects, p.DumpBytes
		s.Witness = p.Namespace + "/" + p.Pod
	}

	in.read = in.counted(&s)
	s.Light = in.read.Light()
	in.read.Gateway = primary.of(in.proxies, observations.ProxyGateway)
	s.Metrics, s.counts = metrics.Read(table, in.read), map[string]int{}
	for _, m := range table {
		f, ok := s.Metrics[m.Name]
		if !ok || !m.Exact {
			continue
		}
		if m.Word != "" {
			s.counts[m.Word] = int(f.Value)
		}
		if m.Column.Table == metrics.ConfigTable {
			s.Kinds = append(s.Kinds, ConfigKind{m.Title, int(f.Value)})
		}
	}
	if in.objects != nil {
		// Its metric is there from the first one on; expectations may be of steps before.
		s.counts["lightSidecars"] = in.objects.LightSidecars
	}

	read := map[string][]Sidecar{} // by kind
	for _, key := range slices.SortedFunc(maps.Keys(in.usage), compareKeys) {
		u := in.usage[key]
		read[u.Kind] = append(read[u.Kind], Sidecar{
			Pod: key.pod, Workload: u.Workload, Node: u.Node,
			MemoryBytes: u.MemoryBytes, CPUNano: u.CPUNano, CPUUnknown: !u.CPUKnown(), Witness: u.Witness,
		})
	}
	sidecars := group(observations.ProxySidecar, read[observations.ProxySidecar])
	s.Sidecars, s.Workloads = sidecars.Proxies, sidecars.Workloads
	s.Memory, s.WitnessMemory, s.CPU = sidecars.Memory, sidecars.WitnessMemory, sidecars.CPU
	for _, p := range in.proxies {
		if p.Kind != observations.ProxySidecar && read[p.Kind] == nil {
			read[p.Kind] = []Sidecar{} // counted, and its memory was not read
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(read)) {
		if kind != observations.ProxySidecar {
			of := group(kind, read[kind])
			of.counts(in.proxies, primary)
			s.Others = append(s.Others, of)
		}
	}
	var allocated, agents []int64
	for _, e := range in.envoys {
		if !e.Witness && e.Kind == observations.ProxySidecar {
			allocated = append(allocated, e.Allocated)
		}
	}
	for _, a := range in.agents {
		if a.Kind == observations.ProxySidecar {
			agents = append(agents, a.HeapBytes+a.StackBytes)
		}
	}
	s.EnvoyAllocated, s.AgentHeld = memoryOf(allocated), memoryOf(agents)
	return s
}

// counted are the records that the table of metrics reads.
func (in *readings) counted(s *Step) *metrics.Step {
	counted := &metrics.Step{
		Objects: in.objects, Settle: in.settle, Measure: in.measure,
		IstiodBefore: in.istiodBefore, Istiod: in.istiod, Records: in.records,
	}
	counted.SidecarPeak, counted.IstiodPeak = in.peaks.of(in)
	counted.IstiodCPUPeak = in.cpuPeak()
	for i := range in.proxies {
		if p := &in.proxies[i]; p.Namespace+"/"+p.Pod == s.Witness {
			counted.Proxy = p
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(in.usage), compareKeys) {
		counted.Usage = append(counted.Usage, in.usage[key])
	}
	for _, key := range slices.SortedFunc(maps.Keys(in.envoys), compareKeys) {
		counted.Envoys = append(counted.Envoys, in.envoys[key])
	}
	for _, key := range slices.SortedFunc(maps.Keys(in.agents), compareKeys) {
		counted.Agents = append(counted.Agents, in.agents[key])
	}
	if in.before != nil {
		counted.Before, counted.Apart = in.before.read, in.apart
	}
	return counted
}
