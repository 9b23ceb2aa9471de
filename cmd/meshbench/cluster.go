package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/internal/annotations"
	"github.com/meshbench/meshbench/scenarios"
)

// clusterFlags are the flags that say which cluster and which mesh; run, up and compare
// share them.
type clusterFlags struct {
	name    string
	real    string
	light   string
	realFor []string
	options assemble.Options
	secret  string // for pulling images
	sources sources
}

func (c *clusterFlags) flags(f *pflag.FlagSet) {
	c.sources = bindSources(f, cluster.Source.Flags)
	f.StringVar(&c.name, "cluster", c.sources.all[0].Name(), "where the cluster comes from: "+c.sources.names())
	f.StringVar(&c.real, "real", "10", "sidecars to run per Deployment: a `number`, or all (clusters that run images always run all)")
	f.StringVar(&c.light, "light", "0", "of the other sidecars, how many per Deployment a light proxy speaks for, so that istiod serves them and none runs: a `number`, or all (embedded clusters)")
	f.StringArrayVar(&c.realFor, "real-for", nil, "run sidecars of this workload only, `NAMESPACE/NAME` of a Deployment or another owner (repeatable)")
	programFlags(f, &c.options.Programs)
	f.Lookup("istio").Usage = "Istio `version` (default: the scenario's, else " + components.DefaultIstio + ")"
	f.StringVar(&c.options.Charts, "charts", "", "`folder or URL` of Istio's charts base and istiod, instead of the bundled ones")
	f.StringVar(&c.options.ChartsVersion, "charts-version", "", "`version` of the charts in a chart repository (default: Istio's)")
	f.StringArrayVar(&c.options.ValuesFiles, "mesh-values", nil, "YAML `file` with values for the istiod chart (repeatable)")
	f.StringArrayVar(&c.options.Settings, "mesh-set", nil, "a `value` for the istiod chart, e.g. pilot.env.X=y (repeatable)")
	f.StringSliceVar(&c.options.Addons, "addons", nil, "`names` of Istio's sample addons to install with it: "+strings.Join(assemble.AddonNames(), ", ")+" (clusters that run images)")
	f.StringVar(&c.secret, "pull-secret", "", "`NAMESPACE/NAME` of a Secret on the cluster with credentials for images, to be copied into the run's and istiod's namespaces (clusters that run images)")
}

// knativeFlag adds --knative; use says for what.
func (c *clusterFlags) knativeFlag(f *pflag.FlagSet, use string) {
	f.StringVar(&c.options.Knative, "knative", "", use+": a pinned `version`, or on clusters that run images the path or URL of a manifest")
}

// read returns the options that the flags in f stand for. Flags of a source that was not
// chosen are refused.
func (c *clusterFlags) read(f *pflag.FlagSet) (assemble.Options, error) {
	o := c.options
	var err error
	if o.Source, err = c.sources.named(c.name); err != nil {
		return o, err
	}
	if err := c.sources.foreign(f, o.Source); err != nil {
		return o, err
	}
	if o.PullSecret, err = kube.ParsePullSecret(c.secret); err != nil {
		return o, fmt.Errorf("--pull-secret: %w", err)
	}
	if c.secret != "" && !o.Source.RunsImages() {
		return o, fmt.Errorf("--pull-secret: %s clusters pull no images: leave the flag out", c.name)
	}
	o.Shares, err = c.shares(f, o.Source)
	return o, err
}

// shares are what the flags say of real and light sidecars.
func (c *clusterFlags) shares(f *pflag.FlagSet, source cluster.Source) (s scenarios.Shares, err error) {
	switch {
	case !source.RunsImages():
		if s.Real, err = share("--real", "sidecars", c.real); err != nil {
			return s, err
		}
	case f.Changed("real") && c.real != annotations.All:
		return s, fmt.Errorf("--real %s: on %s clusters all sidecars run: leave the flag out", c.real, c.name)
	default:
		s.Real = -1
	}
	if s.Light, err = share("--light", "light proxies", c.light); err != nil {
		return s, err
	}
	if s.Light != 0 && !source.RunsLightProxies() {
		return s, fmt.Errorf("--light %s: on %s clusters all sidecars run, and none can be light: leave the flag out", c.light, c.name)
	}
	for _, name := range c.realFor {
		if namespace, workload, ok := strings.Cut(name, "/"); !ok || namespace == "" || workload == "" || strings.Contains(workload, "/") {
			return s, fmt.Errorf("--real-for %s: give NAMESPACE/NAME of a workload, e.g. shop/cart", name)
		}
	}
	if len(c.realFor) > 0 && source.RunsImages() {
		return s, fmt.Errorf("--real-for: on %s clusters all sidecars run: leave the flag out", c.name)
	}
	s.RealFor = c.realFor
	return s, nil
}

// share reads the value of a flag that says how many of each owner's proxies are of a kind, -1
// for all.
func share(flag, what, value string) (int, error) {
	n, err := strconv.Atoi(value)
	switch {
	case value == annotations.All:
		return -1, nil
	case err != nil || n < 0:
		return 0, fmt.Errorf("%s %s: give a number of %s per Deployment, or all", flag, value, what)
	}
	return n, nil
}

// downFlag is what the command down needs besides the name of a cluster of that source.
func (c *clusterFlags) downFlag(s cluster.Source) string {
	if _, elsewhere := s.(cluster.Collector); elsewhere {
		return " --cluster " + s.Name()
	}
	return ""
}

// optionError makes errors of the command line those of options that cannot be met, and
// bad scenarios those of a scenario with problems. Others stay as they are.
func optionError(command string, err error) error {
	var option *cluster.OptionError
	var problems scenarios.Problems
	switch {
	case errors.As(err, &option):
		return usageOf(command, err)
	case errors.As(err, &problems):
		return &exit{exitUsage, err}
	}
	return refusal(err)
}

// parseNodes reads node groups as m6i.large=20 or m6i.large=20/58, with a pod limit.
func parseNodes(args []string) ([]cluster.NodeGroup, error) {
	var groups []cluster.NodeGroup
	for _, a := range args {
		instance, number, ok := strings.Cut(a, "=")
		number, limit, limited := strings.Cut(number, "/")
		count, err := strconv.Atoi(number)
		group := cluster.NodeGroup{InstanceType: instance, Count: count}
		if limited && err == nil {
			group.MaxPods, err = strconv.Atoi(limit)
		}
		if !ok || err != nil || count < 1 || group.MaxPods < 0 {
			return nil, fmt.Errorf("--nodes %s: give TYPE=NUMBER, e.g. m6i.large=20, or with a pod limit m6i.large=20/58", a)
		}
		groups = append(groups, group)
	}
	return groups, nil
}
