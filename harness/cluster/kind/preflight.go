package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/harness/cluster"
)

// What a cluster needs of this machine, with room to spare: a control plane, three workers,
// istiod and eight pods with sidecars were seen to take 1.1 GiB, 57 instances of inotify of
// root's and 16 of the sidecars'.
const (
	planeBytes   = 1200 << 20 // the control plane's node, istiod and metrics-server
	workerBytes  = 250 << 20  // a node without pods
	sidecarBytes = 75 << 20   // a pod: sidecar, application and what containerd holds for both

	// Instances of inotify: all sidecars run as one user, and so do all nodes' systems.
	planeInotify   = 40
	workerInotify  = 20
	sidecarInotify = 2
	// minWatches is a quarter of what kind advises; older kernels start with 8192.
	minWatches = 128 << 10
)

// Preflight implements cluster.Provider. Where images come from is told by Options.Note.
func (p *provider) Preflight(ctx context.Context, spec cluster.Spec) error {
	if p.Keep {
		spec.Name = KeptName
	}
	c, err := p.config(spec)
	if err != nil {
		return err
	}
	errs := []error{
		checkMemory(p.machine, workers(c), spec.Sidecars),
		checkInotify(p.machine, workers(c), spec.Sidecars),
	}
	e, err := findEngine(ctx, p.machine)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	facts, err := e.facts(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, p.checkName(e, spec.Name), checkForwarding(ctx, e, c.Networking.PodSubnet))
	sources, err := p.sources(ctx, e, facts.arch, nodeImages(c), slices.Concat([]string{p.metricsServer()}, p.Images, spec.Images))
	errs = append(errs, err)
	lines := []string{"images:"}
	missing := false
	for _, s := range sources {
		lines = append(lines, s.String())
		missing = missing || s.err != nil
	}
	switch list := strings.Join(lines, "\n"); {
	case missing:
		errs = append(errs, errors.New("not every image can be had: give those that are missing with --image-archive FILE or --load-image NAME, or name a registry that has them with --hub\n"+list))
	default:
		p.Note(list)
	}
	return errors.Join(errs...)
}

// checkName refuses the name of a cluster that somebody else made.
func (p *provider) checkName(e engine, name string) error {
	ours, err := List()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(ours, func(r Record) bool { return r.Name == name }) {
		return nil // Create says more
	}
	there, err := p.kinds(e).List()
	if err != nil {
		return fmt.Errorf("list kind's clusters: %w", explain(err))
	}
	if name != "" && slices.Contains(there, name) {
		return foreign(name)
	}
	return nil
}

// checkMemory compares what is available with what the run needs.
func checkMemory(m machine, workers, sidecars int) error {
	text, err := m.read("/proc/meminfo")
	if err != nil {
		return fmt.Errorf("read available memory: %w", err)
	}
	_, rest, _ := strings.Cut(text, "MemAvailable:")
	var kilobytes int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kilobytes); err != nil {
		return errors.New("read available memory: /proc/meminfo has no MemAvailable")
	}
	available := kilobytes << 10
	base := int64(planeBytes) + int64(workers)*workerBytes
	need := base + int64(sidecars)*sidecarBytes
	if available >= need {
		return nil
	}
	return fmt.Errorf("not enough memory: a kind cluster with %d workers and %d pods with sidecars needs about %d Mi and %d Mi are available; "+
		"free some, or ask for fewer pods (--set replicas=...; %d fit)", workers, sidecars, need>>20, available>>20, max(0, (available-base)/sidecarBytes))
}

// checkForwarding finds a firewall that keeps pods of different nodes apart. docker, where
// it runs beside podman, has the kernel drop what is forwarded, also inside podman's bridge,
// and podman lets through again what has a node's address, not a pod's. Nothing is found
// where the rules cannot be read: podman without root has a network of its own.
func checkForwarding(ctx context.Context, e engine, pods string) error {
	bridged, err := e.read("/proc/sys/net/bridge/bridge-nf-call-iptables")
	if err != nil || bridged != "1" || e.binary != "podman" {
		return nil
	}
	rules, err := e.run(ctx, "iptables", "-S", "FORWARD")
	pods, _, _ = strings.Cut(pods, ",")
	if err != nil || !strings.HasPrefix(rules, "-P FORWARD DROP") || strings.Contains(rules, pods) {
		return nil
	}
	return fmt.Errorf("the firewall drops what podman's nodes forward, as docker has set it up: let pods through with `sudo iptables -I FORWARD -s %s -d %[1]s -j ACCEPT`", pods)
}

// checkInotify compares the kernel's limits of inotify, which hold for each user over all
// containers, with what nodes and sidecars take.
func checkInotify(m machine, workers, sidecars int) error {
	var errs []error
	for _, limit := range []struct {
		name string
		need int
	}{
		{"max_user_instances", max(planeInotify+workers*workerInotify, sidecars*sidecarInotify+64)},
		{"max_user_watches", minWatches},
	} {
		text, err := m.read("/proc/sys/fs/inotify/" + limit.name)
		var have int
		if err == nil {
			have, err = strconv.Atoi(text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read the limit fs.inotify.%s: %w", limit.name, err))
		} else if have < limit.need {
			errs = append(errs, fmt.Errorf("fs.inotify.%s is %d, and %d workers and %d sidecars need %d: raise it with `sudo sysctl -w fs.inotify.%[1]s=%[6]d`",
				limit.name, have, workers, sidecars, limit.need, max(2*limit.need, 512)))
		}
	}
	return errors.Join(errs...)
}
