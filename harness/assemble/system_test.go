package assemble

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/scenarios"
)

const importedScenario = `name: x
title: Of another cluster
cluster:
  nodes: [{type: m6i.large, count: 1}]
  KEY
mesh:
  istio: 1.23.2
  values: {pilot: {env: {A: "1"}}}
  tags: [stable]
  revisions: [{name: old, istio: 1.22.3}, {name: same, tags: [next]}]
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: a, image: nginx}
`

const importedBaseline = `apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {ports: [{port: 53}]}
`

// Only clusters that this program makes from nothing can be another one's: others refuse such a
// scenario before anything is made.
func TestSystem(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "system.yaml"), []byte(importedBaseline), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ source, key, refused string }{
		{"embedded", "baseline: system.yaml", ""},
		{"embedded", "serviceRange: 10.96.0.0/12", ""},
		{"kind", "baseline: system.yaml", "scenario x says what its cluster has from the start (cluster.baseline), and a kind cluster has its own"},
		{"kind", "serviceRange: 10.96.0.0/12", "(cluster.serviceRange), and a kind cluster has its own: use --cluster embedded"},
		{"kind", "", ""},
	} {
		t.Run(tt.source+" "+tt.key, func(t *testing.T) {
			file := filepath.Join(dir, "x.yaml")
			if err := os.WriteFile(file, []byte(strings.Replace(importedScenario, "KEY", tt.key, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			// What a command line says of Istio's version is the mesh's own.
			o := Options{Source: chosen(t, tt.source), Shares: scenarios.Shares{Real: 1}, Programs: Programs{Istio: "1.24.0"}}
			s, err := o.Open(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			n, err := o.needs(s)
			var option *cluster.OptionError
			switch {
			case tt.refused == "" && err != nil:
				t.Fatal(err)
			case tt.refused != "":
				if !errors.As(err, &option) || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("error %v", err)
				}
				return
			}
			if got := strings.Join(n.istio, " "); got != "1.24.0 1.22.3" {
				t.Errorf("versions %s", got)
			}
			if len(n.revisions) != 2 || n.revisions[0].version != "1.22.3" || n.revisions[1].version != "1.24.0" {
				t.Errorf("revisions %+v", n.revisions)
			}
			if tags, _ := n.values["revisionTags"].([]any); len(tags) != 1 || tags[0] != "stable" {
				t.Errorf("values %v", n.values)
			}
			if (n.spec.System != nil) != (tt.key != "") || n.spec.System.Replaces() != strings.Contains(tt.key, "baseline") {
				t.Errorf("system %+v", n.spec.System)
			}
		})
	}
}
