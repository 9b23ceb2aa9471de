package sample

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
)

const (
	// longWindow is what CPU of the kubelets is averaged over where they were read for that
	// long, metrics-server's own resolution in most clusters, and shortWindow the least.
	longWindow, shortWindow = 10 * time.Second, 2 * time.Second
	// keptReadings is how long a reading of CPU is kept to compare a later one with.
	keptReadings = time.Minute
)

// kubelets are the nodes' /metrics/resource, through the API server (nodes/proxy). They tell
// CPU as a counter: how much is used is known from the second reading on. A real kubelet
// reads its containers every 10 to 15 s and repeats itself meanwhile. It is safe for
// concurrent use.
type kubelets struct {
	kube kubernetes.Interface

	mu   sync.Mutex
	past map[container]*history
}

// history is what is known of the CPU time of a container.
type history struct {
	seen  time.Time // when it was last told of, by this machine's clock
	spent []spent   // oldest first
}

// spent is the CPU time that a container had used at a moment.
type spent struct {
	at      time.Time
	seconds float64
}

func (*kubelets) String() string { return "the kubelets' /metrics/resource" }

// readings are those of all containers on the nodes that hold real proxies or istiod.
func (k *kubelets) readings(ctx context.Context, pods []Pod) ([]reading, error) {
	var nodes []string
	for _, p := range pods {
		if p.Node != "" && p.State != Ended && (p.RealProxy || p.istiod) {
			nodes = append(nodes, p.Node)
		}
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	of := make([][]reading, len(nodes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4) // this shares the machine with what it measures
	for i, node := range nodes {
		group.Go(func() (err error) {
			of[i], err = k.compared(ctx, node)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return dated(slices.Concat(of...), time.Now()), nil
}

// dated takes readings of which the node tells no time as read now.
func dated(found []reading, now time.Time) []reading {
	for i := range found {
		if found[i].measured.IsZero() {
			found[i].measured = now
		}
	}
	return found
}

func (k *kubelets) of(ctx context.Context, pod Pod) ([]reading, error) {
	found, err := k.compared(ctx, pod.Node)
	found = slices.DeleteFunc(found, func(r reading) bool { return r.namespace != pod.Namespace || r.pod != pod.Name })
	return dated(found, time.Now()), err
}

// compared is scrape with the CPU that was used since earlier readings.
func (k *kubelets) compared(ctx context.Context, node string) ([]reading, error) {
	found, err := k.scrape(ctx, node)
	if err == nil {
		k.compare(found, time.Now())
	}
	return found, err
}

// scrape reads one node, sorted by containers. Their CPU is the counter alone.
func (k *kubelets) scrape(ctx context.Context, node string) ([]reading, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	text, err := k.kube.CoreV1().RESTClient().Get().
		Resource("nodes").Name(node).SubResource("proxy").Suffix("metrics/resource").
		SetHeader("Accept", "text/plain").DoRaw(ctx)
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("read /metrics/resource of node %s (it takes the right to get nodes/proxy): %w", node, err)
	case err != nil:
		return nil, fmt.Errorf("scraping /metrics/resource of node %s: %w", node, err)
	}
	found, err := parseResource(text)
	if err != nil {
		return nil, fmt.Errorf("read /metrics/resource of node %s: %w", node, err)
	}
	return found, nil
}

// compare adds to readings of now what CPU was used since earlier ones, and keeps them.
// A node that tells no time of its readings is read now.
func (k *kubelets) compare(found []reading, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.past, func(_ container, h *history) bool { return now.Sub(h.seen) > keptReadings }) // they are gone
	for i := range found {
		r := &found[i]
		at := r.measured
		if at.IsZero() {
			at = now
		}
		if r.cpuSeconds == 0 {
			continue
		}
		h := k.past[r.container]
		if h == nil || r.cpuSeconds < h.spent[len(h.spent)-1].seconds { // the container was restarted
			h = &history{}
			k.past[r.container] = h
		}
		h.seen = now
		h.spent = slices.DeleteFunc(h.spent, func(s spent) bool { return at.Sub(s.at) > keptReadings })
		if n := len(h.spent); n == 0 || at.After(h.spent[n-1].at) {
			h.spent = append(h.spent, spent{at, r.cpuSeconds})
		}
		r.cpuNano, r.window = used(h.spent)
	}
}

// used is the CPU that was used until the last of several readings, and over how long: the
// shortest time that is longWindow or more, else the longest; 0 where that is too short to
// tell.
func used(past []spent) (nanocores int64, window time.Duration) {
	last := past[len(past)-1]
	for i := len(past) - 2; i >= 0; i-- {
		took := last.at.Sub(past[i].at)
		if took < longWindow && i > 0 {
			continue
		}
		if took < shortWindow {
			break
		}
		return int64((last.seconds - past[i].seconds) / took.Seconds() * 1e9), took
	}
	return 0, 0
}

// parseResource reads the answer of a kubelet's /metrics/resource
// (https://kubernetes.io/docs/reference/instrumentation/node-metrics/), in the order of the
// containers' names. measured is zero where the kubelet tells no time.
func parseResource(text []byte) ([]reading, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	found := map[container]*reading{}
	var wrong []error
	each := func(family string, set func(*reading, float64)) {
		for _, m := range families[family].GetMetric() {
			l := labels(m)
			name := container{l["namespace"], l["pod"], l["container"]}
			if v := value(m); !(0 <= v && v <= maxValue) {
				wrong = append(wrong, fmt.Errorf("%s of container %s of %s/%s is %g", family, name.name, name.namespace, name.pod, v))
				continue
			}
			if found[name] == nil {
				found[name] = &reading{container: name}
			}
			if ms := m.GetTimestampMs(); ms > 0 && time.UnixMilli(ms).After(found[name].measured) {
				found[name].measured = time.UnixMilli(ms).UTC()
			}
			set(found[name], value(m))
		}
	}
	each("container_memory_working_set_bytes", func(r *reading, v float64) { r.memoryBytes = int64(v) })
	each("container_cpu_usage_seconds_total", func(r *reading, v float64) { r.cpuSeconds = v })

	sorted := make([]reading, 0, len(found))
	for _, r := range found {
		sorted = append(sorted, *r)
	}
	slices.SortFunc(sorted, byContainer)
	return sorted, errors.Join(wrong...)
}

// byContainer orders readings by the containers' names.
func byContainer(a, b reading) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.pod, b.pod), cmp.Compare(a.name, b.name))
}
