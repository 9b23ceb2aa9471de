package assemble

import (
	"context"
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/harness/components"
)

// Programs say which versions of the mesh's programs are used, and where they come from.
// The zero value is the default of everything.
type Programs struct {
	// Istio is a version; "" for the scenario's, else [components.DefaultIstio].
	Istio string
	// Envoy is a version of upstream's, or the path of an executable; "" for the default.
	Envoy string
	// From is modules or images; "" for modules.
	From string
	// Hubs are where images are taken from, in the form of [components.ParseHubs].
	Hubs []string
}

// Options are the components' own. A path holds a slash, which no version does.
func (p Programs) Options(ctx context.Context) (components.Options, error) {
	hubs, err := components.ParseHubs(p.Hubs)
	if err != nil {
		return components.Options{}, err
	}
	o := components.Options{Istio: p.Istio, From: components.Source(p.From), Hubs: hubs}
	if !strings.Contains(p.Envoy, "/") {
		o.Envoy = p.Envoy
		return o, nil
	}
	envoy, err := components.LocalEnvoy(ctx, p.Envoy)
	if err != nil {
		return o, fmt.Errorf("--envoy %s: %w", p.Envoy, err)
	}
	o.Given = components.Set{components.Envoy: envoy}
	return o, nil
}

// Obtain obtains components. What stands in the way is reported beforehand, as is what lies in
// the cache but is damaged.
func Obtain(ctx context.Context, p Progress, store *components.Store, want ...components.Name) (components.Set, error) {
	if err := store.Examine(ctx, want...); err != nil {
		return nil, fmt.Errorf("look at the cache of components: %w", err)
	}
	if store.Complete(want...) { // nothing worth a line of progress
		return store.Obtain(ctx, nil, want...)
	}
	if err := store.Preflight(ctx, want...); err != nil {
		return nil, fmt.Errorf("the components cannot be obtained on this machine:\n%w", err)
	}
	p.Phase("components")
	return store.Obtain(ctx, p, want...)
}
