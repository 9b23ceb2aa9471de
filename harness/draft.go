package harness

import (
	"time"

	"github.com/meshbench/meshbench/observations"
)

// draft holds back what a measurement finds until it is known to be of one state. Events are
// written at once: what was said stays said.
type draft struct {
	*recorder
	holding bool
	held    []observations.Record
}

// hold keeps records back from here on, until keep or drop.
func (d *draft) hold() { d.holding, d.held = true, nil }

// drop forgets what was held back, and goes on with holding.
func (d *draft) drop() { d.held = nil }

// keep writes what was held back.
func (d *draft) keep() error {
	held := d.held
	d.holding, d.held = false, nil
	for _, r := range held {
		if err := d.recorder.Append(r); err != nil {
			return err
		}
	}
	return nil
}

// Append holds a record back with the time at which it was found, or writes it.
func (d *draft) Append(r observations.Record) error {
	if !d.holding {
		return d.recorder.Append(r)
	}
	if r.Time.IsZero() {
		r.Time = time.Now().UTC()
	}
	d.held = append(d.held, r)
	return nil
}
