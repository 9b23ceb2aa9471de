// Package profiles keeps profiles of istiod while a step is under way: of its heap near the
// peak, and, where a run asks for it, of its CPU. They lie in the run's folder, for go tool
// pprof, and the log holds what each says in ten lines.
package profiles

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

const (
	// lookEvery is how often the heap in use is read in a step whose heap is profiled. What
	// waits for a quiet mesh reads istiod's metrics as often.
	lookEvery = time.Second
	// keepEvery is the least time between two heap profiles of one istiod, and growth the
	// share by which the heap in use must pass that of the one kept last.
	keepEvery = 5 * time.Second
	growth    = 0.1
	// slice is the length of one CPU profile. A step waits for the last one to end, and its
	// slices are joined.
	slice = 5 * time.Second
)

// Source reads istiods; [sample.Sampler] is one.
type Source interface {
	// Istiods are the ready ones.
	Istiods(context.Context) ([]types.NamespacedName, error)
	// HeapInUse is the heap in use in bytes, garbage included.
	HeapInUse(context.Context, types.NamespacedName) (int64, error)
	// HeapProfile and CPUProfile are profiles as net/http/pprof gives them.
	HeapProfile(context.Context, types.NamespacedName) ([]byte, error)
	CPUProfile(context.Context, types.NamespacedName, time.Duration) ([]byte, error)
}

// Keeper keeps profiles.
type Keeper struct {
	Source Source
	// Record takes a record of the step under way.
	Record func(observations.Record) error
	// Unread is told, once, that and why a profile could not be had; the run goes on without.
	Unread func(error)
	// Dir is the run's folder.
	Dir string

	mu   sync.Mutex
	told bool // Unread was called
	none bool // istiod serves no profiles
}

// During profiles until the returned function is called, which returns what could not be
// written. heap and cpu say what is profiled; folder is the step's, relative to the run's.
func (k *Keeper) During(ctx context.Context, folder string, heap, cpu bool) (end func() error) {
	s := &step{keeper: k, folder: folder, kept: map[types.NamespacedName]kept{}, ended: make(chan struct{})}
	// A slice of a CPU profile that is cut off is lost: only the run's end cuts it.
	looking, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	var heapErr, cpuErr error
	if heap {
		work.Go(func() { heapErr = s.heaps(looking) })
	}
	if cpu {
		work.Go(func() { cpuErr = s.cpus(ctx) })
	}
	return sync.OnceValue(func() error {
		close(s.ended)
		stop()
		work.Wait()
		return errors.Join(heapErr, cpuErr)
	})
}

// unread tells why there is no profile, the first time. What is not there will not be asked
// for again; anything else may pass.
func (k *Keeper) unread(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // it was not waited for
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.none = k.none || sample.NoProfiles(err)
	if !k.told {
		k.told = true
		k.Unread(err)
	}
}

func (k *Keeper) hopeless() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.none
}

// step is the profiling of one step.
type step struct {
	keeper *Keeper
	folder string
	kept   map[types.NamespacedName]kept
	ended  chan struct{}
}

// kept is when the last heap profile was kept, and the heap in use then.
type kept struct {
	at    time.Time
	inUse int64
}

// due says whether another profile is to be kept: the first one always, else one of a heap in
// use that has passed the last one's, and not too soon after it.
func (k kept) due(now time.Time, inUse int64) bool {
	if k.at.IsZero() {
		return true
	}
	return now.Sub(k.at) >= keepEvery && float64(inUse) > (1+growth)*float64(k.inUse)
}

// heaps keeps heap profiles until ctx ends. It returns what could not be written.
func (s *step) heaps(ctx context.Context) error {
	ticks := time.NewTicker(lookEvery)
	defer ticks.Stop()
	for !s.keeper.hopeless() {
		if err := s.look(ctx, time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
	return nil
}

// look keeps the heap profiles that are due.
func (s *step) look(ctx context.Context, now time.Time) error {
	k := s.keeper
	pods, err := k.Source.Istiods(ctx)
	if err != nil {
		return nil // none is ready: it starts, or is replaced
	}
	for _, pod := range pods {
		inUse, err := k.Source.HeapInUse(ctx, pod)
		if err != nil {
			k.unread(ctx, err)
			continue
		}
		if !s.kept[pod].due(now, inUse) {
			continue
		}
		data, err := k.Source.HeapProfile(ctx, pod)
		if err != nil {
			k.unread(ctx, err)
			continue
		}
		record, err := summary(data, observations.ProfileHeap)
		if err != nil {
			k.unread(ctx, fmt.Errorf("read the heap profile of %s: %w", pod, err))
			continue
		}
		record.InUseBytes = inUse
		if err := s.keep(pod, record, data); err != nil {
			return err
		}
		s.kept[pod] = kept{now, inUse}
	}
	return nil
}

// cpus profiles the CPU of all istiods, slice by slice, until the step has ended. It
// returns what could not be written.
func (s *step) cpus(ctx context.Context) error {
	k := s.keeper
	slices := map[types.NamespacedName][][]byte{}
	for !s.over() && ctx.Err() == nil && !k.hopeless() {
		pods, err := k.Source.Istiods(ctx)
		if err != nil {
			select { // none is ready
			case <-ctx.Done():
			case <-s.ended:
			case <-time.After(lookEvery):
			}
			continue
		}
		var all sync.WaitGroup
		read := make([][]byte, len(pods))
		for i, pod := range pods {
			all.Go(func() {
				data, err := k.Source.CPUProfile(ctx, pod, slice)
				if err != nil {
					k.unread(ctx, err)
					return
				}
				read[i] = data
			})
		}
		all.Wait()
		for i, pod := range pods {
			if read[i] != nil {
				slices[pod] = append(slices[pod], read[i])
			}
		}
	}
	for pod, parts := range slices {
		data, err := join(parts)
		if err != nil {
			k.unread(ctx, fmt.Errorf("read the CPU profile of %s: %w", pod, err))
			continue
		}
		record, err := summary(data, observations.ProfileCPU)
		if err != nil {
			k.unread(ctx, fmt.Errorf("read the CPU profile of %s: %w", pod, err))
			continue
		}
		if err := s.keep(pod, record, data); err != nil {
			return err
		}
	}
	return nil
}

func (s *step) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// keep writes a profile over the last one of its kind, as a whole, and records it.
func (s *step) keep(pod types.NamespacedName, record observations.Profile, data []byte) error {
	record.Pod = pod.String()
	record.Path = filepath.Join(s.folder, fmt.Sprintf("%s-%s.%s.pb.gz", pod.Namespace, pod.Name, record.Kind))
	path := filepath.Join(s.keeper.Dir, record.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder of a profile: %w", err)
	}
	if err := os.WriteFile(path+".partial", data, 0o600); err != nil {
		return fmt.Errorf("keep a profile of %s: %w", pod, err)
	}
	if err := os.Rename(path+".partial", path); err != nil {
		return fmt.Errorf("keep a profile of %s: %w", pod, err)
	}
	return s.keeper.Record(observations.Record{Profile: &record})
}
