package harness

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// DefaultSettleLimit is the longest wait for quiet of a step that sets no limit. A
// listener drains for 45 s with Istio's settings, so it is well above that.
const DefaultSettleLimit = 3 * time.Minute

const (
	// quietFor is how long istiod's counters must stand still. It debounces for 100 ms
	// and, under a stream of events, for up to 10 s, during which it counts triggers
	// only at the end; but then rollouts, which make the events, are not done either.
	quietFor = 2 * time.Second
	// memoryWindow is the length of each of the two adjacent windows whose means must
	// agree within memoryTolerance of the mean or memorySlack bytes, whichever is more.
	memoryWindow    = 4 * time.Second
	memoryTolerance = 0.01
	memorySlack     = 512 << 10
	// longestInterval is more than a node ever lets pass between two readings of a
	// container: a real kubelet up to 15 s where little changes (cadvisor's
	// max_housekeeping_interval).
	longestInterval = 20 * time.Second
)

// settler waits until the mesh is quiet.
type settler struct {
	kube    *kube
	sampler *sample.Sampler
	memory  *recent
	status  func(format string, args ...any)
	// witnesses picks the proxies that the step's measurement will dump.
	witnesses func([]sample.Pod) []sample.Pod
	// kills is how often sidecars of a workload, namespace/name, were killed for their
	// memory limit.
	kills func(workload string) int

	quiet      sample.Quiet // the last snapshot
	quietSince time.Time    // since when nothing changed
	usage      []observations.Usage
}

// condition is one part of quiet. check says whether it holds now, and if not, what is
// being waited for.
type condition struct {
	name  string
	check func(ctx context.Context, pods []sample.Pod) (ok bool, waiting string, err error)
}

// settle waits until all conditions hold, limit at the most. Conditions are looked at
// in order, each only while those before it hold. The record says which did not hold
// in the end; an error is returned only when ctx ends.
func (s *settler) settle(ctx context.Context, limit time.Duration) (observations.Settle, error) {
	conditions := []condition{
		{"rollouts done", s.rolledOut},
		{"pushes drained", s.drained},
		{"configuration acknowledged", s.acknowledged},
		{"old listeners gone", s.listenersGone},
		{"memory windows agree", s.memoryAgrees},
		{"metrics are of after the last push", s.metricsFresh},
	}
	start := time.Now()
	s.quiet, s.quietSince, s.usage = sample.Quiet{}, time.Time{}, nil
	took := map[string]float64{}
	var unmet []string
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		unmet = unmet[:0]
		pods, err := s.sampler.Pods(ctx)
		if err != nil {
			unmet = append(unmet, err.Error())
		}
		for _, c := range conditions {
			if len(unmet) > 0 {
				delete(took, c.name)
				continue
			}
			ok, waiting, err := c.check(ctx, pods)
			if err != nil {
				// What cannot be read now may be readable in a second: istiod moves with
				// its node.
				ok, waiting = false, err.Error()
			}
			if !ok {
				unmet = append(unmet, c.name+": "+waiting)
				delete(took, c.name)
				s.status("settling: %s", waiting)
			} else if _, held := took[c.name]; !held {
				took[c.name] = time.Since(start).Seconds()
			}
		}
		record := observations.Settle{
			Settled: len(unmet) == 0, Seconds: time.Since(start).Seconds(),
			Unmet: slices.Clone(unmet), Took: took,
		}
		if ctx.Err() != nil {
			return record, context.Cause(ctx)
		}
		if record.Settled || time.Since(start) >= limit {
			return record, nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// pushedLimit is the longest wait of pushed: a sidecar that is over its memory limit again
// and again never acknowledges.
const pushedLimit = time.Minute

// pushed waits until pushes are drained and acknowledged, or until enough, or for
// pushedLimit.
func (s *settler) pushed(ctx context.Context, enough func() bool) error {
	s.quietSince = time.Time{}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < pushedLimit && !enough(); {
		pods, err := s.sampler.Pods(ctx)
		done, waiting := err == nil, ""
		for _, check := range []func(context.Context, []sample.Pod) (bool, string, error){s.drained, s.acknowledged} {
			if done {
				// What cannot be read now may be readable in a moment.
				done, waiting, err = check(ctx, pods)
				done = done && err == nil
			}
		}
		if done {
			return nil
		}
		s.status("waiting for the mesh: %s", waiting)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// rolledOut holds when every Deployment has the pods it asks for and no pod is on its
// way out.
func (s *settler) rolledOut(ctx context.Context, pods []sample.Pod) (bool, string, error) {
	all, err := s.kube.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return false, "", fmt.Errorf("listing the Deployments: %w", err)
	}
	for _, d := range all.Items {
		if s.lost(d.Namespace + "/" + d.Name) {
			continue
		}
		if done, waiting := rolledOut(&d); !done {
			return false, waiting, nil
		}
	}
	for _, p := range pods {
		if p.Deleting {
			return false, fmt.Sprintf("pod %s/%s is terminating", p.Namespace, p.Name), nil
		}
	}
	return true, "", nil
}

// drained holds when istiod has pushed nothing for quietFor.
func (s *settler) drained(ctx context.Context, _ []sample.Pod) (bool, string, error) {
	q, err := s.sampler.Quiet(ctx)
	if err != nil {
		s.quietSince = time.Time{}
		return false, "", err
	}
	before := s.quiet
	s.quiet = q
	now := time.Now()
	before.Stale, before.Rejected = q.Stale, q.Rejected // conditions of their own
	if s.quietSince.IsZero() || !reflect.DeepEqual(q, before) {
		s.quietSince = now
	}
	return now.Sub(s.quietSince) >= quietFor, "istiod is pushing", nil
}

// acknowledged holds when every real sidecar is connected and has acknowledged
// everything that was sent to it. It uses the snapshot that drained took.
func (s *settler) acknowledged(_ context.Context, pods []sample.Pod) (bool, string, error) {
	want := 0
	lost := map[string]bool{}
	for _, p := range pods {
		if s.lost(p.Workload) {
			lost[p.Namespace+"/"+p.Name] = true
		} else if p.RealSidecar {
			want++
		}
	}
	if s.quiet.Connected < want {
		return false, fmt.Sprintf("%d of %d sidecars are connected to istiod", s.quiet.Connected, want), nil
	}
	stale := slices.DeleteFunc(slices.Clone(s.quiet.Stale), func(proxy string) bool {
		name, _, _ := strings.Cut(proxy, ": ")
		return lost[name]
	})
	if n := len(stale); n > 0 {
		return false, fmt.Sprintf("%d proxies have not acknowledged: %s", n, stale[0]), nil
	}
	return true, "", nil
}

// listenersGone holds when nothing of the witnesses' listeners drains or warms. Only
// those that are or will be dumped are asked: the others' memory must not feel the
// question.
func (s *settler) listenersGone(ctx context.Context, pods []sample.Pod) (bool, string, error) {
	for _, p := range s.witnesses(pods) {
		state, err := s.sampler.ProxyState(ctx, p)
		if err != nil {
			return false, "", err
		}
		if !state.Settled() {
			return false, fmt.Sprintf("%s/%s: %d listeners and %d filter chains drain, %d listeners warm up", p.Namespace, p.Name,
				state.ListenersDraining, state.FilterChainsDraining, state.ListenersWarming), nil
		}
	}
	return true, "", nil
}

// memoryAgrees holds when the sidecars' memory stands still: of the medians over the
// sidecars, those of the last two windows agree.
func (s *settler) memoryAgrees(_ context.Context, pods []sample.Pod) (bool, string, error) {
	ok, waiting := s.memory.steady(time.Now(), s.measured(pods))
	return ok, waiting, nil
}

// metricsFresh holds when the metrics API has read every measured sidecar after the
// last push.
func (s *settler) metricsFresh(ctx context.Context, pods []sample.Pod) (bool, string, error) {
	usage, err := s.sampler.Usage(ctx, pods)
	if err != nil {
		return false, "", err
	}
	fresh := map[podName]bool{}
	for _, u := range usage {
		if u.Container == observations.SidecarContainer && u.Measured.After(s.quietSince) {
			fresh[podName{u.Namespace, u.Pod}] = true
		}
	}
	measured := s.measured(pods)
	missing := 0
	for _, p := range measured {
		if !fresh[p] {
			missing++
		}
	}
	if missing > 0 {
		return false, fmt.Sprintf("the metrics API has yet to read %d of %d sidecars", missing, len(measured)), nil
	}
	s.usage = usage
	return true, "", nil
}

// measured are the real sidecars whose memory counts: those never dumped, or, where
// all were dumped, all.
func (s *settler) measured(pods []sample.Pod) []podName {
	var never, all []podName
	for _, p := range pods {
		if !p.RealSidecar || p.Deleting || s.lost(p.Workload) {
			continue
		}
		name := podName{p.Namespace, p.Name}
		all = append(all, name)
		if !s.sampler.IsWitness(p.Namespace, p.Name) {
			never = append(never, name)
		}
	}
	if len(never) > 0 {
		return never
	}
	return all
}

// lostAfter is after how many kills a workload is not waited for any more: the second came
// at the start that followed the first, with the configuration that it met at once.
const lostAfter = 2

// lost tells whether a workload's sidecars are killed at each start: it never gets quiet.
func (s *settler) lost(workload string) bool { return s.kills(workload) >= lostAfter }

type podName struct{ namespace, name string }

// recent keeps the last seconds of the series. It is safe for concurrent use.
type recent struct {
	mu     sync.Mutex
	points map[podName][]point
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
		m.points = map[podName][]point{}
	}
	for _, c := range series.Containers {
		if c.Container != observations.SidecarContainer {
			continue
		}
		name := podName{c.Namespace, c.Pod}
		kept := m.points[name]
		for len(kept) > 1 && at.Sub(kept[0].at) > 2*memoryWindow+time.Second {
			kept = kept[1:]
		}
		m.points[name] = append(slices.Clip(kept), point{at, c.MemoryBytes})
	}
}

// last is a pod's last reading at or before a moment.
func (m *recent) last(pod podName, before time.Time) (point, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	points := m.points[pod]
	for i := len(points) - 1; i >= 0; i-- {
		if !points[i].at.After(before) {
			return points[i], true
		}
	}
	return point{}, false
}

// steady says whether the pods' memory stood still: during the two windows that end with
// each pod's last reading, or, where a node reads more rarely than that, between its last
// two readings.
func (m *recent) steady(now time.Time, pods []podName) (bool, string) {
	if len(pods) == 0 {
		return true, ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var earlier, later []float64
	for _, pod := range pods {
		points := m.points[pod]
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
			return false, fmt.Sprintf("memory of %s/%s has not been read for %s", pod.namespace, pod.name, 2*memoryWindow)
		}
		if age := now.Sub(points[len(points)-1].at); age > longestInterval {
			return false, fmt.Sprintf("memory of %s/%s was last read %.0f s ago", pod.namespace, pod.name, age.Seconds())
		}
		earlier, later = append(earlier, sum[1]/n[1]), append(later, sum[0]/n[0])
	}
	before, after := middle(earlier), middle(later)
	if diff := after - before; max(diff, -diff) > max(memorySlack, memoryTolerance*before) {
		return false, fmt.Sprintf("the sidecars' memory moves: %.1f Mi, then %.1f Mi", before/(1<<20), after/(1<<20))
	}
	return true, ""
}

// middle is the median of a list that is not empty; it sorts the list.
func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
