package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/knative/revisions"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// proxies is what a watch asks of the sampler.
type proxies interface {
	// IsWitness tells whether a proxy's process was ever dumped.
	IsWitness(process string) bool
	// Connections are the proxies' connections to istiod.
	Connections(context.Context) ([]sample.Connection, error)
	// Watched tells where the pods are known from.
	Watched(pods func() []*corev1.Pod)
	// Series calls add with each scrape of each node until ctx ends, and coarse once where
	// nodes do not let themselves be asked and Reader is asked instead.
	Series(ctx context.Context, add func(observations.Series), coarse func(why error)) error
	// Reader names the source of memory.
	Reader() string
}

// watch knows what becomes of a run's sidecars between measurements: their memory, their
// ends, their connections, and the load they carry. It records what it finds; acting,
// settling and measuring read it. It is safe for concurrent use.
type watch struct {
	proxies  proxies
	recorder *recorder
	progress Progress
	// scope has the namespaces whose pods are watched.
	scope sample.Scope

	memory    recent
	highest   highest
	revisions revisions.Load

	mu     sync.Mutex
	seen   map[string]bool              // ids of containers that have ended
	known  map[string]bool              // ends that the log has, of a run that goes on
	killed map[string]int               // OOM kills of sidecars by workload, namespace/name
	ended  map[types.NamespacedName]int // ends of sidecars by pod, with those of pods before of its name
	uids   map[types.NamespacedName]types.UID
	light  map[types.NamespacedName]bool // sidecars that are spoken for
	hosted map[string]bool               // nodes that have had pods
	away   map[string]string             // nodes that are not ready, with what is said of them
	broke  []string                      // what broke that no step and no limit of memory asked for

	connected map[types.NamespacedName]connected // of watchConnections alone
}

func newWatch(proxies proxies, recorder *recorder, progress Progress) *watch {
	return &watch{
		proxies: proxies, recorder: recorder, progress: progress,
		seen: map[string]bool{}, killed: map[string]int{}, ended: map[types.NamespacedName]int{},
		uids:      map[types.NamespacedName]types.UID{},
		light:     map[types.NamespacedName]bool{},
		hosted:    map[string]bool{},
		away:      map[string]string{},
		connected: map[types.NamespacedName]connected{},
	}
}

// Load notes how many revisions of a Knative Service, namespace/name, are load, and
// returns the total.
func (w *watch) Load(service string, revisions int) int { return w.revisions.Set(service, revisions) }

// recordSeries records the finer series until the returned function is called, which
// returns what broke the recording.
func (w *watch) recordSeries(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		// A node that could not be scraped is gone (the action nodes) or was busy: a gap in
		// the series, not a failure of the run. A log that cannot be written is one.
		var broken error
		err := w.proxies.Series(ctx, func(s observations.Series) {
			at := s.Measured
			if at.IsZero() {
				at = time.Now()
			}
			w.memory.add(at, s)
			w.highest.add(at, s)
			if e := w.recorder.appendApart(observations.Record{Series: &s}); e != nil {
				broken = e
				cancel()
			}
		}, func(why error) {
			w.progress.Note("memory between steps is read from %s, at its resolution: %v", w.proxies.Reader(), why)
			w.recorder.event(observations.Info, observations.Gap, fmt.Sprintf("the series is read from %s, at its resolution, and peaks are unknown: %v", w.proxies.Reader(), why), "")
		})
		if err != nil {
			w.recorder.event(observations.Info, observations.Gap, err.Error(), "")
		}
		done <- broken
	}()
	return func() error {
		cancel()
		return <-done
	}
}
