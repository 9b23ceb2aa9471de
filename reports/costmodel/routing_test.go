package costmodel

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// counts are what a witness's configuration is counted by.
type counts struct {
	Rows    observations.Counts
	Objects observations.ConfigObjects
	Routing observations.RoutingObjects
}

// counted are the witnesses' by step and workload. Domains, which no rule is about, are
// left out.
func countedOn(t *testing.T, log Log) map[string]counts {
	t.Helper()
	found := map[string]counts{}
	step := ""
	for _, r := range log.Records {
		switch {
		case r.Begin != nil:
			step = r.Begin.Name
		case r.Proxy != nil:
			c := counts{r.Proxy.Rows, r.Proxy.Objects, *r.Proxy.Routing}
			c.Routing.Domains = 0
			found[step+" "+r.Proxy.Workload] = c
		}
	}
	return found
}

func (m Mesh) counts() counts {
	return counts{m.Rows(), Objects(m.Parts()), m.RoutingObjects()}
}

// routingCost are the meshes of the scenarios routing-cost and routing-cost-entries.
func routingCost() (cost, entries map[string]Mesh) {
	cost, entries = map[string]Mesh{}, map[string]Mesh{}
	http := []Services{{Count: 100, Pods: 2, Ports: port(80, HTTP)}}
	for name, n := range map[string]int{"none": 0, "hundredth": 1, "tenth": 10, "all": 100} {
		add := func(workload string, m Mesh) { cost[name+" "+workload] = m }
		add("plain/probe", Mesh{})
		add("hosts/probe", Mesh{Services: []Services{{Count: 1, Pods: 2, Ports: port(80, HTTP)}}, Routing: Routing{Hosts: 10 * n, Routes: 1}})
		add("matches/probe", Mesh{Services: http, Routing: Routing{VirtualServices: n, Routes: 11}})
		add("subsets/probe", Mesh{Services: http, Routing: Routing{Subsets: 10 * n, SubsetPods: 2}})
		add("rings/probe", Mesh{Services: http, Routing: Routing{HashRings: n}})
		add("filters/probe", Mesh{Routing: Routing{EnvoyFilters: n}})
		add("logs/probe", Mesh{Services: []Services{{Count: 100, Pods: 2, Ports: port(5432, TCP)}}, Routing: Routing{AccessLogs: n > 0}})
		add("authz/probe", Mesh{Routing: Routing{AuthorizationPolicies: 10 * n}})
		add("authz/live", Mesh{Routing: Routing{AuthorizationPolicies: 10 * n}})
		add("jwt/probe", Mesh{Routing: Routing{RequestAuthentications: 10 * n}})
		entry := func(workload string, dns bool, p Port) {
			var r Routing
			if n > 0 {
				r.Entries = []Entries{{Count: 10 * n, Endpoints: 1, DNS: dns, Port: p}}
			}
			entries[name+" "+workload+"/probe"] = Mesh{Routing: r}
		}
		entries[name+" plain/probe"] = Mesh{}
		entry("static", false, Port{80, HTTP})
		entry("addressed", false, Port{5432, TCP})
		entry("dns", true, Port{80, HTTP})
		entry("dns-addressed", true, Port{5432, TCP})
		entry("capture", true, Port{80, HTTP})
	}
	return cost, entries
}

// unseen is the mesh of routing-check, which no model was fitted on.
func unseen(services, pods, entries, subsets, policies int) Mesh {
	return Mesh{
		Services: []Services{{Count: services, Pods: pods, Ports: port(8080, HTTP)}}, Own: port(8080, HTTP),
		Routing: Routing{
			VirtualServices: services, Routes: 3, Subsets: 2 * subsets, SubsetPods: pods, AuthorizationPolicies: policies,
			Entries: []Entries{{Count: entries, DNS: true, Port: Port{80, HTTP}}},
		},
	}
}

// unseenMeshes are those of the logs of routing-check, as it is and with other sizes.
var unseenMeshes = map[string]Mesh{
	"routing-check":      unseen(200, 5, 50, 50, 10),
	"routing-check-wide": unseen(120, 3, 120, 20, 50),
}

// TestRoutingOfRuns holds the rules against every witness of real runs: rows, objects and
// what routing puts into them.
func TestRoutingOfRuns(t *testing.T) {
	cost, entries := routingCost()
	check := func(m Mesh) map[string]Mesh {
		only := m
		only.Routing.RegistryOnly = true
		return map[string]Mesh{"mesh probe/probe": m, "registry-only probe/probe": only}
	}
	logs := map[string]map[string]Mesh{"routing-cost": cost, "routing-cost-entries": entries}
	for log, m := range unseenMeshes {
		logs[log] = check(m)
	}
	for log, meshes := range logs {
		got := map[string]counts{}
		for name, m := range meshes {
			got[name] = m.counts()
		}
		if diff := cmp.Diff(countedOn(t, readLog(t, log)), got); diff != "" {
			t.Errorf("%s (-counted on proxies +by the rules):\n%s", log, diff)
		}
	}
}

// TestUnseenRouting predicts meshes with VirtualServices, ServiceEntries, subsets and
// policies whose runs are not among those fitted.
func TestUnseenRouting(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	var a Answer
	for log, mesh := range unseenMeshes {
		d, err := observe([]Log{readLog(t, log)})
		if err != nil || len(d.routed) != 2 || len(d.fresh) != 0 {
			t.Fatalf("%s: %d points with routing, %d without: %v", log, len(d.routed), len(d.fresh), err)
		}
		if a, err = m.Predict(Question{Mesh: mesh}); err != nil {
			t.Fatal(err)
		}
		for _, p := range d.routed {
			off := a.Sidecar.Bytes/p.Y - 1
			if math.Abs(off) > 0.1 {
				t.Errorf("%s, %s: predicted %.1f Mi, measured %.1f Mi: off by %+.1f %%, want within 10 %%", log, p.Step, a.Sidecar.Bytes/mi, p.Y/mi, 100*off)
			}
			t.Logf("%s, %s: predicted %.1f Mi (%s), measured %.1f Mi: off by %+.1f %%", log, p.Step, a.Sidecar.Bytes/mi, a.Sidecar.interval(mi, "%.1f"), p.Y/mi, 100*off)
		}
	}
	// Nobody knows what it costs istiod.
	if storm := a.Storm(); storm == nil || !strings.Contains(strings.Join(storm.Warnings, "\n"), "what routing costs istiod was not measured") {
		t.Errorf("istiod: %+v", a.Istiod)
	}
}

// TestWithoutRouting: a model of runs that do not count routing says that it does not know.
func TestWithoutRouting(t *testing.T) {
	m, err := fitLogs(t, Options{}, "cost-model")
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Predict(Question{Mesh: Mesh{Routing: Routing{AuthorizationPolicies: 5}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := m.Memory(a.Objects).Bytes; a.Sidecar.Bytes != want || !strings.Contains(strings.Join(a.Sidecar.Warnings, "\n"), "not in the estimate") {
		t.Errorf("%+v, want %.0f and a warning", a.Sidecar, want)
	}
	var out bytes.Buffer
	if err := m.Print(&out); err != nil || !strings.Contains(out.String(), "There is no model of routing: no run has routes") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	// One that has ServiceEntries alone knows nothing of policies.
	m, err = fitLogs(t, Options{}, "cost-model", "routing-cost-entries")
	if err != nil {
		t.Fatal(err)
	}
	if a, err = m.Predict(Question{Mesh: Mesh{Routing: Routing{AuthorizationPolicies: 5}}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(a.Sidecar.Warnings, "\n"), "policies: 10; it was always 0, so what it costs is unknown") {
		t.Errorf("%+v", a.Sidecar)
	}
}

// TestRoutingUnits: every unit has a price, and most are surely above nothing.
func TestRoutingUnits(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range RoutingUnits() {
		e, unknown := m.RoutingCost(u)
		if unknown != "" || !(e.Lo <= e.Bytes && e.Bytes <= e.Hi) || e.Bytes <= 0 {
			t.Errorf("%s: %+v %s", u.Name, e, unknown)
		}
	}
}
