package harness

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// highest keeps, of the step under way, the most memory that proxies have held since any
// moment of it, from the series that is read each second. It is safe for concurrent use.
type highest struct {
	mu    sync.Mutex
	begin time.Time
	// falling are a pod's readings that no later one has reached: the first at or after a
	// moment is the most since then.
	falling map[types.NamespacedName][]point
}

// from forgets what was before a step's begin.
func (h *highest) from(begin time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begin, h.falling = begin, map[types.NamespacedName][]point{}
}

// add takes in a scrape. What is read more rarely than each second misses peaks, and is left
// out: then they are unknown.
func (h *highest) add(at time.Time, series observations.Series) {
	if !series.Measured.IsZero() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.falling == nil {
		return // no step has begun
	}
	for _, c := range series.Containers {
		if c.Container != observations.SidecarContainer || c.MemoryBytes == 0 {
			continue
		}
		name := types.NamespacedName{Namespace: c.Namespace, Name: c.Pod}
		kept := h.falling[name]
		for len(kept) > 0 && kept[len(kept)-1].bytes <= c.MemoryBytes {
			kept = kept[:len(kept)-1]
		}
		h.falling[name] = append(kept, point{at, c.MemoryBytes})
	}
}

// of is the peak of a pod's process, beside what it settled on; ok is false where nothing was
// read of it.
func (h *highest) of(pod sample.Pod, settled observations.Usage) (peak observations.Peak, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	peak = observations.Peak{
		Namespace: settled.Namespace, Pod: settled.Pod, Workload: settled.Workload, Kind: settled.Kind,
		SettledBytes: settled.MemoryBytes, Witness: settled.Witness,
		// Kubernetes tells starts in whole seconds.
		Started: !pod.Started.Before(h.begin.Truncate(time.Second)),
	}
	for _, p := range h.falling[pod.NamespacedName()] {
		// Before its start there was another process in a pod of that name.
		if !p.at.Before(pod.Started) {
			peak.MemoryBytes, peak.At, ok = p.bytes, p.at.UTC(), true
			break
		}
	}
	// The source of what it settled on may have read it between two scrapes.
	if ok && settled.MemoryBytes > peak.MemoryBytes {
		peak.MemoryBytes, peak.At = settled.MemoryBytes, settled.Measured
	}
	return peak, ok
}

// peaks records how high the proxies were on the way to what they settled on.
func (m *meter) peaks(pods []sample.Pod) error {
	byName := map[types.NamespacedName]sample.Pod{}
	for _, p := range pods {
		byName[p.NamespacedName()] = p
	}
	for _, u := range m.settled {
		if u.Container != observations.SidecarContainer || u.MemoryBytes == 0 {
			continue
		}
		pod, runs := byName[types.NamespacedName{Namespace: u.Namespace, Name: u.Pod}]
		if !runs || !pod.RealProxy {
			continue
		}
		if peak, ok := m.settler.watch.highest.of(pod, u); ok {
			if err := m.recorder.Append(observations.Record{Peak: &peak}); err != nil {
				return err
			}
		}
	}
	return nil
}
