// Package sample reads what a mesh costs: containers' memory and CPU from the metrics
// API (or Prometheus, see [Source]) and from the nodes, proxies' configuration and memory from Envoy's admin port,
// the control plane's work from istiod's own metrics.
//
// Everything goes through the Kubernetes API server, so it works the same on every
// cluster, and nothing listens on the host: admin ports are reached over port-forward
// streams that live in this process only (see [Forwarder]).
//
// Reading changes what is read. /config_dump makes Envoy grow for good, so
// [Sampler.Witness] marks its process, and every later reading of that process carries the
// mark (rules of measurement, 1). [Sampler.Envoy] and [Sampler.ProxyState] say what
// their own reading costs the proxy.
package sample

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/patience"
	"github.com/meshbench/meshbench/internal/bounded"
)

// Ports that Istio's containers serve on the loopback interface of their pod.
const (
	envoyAdminPort    = 15000
	agentStatusPort   = 15020
	istiodMonitorPort = 15014 // metrics and, for loopback clients without credentials, /debug
)

// requestTimeout limits one request; a dump of 70 MB takes a few seconds of it.
const requestTimeout = time.Minute

// Sampler reads one cluster. It is safe for concurrent use.
type Sampler struct {
	scope    Scope
	blind    atomic.Bool // istiods tell nothing of single proxies
	watched  atomic.Pointer[func() []*corev1.Pod]
	kube     kubernetes.Interface
	metrics  metrics.Interface
	kubelets *kubelets
	source   source       // of memory and CPU
	waits    func() bool  // see WaitWhile
	http     *http.Client // dials "pod.Namespace:port" through port-forwards

	// coarseWindow is the longest window, in nanoseconds, of what source told last for the
	// series; 0 while the nodes tell it.
	coarseWindow atomic.Int64

	mu        sync.Mutex
	witnesses map[string]bool      // processes that were dumped; see Pod.Process
	jobs      map[types.UID]string // the CronJob that made a Job; "" for none
}

// New returns a sampler for a part of the cluster that cfg leads to. cfg is copied; the copy has
// no rate limit, as sampling paces itself and must not queue behind itself. Call
// [Sampler.Close] in the end.
func New(cfg *rest.Config, scope Scope) (*Sampler, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	cfg.Timeout = requestTimeout + patience.Limit // which requests spend waiting for an API server that is away
	cfg.Wrap(bounded.Transport(bounded.Dump))

	m, err := metrics.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for the metrics API: %w", err)
	}
	k, err := kubernetes.NewForConfig(kube.Protobuf(cfg))
	if err != nil {
		return nil, fmt.Errorf("make a client for the Kubernetes API: %w", err)
	}
	f, err := NewForwarder(cfg)
	if err != nil {
		return nil, err
	}
	return &Sampler{
		scope:    scope,
		kube:     k,
		metrics:  m,
		kubelets: &kubelets{kube: k, past: map[container]*history{}},
		source:   metricsAPI{m},
		waits:    func() bool { return false },
		http: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
			DialContext:         f.dialHost,
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     20 * time.Second,
			DisableCompression:  true,
		}},
		witnesses: map[string]bool{},
		jobs:      map[types.UID]string{},
	}, nil
}

// WaitWhile lets readings of pods wait while requests wait for the API server: a port-forward ends
// with it, and cannot be opened again before. It is for before the first reading; unless it is
// called they do not.
func (s *Sampler) WaitWhile(waits func() bool) { s.waits = waits }

// Close ends the port-forwards that are kept open between readings.
func (s *Sampler) Close() { s.http.CloseIdleConnections() }

// MarkWitness records that the configuration of a proxy's process was dumped.
func (s *Sampler) MarkWitness(process string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.witnesses[process] = true
}

// IsWitness tells whether the configuration of a proxy's process ([Pod].Process) was ever
// dumped. It is the process that a dump makes grow: after a restart of the container, or in a
// pod that was made again under its name, runs one that was never dumped.
func (s *Sampler) IsWitness(process string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.witnesses[process]
}
