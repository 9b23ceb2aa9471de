package harness

import (
	"errors"
	"path/filepath"

	"github.com/meshbench/meshbench/internal/redact"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// hide takes secrets out of what is kept of a run that has ended, whose clusters' processes write
// no logs any more. A scenario that was not finished may be gone on with, which takes all of it.
func (r *run) hide(outcome string) error {
	folders, err := filepath.Glob(filepath.Join(r.Dir, "cluster*"))
	for _, folder := range folders {
		err = errors.Join(err, redact.Folder(folder, "kubeconfig")) // of a cluster that is kept
	}
	if outcome == observations.Finished {
		err = errors.Join(err, scenarios.Hide(filepath.Join(r.Dir, ScenarioName)))
	}
	return err
}
