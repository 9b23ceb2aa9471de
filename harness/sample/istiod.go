package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/observations"
)

// Istiods are the scope's control-plane pods that are ready. None is an error.
func (s *Sampler) Istiods(ctx context.Context) ([]types.NamespacedName, error) {
	pods, err := s.istiods(ctx)
	var keys []types.NamespacedName
	for _, p := range pods {
		keys = append(keys, p.NamespacedName())
	}
	return keys, err
}

func (s *Sampler) istiods(ctx context.Context) ([]Pod, error) {
	list, err := s.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		LabelSelector: "app=istiod", FieldSelector: "status.phase=Running",
		ResourceVersion: "0", // from the API server's cache: this is asked every second
	})
	if err != nil {
		return nil, fmt.Errorf("list istiod's pods: %w", err)
	}
	var pods []Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil && kube.Ready(&p) && s.scope.control(p.Labels) {
			pods = append(pods, PodFrom(&p))
		}
	}
	if len(pods) == 0 {
		if s.scope.Revision != "" {
			return nil, fmt.Errorf("no pod with labels app=istiod and %s=%s is ready", revisionLabel, s.scope.Revision)
		}
		return nil, errors.New("no pod with label app=istiod is ready")
	}
	return pods, nil
}

// families are metrics by name.
type families map[string]*dto.MetricFamily

// metricsOf scrapes one istiod.
func (s *Sampler) metricsOf(ctx context.Context, pod types.NamespacedName) (families, error) {
	var f families
	err := s.get(ctx, pod.Namespace, pod.Name, istiodMonitorPort, "/metrics", func(r io.Reader) (err error) {
		f, err = parseMetrics(bounded.Reader(r, bounded.Answer))
		return err
	})
	return f, err
}

func parseMetrics(r io.Reader) (families, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	f, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if !slices.ContainsFunc(counted, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		for _, m := range f[name].GetMetric() {
			for _, v := range []float64{value(m), m.GetHistogram().GetSampleSum()} {
				if !(math.Abs(v) <= maxValue) {
					return nil, fmt.Errorf("%w: its metric %s is %g", errAnswer, name, v)
				}
			}
		}
	}
	return f, nil
}

// counted begin the names of the metrics that records are made of, which have no place for what
// is no number or infinite. Others may: process_virtual_memory_max_bytes is 1.8e19 without a limit.
var counted = []string{"pilot_", "process_resident_", "process_cpu_", "process_start_", "go_memstats_"}

// maxValue is more than anything that is counted here, and fits into an int64: bytes, seconds
// since 1970, pushes.
const maxValue = 1e18

// sum adds a counter or gauge up over its labels; 0 when it does not exist, as
// counters do not before their first event.
func (f families) sum(name string) float64 {
	total := 0.0
	for _, m := range f[name].GetMetric() {
		total += value(m)
	}
	return total
}

// by adds a counter up for each value of one label.
func (f families) by(name, label string) map[string]float64 {
	totals := map[string]float64{}
	for _, m := range f[name].GetMetric() {
		totals[labels(m)[label]] += value(m)
	}
	return totals
}

// histogram adds a histogram up over its labels.
func (f families) histogram(name string) observations.Histogram {
	var h observations.Histogram
	buckets := map[float64]float64{} // upper bound to cumulative count
	for _, m := range f[name].GetMetric() {
		h.Sum += m.Histogram.GetSampleSum()
		h.Count += float64(m.Histogram.GetSampleCount())
		for _, b := range m.Histogram.GetBucket() {
			buckets[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
	}
	for _, bound := range slices.Sorted(maps.Keys(buckets)) {
		// Beyond the last finite bound nothing is known; JSON has no infinity either.
		if bound > maxBound {
			break
		}
		if h.P99 == 0 && h.Count > 0 && buckets[bound] >= 0.99*h.Count {
			h.P99 = bound
		}
		h.Buckets = append(h.Buckets, observations.Bucket{UpTo: bound, Count: buckets[bound]})
	}
	return h
}

// maxBound tells finite bucket bounds from infinity.
const maxBound = 1e300

// Istiod reads what each ready istiod costs and has pushed: its own metrics, and its
// container's memory and CPU from the source ([Sampler.ReadFrom]), which are 0 when that has
// none yet.
func (s *Sampler) Istiod(ctx context.Context) ([]observations.Istiod, error) {
	pods, err := s.istiods(ctx)
	if err != nil {
		return nil, err
	}
	records := make([]observations.Istiod, len(pods))
	for i, pod := range pods {
		f, err := s.metricsOf(ctx, pod.NamespacedName())
		if err != nil {
			return nil, err
		}
		records[i] = istiodFrom(f)
		records[i].Pod = pod.Namespace + "/" + pod.Name
		found, err := s.source.of(ctx, pod)
		switch {
		case errors.Is(err, errTwoValues):
			return nil, err // before the first step, rather than at its end
		case err != nil:
			continue // not scraped yet; Istiod's own account stands
		}
		for _, r := range found {
			if r.name == observations.IstiodContainer {
				records[i].MemoryBytes, records[i].CPUNano = r.memoryBytes, r.cpuNano
				records[i].CPUUnknown = r.cpuNano == 0 && r.window == 0
			}
		}
	}
	return records, nil
}

// istiodFrom reads istiod's metrics (pilot/pkg/xds/monitoring.go and pkg/xds of
// istio.io/istio).
func istiodFrom(f families) observations.Istiod {
	queue := f.histogram("pilot_proxy_queue_time")
	return observations.Istiod{
		Proxies:            int(f.sum("pilot_xds")),
		Pushes:             f.by("pilot_xds_pushes", "type"),
		PushSeconds:        f.histogram("pilot_xds_push_time"),
		ConvergenceSeconds: f.histogram("pilot_proxy_convergence_time"),
		QueueSeconds:       &queue,
		ResidentBytes:      int64(f.sum("process_resident_memory_bytes")),
		CPUSeconds:         f.sum("process_cpu_seconds_total"),
		GoHeapBytes:        int64(f.sum("go_memstats_heap_inuse_bytes")),
		Rejected:           f.sum(metricRejected),
	}
}

// proxyStatus is what istiod knows of one connected proxy.
type proxyStatus struct {
	Namespace, Pod string
	// Stale lists the types (Cluster, Listener, RouteConfiguration,
	// ClusterLoadAssignment, ...) whose last update the proxy has not answered.
	Stale []string
	// Rejected is why the proxy refused the last update of a type, since Istio 1.23.
	Rejected map[string]string
}

// refuse notes that a type's last update was refused, which is an answer too.
func (p *proxyStatus) refuse(kind, why string) {
	if p.Rejected == nil {
		p.Rejected = map[string]string{}
	}
	p.Rejected[kind] = why
	p.Stale = slices.DeleteFunc(p.Stale, func(stale string) bool { return stale == kind })
}

// syncStatus is one entry of /debug/syncz (pilot/pkg/xds/debug.go): the nonces that
// were sent and acknowledged last.
type syncStatus struct {
	Proxy         string `json:"proxy"` // pod.Namespace
	ProxyType     string `json:"proxy_type"`
	ClusterSent   string `json:"cluster_sent"`
	ClusterAcked  string `json:"cluster_acked"`
	ListenerSent  string `json:"listener_sent"`
	ListenerAcked string `json:"listener_acked"`
	RouteSent     string `json:"route_sent"`
	RouteAcked    string `json:"route_acked"`
	EndpointSent  string `json:"endpoint_sent"`
	EndpointAcked string `json:"endpoint_acked"`
	// Resources holds all types by type URL, since Istio 1.23.
	Resources map[string]struct {
		Sent      string `json:"sent"`
		Acked     string `json:"acked"`
		LastError string `json:"lastError"`
	} `json:"resources"`
}

// synczOf reads, from an istiod's /debug/syncz, which proxies have acknowledged everything
// that was sent to them.
func (s *Sampler) synczOf(ctx context.Context, pod types.NamespacedName) ([]proxyStatus, error) {
	var entries []syncStatus
	if err := s.getJSON(ctx, pod.Namespace, pod.Name, istiodMonitorPort, "/debug/syncz", &entries); err != nil {
		return nil, err
	}
	statuses := make([]proxyStatus, len(entries))
	for i, e := range entries {
		statuses[i] = e.status()
	}
	return statuses, nil
}

func (e syncStatus) status() proxyStatus {
	status := proxyStatus{Pod: e.Proxy}
	if dot := strings.LastIndexByte(e.Proxy, '.'); dot >= 0 {
		status.Pod, status.Namespace = e.Proxy[:dot], e.Proxy[dot+1:]
	}
	stale := map[string]bool{
		"Cluster":               e.ClusterSent != e.ClusterAcked || e.envoy() && e.ClusterSent == "",
		"Listener":              e.ListenerSent != e.ListenerAcked || e.envoy() && e.ListenerSent == "",
		"RouteConfiguration":    e.RouteSent != e.RouteAcked,
		"ClusterLoadAssignment": e.EndpointSent != e.EndpointAcked,
	}
	for url, r := range e.Resources {
		if r.Sent != r.Acked {
			stale[typeName(url)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(stale)) {
		if stale[name] {
			status.Stale = append(status.Stale, name)
		}
	}
	for url, r := range e.Resources {
		if r.LastError != "" {
			status.refuse(typeName(url), r.LastError)
		}
	}
	return status
}

// envoy tells whether the proxy is an Envoy, which asks for clusters, then for listeners, as
// soon as it is connected: one that was sent none of a type has only just connected. A
// gateway without any Gateway is sent its listeners too, an empty list with a nonce: the
// generator answers nil, which is not sent, only to a push that does not concern the proxy
// (pilot/pkg/xds/lds.go, delta.go and xdsgen.go, Istio 1.22 to 1.31).
func (e syncStatus) envoy() bool {
	return e.ProxyType == "sidecar" || e.ProxyType == "router" || e.ProxyType == "waypoint"
}

// typeName is the last word of a type URL:
// type.googleapis.com/envoy.config.cluster.v3.Cluster is Cluster.
func typeName(url string) string { return url[strings.LastIndexAny(url, "./")+1:] }

// refusable are the types whose refusals istiod counts for each proxy, by their short
// names.
var refusable = map[string]string{"cds": "Cluster", "lds": "Listener", "rds": "RouteConfiguration", "eds": "ClusterLoadAssignment"}

// addRefusals finds the refusals that /debug/syncz does not tell before Istio 1.23: of a
// proxy that has not acknowledged a type and is counted as having refused one of that
// type. Why is in istiod's log alone.
func (s *Sampler) addRefusals(ctx context.Context, pod types.NamespacedName, f families, statuses []proxyStatus) error {
	var reasons map[refusal]string
	for short, kind := range refusable {
		refused := f.by("pilot_xds_"+short+"_reject", "node")
		for i := range statuses {
			status := &statuses[i]
			proxy := status.Pod + "." + status.Namespace
			if refused[proxy] == 0 || !slices.Contains(status.Stale, kind) {
				continue
			}
			if reasons == nil {
				log, err := s.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
					Container: observations.IstiodContainer, TailLines: ptr.To[int64](lastLines), LimitBytes: ptr.To[int64](bounded.Answer),
				}).DoRaw(ctx)
				if err != nil {
					return fmt.Errorf("read why %s refused configuration in the log of %s/%s: %w", proxy, pod.Namespace, pod.Name, err)
				}
				reasons = refusalsIn(string(log))
			}
			status.refuse(kind, cmp.Or(reasons[refusal{short, proxy}], "istiod's log does not say why"))
		}
	}
	return nil
}

// refusal is of a type, by its short name, by a proxy, pod.Namespace.
type refusal struct{ short, proxy string }

// refusedLine is a line of istiod's log (pilot/pkg/xds/delta.go, ads.go): the type, the
// connection, which is the proxy with a number, and Envoy's reason.
var refusedLine = regexp.MustCompile(`ADS:(\w+): ACK ERROR (\S+)-\d+ \w+:(.*)`)

// lastLines is how much of istiod's log is looked through, from its end.
const lastLines = 100_000

// refusalsIn are the refusals in istiod's log with their last reasons.
func refusalsIn(log string) map[refusal]string {
	reasons := map[refusal]string{}
	for _, m := range refusedLine.FindAllStringSubmatch(log, -1) {
		reasons[refusal{strings.ToLower(m[1]), m[2]}] = strings.TrimSpace(m[3])
	}
	return reasons
}

// Connection is a proxy's stream to istiod.
type Connection struct {
	Namespace, Pod string
	ID             string    // istiod's, another one after each reconnect
	Since          time.Time // by istiod's clock
}

// connectionsAnswer is istiod's to /debug/connections (pilot/pkg/xds/debug.go); an id is
// pod.Namespace-N.
type connectionsAnswer struct {
	Clients []struct {
		ID    string    `json:"connectionId"`
		Since time.Time `json:"connectedAt"`
	} `json:"clients"`
}

// of are the connections of pods' proxies to an istiod.
func (a connectionsAnswer) of(istiod string) []Connection {
	var all []Connection
	for _, c := range a.Clients {
		node := c.ID[:max(0, strings.LastIndexByte(c.ID, '-'))]
		if dot := strings.LastIndexByte(node, '.'); dot >= 0 { // else no proxy of a pod
			all = append(all, Connection{Namespace: node[dot+1:], Pod: node[:dot], ID: istiod + "/" + c.ID, Since: c.Since})
		}
	}
	return all
}

// Connections reads, from each ready istiod's /debug/connections, which proxies are
// connected and since when.
func (s *Sampler) Connections(ctx context.Context) ([]Connection, error) {
	if s.blind.Load() {
		return nil, nil
	}
	pods, err := s.Istiods(ctx)
	if err != nil {
		return nil, err
	}
	var all []Connection
	for _, pod := range pods {
		var answer connectionsAnswer
		if err := s.getJSON(ctx, pod.Namespace, pod.Name, istiodMonitorPort, "/debug/connections", &answer); err != nil {
			return nil, err
		}
		for _, c := range answer.of(pod.Name) {
			if s.scope.Has(c.Namespace) {
				all = append(all, c)
			}
		}
	}
	return all, nil
}
