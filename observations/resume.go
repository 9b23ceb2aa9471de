package observations

import (
	"fmt"
	"slices"
	"time"
)

// Words for the cluster that a run went on with ([Resume].Cluster).
const (
	SameCluster = "same" // it still stood, with what the completed steps had made
	NewCluster  = "new"  // it was made anew, and the completed steps' actions were done again
	NoCluster   = "none" // every step was measured: the log was closed, and nothing else done
)

// Resume says that a run which was interrupted went on. Records of the step that was under way
// stand before it in the log and count for nothing: [Read] leaves out all that lies between
// the last completed step and this record.
type Resume struct {
	// After is the index of the last completed step, whose records count; -1 for none.
	After   int    `json:"after"`
	Cluster string `json:"cluster"` // SameCluster, NewCluster or NoCluster
	// ClusterID and ClusterName are those of the cluster; see [Resuming].
	ClusterID   string `json:"clusterID,omitempty"`
	ClusterName string `json:"clusterName,omitempty"`
	// Replayed are the steps whose actions were done again on a new cluster, without a
	// measurement; Again those of the step that had begun on one that still stood.
	Replayed []string `json:"replayed,omitempty"`
	Again    string   `json:"again,omitempty"`
	// History says that memory of the steps from here on has another past than in a run
	// without an interruption: it is not for comparing. Counts are.
	History bool `json:"history,omitempty"`
	// Interrupted is when the log ended before, Outcome and Error what it said of its end: ""
	// where it was cut off. Began is when the run was resumed.
	Interrupted time.Time `json:"interrupted"`
	Outcome     string    `json:"outcome,omitempty"`
	Error       string    `json:"error,omitempty"`
	Began       time.Time `json:"began"`
	// LostSeconds is the time that went into what counts for nothing, PausedSeconds that in
	// which nobody worked, both between the last completed step's end and Began.
	LostSeconds   float64 `json:"lostSeconds"`
	PausedSeconds float64 `json:"pausedSeconds"`
	// LostRecords is the number of records that count for nothing, CutBytes what was removed
	// from the log's end: half a record.
	LostRecords int   `json:"lostRecords"`
	CutBytes    int64 `json:"cutBytes,omitempty"`
	// Meshbench is the version of the program that goes on, and Command its arguments.
	Meshbench string   `json:"meshbench"`
	Command   []string `json:"command,omitempty"`
	// Provision is how long the new cluster and its mesh took; nil for one that stood.
	Provision *Provision `json:"provision,omitempty"`
}

// Resuming is what going on with a run after an interruption takes, beside the rest of its
// first record. Logs from before it was recorded do not have it, nor do those of runs that
// cannot be resumed.
type Resuming struct {
	// Flags are those of the command run, --name=value, that were given. Directory is the one
	// that relative paths in them are of, and Files have the SHA-256 of each file that they
	// name, in hexadecimal digits, by its path as it stands there.
	Flags     []string          `json:"flags,omitempty"`
	Directory string            `json:"directory,omitempty"`
	Files     map[string]string `json:"files,omitempty"`
	// Scenario is the SHA-256 of the rendered scenario in the run's folder.
	Scenario string `json:"scenario"`
	// ClusterID tells the cluster apart: the UID of its namespace kube-system; "" where that may
	// not be read.
	ClusterID string `json:"clusterID,omitempty"`
	// ClusterName is what the run has called its cluster.
	ClusterName string `json:"clusterName,omitempty"`
	// Visit is the run's ID on a cluster of others; "" on its own.
	Visit string `json:"visit,omitempty"`
}

// lastMeasured is the place of the record that completes a step, -1 for none.
func lastMeasured(records []Record, step int) int {
	for i, r := range slices.Backward(records) {
		if r.Measure != nil && r.Step != nil && *r.Step == step {
			return i
		}
	}
	return -1
}

// counting are the records that count once the run has gone on as r says.
func counting(records []Record, r *Resume) ([]Record, error) {
	last := lastMeasured(records, r.After)
	if r.After < 0 {
		// What came before the first step is said again.
		last = slices.IndexFunc(records, func(r Record) bool { return r.Run == nil && r.Provision == nil }) - 1
		if last < 0 {
			last = len(records) - 1
		}
	} else if last < 0 {
		return nil, fmt.Errorf("the run goes on after step %d, whose measurement is not in the log", r.After+1)
	}
	return records[:last+1], nil
}

// ResumedSteps are the steps, by index, whose memory has another past than in a run without an
// interruption ([Resume].History).
func ResumedSteps(records []Record) map[int]bool {
	found := map[int]bool{}
	history := false
	for _, r := range records {
		switch {
		case r.Resume != nil:
			history = history || r.Resume.History
		case r.Begin != nil && r.Step != nil && history:
			found[*r.Step] = true
		}
	}
	return found
}

// WithResumed are the records as if memory after an interruption had no other past: for readers
// who ask for it.
func WithResumed(records []Record) []Record {
	records = slices.Clone(records)
	for i, r := range records {
		if r.Resume != nil {
			resume := *r.Resume
			resume.History = false
			records[i].Resume = &resume
		}
	}
	return records
}

// Clock tells the time of a run: that since its log began, without the pauses between an
// interruption and its resumption, in which nobody worked.
type Clock struct {
	start  time.Time
	pauses []pause
}

type pause struct {
	until   time.Time
	seconds float64
}

// ClockOf is the clock of a log that is not empty.
func ClockOf(records []Record) Clock {
	c := Clock{start: records[0].Time}
	for _, r := range records {
		if r.Resume != nil {
			c.pauses = append(c.pauses, pause{r.Resume.Began, r.Resume.PausedSeconds})
		}
	}
	return c
}

// From is the same clock that starts at another moment, before the first pause.
func (c Clock) From(start time.Time) Clock {
	c.start = start
	return c
}

// At are the seconds from the start to a moment.
func (c Clock) At(t time.Time) float64 {
	seconds := t.Sub(c.start).Seconds()
	for _, p := range c.pauses {
		if !t.Before(p.until) {
			seconds -= p.seconds
		}
	}
	return seconds
}
