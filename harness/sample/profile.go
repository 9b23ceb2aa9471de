package sample

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

// Paths of a Go program's profiles (net/http/pprof). istiod serves them on the port of its
// metrics, to clients in its pod, unless it runs with --profile=false or
// ENABLE_DEBUG_ON_HTTP=false (pilot/pkg/xds/debug.go, AddDebugHandlers).
const (
	heapPath = "/debug/pprof/heap"
	cpuPath  = "/debug/pprof/profile"
	// collectedPath collects the garbage first and gives the runtime's account at its end,
	// as heapProfile does.
	collectedPath = heapPath + "?gc=1&debug=1"
)

// NoProfiles says whether an error of a reading says that the program serves no profiles, so
// that asking again is of no use.
func NoProfiles(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.code < http.StatusInternalServerError
}

// HeapInUse is the heap that an istiod has in use, in bytes, garbage included
// (go_memstats_heap_inuse_bytes). It costs istiod a scrape of its metrics.
func (s *Sampler) HeapInUse(ctx context.Context, pod types.NamespacedName) (int64, error) {
	f, err := s.metricsOf(ctx, pod)
	if err != nil {
		return 0, err
	}
	const name = "go_memstats_heap_inuse_bytes"
	if f[name] == nil {
		return 0, fmt.Errorf("%w: %s has no metric %s", errAnswer, pod, name)
	}
	return int64(f.sum(name)), nil
}

// HeapProfile is an istiod's heap profile, of what was in use at its runtime's last
// collection, which is not forced.
func (s *Sampler) HeapProfile(ctx context.Context, pod types.NamespacedName) ([]byte, error) {
	return s.profile(ctx, pod, heapPath)
}

// CPUProfile profiles an istiod's CPU for some seconds, a whole number.
func (s *Sampler) CPUProfile(ctx context.Context, pod types.NamespacedName, length time.Duration) ([]byte, error) {
	return s.profile(ctx, pod, fmt.Sprintf("%s?seconds=%.0f", cpuPath, length.Seconds()))
}

func (s *Sampler) profile(ctx context.Context, pod types.NamespacedName, path string) ([]byte, error) {
	var body bytes.Buffer
	err := s.get(ctx, pod.Namespace, pod.Name, istiodMonitorPort, path, func(r io.Reader) error {
		body.Reset()
		_, err := body.ReadFrom(r)
		return err
	})
	return body.Bytes(), err
}

// IstiodLive collects each istiod's garbage twice and reads what is left. It costs istiod
// two collections, and changes what it holds from then on.
func (s *Sampler) IstiodLive(ctx context.Context) ([]observations.Live, error) {
	pods, err := s.Istiods(ctx)
	if err != nil {
		return nil, err
	}
	var found []observations.Live
	for _, pod := range pods {
		live := observations.Live{Namespace: pod.Namespace, Pod: pod.Name, Container: observations.IstiodContainer}
		if err := s.collect(ctx, &live, istiodMonitorPort); err != nil {
			return nil, err
		}
		f, err := s.metricsOf(ctx, pod)
		if err != nil {
			return nil, err
		}
		live.CPUSeconds = f.sum("process_cpu_seconds_total")
		found = append(found, live)
	}
	return found, nil
}

// AgentLive is IstiodLive of a proxy's pilot-agent. It is for witnesses that were dumped:
// pilot-agent holds less afterwards.
func (s *Sampler) AgentLive(ctx context.Context, pod Pod) (observations.Live, error) {
	live := observations.Live{Namespace: pod.Namespace, Pod: pod.Name, Container: observations.SidecarContainer, Workload: pod.Workload, Kind: pod.Kind}
	err := s.collect(ctx, &live, agentStatusPort)
	return live, err
}

// collect reads what is left in a program's heap after each of two collections. Between a
// collection and the reading, in the same request, little is allocated.
func (s *Sampler) collect(ctx context.Context, live *observations.Live, port int) error {
	for _, left := range []*int64{&live.FirstBytes, &live.Bytes} {
		err := s.get(ctx, live.Namespace, live.Pod, port, collectedPath, func(r io.Reader) error {
			m, err := parseMemStats(r)
			*left = m["HeapAlloc"]
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
