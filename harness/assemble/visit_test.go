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

// A scenario that is done on somebody's cluster has names of its own there, and the visit
// says what it does and needs.
func TestVisit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.yaml")
	write := func(more string) {
		if err := os.WriteFile(file, []byte(injectedByDefault+more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func(o Options) *scenarios.Scenario {
		s, err := o.Open(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	write("")
	o := Options{Source: chosen(t, "existing"), Settings: []string{"global.proxy.resources.requests.cpu=250m", "pilot.cni.enabled=true", "global.istioNamespace=mesh"}}
	s := open(o)
	placed, v, err := o.visit(s)
	if err != nil {
		t.Fatal(err)
	}
	if name := placed.Namespaces()[0]; name != "ns1-"+v.ID || placed.Labels()[cluster.RunLabel] != v.ID || v.Namespaces[1] != "ns2-"+v.ID {
		t.Errorf("%q with %v, %+v", name, placed.Labels(), v)
	}
	if n := v.Need; n.Pods != 5 || n.Sidecars != 2 || n.CPU.String() != "250m" || n.Memory.String() != "128Mi" || n.MeshCPU.String() != "500m" || n.MeshMemory.String() != "2Gi" {
		t.Errorf("%+v", n)
	}
	if !v.CNI || v.MeshNamespace != "mesh" || len(v.Writes) != 2 {
		t.Errorf("%+v", v)
	}
	if len(v.First) != 2 || v.First[0].Workload != placed.Namespaces()[0]+"/a" || !v.First[0].Injected || v.First[1].Injected {
		t.Errorf("%+v", v.First)
	}
	_, again, err := o.visit(s)
	if err != nil || again.ID == v.ID {
		t.Errorf("two visits have the ID %s, %v", v.ID, err)
	}

	// On clusters of its own a scenario keeps its names.
	own := Options{Source: chosen(t, "kind")}
	if same, v, err := own.visit(s); err != nil || v != nil || same != s {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := own.Rights(t.Context(), s); err == nil {
		t.Error("a cluster of its own has no rights to grant")
	}

	// What is not the scenario's own is refused, with its place.
	write("      - deployment: {namespace: default, name: c, image: nginx}\n")
	_, _, err = o.visit(open(o))
	var option *cluster.OptionError
	if !errors.As(err, &option) || !strings.Contains(err.Error(), "scenario x changes what is not its own") || !strings.Contains(err.Error(), "x.yaml:13:") {
		t.Errorf("%v", err)
	}
}
