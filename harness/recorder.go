package harness

import (
	"path/filepath"
	"slices"
	"sync"

	"github.com/meshbench/meshbench/harness/actions"
	"github.com/meshbench/meshbench/observations"
)

// appender takes records; a run's log is one.
type appender interface {
	Append(observations.Record) error
}

// recorder writes a run's log. It knows the step under way, to which records belong. It is
// safe for concurrent use.
type recorder struct {
	log appender

	mu    sync.Mutex
	step  *int // index of the step under way; nil outside of steps
	muted bool // see mute
	// dir is the run's folder, and dumped the last record of each witness, in the order of
	// their first.
	dir    string
	dumped []observations.Proxy
}

// Last are the witnesses' last records with their dumps.
func (r *recorder) Last() []actions.Dump {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []actions.Dump
	for _, p := range r.dumped {
		d := actions.Dump{Proxy: p, Files: map[string]string{}}
		for kind, path := range p.Dumps {
			d.Files[kind] = filepath.Join(r.dir, path)
		}
		list = append(list, d)
	}
	return list
}

// witnessed notes a witness's record.
func (r *recorder) witnessed(p *observations.Proxy) {
	i := slices.IndexFunc(r.dumped, func(o observations.Proxy) bool { return o.Workload == p.Workload && o.Kind == p.Kind })
	if i < 0 {
		r.dumped = append(r.dumped, *p)
		return
	}
	r.dumped[i] = *p
}

// during sets the step that records belong to from now on; nil for none.
func (r *recorder) during(step *int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step = step
}

// mute leaves out all records, but for warnings and errors, until it is called with false: what
// is done then was recorded before, by the run that was interrupted.
func (r *recorder) mute(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.muted = on
}

// leftOut says that a record is not written.
func (r *recorder) leftOut(record observations.Record) bool {
	return r.muted && (record.Event == nil || record.Event.Level == observations.Info)
}

// Append writes a record of the step under way.
func (r *recorder) Append(record observations.Record) error {
	r.mu.Lock()
	if r.leftOut(record) {
		r.mu.Unlock()
		return nil
	}
	record.Step = r.step
	if record.Proxy != nil {
		r.witnessed(record.Proxy)
	}
	r.mu.Unlock()
	return r.log.Append(record)
}

// appendApart writes a record that belongs to no step, whichever is under way.
func (r *recorder) appendApart(record observations.Record) error {
	r.mu.Lock()
	out := r.leftOut(record)
	r.mu.Unlock()
	if out {
		return nil
	}
	return r.log.Append(record)
}

// event appends something a reader should know. A log that is broken shows at the next
// record that matters.
func (r *recorder) event(level, kind, message, object string) {
	_ = r.Append(observations.Record{Event: &observations.Event{Level: level, Kind: kind, Message: message, Object: object}})
}
