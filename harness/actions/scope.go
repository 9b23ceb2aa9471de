package actions

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/scenarios"
)

// scope computes what it will leave of the witnesses' configuration, applies what limits the
// proxies of a graph, and records both.
func scope(ctx context.Context, on *On, s *scenarios.Scope) error {
	objects := s.Objects()
	record := &observations.Scope{Graph: s.Graph, By: s.By, Objects: s.Of().Services, Bytes: len(objects.Manifest)}
	if on.Dumped != nil {
		for _, d := range on.Dumped.Last() {
			left, err := leaves(s, d)
			if err != nil {
				record.NotLeft = append(record.NotLeft, fmt.Sprintf("%s: %v", d.Workload, err))
			} else if left != nil {
				record.Left = append(record.Left, *left)
			}
		}
	}
	if err := applyGenerated(ctx, on, objects); err != nil {
		return err
	}
	return on.Recorder.Append(observations.Record{Scope: record})
}

// leaves computes what a scope leaves of a witness's configuration; nil for one that is not of
// the graph.
func leaves(s *scenarios.Scope, d Dump) (*observations.ScopedProxy, error) {
	g, of := s.Of(), -1
	for i := range g.Services {
		if d.Workload == g.Namespace(i)+"/"+g.ServiceName(i) {
			of = i
		}
	}
	if of < 0 || d.Kind != observations.ProxySidecar {
		return nil, nil
	}
	attributed, err := attribute(d.Files)
	if err != nil {
		return nil, err
	}
	calls := g.Calls(of)
	own := map[string]bool{} // the graph's namespaces, and whether the scope leaves them
	for i := range g.Services {
		own[g.Namespace(i)] = i == of || slices.Contains(calls, i)
	}
	after := attributed.Scoped(func(namespace, _ string) bool {
		kept, ours := own[namespace]
		if ours {
			return kept
		}
		return s.KeepsOthers(namespace)
	}).Sum()
	left := &observations.ScopedProxy{Workload: d.Workload, Pod: d.Namespace + "/" + d.Pod, Before: holds(attributed.Sum()), After: holds(after)}
	return left, nil
}

func holds(s proxyconfig.Sum) observations.ProxyHolds {
	return observations.ProxyHolds{DumpBytes: s.Bytes, Rows: s.Rows, Objects: s.Objects, Routing: s.Routing}
}

// attribute takes a witness's dump apart.
func attribute(files map[string]string) (a *proxyconfig.Attribution, err error) {
	config, err := os.Open(files["config_dump"])
	if err != nil {
		return nil, fmt.Errorf("read its last dump: %w", err)
	}
	defer config.Close()
	var hosts io.Reader
	if path := files["clusters"]; path != "" {
		clusters, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read its last dump: %w", err)
		}
		defer clusters.Close()
		hosts = clusters
	}
	return proxyconfig.Attribute(config, hosts)
}
