package faults

import (
	"hash/fnv"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

// Kinds of faults: what is hit.
const (
	ofProcess  = "process"
	ofResource = "resource"
	ofNetwork  = "network"
	ofCluster  = "cluster" // one of somebody else's
)

// Fault is one thing that goes wrong in a run, and what must come of it. Only Name, Kind, Make
// or Standing, and Ends are required.
type Fault struct {
	// Name says what is done, in words, and is unlike any other: kill -9 of etcd.
	Name string
	Kind string
	// Quick faults are made in CI, too.
	Quick bool
	// Alone is made while no other fault is: it changes what the others look at.
	Alone bool
	// NotHere is why the fault cannot be made on this machine; "" where it can.
	NotHere func() string

	// Scenario is a file; that of testdata, four quick steps, when empty. Args are further
	// arguments of the run; of an embedded cluster two sidecars are real if they do not say.
	Scenario string
	Args     []string
	// Who runs it; the invoking user when nil.
	Who func() *program.Identity
	// Terminal gives the run a terminal of its own ([Run].Terminal).
	Terminal bool
	// Nohup gives it one, too, but has nohup(1) start it, and what it says go elsewhere.
	Nohup bool
	// Before, if set, prepares what the run will meet.
	Before func(r *Run)

	// Started, if set, is called right after the start.
	Started func(r *Run)
	// Standing says what is wrong from the start, for faults that are there before the run and
	// have no Make.
	Standing string

	// At is the moment: a random one of the second and third step when nil. The run is waited
	// for until the stage has begun, and then for a random part of its length.
	At func(r *Run) Stage
	// Make makes the fault, and says what exactly it did.
	Make func(r *Run) string
	// Undo, if set, takes the fault away again once the run has ended, before it is gone on
	// with. What must be taken away whatever happens belongs in DeferCleanup.
	Undo func(r *Run)

	// Ends is how the run must end: with one of these codes (-1 by a signal).
	Ends []int
	// Says are what it must say of the fault, each in its output or in its log.
	Says []string
	// Program is the one whose end the run must name, and quote the last line of its log
	// (cluster/PROGRAM.log); "" for none.
	Program string
	// Limit is how long the run may go on after the fault; three minutes when 0.
	Limit time.Duration
	// Final says that there is nothing to go on with.
	Final bool
	// After, if set, checks what else must be, once the run has ended, and does what somebody
	// would do next.
	After func(r *Run)
}

// Completes are the ends of a run that measured everything: 0, and 6 where a step was measured
// before the mesh was quiet, which the run marks.
var (
	completes = []int{0}
	marked    = []int{0, 6}
	fails     = []int{1}
)

// Run is a run with a fault.
type Run struct {
	*program.Command
	Fault Fault
	// Random chooses, by the suite's seed and the fault's name alone.
	Random *rand.Rand
	// Terminal is the run's, if it has one.
	Terminal *program.Terminal
	// More are further arguments, which Before found out.
	More []string
	// Held are the containers and volumes that there were before.
	Held []string
}

// chance is a source of choices for a fault.
func chance(name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return rand.New(rand.NewSource(GinkgoRandomSeed() ^ int64(h.Sum64())))
}

// Stage is a part of a run that can be seen from outside.
type Stage struct {
	// Name is for the record.
	Name string
	// Begun tells whether it has begun.
	Begun func(r *Run) bool
	// Length is how long it lasts at least.
	Length time.Duration
}

// said is a stage that begins when the run opens a phase.
func said(phase string, length time.Duration) func(*Run) Stage {
	return func(*Run) Stage {
		return Stage{phase, func(r *Run) bool { return r.Began(phase) }, length}
	}
}

// Stages before the first step.
var (
	makingCluster  = said("cluster", 3*time.Second)
	installingMesh = said("mesh", 2*time.Second)
)

// Stages of a step, counted from 1.
func acting(step int) Stage {
	return Stage{"begin of step " + string(rune('0'+step)), func(r *Run) bool {
		return r.has(func(rec observations.Record) bool { return rec.Begin != nil && *rec.Step == step-1 })
	}, 300 * time.Millisecond}
}

func settling(step int) Stage {
	return Stage{"settling of step " + string(rune('0'+step)), func(r *Run) bool {
		return r.has(func(rec observations.Record) bool { return rec.Action != nil && *rec.Step == step-1 })
	}, 3 * time.Second}
}

func measuring(step int) Stage {
	return Stage{"measurement of step " + string(rune('0'+step)), func(r *Run) bool {
		return r.has(func(rec observations.Record) bool { return rec.Settle != nil && *rec.Step == step-1 })
	}, 200 * time.Millisecond}
}

// anywhere is a random stage of the second or the third step.
func anywhere(r *Run) Stage {
	of := []func(int) Stage{acting, settling, settling, measuring}[r.Random.Intn(4)]
	return of(2 + r.Random.Intn(2))
}

// while is a random moment of settling in the second or the third step: what needs some time
// to be noticed is made there.
func while(r *Run) Stage { return settling(2 + r.Random.Intn(2)) }

// beforeMore is a random moment before the third step, which needs three more sidecars, and pushes
// to those that there are.
func beforeMore(*Run) Stage { return settling(2) }

// has tells whether the log has a record of a step that is as asked for.
func (r *Run) has(is func(observations.Record) bool) bool {
	for _, rec := range r.log() {
		if rec.Step != nil && is(rec) {
			return true
		}
	}
	return false
}

// log are the records so far; none while there is no log.
func (r *Run) log() []observations.Record {
	records, _, _ := observations.ReadFile(r.Out) // it is being written
	return records
}

// told is all that the run has said: its output, and the words of its log.
func (r *Run) told() string {
	return r.Both.String() + "\n" + strings.Join(r.lived(), "\n")
}

// lived is what the log says that the run lived through.
func (r *Run) lived() (words []string) {
	for _, rec := range r.log() {
		switch {
		case rec.Event != nil && rec.Event.Level != observations.Info:
			words = append(words, rec.Event.Kind+": "+strings.TrimPrefix(rec.Event.Object+": ", ": ")+rec.Event.Message)
		case rec.Restart != nil:
			words = append(words, "restart: "+rec.Restart.Container+" of "+rec.Restart.Namespace+"/"+rec.Restart.Pod+" ended: "+rec.Restart.Reason)
		case rec.End != nil && rec.End.Error != "":
			words = append(words, rec.End.Outcome+": "+rec.End.Error)
		}
	}
	return words
}

// One is a living process of the run with that program, a random one of several.
func (r *Run) One(name string) int {
	GinkgoHelper()
	pids := r.Trace.FindAll(name)
	Expect(pids).NotTo(BeEmpty(), "%s is not among the run's processes", name)
	return pids[r.Random.Intn(len(pids))]
}

// Cluster is the folder of the cluster's logs.
func (r *Run) Cluster() string { return filepath.Join(r.Out, "cluster") }

// lines are the whole lines of the run's log; none while there is none.
func (r *Run) lines() []string {
	text, _ := os.ReadFile(filepath.Join(r.Out, observations.LogName))
	lines := strings.SplitAfter(string(text), "\n")
	return lines[:len(lines)-1]
}
