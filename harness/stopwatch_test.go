package harness

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// passedOn is a Progress that keeps what it is told.
type passedOn []string

func (s *passedOn) Phase(name string)                 { *s = append(*s, name) }
func (s *passedOn) Status(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }
func (s *passedOn) Note(format string, args ...any)   { *s = append(*s, fmt.Sprintf(format, args...)) }

func TestStopwatch(t *testing.T) {
	var told passedOn
	s := &Stopwatch{Progress: &told}
	s.Status("building etcd")
	s.Phase("too early")
	begin := time.Now()
	s.Phase("cluster")
	s.Status("starting %s", "etcd")
	s.Status("starting etcd")
	s.Status("100 %% there")
	s.Phase("mesh")
	s.Note("a note")
	end := time.Now().Add(time.Second)
	got := s.take(begin, end)
	want := passedOn{"building etcd", "too early", "cluster", "starting etcd", "starting etcd", "100 % there", "mesh", "a note"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("not passed on: %s", diff)
	}
	var names []string
	last := 0.0
	var walk func(parts []observations.Part, from, to float64)
	walk = func(parts []observations.Part, from, to float64) {
		for i, p := range parts {
			names = append(names, p.Name)
			if p.Began < from || p.Began < last || p.Seconds < 0 || p.Began+p.Seconds > to+1e-9 {
				t.Errorf("%s is from %g for %g s, within %g to %g", p.Name, p.Began, p.Seconds, from, to)
			}
			if i+1 < len(parts) && p.Began+p.Seconds < parts[i+1].Began-1e-9 {
				t.Errorf("a gap after %s", p.Name)
			}
			last = p.Began
			walk(p.Parts, p.Began, p.Began+p.Seconds)
		}
	}
	walk(got, 0, end.Sub(begin).Seconds())
	if diff := cmp.Diff([]string{"cluster", "starting etcd", "100 % there", "mesh"}, names); diff != "" {
		t.Error(diff)
	}
	if n := len(got); n > 0 && got[n-1].Seconds < 1 {
		t.Errorf("the last phase took %g s", got[n-1].Seconds)
	}
	s.Phase("step 1")
	if again := s.take(begin, end); again != nil {
		t.Errorf("there again: %v", again)
	}
}
