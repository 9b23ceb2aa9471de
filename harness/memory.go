package harness

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

const (
	// memoryWindow is the length of each of the two adjacent windows whose means must
	// agree within memoryTolerance of the mean or memorySlack bytes, whichever is more.
	memoryWindow    = 4 * time.Second
	memoryTolerance = 0.01
	memorySlack     = 512 << 10
)

// recent keeps the last seconds of the series, by the pods' names, since nodes tell no more:
// readers say since when the process has run that they ask about. It is safe for concurrent
// use.
type recent struct {
	mu     sync.Mutex
	points map[types.NamespacedName][]point
}

type point struct {
	at    time.Time
	bytes int64
}

// add keeps a scrape's sidecars and forgets what is older than two windows, but for a
// pod's last reading.
func (m *recent) add(at time.Time, series observations.Series) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.points == nil {
		m.points = map[types.NamespacedName][]point{}
	}
	for _, c := range series.Containers {
		if c.Container != observations.SidecarContainer {
			continue
		}
		name := types.NamespacedName{Namespace: c.Namespace, Name: c.Pod}
		// Of a clock that was set back, what it said before cannot be put in order.
		kept := slices.DeleteFunc(slices.Clone(m.points[name]), func(p point) bool { return p.at.After(at) })
		for len(kept) > 1 && at.Sub(kept[0].at) > 2*memoryWindow+time.Second {
			kept = kept[1:]
		}
		m.points[name] = append(kept, point{at, c.MemoryBytes})
	}
}

// last is the last reading of a pod's process that ran from one moment to another.
func (m *recent) last(pod types.NamespacedName, started, ended time.Time) (point, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	points := m.points[pod]
	for i := len(points) - 1; i >= 0; i-- {
		if points[i].at.Before(started) {
			break
		}
		if !points[i].at.After(ended) {
			return points[i], true
		}
	}
	return point{}, false
}

// rarely is how memory is read: longest is more time than passes between two readings, and
// since when the last one must be for it to count.
type rarely struct {
	longest time.Duration
	since   time.Time
}

// steady tells whether the memory of the pods' proxies stood still since their start: during the two windows that end with
// each pod's last reading, or, where it is read more rarely than that, between its last
// two readings.
func (m *recent) steady(now time.Time, pods []sample.Pod, read rarely) (bool, string) {
	if len(pods) == 0 {
		return true, ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var earlier, later []float64
	for _, pod := range pods {
		// Of the process before, in a pod of that name, there may still be readings.
		points := slices.DeleteFunc(slices.Clone(m.points[pod.NamespacedName()]), func(p point) bool { return p.at.Before(pod.Started) })
		var sum, n [2]float64
		for i := len(points) - 1; i >= 0; i-- {
			window := int(points[len(points)-1].at.Sub(points[i].at) / memoryWindow)
			if window > 1 && n[1] > 0 {
				break
			}
			window = min(window, 1)
			sum[window] += float64(points[i].bytes)
			n[window]++
		}
		if n[1] == 0 {
			return false, fmt.Sprintf("memory of %s has not been read for %s", pod.NamespacedName(), 2*memoryWindow)
		}
		last := points[len(points)-1].at
		if age := now.Sub(last); age > read.longest || !last.After(read.since) {
			return false, fmt.Sprintf("memory of %s was last read %.0f s ago", pod.NamespacedName(), age.Seconds())
		}
		earlier, later = append(earlier, sum[1]/n[1]), append(later, sum[0]/n[0])
	}
	before, after := middle(earlier), middle(later)
	if diff := after - before; max(diff, -diff) > max(memorySlack, memoryTolerance*before) {
		return false, fmt.Sprintf("the proxies' memory moves: %.1f Mi, then %.1f Mi", before/(1<<20), after/(1<<20))
	}
	return true, ""
}

// middle is the median of a list that is not empty; it sorts the list.
func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
