package profiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

var istiod = types.NamespacedName{Namespace: "istio-system", Name: "istiod-1"}

// fake is an istiod whose heap in use changes from second to second.
type fake struct {
	begin time.Time
	inUse []int64 // of each second; the last stays
	err   error

	mu          sync.Mutex
	heaps, cpus int
}

func (f *fake) Istiods(context.Context) ([]types.NamespacedName, error) {
	if time.Since(f.begin) < 500*time.Millisecond {
		return nil, errors.New("no pod with label app=istiod is ready")
	}
	return []types.NamespacedName{istiod}, nil
}

func (f *fake) HeapInUse(context.Context, types.NamespacedName) (int64, error) {
	return f.inUse[min(int(time.Since(f.begin)/time.Second), len(f.inUse)-1)], nil
}

func (f *fake) HeapProfile(context.Context, types.NamespacedName) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heaps++
	return heap(int64(f.heaps)), f.err
}

func (f *fake) CPUProfile(_ context.Context, _ types.NamespacedName, length time.Duration) ([]byte, error) {
	time.Sleep(length)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cpus++
	return cpu(length), f.err
}

func (f *fake) asked() (heaps, cpus int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heaps, f.cpus
}

// made is a profile whose samples are of functions; the last value of each counts.
func made(kinds []string, length time.Duration, values map[string]int64) []byte {
	p := &profile.Profile{DurationNanos: int64(length), PeriodType: &profile.ValueType{Type: "space", Unit: "bytes"}, Period: 1}
	for _, k := range kinds {
		p.SampleType = append(p.SampleType, &profile.ValueType{Type: k, Unit: "bytes"})
	}
	caller := &profile.Function{ID: 1, Name: "main.caller"}
	p.Function = append(p.Function, caller)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
		p.Function = append(p.Function, f)
		// The function is inlined into its caller.
		l := &profile.Location{ID: uint64(len(p.Location) + 1), Address: uint64(len(p.Location) + 1), Line: []profile.Line{{Function: f}, {Function: caller}}}
		p.Location = append(p.Location, l)
		all := make([]int64, len(kinds))
		all[len(kinds)-1] = v
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: all})
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func heap(n int64) []byte {
	return made([]string{"alloc_space", "inuse_space"}, 0, map[string]int64{"main.f": 100 * n, "main.g": 10})
}

func cpu(length time.Duration) []byte {
	return made([]string{"samples", "cpu"}, length, map[string]int64{"main.f": 7})
}

// run profiles a step of that many seconds in a run's folder.
func run(t *testing.T, f *fake, seconds int, heap, cpu bool) (dir string, records []observations.Profile, unread []string) {
	t.Helper()
	dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f.begin = time.Now()
		k := &Keeper{Source: f, Dir: dir,
			Record: func(r observations.Record) error {
				records = append(records, *r.Profile)
				return nil
			},
			Unread: func(err error) { unread = append(unread, err.Error()) },
		}
		end := k.During(t.Context(), "profiles/01-one", heap, cpu)
		time.Sleep(time.Duration(seconds)*time.Second + time.Millisecond)
		if err := end(); err != nil {
			t.Error(err)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return dir, records, unread
}

// TestHeap: a profile is kept whenever the heap in use has passed that of the last one by
// 10 %, at most every 5 s, and the last one stays.
func TestHeap(t *testing.T) {
	const path = "profiles/01-one/istio-system-istiod-1.heap.pb.gz"
	for name, tt := range map[string]struct {
		inUse []int64
		want  []int64 // the heaps in use that are kept
	}{
		"flat":                             {[]int64{0, 100}, []int64{100}},
		"falls":                            {[]int64{0, 100, 50, 50, 50, 50, 50, 50, 50, 109}, []int64{100}},
		"passes by 10 %":                   {[]int64{0, 100, 100, 100, 100, 100, 100, 110, 111, 111}, []int64{100, 111}},
		"too soon after the last":          {[]int64{0, 100, 200, 200, 200, 200, 250, 100}, []int64{100, 250}},
		"a peak between is not made up":    {[]int64{0, 100, 900, 100}, []int64{100}},
		"of the last one, not of the most": {[]int64{0, 100, 100, 100, 100, 100, 120, 119, 130, 130, 130, 133}, []int64{100, 120, 133}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, records, unread := run(t, &fake{inUse: tt.inUse}, 20, true, false)
			var got []int64
			for _, r := range records {
				got = append(got, r.InUseBytes)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || unread != nil {
				t.Fatalf("%v\n%s", unread, diff)
			}
			last := len(tt.want)
			want := observations.Profile{Pod: "istio-system/istiod-1", Kind: "heap", Path: path, InUseBytes: tt.want[last-1], Total: int64(100*last) + 10,
				Top: []observations.Function{{Name: "main.f", Flat: int64(100 * last)}, {Name: "main.g", Flat: 10}}}
			if diff := cmp.Diff(want, records[last-1]); diff != "" {
				t.Error(diff)
			}
			kept, err := os.ReadFile(filepath.Join(dir, path))
			if err != nil || !bytes.Equal(kept, heap(int64(last))) {
				t.Errorf("another profile is kept than the last: %v", err)
			}
			if entries, err := os.ReadDir(filepath.Join(dir, "profiles/01-one")); err != nil || len(entries) != 1 {
				t.Errorf("%v, %v", entries, err)
			}
		})
	}
}

// TestCPU: the slices cover the step, the last is waited for, and they become one profile.
func TestCPU(t *testing.T) {
	dir, records, unread := run(t, &fake{}, 12, false, true)
	want := []observations.Profile{{Pod: "istio-system/istiod-1", Kind: "cpu", Path: "profiles/01-one/istio-system-istiod-1.cpu.pb.gz", Seconds: 15, Total: 21,
		Top: []observations.Function{{Name: "main.f", Flat: 21}}}}
	if diff := cmp.Diff(want, records); diff != "" || unread != nil {
		t.Fatalf("%v\n%s", unread, diff)
	}
	data, err := os.ReadFile(filepath.Join(dir, records[0].Path))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := profile.ParseData(data); err != nil || p.DurationNanos != 15e9 {
		t.Errorf("%v, %v", p, err)
	}
}

// TestUnread: what cannot be had is said once, and a failure is no reason to give up.
func TestUnread(t *testing.T) {
	f := &fake{inUse: []int64{0, 100}, err: errors.New("the connection broke")}
	_, records, unread := run(t, f, 12, true, true)
	if len(records) > 0 || len(unread) != 1 || unread[0] != "the connection broke" {
		t.Errorf("%v, %q", records, unread)
	}
	if heaps, cpus := f.asked(); heaps < 5 || cpus != 3 {
		t.Errorf("%d heap and %d CPU profiles were asked for", heaps, cpus)
	}
}

func TestSummary(t *testing.T) {
	many := map[string]int64{}
	for i := range 30 {
		many[fmt.Sprintf("main.f%02d", i)] = int64(i)
	}
	got, err := summary(made([]string{"inuse_space"}, 0, many), observations.ProfileHeap)
	if err != nil || got.Total != 29*30/2 || len(got.Top) != 10 || got.Top[0] != (observations.Function{Name: "main.f29", Flat: 29}) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"no profile":   {[]byte("404 page not found"), "expected a profile"},
		"another kind": {cpu(time.Second), "no values of inuse_space"},
	} {
		if got, err := summary(tt.data, observations.ProfileHeap); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := join([][]byte{[]byte("x")}); err == nil {
		t.Error("what is no profile was joined")
	}
}

// FuzzSummary: whatever answers, a summary adds up.
func FuzzSummary(f *testing.F) {
	f.Add(heap(3))
	f.Add([]byte("heap profile: 6: 43120"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := summary(data, observations.ProfileHeap)
		if err == nil && len(got.Top) > top {
			t.Errorf("%d functions", len(got.Top))
		}
	})
}
