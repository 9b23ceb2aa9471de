package harness

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// upgrade brings the installed mesh to another version and says in the log what became of
// it.
func (a *actor) upgrade(ctx context.Context, u *scenarios.Upgrade) error {
	if a.upgrader == nil {
		return errors.New("this mesh was installed by somebody else and is not ours to upgrade")
	}
	mesh, err := a.upgrader(u)
	if err != nil {
		return err
	}
	installed, err := mesh.Upgrade(ctx)
	if err != nil {
		return err
	}
	err = a.record(observations.Record{Event: &observations.Event{Level: observations.Info, Kind: observations.Upgraded,
		Message: fmt.Sprintf("Istio is %s from here on (xDS of new sidecars: %s); a sidecar that runs stays as it is until its pod is made anew", installed.Istio, installed.XDS)}})
	if err != nil {
		return err
	}
	for i := range u.Restart {
		if err := a.restart(ctx, &u.Restart[i]); err != nil {
			return fmt.Errorf("%s: %w", &u.Restart[i], err)
		}
	}
	return nil
}
