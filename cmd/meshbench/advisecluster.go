package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/harness/inventory"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/kubeconfig"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/reports/advice"
)

// meshSource is where the mesh's objects are read, and what may be done to it.
type meshSource struct {
	files               []string
	kubeconfig, context string
	live                bool
	apply, yes          bool
}

func (m *meshSource) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&m.files, "mesh", nil, "`PATH` of an export of the mesh's objects by kubectl, or a folder of them, such as an imported scenario's (repeatable)")
	f.StringVar(&m.kubeconfig, "kubeconfig", "", "read the mesh of the cluster that this `file` leads to, and let its API server check what is proposed")
	f.StringVar(&m.context, "context", "", "the kubeconfig's `context` (default: its current one; alone, of the file that kubectl takes)")
	f.BoolVar(&m.apply, "apply", false, "apply the proposed resources to the cluster of --kubeconfig, after asking")
	f.BoolVar(&m.yes, "yes", false, "do not ask: not before pods are read, and not before resources are applied")
}

// check says what is wrong with the flags; pods says that pods are read.
func (m *meshSource) check(pods bool) error {
	m.live = m.kubeconfig != "" || m.context != ""
	switch {
	case m.apply && !m.live:
		return errors.New("--apply writes to a cluster: say which with --kubeconfig or --context")
	case pods && !m.live:
		return errors.New("--from reads pods of a cluster: say which with --kubeconfig or --context")
	case m.live && len(m.files) > 0:
		return errors.New("--mesh and --kubeconfig both say what is in the mesh: give one of them")
	}
	return nil
}

// liveMesh is a mesh that runs now.
type liveMesh struct {
	client  *kube.Client
	sampler *sample.Sampler
	name    string
}

// open connects to the cluster; nil where none is named.
func (m *meshSource) open() (*liveMesh, error) {
	if !m.live {
		return nil, nil
	}
	target, err := kubeconfig.Find(m.kubeconfig, m.context)
	if err != nil {
		return nil, err
	}
	l := &liveMesh{name: target.String()}
	if l.client, err = kube.New(target.Config); err != nil {
		return nil, err
	}
	if l.sampler, err = sample.New(target.Config, sample.Scope{}); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *liveMesh) close() { l.sampler.Close() }

// read reads the mesh's objects, of a cluster, of files, or none.
func (m *meshSource) read(ctx context.Context, live *liveMesh) (*advice.Mesh, error) {
	switch {
	case live != nil:
		objects, err := inventory.Read(ctx, live.client)
		if err != nil {
			return nil, fmt.Errorf("cannot read the mesh of %s: %w", live.name, err)
		}
		return advice.MeshOf(advice.Items(objects)), nil
	case len(m.files) > 0:
		return advice.Read(m.files...)
	}
	return &advice.Mesh{}, nil
}

// calls reads what pods have logged and counted.
func (l *liveMesh) calls(ctx context.Context, from []string, choice podChoice, names callgraph.Names) ([]*callgraph.Graph, error) {
	pods, left, err := inventory.Proxies(ctx, l.sampler, choice.namespaces, choice.each)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("no sidecar runs in %s on %s", orAll(choice.namespaces), l.name)
	}
	var note []string
	if left > 0 {
		note = []string{fmt.Sprintf("%d of %d proxies were not read (--pods %d of each workload): calls that they alone have made are not known", left, left+len(pods), choice.each)}
	}
	var graphs []*callgraph.Graph
	for _, word := range from {
		var g *callgraph.Graph
		if word == fromLogs {
			g, err = readEach(names, callgraph.AccessLog, func(read func(sample.Pod, io.Reader) error) error {
				return inventory.Logs(ctx, l.client, pods, read)
			})
		} else {
			g, err = readEach(names, callgraph.Clusters, func(read func(sample.Pod, io.Reader) error) error {
				return inventory.Clusters(ctx, l.sampler, pods, read)
			})
		}
		if err != nil {
			return nil, err
		}
		g.Notes = append(g.Notes, note...)
		graphs = append(graphs, g)
	}
	return graphs, nil
}

func orAll(namespaces []string) string {
	if len(namespaces) == 0 {
		return "any namespace"
	}
	return strings.Join(namespaces, ", ")
}

// readEach makes a graph of what all pods say.
func readEach(names callgraph.Names, parse func(callgraph.Proxy, io.Reader, callgraph.Names) (*callgraph.Graph, error),
	hand func(read func(sample.Pod, io.Reader) error) error,
) (*callgraph.Graph, error) {
	type read struct {
		*callgraph.Graph
		err error
	}
	var mu sync.Mutex
	found := map[string]read{}
	err := hand(func(p sample.Pod, r io.Reader) error {
		_, workload, _ := strings.Cut(p.Workload, "/")
		g, err := parse(callgraph.Proxy{Of: callgraph.Party{Namespace: p.Namespace, Workload: workload}, Name: p.NamespacedName().String()}, r, names)
		if err != nil && !errors.Is(err, callgraph.ErrNoLines) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		found[p.NamespacedName().String()] = read{g, err}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var all callgraph.Several
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if err := all.Add(found[name].Graph, found[name].err); err != nil {
			return nil, err
		}
	}
	return all.Graph()
}

// proposed are the resources that differ from what is there.
func proposed(advised *advice.Advice) (scopes []*advice.Scope, objects []map[string]any) {
	for _, s := range advised.Scopes {
		if s.Status != advice.Same {
			scopes = append(scopes, s)
			objects = append(objects, s.Object())
		}
	}
	return scopes, objects
}

// check lets the API server check what is proposed, without writing it.
func (l *liveMesh) check(ctx context.Context, advised *advice.Advice) error {
	scopes, objects := proposed(advised)
	refused, err := inventory.DryRun(ctx, l.client, objects)
	var denied *inventory.Denied
	if errors.As(err, &denied) {
		advised.Notes = append(advised.Notes, fmt.Sprintf("whether the API server takes the resources: %v", denied))
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot check the resources on %s: %w", l.name, err)
	}
	for i, s := range scopes {
		if why := refused[i]; why != nil {
			advised.Problems = append(advised.Problems, advice.Problem{Kind: advice.Refused, Namespace: s.Namespace, Text: "the API server refuses the resource: " + why.Error()})
		} else {
			s.Checked = l.name
		}
	}
	return nil
}

// applyTo applies what is proposed, after asking. Where there are problems, nothing is applied.
func (a *advising) applyTo(cmd *cobra.Command, live *liveMesh, advised *advice.Advice) error {
	_, objects := proposed(advised)
	if len(advised.Problems) > 0 || len(objects) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "nothing is applied to %s\n", live.name)
		return nil
	}
	if !a.mesh.yes {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d Sidecar resources will be applied to %s.\n", len(objects), live.name)
		yes, err := confirm(cmd.Context(), cmd.ErrOrStderr(), "Go on?")
		switch {
		case errors.Is(err, errNobody):
			return usage(cmd, err)
		case err != nil:
			return err
		case !yes:
			return &exit{code: exitFailure, err: errors.New("nothing was applied")}
		}
	}
	if err := inventory.Apply(cmd.Context(), live.client, objects); err != nil {
		return fmt.Errorf("cannot apply the resources to %s: %w", live.name, err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d Sidecar resources are applied to %s\n", len(objects), live.name)
	return nil
}
