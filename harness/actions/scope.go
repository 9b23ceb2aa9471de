package actions

import (
	"context"
	"fmt"
	"io"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/scenarios"
)

// scope computes what it will leave of the witnesses' configuration, applies what limits the
// proxies of a graph, and records both.
func scope(ctx context.Context, on *On, s *scenarios.Scope) error {
	record := &observations.Scope{Graph: s.Graph, By: s.By}
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
	if objects := s.Objects(); objects != nil {
		if err := applyGenerated(ctx, on, objects); err != nil {
			return err
		}
		record.Objects, record.Bytes = s.Of().Services, len(objects.Manifest)
	} else if err := selectNamespaces(ctx, on, s); err != nil {
		return err
	}
	return on.Recorder.Append(observations.Record{Scope: record})
}

// selectNamespaces puts discoverySelectors into the mesh's configuration, which istiod reads
// again when it changes.
func selectNamespaces(ctx context.Context, on *On, s *scenarios.Scope) error {
	namespace, revision := s.Istio()
	name := "istio"
	if revision != "" {
		name += "-" + revision
	}
	const key = "mesh"
	maps := on.Kube.CoreV1().ConfigMaps(namespace)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		config, err := maps.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("read the mesh's configuration: %w", err)
		}
		mesh := map[string]any{}
		if err := yaml.Unmarshal([]byte(config.Data[key]), &mesh); err != nil {
			return fmt.Errorf("read the mesh's configuration in ConfigMap %s/%s: %w", namespace, name, err)
		}
		mesh["discoverySelectors"] = s.Selectors()
		text, err := yaml.Marshal(mesh)
		if err != nil {
			return err
		}
		config.Data[key] = string(text)
		_, err = maps.Update(ctx, config, metav1.UpdateOptions{})
		return err
	})
	if err == nil {
		err = ctx.Err() // an attempt that its context has ended is no error to retry
	}
	return err
}

// leaves computes what a scope leaves of a witness's configuration; nil for one that is not of
// the graph.
func leaves(s *scenarios.Scope, d Dump) (*observations.ScopedProxy, error) {
	g, of := s.Of(), -1 // the witness's Service
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
	own := map[string]bool{} // the graph's namespaces, and whether the scope leaves them
	for i := range g.Services {
		own[g.Namespace(i)] = s.Keeps(of, i)
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
