package costmodel

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/breaks"
)

// sidecarColumns are what a sidecar's memory is a function of.
var sidecarColumns = []string{"clusters", "listeners", "filterChains", "routeConfigs", "virtualHosts", "endpoints"}

func sidecarValues(o observations.ConfigObjects) []float64 {
	return []float64{float64(o.Clusters), float64(o.Listeners), float64(o.FilterChains), float64(o.RouteConfigs), float64(o.VirtualHosts), float64(o.Endpoints)}
}

// named gives values their columns' names.
func named(columns []string, values []float64) map[string]float64 {
	m := make(map[string]float64, len(columns))
	for i, c := range columns {
		m[c] = values[i]
	}
	return m
}

// Source is a run that a model was fitted from, with all that memory depends on.
type Source struct {
	Started time.Time `json:"started"`
	observations.Run
}

// Log is a run's log.
type Log struct {
	Path    string
	Records []observations.Record
}

// data is what logs hold for the models.
type data struct {
	sources []Source
	// fresh are medians over sidecars that started in their step, in a configuration
	// that stood; grown over those that lived through changes.
	fresh, grown []Point
	// istiod are those of each state, and grownIstiod of an istiod that lived through other
	// changes.
	istiod      map[string][]Point
	grownIstiod []Point
	// deleted and deletedIstiod are of those that lived through a deletion or a drain, which no
	// fit takes for growth: they hold what is gone.
	deleted, deletedIstiod []Point
	// leftFresh and leftGrown say why, of those that would be fresh and grown otherwise.
	leftFresh, leftGrown []string
	// routed and routedGrown are those fresh and grown ones whose logs count routing. Those that
	// have some are in no other list.
	routed, routedGrown []routed
	// compared are workloads with all of their sidecars but those of a deletion or a drain: what
	// another model of the same proxy is held against.
	compared []compared
	// pushed and started are by how much the highest sidecar of a workload and step was over
	// what it settled on, as a share.
	pushed, started []float64
	sidecars        int // readings behind fresh
	skipped         []string
}

// observe reads the points of runs.
func observe(logs []Log) (*data, error) {
	d := &data{istiod: map[string][]Point{}}
	for _, log := range logs {
		if len(log.Records) == 0 || log.Records[0].Run == nil {
			return nil, fmt.Errorf("%s: the log is empty", log.Path)
		}
		source := Source{log.Records[0].Time, *log.Records[0].Run}
		for _, r := range log.Records {
			if r.Envoy != nil { // what the proxies themselves said
				source.Mesh.Envoy = cmp.Or(r.Envoy.Version, source.Mesh.Envoy)
				source.Mesh.Workers = cmp.Or(r.Envoy.Workers, source.Mesh.Workers)
				break
			}
		}
		for _, other := range d.sources {
			if difference := differs(other.Run, source.Run); difference != "" {
				return nil, fmt.Errorf("cannot fit %s and %s together: they differ in something memory depends on: %s", other.ID, source.ID, difference)
			}
			if other.ID == source.ID && other.Started.Equal(source.Started) {
				return nil, fmt.Errorf("%s: run %s is given twice", log.Path, source.ID)
			}
		}
		d.sources = append(d.sources, source)
		d.add(source.ID, log.Records)
	}
	return d, nil
}

// differs names the first thing that two runs' memory cannot be compared for; "" for none.
func differs(a, b observations.Run) string {
	if all := differences(a, b); len(all) > 0 {
		return all[0]
	}
	return ""
}

// differences are all things of two runs that memory depends on and that are not the same.
func differences(a, b observations.Run) (all []string) {
	for _, x := range []struct{ what, a, b string }{
		{"cluster", a.Cluster.Provider, b.Cluster.Provider},
		{"Istio", a.Mesh.Istio, b.Mesh.Istio},
		{"Envoy", a.Mesh.Envoy, b.Mesh.Envoy},
		{"xDS", a.Mesh.XDS, b.Mesh.XDS},
		{"worker threads", fmt.Sprint(a.Mesh.Workers), fmt.Sprint(b.Mesh.Workers)},
		{"CPUs of the machine", fmt.Sprint(a.Host.CPUs), fmt.Sprint(b.Host.CPUs)},
		{"way of reading memory", a.WayOfReading(), b.WayOfReading()},
	} {
		if x.a != x.b {
			all = append(all, fmt.Sprintf("%s (%s and %s)", x.what, cmp.Or(x.a, "unknown"), cmp.Or(x.b, "unknown")))
		}
	}
	return all
}

// step gathers the records of one step.
type step struct {
	index    int
	name     string
	restarts []string // workloads that were replaced pod by pod
	// paused and acted say whether it waited by the clock, and whether it did anything else;
	// churned are the states of its rounds of churn.
	paused, acted bool
	churned       []string
	settled       bool
	measured      bool
	objects       observations.Objects
	usage         map[string]observations.Usage // by pod
	peaks         []observations.Peak
	proxies       []observations.Proxy
	istiod        map[string]observations.Istiod // by pod
	highest       map[string]int64               // of istiod's memory in the step's series, by pod
}

// add takes in one run.
func (d *data) add(run string, records []observations.Record) {
	past := breaks.Of(records)
	resumed := observations.ResumedSteps(records)
	seen := map[string]bool{}   // sidecars read in an earlier step
	istiodBefore := "(nothing)" // the pod at the step before
	var s *step
	finish := func() {
		if s == nil {
			return
		}
		if resumed[s.index] {
			d.skipped = append(d.skipped, fmt.Sprintf("%s, step %s: it was measured after an interruption", run, s.name))
		} else if s.measured && s.settled {
			d.take(run, s, past, seen, istiodBefore)
		} else {
			d.skipped = append(d.skipped, fmt.Sprintf("%s, step %s: it was not settled", run, s.name))
		}
		for pod := range s.usage {
			seen[pod] = true
		}
		for pod := range s.istiod {
			istiodBefore = pod
		}
	}
	for _, r := range records {
		if r.Begin != nil {
			finish()
			s = &step{
				index: indexOf(r), name: r.Begin.Name, usage: map[string]observations.Usage{},
				istiod: map[string]observations.Istiod{}, highest: map[string]int64{},
			}
			continue
		}
		if s != nil && r.Series != nil && !s.measured {
			for _, c := range r.Series.Containers {
				if c.Container == observations.IstiodContainer {
					pod := c.Namespace + "/" + c.Pod
					s.highest[pod] = max(s.highest[pod], c.MemoryBytes)
				}
			}
		}
		if s == nil || r.Step == nil {
			continue
		}
		switch {
		case r.Action != nil:
			s.act(r.Action)
		case r.Churn != nil:
			s.churned = append(s.churned, churnState(r.Churn))
		case r.Settle != nil:
			s.settled = r.Settle.Settled
			clear(s.usage) // of the way to quiet
		case r.Objects != nil:
			s.objects = *r.Objects
		case r.Usage != nil:
			if u := *r.Usage; u.Container == observations.SidecarContainer && u.Kind == observations.ProxySidecar && u.MemoryBytes > 0 {
				s.usage[u.Namespace+"/"+u.Pod] = u
			}
		case r.Peak != nil && r.Peak.Kind == observations.ProxySidecar && !r.Peak.Witness && r.Peak.SettledBytes > 0:
			s.peaks = append(s.peaks, *r.Peak)
		case r.Proxy != nil && r.Proxy.Kind == observations.ProxySidecar:
			s.proxies = append(s.proxies, *r.Proxy)
		case r.Istiod != nil:
			s.istiod[r.Istiod.Pod] = *r.Istiod
		case r.Measure != nil:
			s.measured = true
			s.settled = s.settled && len(r.Measure.Disturbed) == 0
		}
	}
	finish()
}

// act takes in an action.
func (s *step) act(a *observations.Action) {
	switch a.Name {
	case "pause":
		s.paused = true
		return
	case "restart":
		s.restarts = append(s.restarts, a.Detail[strings.LastIndex(a.Detail, " ")+1:])
	}
	s.acted = true
}

// indexOf is the step that a record belongs to; 0 for none.
func indexOf(r observations.Record) int {
	if r.Step == nil {
		return 0
	}
	return *r.Step
}

// take makes a settled step's points.
func (d *data) take(run string, s *step, past *breaks.Breaks, seen map[string]bool, istiodBefore string) {
	d.takePeaks(s.peaks)
	for _, p := range s.proxies {
		var fresh, grown, deleted []float64
		for pod, u := range s.usage {
			if u.Workload != p.Workload || u.Witness || u.Kind != "" {
				continue
			}
			isGrown := seen[pod] || slices.Contains(s.restarts, u.Workload)
			if b := past.Lived(pod, s.index); b != nil {
				deleted = append(deleted, float64(u.MemoryBytes))
				d.leave(isGrown, fmt.Sprintf("%s, step %s: sidecars of %s lived through a deletion or a drain (step %s: %s)", run, s.name, u.Workload, b.Step, b.Why))
			} else if isGrown {
				grown = append(grown, float64(u.MemoryBytes))
			} else {
				fresh = append(fresh, float64(u.MemoryBytes))
			}
		}
		d.sidecars += len(fresh)
		point := func(values []float64) Point {
			return Point{run, s.name, sidecarValues(p.Objects), median(values)}
		}
		without := p.Routing == nil || unrouted(*p.Routing)
		if len(fresh) > 0 && without {
			d.fresh = append(d.fresh, point(fresh))
		}
		if len(grown) > 0 && without {
			d.grown = append(d.grown, point(grown))
		}
		if p.Routing != nil && len(fresh) > 0 {
			d.routed = append(d.routed, routed{point(fresh), *p.Routing})
		}
		if p.Routing != nil && len(grown) > 0 {
			d.routedGrown = append(d.routedGrown, routed{point(grown), *p.Routing})
		}
		if len(deleted) > 0 && without {
			d.deleted = append(d.deleted, point(deleted))
		}
		d.compare(run, s.name, p, slices.Concat(fresh, grown))
	}
	d.takeIstiod(run, s, past, istiodBefore)
}

// leave notes why something is in no fit, once.
func (d *data) leave(isGrown bool, why string) {
	list := &d.leftFresh
	if isGrown {
		list = &d.leftGrown
	}
	if !slices.Contains(*list, why) {
		*list = append(*list, why)
	}
}

// median of values, which it sorts; there is at least one.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
