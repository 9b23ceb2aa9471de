package harness

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// mesh is a simulated cluster with istiods that take in events, debounce and push as the
// real one does (pilot/pkg/xds/discovery.go).
type mesh struct {
	mu      sync.Mutex
	istiods []*istiod
	ours    counts
	changed time.Time
	unseen  bool // the mark is not reached yet
}

// istiod is a simulated one.
type istiod struct {
	*mesh
	name  string
	after time.Duration
	delay time.Duration // from what happens to the event
	eds   bool          // endpoints are pushed without a debounce
	last  time.Time     // of the last update
	first time.Time     // of the first one that no push was made of; zero for none
	state sample.IstiodState
	awake chan struct{} // nil while it runs
	todo  []func()      // what came while it stood still
}

func newMesh(after ...time.Duration) *mesh {
	m := &mesh{ours: counts{}}
	for i, a := range after {
		d := &istiod{mesh: m, name: fmt.Sprintf("istiod-%d", i), after: a, delay: 5 * time.Millisecond}
		d.start()
		m.istiods = append(m.istiods, d)
	}
	return m
}

// start makes an istiod that has just started: it has listed what there is and pushed it.
func (d *istiod) start() {
	d.state = sample.IstiodState{
		Pod: types.NamespacedName{Namespace: "istio-system", Name: d.name}, Started: float64(time.Now().UnixNano()),
		Events:  map[sample.Event]float64{{Type: "Services", What: sample.Added}: 7},
		Inbound: 7, Debounced: 1, Connected: 3, Queued: 3, Triggers: 3, Pushes: 12, Converged: 3,
	}
}

// happens lets something happen: an event of which istiods make updates.
func (m *mesh) happens(e sample.Event, updates int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ours[e]++
	m.changed = time.Now()
	for _, d := range m.istiods {
		time.AfterFunc(d.delay, func() { d.run(func() { d.takeIn(e, updates) }) })
	}
}

// run does something, once the istiod runs.
func (d *istiod) run(do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.awake != nil {
		d.todo = append(d.todo, do)
		return
	}
	do()
}

func (d *istiod) takeIn(e sample.Event, updates int) {
	d.state.Events[e]++
	if updates == 0 {
		return
	}
	d.state.Inbound += float64(updates)
	if d.eds && e.Type == "EndpointSlice" {
		d.push(0)
		return
	}
	d.last = time.Now()
	if d.first.IsZero() {
		d.first = d.last
	}
	time.AfterFunc(d.after, func() {
		d.run(func() {
			if !d.first.IsZero() && (time.Since(d.last) >= d.after || time.Since(d.first) >= 10*time.Second) {
				d.first = time.Time{}
				d.push(1)
			}
		})
	})
}

// push gives each proxy a push, one every 10 ms.
func (d *istiod) push(debounced float64) {
	d.state.Debounced += debounced
	for i := range d.state.Connected {
		time.AfterFunc(time.Duration(i)*10*time.Millisecond, func() {
			d.run(func() {
				d.state.Queued, d.state.Triggers, d.state.Pushes, d.state.Converged = d.state.Queued+1, d.state.Triggers+1, d.state.Pushes+4, d.state.Converged+1
			})
		})
	}
}

// stop stops an istiod for some time, as SIGSTOP does.
func (d *istiod) stop(for_ time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.awake = make(chan struct{})
	time.AfterFunc(for_, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		close(d.awake)
		d.awake = nil
		// Its informers' events come after its answers to who waited.
		todo := d.todo
		d.todo = nil
		time.AfterFunc(20*time.Millisecond, func() {
			for _, do := range todo {
				d.run(do)
			}
		})
	})
}

// Quiet is [sample.Sampler.Quiet].
func (m *mesh) Quiet(ctx context.Context) (q sample.Quiet, err error) {
	for _, d := range m.istiods {
		asked := time.Now()
		d.mu.Lock()
		awake := d.awake
		d.mu.Unlock()
		if awake != nil {
			select {
			case <-awake:
			case <-ctx.Done():
				return q, ctx.Err()
			}
		}
		d.mu.Lock()
		state := d.state
		state.Events = maps.Clone(state.Events)
		state.Asked, state.Answered = asked, time.Now()
		q.Istiods = append(q.Istiods, state)
		d.mu.Unlock()
	}
	return q, nil
}

func (m *mesh) Settings(_ context.Context, pod types.NamespacedName) (sample.Settings, error) {
	for _, d := range m.istiods {
		if d.state.Pod == pod {
			return sample.Settings{DebounceAfter: d.after, DebounceMax: 10 * time.Second, UncountedEndpoints: d.eds}, nil
		}
	}
	return sample.Settings{}, fmt.Errorf("no %s", pod)
}

func (m *mesh) watch(context.Context) error        { return nil }
func (m *mesh) mark(context.Context) (mark, error) { return mark{}, nil }
func (m *mesh) reached(mark) bool                  { m.mu.Lock(); defer m.mu.Unlock(); return !m.unseen }
func (m *mesh) endpointChanges() int               { return 0 }
func (m *mesh) byOthers() counts                   { return counts{endpoint: 3} }
func (m *mesh) seen(sample.Settings) (counts, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.ours), m.changed
}

// log keeps what is recorded.
type log struct{ texts []string }

func (l *log) Append(r observations.Record) error {
	l.texts = append(l.texts, r.Event.Message)
	return nil
}

// settles waits as settling does, and returns how long that took.
func settles(t *testing.T, a *arrivals, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	a.begin()
	for time.Since(start) < limit {
		looked := time.Now()
		var sooner time.Duration
		if _, err := a.look(t.Context()); err == nil {
			var ok bool
			ok, _, _, sooner = a.quiet()
			if ok {
				a.settled()
				return time.Since(start)
			}
		}
		wait := lookEvery - time.Since(looked)
		if sooner > 0 {
			wait = min(wait, sooner)
		}
		time.Sleep(max(wait, soonest))
	}
	t.Errorf("not quiet after %s", limit)
	return limit
}

var (
	entry    = sample.Event{Type: "ServiceEntry", What: sample.Added}
	entries  = sample.Event{Type: "ServiceEntry", What: sample.Updated}
	endpoint = sample.Event{Type: "EndpointSlice", What: sample.Updated}
	pod      = sample.Event{Type: "Pods", What: sample.Updated}
)

func TestArrivals(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name       string
		after      []time.Duration
		do         func(m *mesh)
		pushes     float64       // of each istiod that must have been made by the end
		least, yet time.Duration // how long it may take
	}{
		{name: "a step that changes nothing", after: []time.Duration{100 * time.Millisecond}, do: func(*mesh) {}, least: s, yet: 1500 * time.Millisecond},
		{name: "nothing, with a long debounce", after: []time.Duration{30 * s}, do: func(*mesh) {}, least: s, yet: 1500 * time.Millisecond},
		{
			name: "one change", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) { m.happens(entry, 1) }, pushes: 1, least: s, yet: 2500 * time.Millisecond,
		},
		{
			name: "a debounce of 20 s", after: []time.Duration{20 * s},
			do: func(m *mesh) { m.happens(entry, 1) }, pushes: 1, least: 21 * s, yet: 23 * s,
		},
		{
			name: "a debounce of 30 s", after: []time.Duration{30 * s},
			do: func(m *mesh) { m.happens(entry, 1) }, pushes: 1, least: 31 * s, yet: 33 * s,
		},
		{
			name: "a step that was done while istiod debounced", after: []time.Duration{20 * s},
			do: func(m *mesh) { m.happens(entry, 1); time.Sleep(15 * s) }, pushes: 1, least: 6 * s, yet: 23 * s,
		},
		{
			name: "changes in a row", after: []time.Duration{20 * s},
			do: func(m *mesh) {
				go func() {
					for range 4 {
						m.happens(entries, 1)
						time.Sleep(5 * s)
					}
				}()
			}, pushes: 1, least: 36 * s, yet: 39 * s,
		},
		{
			name: "pushes in a row", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) {
				go func() {
					for range 10 {
						m.happens(endpoint, 1)
						time.Sleep(700 * time.Millisecond)
					}
				}()
			}, pushes: 10, least: 7 * s, yet: 9 * s,
		},
		{
			name: "istiod is stopped for 20 s", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) { m.istiods[0].stop(20 * s); m.happens(entry, 1) }, pushes: 1, least: 21 * s, yet: 24 * s,
		},
		{
			name: "istiod is stopped when it has taken a change in", after: []time.Duration{5 * s},
			do: func(m *mesh) { m.happens(entry, 1); time.Sleep(s); m.istiods[0].stop(20 * s) }, pushes: 1, least: 21 * s, yet: 28 * s,
		},
		{
			name: "an endpoint alone", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) { m.happens(endpoint, 1) }, pushes: 1, least: s, yet: 2500 * time.Millisecond,
		},
		{
			name: "endpoints without a debounce", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) { m.istiods[0].eds = true; m.happens(endpoint, 1) }, least: s, yet: 2500 * time.Millisecond,
		},
		{
			name: "events that lead to no update", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) { m.happens(pod, 0); m.happens(pod, 0) }, least: s, yet: 3500 * time.Millisecond,
		},
		{
			name: "an event without an update, with a debounce of 20 s", after: []time.Duration{20 * s},
			do: func(m *mesh) { m.happens(pod, 0) }, least: 22 * s, yet: 24 * s,
		},
		{
			name: "an istiod that reads its events late", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) { m.istiods[0].delay = 15 * s; m.happens(endpoint, 1) }, pushes: 1, least: 16 * s, yet: 19 * s,
		},
		{
			name: "two istiods, of which one is slow", after: []time.Duration{100 * time.Millisecond, 8 * s},
			do: func(m *mesh) { m.istiods[1].delay = 4 * s; m.happens(entry, 2) }, pushes: 1, least: 13 * s, yet: 16 * s,
		},
		{
			name: "pods that change all the time", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) {
				go func() {
					for range 30 {
						m.happens(pod, 0)
						time.Sleep(time.Second - time.Millisecond)
					}
				}()
			}, least: 9 * s, yet: 12 * s,
		},
		{
			name: "a restarted istiod", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) { m.happens(entry, 1); time.Sleep(s); m.istiods[0].start() }, least: s, yet: 3 * s,
		},
		{
			name: "of two updates istiod makes one event", after: []time.Duration{100 * time.Millisecond},
			do: func(m *mesh) { m.ours[entries]++; m.happens(entries, 1) }, pushes: 1, least: s, yet: 5 * s,
		},
		{
			name: "what came and went at once", after: []time.Duration{100 * time.Millisecond},
			do:    func(m *mesh) { m.ours[entry]++; m.ours[sample.Event{Type: "ServiceEntry", What: sample.Deleted}]++ },
			least: s, yet: 4 * s,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(c.after...)
				said := &log{}
				a := newArrivals(m, m, false, &recorder{log: said})
				if err := a.start(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				c.do(m)
				took := settles(t, a, 5*time.Minute)
				t.Logf("took %s", took)
				if took < c.least || took > c.yet {
					t.Errorf("took %s, want %s to %s", took, c.least, c.yet)
				}
				for _, d := range m.istiods {
					if made := d.state.Debounced - 1; made < c.pushes {
						t.Errorf("%s: %g pushes were made, want %g", d.name, made, c.pushes)
					}
				}
				if len(said.texts) > 0 {
					t.Errorf("it is recorded that %q", said.texts)
				}
				// What is over is not waited for again.
				time.Sleep(time.Minute)
				if took := settles(t, a, 5*time.Minute); took > 2500*time.Millisecond {
					t.Errorf("the next step, which changes nothing, took %s", took)
				}
			})
		})
	}
}

// What istiod does not count although it ought to ends, is said, and is not waited for again.
func TestArrivalsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(100 * time.Millisecond)
		said := &log{}
		a := newArrivals(m, m, false, &recorder{log: said})
		if err := a.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			m.ours[entry]++
			took := settles(t, a, time.Minute)
			if long := took > forgoMargin; long != (i == 0) {
				t.Errorf("step %d took %s", i, took)
			}
		}
		if len(said.texts) != 1 {
			t.Errorf("recorded: %q", said.texts)
		}
	})
}

// What was done is waited for even before this program has seen it itself.
func TestArrivalsBeforeSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(100 * time.Millisecond)
		a := newArrivals(m, m, false, &recorder{log: &log{}})
		if err := a.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.unseen = true
		time.AfterFunc(5*time.Second, func() {
			m.happens(entry, 1)
			m.mu.Lock()
			m.unseen = false
			m.mu.Unlock()
		})
		if took := settles(t, a, time.Minute); took < 6*time.Second || m.istiods[0].state.Debounced != 2 {
			t.Errorf("took %s, with %g pushes", took, m.istiods[0].state.Debounced)
		}
	})
}
