package traffic

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// Sides of a [Change] beside those of a load.
const idle = "idle"

const (
	// confidence is that of intervals.
	confidence = 0.95
	// moves is the change in bytes below which memory stands still: what settling takes for it.
	moves = 512 << 10
	// idleBefore is how long before a load idle sidecars are read for it.
	idleBefore = 5 * time.Second
)

// Estimate is a mean over proxies, in bytes, with its interval of 95 % (Student's), nil for
// fewer than two proxies.
type Estimate struct {
	Mean float64  `json:"meanBytes"`
	Low  *float64 `json:"lowBytes,omitempty"`
	High *float64 `json:"highBytes,omitempty"`
}

// Change is how far the memory of the proxies on one side of a kind of load was from what they
// held before the run's first load.
type Change struct {
	QPS          int    `json:"qps"`
	Connections  int    `json:"connections"`
	PayloadBytes int    `json:"payloadBytes"`
	Side         string `json:"side"` // source, target; idle for sidecars that no load went through
	Proxies      int    `json:"proxies"`
	// Rest is what they held before the first load.
	Rest Estimate `json:"rest"`
	// During and After are how much more they held while requests were sent, and just after.
	During Estimate  `json:"during"`
	After  *Estimate `json:"after,omitempty"` // nil for unknown
}

// Effect is what memory changes from one kind of load to another that differs in one thing.
type Effect struct {
	Side    string   `json:"side"`
	Of      string   `json:"of"` // in words
	Change  Estimate `json:"change"`
	Proxies int      `json:"proxies"`
}

// kind is what a load was, for figures about memory.
type kind struct {
	qps, connections, payload int
	protocol, to              string
}

func kindOf(l *Load) kind {
	return kind{l.QPS, l.Connections, l.PayloadBytes, l.Protocol, l.To}
}

// held is what a proxy held around loads of one kind, less what it held at rest.
type held struct{ during, after []float64 }

// memory collects what proxies held.
type memory struct {
	kinds   []kind
	rest    map[string]map[string]float64        // by side and pod
	held    map[kind]map[string]map[string]*held // by side and pod
	leftOut []string
}

// newMemory reads the loads. Proxies that were dumped or restarted are left out.
func newMemory(t *Traffic, records []observations.Record, restarted map[string]bool) *memory {
	m := &memory{rest: map[string]map[string]float64{}, held: map[kind]map[string]map[string]*held{}}
	touched, out := map[string]bool{}, map[string]string{}
	for i := range t.Loads {
		for j := range t.Loads[i].Proxies {
			p := &t.Loads[i].Proxies[j]
			pod := p.Namespace + "/" + p.Pod
			touched[pod] = true
			switch {
			case p.Witness:
				out[pod] = "it was dumped, which makes a proxy grow"
			case restarted[pod]:
				out[pod] = "it was restarted"
			case p.Kind != observations.ProxySidecar:
				out[pod] = "it is a " + p.Kind + ", no sidecar"
			}
		}
	}
	for i := range t.Loads {
		l := &t.Loads[i]
		for j := range l.Proxies {
			p := &l.Proxies[j]
			pod := p.Namespace + "/" + p.Pod
			if out[pod] != "" || p.Before == nil || p.During == nil {
				continue
			}
			after := math.NaN()
			if p.After != nil {
				after = float64(p.After.Bytes)
			}
			m.add(kindOf(l), p.Side, pod, float64(p.Before.Bytes), float64(p.During.Bytes), after)
		}
	}
	m.addIdle(t, records, touched, restarted)
	for pod, why := range out {
		m.leftOut = append(m.leftOut, pod+": "+why)
	}
	slices.Sort(m.leftOut)
	return m
}

// add notes what a proxy held around a load; what it held before the first is its rest.
func (m *memory) add(k kind, side, pod string, before, during, after float64) {
	if m.rest[side] == nil {
		m.rest[side] = map[string]float64{}
	}
	if _, known := m.rest[side][pod]; !known {
		m.rest[side][pod] = before
	}
	if m.held[k] == nil {
		m.held[k] = map[string]map[string]*held{}
		m.kinds = append(m.kinds, k)
	}
	if m.held[k][side] == nil {
		m.held[k][side] = map[string]*held{}
	}
	if m.held[k][side][pod] == nil {
		m.held[k][side][pod] = &held{}
	}
	h := m.held[k][side][pod]
	h.during = append(h.during, during-m.rest[side][pod])
	if !math.IsNaN(after) {
		h.after = append(h.after, after-m.rest[side][pod])
	}
}

// addIdle notes what sidecars held that no load went through, by the series: what all change
// meanwhile, no load has changed.
func (m *memory) addIdle(t *Traffic, records []observations.Record, touched, restarted map[string]bool) {
	type point struct {
		at    time.Time
		bytes float64
	}
	series, out := map[string][]point{}, map[string]bool{}
	for i := range records {
		r := &records[i]
		switch {
		case r.Proxy != nil:
			out[r.Proxy.Namespace+"/"+r.Proxy.Pod] = true
		case r.Series != nil:
			for _, c := range r.Series.Containers {
				pod := c.Namespace + "/" + c.Pod
				if c.Container == observations.SidecarContainer && c.Kind == observations.ProxySidecar && !touched[pod] && !restarted[pod] {
					series[pod] = append(series[pod], point{r.SeriesTime(), float64(c.MemoryBytes)})
				}
			}
		}
	}
	between := func(points []point, from, to time.Time) float64 {
		var values []float64
		for _, p := range points {
			if !p.at.Before(from) && p.at.Before(to) {
				values = append(values, p.bytes)
			}
		}
		if len(values) == 0 {
			return math.NaN()
		}
		median, _, _ := words.Spread(values)
		return median
	}
	for i := range t.Loads {
		l := &t.Loads[i]
		end := l.Begin.Add(time.Duration(l.Seconds * float64(time.Second)))
		for pod, points := range series {
			before, during := between(points, l.Begin.Add(-idleBefore), l.Begin), between(points, l.Begin, end)
			if out[pod] || math.IsNaN(before) || math.IsNaN(during) {
				continue
			}
			m.add(kindOf(l), idle, pod, before, during, between(points, end, end.Add(idleBefore)))
		}
	}
}

// changes are what loads changed, in the order of the kinds of loads.
func (m *memory) changes() []Change {
	var found []Change
	for _, k := range m.kinds {
		for _, side := range []string{observations.TrafficSource, observations.TrafficTarget, idle} {
			pods := m.held[k][side]
			if len(pods) == 0 {
				continue
			}
			var rest, during, after []float64
			for pod, h := range pods {
				rest = append(rest, m.rest[side][pod])
				during = append(during, stat.Mean(h.during, nil))
				if len(h.after) > 0 {
					after = append(after, stat.Mean(h.after, nil))
				}
			}
			c := Change{
				QPS: k.qps, Connections: k.connections, PayloadBytes: k.payload, Side: side, Proxies: len(pods),
				Rest: estimate(rest), During: estimate(during),
			}
			if len(after) == len(pods) {
				e := estimate(after)
				c.After = &e
			}
			found = append(found, c)
		}
	}
	return found
}

// estimate is the mean of values with its interval. The order of values does not matter.
func estimate(values []float64) Estimate {
	slices.Sort(values)
	mean, deviation := stat.MeanStdDev(values, nil)
	e := Estimate{Mean: mean}
	if n := float64(len(values)); n > 1 {
		half := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile((1+confidence)/2) * deviation / math.Sqrt(n)
		low, high := mean-half, mean+half
		e.Low, e.High = &low, &high
	}
	return e
}

// effects compare kinds of loads that differ in the rate alone or in the connections alone,
// the lowest with the highest, proxy by proxy.
func (m *memory) effects() []Effect {
	var found []Effect
	for _, side := range []string{observations.TrafficSource, observations.TrafficTarget} {
		for i, a := range m.kinds {
			for _, b := range m.kinds[i+1:] {
				low, high := a, b
				if low.qps > high.qps || low.connections > high.connections {
					low, high = high, low
				}
				of := ""
				switch same := low; {
				case same.qps != high.qps && m.between(low, high, func(k kind) int { return k.qps }):
					continue
				case same.connections != high.connections && m.between(low, high, func(k kind) int { return k.connections }):
					continue
				case low.qps < high.qps && equalBut(low, high, func(k *kind) { k.qps = 0 }):
					of = fmt.Sprintf("from %s to %s requests a second, over %s", count(low.qps), count(high.qps), connections(low.connections))
				case low.connections < high.connections && equalBut(low, high, func(k *kind) { k.connections = 0 }):
					of = fmt.Sprintf("from %s to %s, %s requests a second", count(low.connections), connections(high.connections), count(low.qps))
				default:
					continue
				}
				var changes []float64
				for pod, h := range m.held[high][side] {
					if before := m.held[low][side][pod]; before != nil {
						changes = append(changes, stat.Mean(h.during, nil)-stat.Mean(before.during, nil))
					}
				}
				if len(changes) > 0 {
					found = append(found, Effect{Side: side, Of: of, Change: estimate(changes), Proxies: len(changes)})
				}
			}
		}
	}
	return found
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return count(n) + " connections"
}

// equalBut tells that two kinds differ in nothing but what blank takes away.
func equalBut(a, b kind, blank func(*kind)) bool {
	blank(&a)
	blank(&b)
	return a == b
}

// between tells that a kind lies between two others in one thing and is like them in the rest.
func (m *memory) between(low, high kind, of func(kind) int) bool {
	return slices.ContainsFunc(m.kinds, func(k kind) bool {
		if of(k) <= of(low) || of(k) >= of(high) {
			return false
		}
		return (k.qps == low.qps || k.connections == low.connections) && k.payload == low.payload && k.protocol == low.protocol && k.to == low.to
	})
}

// answer tells whether memory follows configuration only: whether any kind of load moved the
// memory of the proxies that carried it, by more than settling takes for standing still and
// more than chance explains.
func (m *memory) answer(changes []Change) (follows *bool, text string) {
	idles := map[[3]int]Estimate{}
	for _, c := range changes {
		if c.Side == idle {
			idles[[3]int{c.QPS, c.Connections, c.PayloadBytes}] = c.During
		}
	}
	var judged, moved *Change
	for i := range changes {
		c := &changes[i]
		if c.Side == idle || c.During.Low == nil {
			continue
		}
		if judged == nil || math.Abs(c.During.Mean) > math.Abs(judged.During.Mean) {
			judged = c
		}
		low, high := *c.During.Low, *c.During.High
		if (low > 0 || high < 0) && math.Abs(c.During.Mean) > moves && (moved == nil || math.Abs(c.During.Mean) > math.Abs(moved.During.Mean)) {
			moved = c
		}
	}
	if judged == nil {
		return nil, "Whether memory follows configuration only is not known: it takes two sidecars or more on one side of a load whose memory was read before and meanwhile and that were never dumped."
	}
	at := judged
	if moved != nil {
		at = moved
	}
	meanwhile := ""
	if i, known := idles[[3]int{at.QPS, at.Connections, at.PayloadBytes}]; known {
		meanwhile = fmt.Sprintf("; idle ones %s meanwhile", signed(i.Mean))
	}
	no := moved == nil
	if no {
		return &no, fmt.Sprintf("Memory followed configuration only, as far as this run tells: no load moved it by more than 0.5 Mi; most %s, by %s (%s%s).",
			asked(at.QPS, at.Connections), signed(at.During.Mean), at.During.interval(at.Proxies), meanwhile)
	}
	kept := ""
	if moved.After != nil {
		kept = fmt.Sprintf(", and %s just afterwards", signed(moved.After.Mean))
	}
	other := ""
	for _, c := range changes {
		if c.Side != idle && c.Side != moved.Side && c.QPS == moved.QPS && c.Connections == moved.Connections && c.PayloadBytes == moved.PayloadBytes {
			other = fmt.Sprintf("; on the side of the %s it was %s (%s)", c.Side, signed(c.During.Mean), c.During.interval(c.Proxies))
		}
	}
	verb := "more"
	if moved.During.Mean < 0 {
		verb = "less"
	}
	return &no, fmt.Sprintf("Memory does not follow configuration only: with %s a sidecar of the %s held %.1f Mi %s than at rest (%s%s)%s%s.",
		asked(moved.QPS, moved.Connections), moved.Side, math.Abs(moved.During.Mean)/(1<<20), verb, moved.During.interval(moved.Proxies), meanwhile, kept, other)
}

func signed(bytes float64) string { return fmt.Sprintf("%+.1f Mi", bytes/(1<<20)) }

// interval is the estimate's interval in words.
func (e Estimate) interval(proxies int) string {
	if e.Low == nil {
		return "one proxy, no interval"
	}
	return fmt.Sprintf("95 %% interval %+.1f to %+.1f, %d proxies", *e.Low/(1<<20), *e.High/(1<<20), proxies)
}
