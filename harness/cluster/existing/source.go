// Package existing is the provider of clusters that are there already and belong to
// somebody else: whatever a kubeconfig points at. Runs on them have namespaces of their own,
// with a label and unique names, and nothing else is changed but by Istio's installation,
// where one is asked for. Nodes are not touched.
//
// What cannot work is found before anything is made (preflight.go): the API server, rights,
// room, policies, an Istio that is there. A run that was killed is known by a record on this
// machine (state.go), so that `meshbench down` finds its namespaces.
package existing

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/kube/kubeconfig"
)

const sourceName = "existing"

// Source is the entry of existing clusters in the table of sources.
type Source struct {
	kubeconfig, context string
	useInstalled        bool
	revision            string
	allowOutside        bool
	// suffix is a flag of which the empty value means something.
	suffix *pflag.Flag
}

var _ cluster.Guest = (*Source)(nil)

// Name implements [cluster.Source].
func (*Source) Name() string { return sourceName }

// Flags implements [cluster.Source].
func (s *Source) Flags(f *pflag.FlagSet) {
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "existing: kubeconfig `file` (default: those of KUBECONFIG, else ~/.kube/config)")
	f.StringVar(&s.context, "context", "", "existing: the kubeconfig's `context` (default: its current one)")
	f.BoolVar(&s.useInstalled, "use-installed-istio", false, "existing: measure the Istio that is installed, and change nothing of it")
	f.StringVar(&s.revision, "revision", "", "existing: `revision` of the installed Istio, where there are several")
	f.BoolVar(&s.allowOutside, "allow-outside", false, "existing: let the scenario change objects outside of its own namespaces")
	f.String("namespace-suffix", "", "existing: `text` appended to the names of the scenario's namespaces (default: five random characters; \"\" keeps the names)")
	s.suffix = f.Lookup("namespace-suffix")
}

// RunsImages implements [cluster.Source]: nodes are real, or taken for such.
func (*Source) RunsImages() bool { return true }

// RunsApplications implements [cluster.Source]. Clusters that meshbench up has left are
// refused when they are looked at.
func (*Source) RunsApplications() bool { return true }

// RunsLightProxies implements cluster.Source: all sidecars run.
func (*Source) RunsLightProxies() bool { return false }

// DualStack implements [cluster.Source]. Whether the cluster has both families is not known
// before it is asked, so scenarios that need both are refused.
func (*Source) DualStack() bool { return false }

// idLength is that of a run's ID. Of 27 characters, as Kubernetes names pods by, there are
// 14 million.
const idLength = 5

// Visit implements [cluster.Guest].
func (s *Source) Visit() cluster.Visit {
	v := cluster.Visit{ID: rand.String(idLength), AllowOutside: s.allowOutside, UseInstalled: s.useInstalled}
	v.Suffix = "-" + v.ID
	if s.suffix != nil && s.suffix.Changed {
		if v.Suffix = strings.TrimPrefix(s.suffix.Value.String(), "-"); v.Suffix != "" {
			v.Suffix = "-" + v.Suffix
		}
	}
	return v
}

// Check implements [cluster.Source].
func (s *Source) Check(_ context.Context, request cluster.Request) error {
	if s.revision != "" && !s.useInstalled {
		return &cluster.OptionError{Err: errors.New("--revision names an installed Istio: add --use-installed-istio")}
	}
	if request.Spec.Visit == nil {
		return &cluster.OptionError{Err: errors.New("an existing cluster is there already: meshbench runs scenarios on it, but leaves nothing up")}
	}
	if _, err := s.stores(request); err != nil {
		return err
	}
	_, err := s.target()
	return err
}

// target is the cluster that the flags name. What is wrong with them is an option's error.
func (s *Source) target() (*kubeconfig.Target, error) {
	t, err := kubeconfig.Find(s.kubeconfig, s.context)
	if err != nil {
		return nil, &cluster.OptionError{Err: err}
	}
	return t, nil
}

// stores are where the charts of each version come from; none for a mesh that is installed.
func (s *Source) stores(request cluster.Request) ([]*components.Store, error) {
	if s.useInstalled {
		return nil, nil
	}
	return request.ChartStores()
}

// New implements [cluster.Source].
func (s *Source) New(ctx context.Context, request cluster.Request) (*cluster.Offer, error) {
	if err := s.Check(ctx, request); err != nil {
		return nil, err
	}
	p, err := s.provider(request)
	if err != nil {
		return nil, err
	}
	found, err := p.checked(ctx)
	if err != nil {
		return nil, err
	}
	offer := &cluster.Offer{Provider: p}
	if s.useInstalled {
		p.chosen = found.Revision
		offer.Installed = found.Revision
		offer.Components = make([]components.Set, len(request.Istio))
		offer.UpstreamEnvoy = make([]bool, len(request.Istio))
		return offer, nil
	}
	stores, err := s.stores(request)
	if err != nil {
		return nil, err
	}
	return offer, offer.AddCharts(ctx, request, stores, p.leftUp)
}

// provider makes the provider for one run.
func (s *Source) provider(request cluster.Request) (*provider, error) {
	t, err := s.target()
	if err != nil {
		return nil, err
	}
	p := &provider{target: t, revision: s.revision, status: request.Status, note: request.Note, visit: *request.Spec.Visit, images: request.Spec.Images, applications: request.Spec.Applications != nil}
	if !s.useInstalled {
		p.images = append(request.IstioImages(), p.images...)
	}
	if p.status == nil {
		p.status = func(string) {}
	}
	if p.note == nil {
		p.note = func(string) {}
	}
	return p, p.connect()
}

// Preflight implements [cluster.Guest].
func (s *Source) Preflight(ctx context.Context, request cluster.Request) error {
	if err := s.Check(ctx, request); err != nil {
		return err
	}
	p, err := s.provider(request)
	if err != nil {
		return err
	}
	_, err = p.checked(ctx)
	return err
}

// Rights implements [cluster.Guest].
func (s *Source) Rights(ctx context.Context, request cluster.Request) ([]byte, error) {
	if err := s.Check(ctx, request); err != nil {
		return nil, err
	}
	p, err := s.provider(request)
	if err != nil {
		return nil, err
	}
	if _, err := p.reach(ctx); err != nil {
		return nil, err
	}
	if s.useInstalled {
		if _, err := p.checkMesh(ctx); err != nil {
			return nil, err
		}
	}
	return p.manifest(ctx)
}

// List implements [cluster.Source]: the runs that have not cleaned up, by their IDs.
func (*Source) List(context.Context) ([]string, error) {
	records, err := readRecords()
	var names []string
	for _, r := range records {
		names = append(names, r.ID)
	}
	return names, err
}

// Delete implements [cluster.Source]: it removes what the run of an ID has left on its
// cluster.
func (*Source) Delete(ctx context.Context, id string) error { return deleteRun(ctx, id) }

// Sweep implements [cluster.Source]: it removes what killed runs left.
func (*Source) Sweep(ctx context.Context) error { return sweep(ctx) }
