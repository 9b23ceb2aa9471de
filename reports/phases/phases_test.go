package phases

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

var zero = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

// log is a run of two steps: 20 s until there are a cluster and a mesh, the second step
// after 40 s, the end after 70 s.
func log(provision *observations.Provision) []observations.Record {
	at := func(seconds float64, step int, r observations.Record) observations.Record {
		r.Time = zero.Add(time.Duration(seconds * float64(time.Second)))
		if step >= 0 {
			r.Step = &step
		}
		return r
	}
	witness := observations.Envoy{Namespace: "ns1", Pod: "test-1"}
	return []observations.Record{
		at(20, -1, observations.Record{Run: &observations.Run{Steps: []string{"one-pod", "pods"}}}),
		at(20, -1, observations.Record{Provision: provision}),
		at(20.5, -1, observations.Record{Istiod: &observations.Istiod{}}),
		at(22, 0, observations.Record{Begin: &observations.Begin{Name: "one-pod"}}),
		at(25, 0, observations.Record{Action: &observations.Action{Detail: "create namespace", Seconds: 3}}),
		at(26, 0, observations.Record{Series: &observations.Series{}}),
		at(27, 0, observations.Record{Action: &observations.Action{Detail: "create Deployment", Seconds: 1.5}}),
		at(37, 0, observations.Record{Settle: &observations.Settle{Settled: true, Seconds: 10,
			Took: map[string]float64{"pushes drained": 4, "rollouts done": 1, "memory windows agree": 10}}}),
		at(37.5, 0, observations.Record{Objects: &observations.Objects{}}),
		at(37.6, 0, observations.Record{Event: &observations.Event{}}),
		at(38, 0, observations.Record{Usage: &observations.Usage{}}),
		at(38.5, 0, observations.Record{Envoy: &witness}),
		at(39.5, 0, observations.Record{Proxy: &observations.Proxy{Namespace: "ns1", Pod: "test-1"}}),
		at(40, 0, observations.Record{Measure: &observations.Measure{}}),
		at(40, 1, observations.Record{Begin: &observations.Begin{Name: "pods"}}),
		at(60, 1, observations.Record{Settle: &observations.Settle{Seconds: 20, Took: map[string]float64{"rollouts done": 5}, Unmet: []string{"pushes drained: 3 wait"}}}),
		at(61, 1, observations.Record{Measure: &observations.Measure{}}),
		at(70, -1, observations.Record{End: &observations.End{Seconds: 70}}),
	}
}

// lines are phases for comparison, those below others indented.
func lines(indent string, phases []Phase) string {
	var b strings.Builder
	for _, p := range phases {
		fmt.Fprintf(&b, "%s%s %s: %.3g + %.3g\n%s", indent, p.Kind, p.Name, p.Began, p.Seconds, lines(indent+"  ", p.Parts))
	}
	return b.String()
}

const steps = `step one-pod: 22 + 18
  actions create namespace: 22 + 3
  other other: 25 + 0.5
  actions create Deployment: 25.5 + 1.5
  settling settle: 27 + 10
    settling rollouts done: 27 + 1
    settling pushes drained: 28 + 3
    settling memory windows agree: 31 + 6
  reading memory, CPU, objects: 37 + 1
  reading witnesses' own accounts: 38 + 0.5
  dumps ns1/test-1: 38.5 + 1
  reading costs of the machine: 39.5 + 0.5
step pods: 40 + 21
  settling settle: 40 + 20
    settling rollouts done: 40 + 5
    settling not settled: pushes drained: 3 wait: 45 + 15
  reading costs of the machine: 60 + 1
`

func TestOf(t *testing.T) {
	provision := &observations.Provision{Began: zero, Seconds: 19, Parts: []observations.Part{
		{Name: "cluster", Seconds: 12, Parts: []observations.Part{{Name: "starting etcd", Began: 1, Seconds: 2}}},
		{Name: "mesh", Began: 12, Seconds: 7},
	}}
	whole := log(provision)
	old := append(append([]observations.Record{}, whole[:1]...), whole[2:]...)
	for name, test := range map[string]struct {
		records []observations.Record
		want    string
		totals  string
	}{
		"whole": {whole, `provision cluster and mesh: 0 + 20
  provision cluster: 0 + 12
    provision starting etcd: 1 + 2
  provision mesh: 12 + 7
prepare prepare: 20 + 2
` + steps + "clean-up clean-up: 61 + 9\n",
			"provision 20, prepare 2, actions 4.5, other 0.5, settling 30, reading 3, dumps 1, clean-up 9"},
		"an older log knows the whole alone": {old, `provision cluster and mesh: 0 + 20
prepare prepare: 20 + 2
` + steps + "clean-up clean-up: 61 + 9\n",
			"provision 20, prepare 2, actions 4.5, other 0.5, settling 30, reading 3, dumps 1, clean-up 9"},
		"cut off before the first step": {old[:2], "clean-up clean-up: 0 + 0.5\n", "clean-up 0.5"},
		"cut off in an action, begin unknown": {old[:5], `prepare prepare: 0 + 2
step one-pod: 2 + 4
  actions create namespace: 2 + 3
  other other: 5 + 1
`, "prepare 2, actions 3, other 1"},
		"nothing": {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Of(test.records)
			if got == nil {
				if test.want != "" {
					t.Fatal("no phases")
				}
				return
			}
			if diff := cmp.Diff(test.want, lines("", got.Parts)); diff != "" {
				t.Error(diff)
			}
			var totals []string
			var sum float64
			for _, one := range got.Totals() {
				totals = append(totals, fmt.Sprintf("%s %.3g", one.Kind, one.Seconds))
				sum += one.Seconds
			}
			if diff := cmp.Diff(test.totals, strings.Join(totals, ", ")); diff != "" {
				t.Error(diff)
			}
			if math.Abs(sum-got.Seconds()) > 1e-6 {
				t.Errorf("the totals add up to %g s of %g s", sum, got.Seconds())
			}
		})
	}
}

// TestSentence has the longest first and leaves out what is under a second.
func TestSentence(t *testing.T) {
	const want = "settling 30 s, provision 20 s, clean-up 9 s, actions 4 s, reading 3 s, prepare 2 s, dumps 1 s"
	if got := Of(log(&observations.Provision{Began: zero})).Sentence(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestResumed: what was lost, the cluster that was made anew and the replay are phases; the pause
// is none.
func TestResumed(t *testing.T) {
	records := log(&observations.Provision{Began: zero, Seconds: 20})[:14] // until the first step's end
	moment := func(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }
	second := 1
	records = append(records,
		observations.Record{Time: moment(1008), Resume: &observations.Resume{
			Cluster: observations.NewCluster, Replayed: []string{"one-pod"}, Began: moment(1000), LostSeconds: 10, PausedSeconds: 950,
			Provision: &observations.Provision{Began: moment(1000), Seconds: 8, Parts: []observations.Part{{Name: "cluster", Seconds: 5}}},
		}},
		observations.Record{Time: moment(1009), Step: nil, Istiod: &observations.Istiod{}},
		observations.Record{Time: moment(1011), Step: &second, Begin: &observations.Begin{Name: "pods"}},
		observations.Record{Time: moment(1019), Step: &second, Settle: &observations.Settle{Settled: true, Seconds: 8}},
		observations.Record{Time: moment(1020), Step: &second, Measure: &observations.Measure{}},
		observations.Record{Time: moment(1022), End: &observations.End{Seconds: 22}})
	p := Of(records)
	var all []string
	for _, x := range p.Parts {
		all = append(all, fmt.Sprintf("%s %s: %.3g + %.3g", x.Kind, x.Name, x.Began, x.Seconds))
	}
	want := []string{
		"provision cluster and mesh: 0 + 20", "prepare prepare: 20 + 2", "step one-pod: 22 + 18", "lost interrupted: 40 + 10",
		"provision cluster and mesh again: 50 + 8", "replay replay: 58 + 3", "step pods: 61 + 9", "clean-up clean-up: 70 + 2",
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	if p.Seconds() != 72 {
		t.Errorf("%g s in all", p.Seconds())
	}
}
