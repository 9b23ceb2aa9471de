package costmodel

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// The logs in testdata are of real runs, without the usage of containers other than
// sidecars, actions other than restarts, and of their series all but the scrapes in which
// an istiod was highest in a step.
func readLog(t *testing.T, name string) Log {
	t.Helper()
	path := "testdata/" + name + ".jsonl"
	records, truncated, err := observations.ReadFile(path)
	if err != nil || truncated {
		t.Fatalf("%s: truncated %t: %v", path, truncated, err)
	}
	return Log{Path: path, Records: records}
}

// configurations are the witnesses' configurations by step and workload.
func configurations(t *testing.T, log Log) map[string]observations.ConfigObjects {
	t.Helper()
	found := map[string]observations.ConfigObjects{}
	step := ""
	for _, r := range log.Records {
		switch {
		case r.Begin != nil:
			step = r.Begin.Name
		case r.Proxy != nil:
			found[step+" "+r.Proxy.Workload] = r.Proxy.Objects
		}
	}
	return found
}

func port(number int, p Protocol) []Port { return []Port{{number, p}} }

// TestCountsOfRuns holds the counting rules against every witness of real runs.
func TestCountsOfRuns(t *testing.T) {
	var (
		own      = port(80, Detected)
		one      = Services{Count: 1, Pods: 100, Ports: port(80, Detected)}
		headless = Services{Count: 1, Pods: 99, Headless: true, Ports: port(80, Detected)}
		eks      = map[string]Mesh{
			"one-pod ns1/test": {}, "pods ns1/test": {},
			"clusterip ns1/test": {Services: []Services{one}, Own: own},
			"ns2 ns1/test":       {Services: []Services{headless, one}, Own: own},
			"services ns1/test":  {Services: []Services{headless, {Count: 19, Pods: 100, Ports: port(80, Detected)}}, Own: own},
		}
	)
	for _, step := range []string{"headless", "restart", "rescale", "small-nodes"} {
		eks[step+" ns1/test"] = Mesh{Services: []Services{headless}, Own: own}
	}

	rules := map[string]Mesh{}
	var all []Services
	for _, step := range []struct {
		name string
		add  []Services
	}{
		{"pods", nil},
		{"one-port", []Services{
			{1, 2, false, port(80, Detected)}, {1, 3, false, port(8080, HTTP)}, {1, 4, false, port(5432, TCP)},
		}},
		{"same-ports", []Services{
			{3, 2, false, port(8080, Detected)}, {3, 3, false, port(8080, HTTP)}, {3, 4, false, port(8080, TCP)},
		}},
		{"several-ports", []Services{
			{1, 2, false, []Port{{81, Detected}, {82, Detected}}},
			{1, 3, false, []Port{{8080, HTTP}, {8082, HTTP}}},
			{1, 4, false, []Port{{81, TCP}, {82, TCP}}},
		}},
		{"headless", []Services{
			{1, 2, true, port(80, Detected)}, {1, 3, true, port(8080, HTTP)}, {1, 4, true, port(5432, TCP)},
		}},
		{"headless-new-ports", []Services{
			{1, 3, true, port(9999, HTTP)}, {1, 2, true, port(8080, Detected)}, {1, 4, true, []Port{{83, TCP}, {84, TCP}}},
		}},
	} {
		all = append(all, step.add...)
		for workload, who := range map[string]struct {
			pods     int // of the workload, which tells its Services here
			protocol Protocol
		}{"auto/web": {2, Detected}, "http/web": {3, HTTP}, "tcp/web": {4, TCP}, "none/web": {}} {
			m := Mesh{}
			for _, s := range all {
				if s.Headless && s.Pods == who.pods {
					s.Pods-- // its own
				}
				m.Services = append(m.Services, s)
			}
			if who.pods > 0 && step.name != "pods" {
				m.Own = port(80, who.protocol)
			}
			rules[step.name+" "+workload] = m
		}
	}

	for log, meshes := range map[string]map[string]Mesh{"eks-nginx": eks, "counting-rules": rules} {
		got := map[string]observations.ConfigObjects{}
		for name, m := range meshes {
			got[name] = Objects(m.Parts())
		}
		if diff := cmp.Diff(configurations(t, readLog(t, log)), got); diff != "" {
			t.Errorf("%s (-counted on proxies +by the rules):\n%s", log, diff)
		}
	}
}

func TestUnits(t *testing.T) {
	// A Service with one more pod, less the Service: the unit of an endpoint, and so on.
	parts := func(s Services) observations.ConfigObjects { return Objects(Mesh{Services: []Services{s}}.Parts()) }
	want := map[string]observations.ConfigObjects{}
	for _, x := range []struct {
		unit   string
		before Services
		after  Services
	}{
		{"a Service port, detected", Services{2, 0, false, port(80, Detected)}, Services{3, 0, false, port(80, Detected)}},
		{"a Service port, http", Services{2, 0, false, port(80, HTTP)}, Services{3, 0, false, port(80, HTTP)}},
		{"a Service port, tcp", Services{2, 0, false, port(80, TCP)}, Services{3, 0, false, port(80, TCP)}},
		{"a pod behind a Service port", Services{1, 2, false, port(80, Detected)}, Services{1, 3, false, port(80, Detected)}},
		{"a pod behind a headless port, detected", Services{1, 2, true, port(80, Detected)}, Services{1, 3, true, port(80, Detected)}},
		{"a pod behind a headless port, tcp", Services{1, 2, true, port(80, TCP)}, Services{1, 3, true, port(80, TCP)}},
	} {
		want[x.unit] = add(parts(x.after), times(parts(x.before), -1))
	}
	got := map[string]observations.ConfigObjects{}
	for _, u := range Units() {
		got[u.Name] = u.Objects
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-by the rules +unit):\n%s", diff)
	}
}
