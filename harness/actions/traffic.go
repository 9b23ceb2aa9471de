package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// Proxies reads what proxies use; see [sample.Sampler].
type Proxies interface {
	Spending(ctx context.Context, pods []sample.Pod) (found []sample.Spending, through string, err error)
	IsWitness(process string) bool
}

const (
	// trafficBefore is how long proxies are read before the first request, and trafficAfter
	// after the last one. Where nodes tell more rarely, it is at most trafficLate.
	trafficBefore = 5 * time.Second
	trafficAfter  = 4 * time.Second
	trafficLate   = 40 * time.Second
	// trafficEvery is how often proxies are read.
	trafficEvery = time.Second
	// trafficOver is how much longer than asked a load may take: answers that are late, names
	// that are slow to resolve.
	trafficOver = time.Minute
)

// traffic sends from each source in turn, and records what each load took.
func traffic(ctx context.Context, on *On, t *scenarios.Traffic) error {
	for _, from := range t.From {
		on.Progress.Status("%s: waiting for the mesh", t)
		if err := on.Quiet.Pushed(ctx, ""); err != nil {
			return err
		}
		l := &sending{on: on, Traffic: t, from: from}
		if err := l.find(ctx); err != nil {
			return fmt.Errorf("from %s: %w", from, err)
		}
		record, err := l.send(ctx)
		if err != nil {
			return fmt.Errorf("from %s: %w", from, err)
		}
		if err := on.Recorder.Append(observations.Record{Traffic: record}); err != nil {
			return err
		}
	}
	return nil
}

// sending is what one source sends.
type sending struct {
	on *On
	*scenarios.Traffic
	from      string
	pod       *corev1.Pod // that sends
	container string
	targets   []corev1.Pod // ready ones, behind the Service
}

// find looks for the pod that sends, and those that answer.
func (l *sending) find(ctx context.Context) (err error) {
	if l.pod, l.container, err = findSender(ctx, l.on, l.from); err != nil {
		return err
	}
	return l.findTargets(ctx)
}

// findSender looks for a pod of the workload, namespace/name, that can send, and for its
// container that does.
func findSender(ctx context.Context, on *On, from string) (*corev1.Pod, string, error) {
	namespace, name, _ := strings.Cut(from, "/")
	pods, err := on.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, "", fmt.Errorf("list the pods in namespace %s: %w", namespace, err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	why := "it has no pod that is ready"
	for i := range pods.Items {
		p := &pods.Items[i]
		if sample.PodFrom(p).Workload != namespace+"/"+name || p.DeletionTimestamp != nil || !kube.Ready(p) {
			continue
		}
		container, err := sender(p)
		if err == nil {
			return p, container, nil
		}
		why = err.Error()
	}
	return nil, "", fmt.Errorf("nothing can be sent: %s", why)
}

// sender is the name of the container that sends.
func sender(p *corev1.Pod) (string, error) {
	for _, c := range p.Spec.Containers {
		if !scenarios.IsFortio(c.Image) {
			continue
		}
		for _, s := range p.Status.ContainerStatuses {
			if s.Name == c.Name && strings.HasPrefix(s.ContainerID, cluster.SimulatedScheme) {
				return "", fmt.Errorf("container %s of pod %s is simulated", c.Name, kube.Name(p))
			}
		}
		return c.Name, nil
	}
	return "", fmt.Errorf("no container of pod %s has the image fortio/fortio", kube.Name(p))
}

// findTargets lists the pods behind the Service, if there is one.
func (l *sending) findTargets(ctx context.Context) error {
	namespace, name, is := strings.Cut(l.Service(), "/")
	if !is {
		return nil
	}
	service, err := l.on.Kube.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read Service %s: %w", l.Service(), err)
	}
	if len(service.Spec.Selector) == 0 {
		return nil
	}
	pods, err := l.on.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Set(service.Spec.Selector).String()})
	if err != nil {
		return fmt.Errorf("list the pods of Service %s: %w", l.Service(), err)
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.DeletionTimestamp == nil && kube.Ready(p) {
			l.targets = append(l.targets, *p)
		}
	}
	return nil
}

// proxies are the real ones of the source and of the targets. A pod that is both is a source.
func (l *sending) proxies() (pods []sample.Pod, side map[types.NamespacedName]string) {
	side = map[types.NamespacedName]string{}
	add := func(p *corev1.Pod, of string) {
		pod := sample.PodFrom(p)
		if _, before := side[pod.NamespacedName()]; pod.RealProxy && !before {
			side[pod.NamespacedName()] = of
			pods = append(pods, pod)
		}
	}
	add(l.pod, observations.TrafficSource)
	for i := range l.targets {
		add(&l.targets[i], observations.TrafficTarget)
	}
	return pods, side
}

// send reads the proxies, sends, and reads them again.
func (l *sending) send(ctx context.Context) (*observations.Traffic, error) {
	pods, side := l.proxies()
	record := &observations.Traffic{
		From: l.from, Pod: kube.Name(l.pod).String(), To: l.To, Service: l.Service(), Targets: len(l.targets),
		Protocol: l.Protocol, Path: l.Path, QPS: l.QPS, Connections: l.Connections, PayloadBytes: l.Payload,
		AskedSeconds: l.Duration.Seconds(), Expect: l.Shares(),
	}
	for _, p := range pods {
		if side[p.NamespacedName()] == observations.TrafficTarget {
			record.TargetProxies++
		} else {
			record.Sidecar = true
			if slices.ContainsFunc(l.targets, func(t corev1.Pod) bool { return kube.Name(&t) == p.NamespacedName() }) {
				record.TargetProxies++
			}
		}
	}
	m := &meterings{proxies: l.on.Proxies, pods: pods}
	l.on.Progress.Status("%s, from %s: reading proxies", l.Traffic, l.from)
	if err := m.until(ctx, time.Now().Add(trafficBefore)); err != nil {
		return nil, err
	}

	l.on.Progress.Status("%s, from %s", l.Traffic, l.from)
	begin := time.Now()
	bounded, cancel := context.WithTimeoutCause(ctx, l.Duration+trafficOver, fmt.Errorf("the load has not ended %s after its time", trafficOver))
	defer cancel()
	sent := make(chan error, 1)
	var result *fortioResult
	go func() {
		var err error
		result, err = l.fortio(bounded)
		sent <- err
	}()
	for done := false; !done; {
		select {
		case err := <-sent:
			if err != nil {
				return nil, err
			}
			done = true
		case <-time.After(trafficEvery):
			m.read(ctx)
		}
	}
	end := time.Now()
	// The program's own times are without its start and end, and by the clock of its node.
	first, last := result.span(begin, end)
	m.read(ctx)
	l.on.Progress.Status("%s, from %s: reading proxies", l.Traffic, l.from)
	if err := m.after(ctx, end); err != nil {
		return nil, err
	}
	result.fill(record, l.Protocol)
	record.Begin = first.UTC()
	m.fill(record, side, first, last)
	l.on.Progress.Status("%s: %.0f requests a second", l.Traffic, record.Rate)
	return record, nil
}

// meterings are readings of proxies around a load.
type meterings struct {
	proxies Proxies
	pods    []sample.Pod
	through string
	of      map[types.NamespacedName][]sample.Spending // each reading once, oldest first
	failed  error                                      // the last reading's
}

// read reads once. What cannot be read is unknown, and said in the end.
func (m *meterings) read(ctx context.Context) {
	if len(m.pods) == 0 {
		return
	}
	found, through, err := m.proxies.Spending(ctx, m.pods)
	if m.failed = err; err != nil {
		return
	}
	m.through = through
	if m.of == nil {
		m.of = map[types.NamespacedName][]sample.Spending{}
	}
	for _, s := range found {
		kept := m.of[s.Pod]
		if n := len(kept); n == 0 || s.Measured.After(kept[n-1].Measured) {
			m.of[s.Pod] = append(kept, s)
		}
	}
}

// until reads until a moment.
func (m *meterings) until(ctx context.Context, end time.Time) error {
	for {
		m.read(ctx)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(trafficEvery, max(0, time.Until(end)))):
		}
		if !time.Now().Before(end) {
			return nil
		}
	}
}

// after reads for a while after the end, and until every proxy has a reading from then.
func (m *meterings) after(ctx context.Context, end time.Time) error {
	if len(m.pods) == 0 {
		return nil
	}
	if err := m.until(ctx, end.Add(trafficAfter)); err != nil {
		return err
	}
	for time.Since(end) < trafficLate && m.failed == nil && slices.ContainsFunc(m.pods, func(p sample.Pod) bool {
		kept := m.of[p.NamespacedName()]
		return len(kept) == 0 || kept[len(kept)-1].Measured.Before(end)
	}) {
		if err := m.until(ctx, time.Now().Add(trafficEvery)); err != nil {
			return err
		}
	}
	return nil
}

// fill adds what the proxies needed before, during and after a load.
func (m *meterings) fill(record *observations.Traffic, side map[types.NamespacedName]string, first, last time.Time) {
	if len(m.pods) == 0 {
		return
	}
	record.ReadThrough = m.through
	unread := map[string]int{}
	if m.failed != nil && !errors.Is(m.failed, context.Canceled) {
		unread[m.failed.Error()]++
	}
	for _, p := range m.pods {
		name := p.NamespacedName()
		x := observations.TrafficProxy{
			Side: side[name], Namespace: p.Namespace, Pod: p.Name, Workload: p.Workload, Kind: p.Kind, Witness: m.proxies.IsWitness(p.Process),
		}
		var before, during, after []sample.Spending
		for _, s := range m.of[name] {
			switch {
			case !s.Measured.After(first):
				before = append(before, s)
			case !s.Measured.After(last):
				during = append(during, s)
			default:
				after = append(after, s)
			}
		}
		x.Before, x.During, x.After = memoryOf(before), memoryOf(during), memoryOf(after)
		x.Idle, x.Busy = cpuOf(before), cpuOf(during)
		if x.Before == nil || x.During == nil || x.After == nil {
			unread["memory was not read before, during and after the load"]++
		}
		if x.Busy == nil {
			unread["CPU was not read twice during the load, at least half of it apart: let it take longer where nodes read their containers rarely"]++
		} else if x.Busy.Over < record.Seconds/2 {
			x.Busy = nil
			unread["CPU was not read twice during the load, at least half of it apart: let it take longer where nodes read their containers rarely"]++
		}
		if b := x.Before; b != nil && b.High-b.Low > max(512<<10, b.Bytes/100) {
			record.Unsettled = append(record.Unsettled, fmt.Sprintf("memory of %s moved from %.1f to %.1f Mi before the load", name, mi(b.Low), mi(b.High)))
		}
		record.Proxies = append(record.Proxies, x)
	}
	for _, why := range slices.Sorted(maps.Keys(unread)) {
		record.Unread = append(record.Unread, fmt.Sprintf("%s (%d of %d proxies)", why, unread[why], len(m.pods)))
	}
	slices.SortFunc(record.Proxies, func(a, b observations.TrafficProxy) int {
		return strings.Compare(a.Side+"/"+a.Namespace+"/"+a.Pod, b.Side+"/"+b.Namespace+"/"+b.Pod)
	})
}

func mi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// memoryOf sums readings up; nil for none.
func memoryOf(readings []sample.Spending) *observations.TrafficMemory {
	if len(readings) == 0 {
		return nil
	}
	var bytes []int64
	for _, r := range readings {
		bytes = append(bytes, r.MemoryBytes)
	}
	slices.Sort(bytes)
	n := len(bytes)
	return &observations.TrafficMemory{Bytes: (bytes[(n-1)/2] + bytes[n/2]) / 2, Low: bytes[0], High: bytes[n-1], Readings: n}
}

// cpuOf is what was used between the first and the last of the readings, or by what the source
// says of the time before the last one; nil where it tells neither.
func cpuOf(readings []sample.Spending) *observations.TrafficCPU {
	if len(readings) == 0 {
		return nil
	}
	first, last := readings[0], readings[len(readings)-1]
	if over := last.Measured.Sub(first.Measured); over > 0 && first.CPUSeconds > 0 && last.CPUSeconds >= first.CPUSeconds {
		return &observations.TrafficCPU{Seconds: last.CPUSeconds - first.CPUSeconds, Over: over.Seconds()}
	}
	if last.CPUSeconds > 0 || last.Window <= 0 || len(readings) < 2 || last.Window > last.Measured.Sub(first.Measured) {
		return nil // the window holds time of something else
	}
	return &observations.TrafficCPU{Seconds: float64(last.CPUNano) / 1e9 * last.Window.Seconds(), Over: last.Window.Seconds()}
}
