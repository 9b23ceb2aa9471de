package eks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
	"github.com/meshbench/meshbench/harness/kube/metricsserver"
)

// Source is the EKS provider's entry in the table of sources.
type Source struct {
	settings settings.Settings
	// agreed is the text that somebody said yes to.
	agreed string
	// every replaces pollEvery in tests.
	every time.Duration
}

var (
	_ cluster.Collector  = (*Source)(nil)
	_ cluster.SlowToMake = (*Source)(nil)
)

// Name implements cluster.Source.
func (*Source) Name() string { return settings.Name }

// Flags implements cluster.Source.
func (s *Source) Flags(f *pflag.FlagSet) { s.settings.Flags(f) }

// Where implements cluster.Collector.
func (s *Source) Where(f *pflag.FlagSet) { s.settings.Where(f) }

// RunsImages implements cluster.Source: nodes are real.
func (*Source) RunsImages() bool { return true }

// RunsApplications implements cluster.Source: nodes are real.
func (*Source) RunsApplications() bool { return true }

// RunsLightProxies implements cluster.Source: all sidecars run.
func (*Source) RunsLightProxies() bool { return false }

// DualStack implements cluster.Source: clusters are made with IPv4 alone.
func (*Source) DualStack() bool { return false }

// RunLimit implements cluster.SlowToMake: half an hour for cluster and nodes, half an hour
// for nodes that are replaced, and what runs have elsewhere.
func (*Source) RunLimit() time.Duration { return 90 * time.Minute }

// Check implements cluster.Source. AWS is not asked.
func (s *Source) Check(_ context.Context, request cluster.Request) error {
	if _, err := request.ChartStores(); err != nil {
		return err
	}
	var errs []error
	if s.settings.TTL < time.Minute {
		errs = append(errs, fmt.Errorf("--ttl %s: give the time that a run takes, and some more", s.settings.TTL))
	}
	if s.settings.Cluster != "" && s.settings.ClusterRole != "" {
		errs = append(errs, fmt.Errorf("--cluster-role is for clusters that are made: leave it out with --eks-cluster %s", s.settings.Cluster))
	}
	if len(s.settings.Subnets) == 1 {
		errs = append(errs, errors.New("--subnets: give two or more, in two zones: EKS needs two"))
	}
	_, err := readPrices(s.settings.PriceFile)
	errs = append(errs, err)
	_, err = limitsOf(phasesOf(request.Spec))
	if err := errors.Join(append(errs, err)...); err != nil {
		return &cluster.OptionError{Err: err}
	}
	return nil
}

// New implements cluster.Source. It asks AWS all that can be known before anything is made,
// shows what will be made with its price, and has that agreed to.
func (s *Source) New(ctx context.Context, request cluster.Request) (*cluster.Offer, error) {
	if err := s.Check(ctx, request); err != nil {
		return nil, err
	}
	stores, err := request.ChartStores()
	if err != nil {
		return nil, err
	}
	p, err := s.provider(ctx, request)
	if err == nil {
		err = p.Preflight(ctx, request.Spec)
	}
	if err != nil {
		return nil, fmt.Errorf("an EKS cluster cannot be made:\n%w", err)
	}
	offer := &cluster.Offer{Provider: p}
	if err := offer.AddCharts(ctx, request, stores, false); err != nil {
		return nil, err
	}
	for _, note := range p.plan.notes {
		request.Note(note)
	}
	return offer, s.agree(ctx, request, p.plan.quote)
}

// provider connects to AWS.
func (s *Source) provider(ctx context.Context, request cluster.Request) (*provider, error) {
	request.Status("asking AWS")
	a, err := open(ctx, s.settings)
	if err != nil {
		return nil, err
	}
	p := &provider{
		account: a, settings: s.settings, progress: request.Status, every: s.poll(), now: time.Now,
		metricsServer: request.Programs.Hubs.Image(metricsserver.Image) + metricsserver.Tag,
	}
	if len(request.Istio) > 0 {
		p.istio = request.Istio[0]
	}
	return p, nil
}

func (s *Source) poll() time.Duration {
	if s.every > 0 {
		return s.every
	}
	return pollEvery
}

// agree has what a run costs agreed to: by --yes, else by somebody who is asked, once for
// all runs of a command that make the same.
func (s *Source) agree(ctx context.Context, request cluster.Request, q quote) error {
	text, err := q.text()
	if err != nil {
		return err
	}
	switch {
	case s.settings.Yes:
		request.Note(text)
		return nil
	case s.agreed == text:
		return nil
	case request.Confirm == nil:
		return &cluster.OptionError{Err: errors.New("this costs money: add --yes to agree to it\n" + text)}
	}
	yes, err := request.Confirm(ctx, text)
	if err != nil {
		return fmt.Errorf("this costs money, and was not agreed to: %w", err)
	}
	if !yes {
		return errors.New("nothing was made: the answer was no")
	}
	s.agreed = text
	return nil
}

// List implements cluster.Source: what is in AWS is looked for by Leftovers alone, where
// somebody asks for it.
func (*Source) List(context.Context) ([]string, error) {
	return nil, nil
}

// Delete implements cluster.Source.
func (s *Source) Delete(ctx context.Context, name string) error {
	found, err := s.Leftovers(ctx, name)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%w named %s on EKS", cluster.ErrNoCluster, name)
	}
	return s.Remove(ctx, found, func(string) {})
}

// Sweep implements cluster.Source: crashed commands leave nothing on this machine.
func (*Source) Sweep(context.Context) error { return nil }

// Leftovers implements cluster.Collector.
func (s *Source) Leftovers(ctx context.Context, run string) ([]cluster.Leftover, error) {
	a, err := open(ctx, s.settings)
	if err != nil {
		return nil, err
	}
	found, err := a.leftovers(ctx, run, time.Now())
	if err != nil {
		return nil, err
	}
	return found.listed(), nil
}

// Remove implements cluster.Collector.
func (s *Source) Remove(ctx context.Context, leftovers []cluster.Leftover, status func(line string)) error {
	a, err := open(ctx, s.settings)
	if err != nil {
		return err
	}
	return a.remove(ctx, unlisted(leftovers), s.poll(), status)
}
