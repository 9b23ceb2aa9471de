package actions

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// upgrade brings the installed mesh to another version and records which one came of it.
func upgrade(ctx context.Context, on *On, u *scenarios.Upgrade) error {
	if on.Upgrade == nil {
		return errors.New("cannot upgrade: meshbench did not install this mesh")
	}
	mesh, err := on.Upgrade(u)
	if err != nil {
		return err
	}
	installed, err := mesh.Upgrade(ctx)
	if err != nil {
		return err
	}
	err = on.Recorder.Append(observations.Record{Event: &observations.Event{Level: observations.Info, Kind: observations.Upgraded,
		Message: fmt.Sprintf("Istio is %s from here on (xDS of new sidecars: %s); running sidecars and gateways keep their version until their pods are recreated", installed.Istio, installed.XDS)}})
	if err != nil {
		return err
	}
	key, value := u.InjectionLabel()
	for _, name := range u.Namespaces {
		if err := selectMesh(ctx, on, name, key, value); err != nil {
			return err
		}
	}
	for i := range u.Restart {
		if err := restart(ctx, on, &u.Restart[i]); err != nil {
			return fmt.Errorf("%s: %w", &u.Restart[i], err)
		}
	}
	return nil
}
