package sample

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Names of istiod's metrics, of pilot/pkg/xds/monitoring.go, pilot/pkg/config/kube/crdclient/
// metrics.go and pilot/pkg/serviceregistry/kube/controller/controller.go in istio.io/istio,
// from 1.22 on.
const (
	metricInbound   = "pilot_inbound_updates"
	metricDebounce  = "pilot_debounce_time"
	metricContext   = "pilot_pushcontext_init_seconds"
	metricTriggers  = "pilot_push_triggers"
	metricQueue     = "pilot_proxy_queue_time"
	metricPushes    = "pilot_xds_pushes"
	metricConverged = "pilot_proxy_convergence_time"
	metricConfig    = "pilot_k8s_cfg_events"
	metricRegistry  = "pilot_k8s_reg_events"
	metricStarted   = "process_start_time_seconds"
	metricRejected  = "pilot_total_xds_rejects"
)

// Event is a kind of event that istiod counts. Type is a kind of configuration
// (ServiceEntry) or a part of the registry (Services, Pods, EndpointSlice, Nodes,
// Namespaces).
type Event struct {
	Type string
	What string // Added, Updated or Deleted
}

// What can happen to an object.
const (
	Added   = "add"
	Updated = "update"
	Deleted = "delete"
)

// IstiodState is what one istiod counts of its work. Its counters start from zero with it.
type IstiodState struct {
	Pod types.NamespacedName
	// Asked and Answered are when its metrics were asked for and came, by our clock. They
	// are of some moment in between.
	Asked, Answered time.Time
	Started         float64 // when it started, in seconds since 1970
	// Events are those it has taken from its informers.
	Events map[Event]float64
	// Inbound are the changes it has made of them, each of which leads to a push
	// (pilot_inbound_updates).
	Inbound float64
	// Debounced are pushes begun, each of all changes until then (pilot_debounce_time).
	Debounced float64
	// Context is a bound for how long it takes to prepare a push
	// (pilot_pushcontext_init_seconds); 0 before the first.
	Context   time.Duration
	Queued    float64 // proxies whose turn has come (pilot_proxy_queue_time)
	Triggers  float64 // the same, by each reason of the push (pilot_push_triggers)
	Pushes    float64 // responses sent to proxies (pilot_xds_pushes)
	Converged float64 // pushes to a proxy that are done (pilot_proxy_convergence_time)
	Connected int     // proxies
}

// Quiet is what tells whether istiods' pushes have drained and been acknowledged.
type Quiet struct {
	Istiods []IstiodState
	// Proxies are the pods that are connected, namespace/name, sorted.
	Proxies []string
	// Stale names each proxy that has not answered everything, with the types:
	// "ns1/test-0: Cluster, Listener".
	Stale []string
	// Rejected names each update that was refused and not replaced by one that was
	// accepted, with Envoy's reason: "ns1/test-0: Listener: why".
	Rejected []string
	// Blind tells that istiod says nothing of single proxies: the lists are unknown, not empty.
	Blind bool
}

// ErrBlind says that an istiod does not tell what its proxies have acknowledged.
var ErrBlind = errors.New("istiod's debug endpoints are off (ENABLE_DEBUG_ON_HTTP=false): what proxies have acknowledged is unknown")

// Sees returns [ErrBlind] if an istiod does not tell what its proxies have acknowledged.
func (s *Sampler) Sees(ctx context.Context) error {
	pods, err := s.Istiods(ctx)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		_, err := s.synczOf(ctx, pod)
		var status *statusError
		if errors.As(err, &status) && status.code == http.StatusNotFound {
			return fmt.Errorf("%s: %w", pod, ErrBlind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Blindfold makes the sampler ask istiods for their metrics alone from now on.
func (s *Sampler) Blindfold() { s.blind.Store(true) }

// Quiet takes a snapshot over all ready istiods.
func (s *Sampler) Quiet(ctx context.Context) (Quiet, error) {
	pods, err := s.Istiods(ctx)
	if err != nil {
		return Quiet{}, err
	}
	var q Quiet
	for _, pod := range pods {
		asked := time.Now()
		f, err := s.metricsOf(ctx, pod)
		if err != nil {
			return Quiet{}, err
		}
		state := stateFrom(f)
		state.Pod, state.Asked, state.Answered = pod, asked, time.Now()
		if s.blind.Load() {
			state.Connected = int(f.sum("pilot_xds"))
			q.Istiods = append(q.Istiods, state)
			q.Blind = true
			continue
		}
		statuses, err := s.synczOf(ctx, pod)
		if err != nil {
			return Quiet{}, err
		}
		if err := s.addRefusals(ctx, pod, f, statuses); err != nil {
			return Quiet{}, err
		}
		state.Connected = len(statuses)
		q.Istiods = append(q.Istiods, state)
		for _, status := range statuses {
			if !s.scope.Has(status.Namespace) {
				continue
			}
			name := status.Namespace + "/" + status.Pod
			q.Proxies = append(q.Proxies, name)
			if len(status.Stale) > 0 {
				q.Stale = append(q.Stale, name+": "+strings.Join(status.Stale, ", "))
			}
			for _, kind := range slices.Sorted(maps.Keys(status.Rejected)) {
				q.Rejected = append(q.Rejected, name+": "+kind+": "+status.Rejected[kind])
			}
		}
	}
	slices.Sort(q.Proxies)
	slices.Sort(q.Stale)
	slices.Sort(q.Rejected)
	return q, nil
}

// stateFrom reads istiod's metrics.
func stateFrom(f families) IstiodState {
	state := IstiodState{
		Started:   f.sum(metricStarted),
		Events:    map[Event]float64{},
		Inbound:   f.sum(metricInbound),
		Debounced: f.histogram(metricDebounce).Count,
		Context:   time.Duration(f.histogram(metricContext).P99 * float64(time.Second)),
		Queued:    f.histogram(metricQueue).Count,
		Triggers:  f.sum(metricTriggers),
		Pushes:    f.sum(metricPushes),
		Converged: f.histogram(metricConverged).Count,
	}
	for _, name := range []string{metricConfig, metricRegistry} {
		for _, m := range f[name].GetMetric() {
			l := labels(m)
			what := l["event"]
			if what == "updatesame" { // an update that makes no difference to istiod
				what = Updated
			}
			state.Events[Event{l["type"], what}] += value(m)
		}
	}
	return state
}

// Refused is how many updates Envoys have refused, as all ready istiods have counted.
func (s *Sampler) Refused(ctx context.Context) (float64, error) {
	pods, err := s.Istiods(ctx)
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, pod := range pods {
		f, err := s.metricsOf(ctx, pod)
		if err != nil {
			return 0, err
		}
		total += f.sum(metricRejected)
	}
	return total, nil
}
