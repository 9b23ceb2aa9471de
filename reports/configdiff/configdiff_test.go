package configdiff

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig/proxyconfigtest"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// podName finds in a dump whose configuration it is.
var podName = regexp.MustCompile(`sidecar~[^~]+~([^.~]+)\.`)

// answers are those of a real sidecar that knows Services of all kinds.
func answers(tb testing.TB) (dump, clusters []byte, pod string) {
	tb.Helper()
	read := func(answer string) []byte {
		return proxyconfigtest.Recorded(tb, filepath.Join("..", "..", "proxyconfig", "testdata"), "draining", answer)
	}
	dump = read("config_dump")
	return dump, read("clusters"), string(podName.FindSubmatch(dump)[1])
}

// another is the answer of a sidecar that was configured in the same way in another run:
// with other addresses, in another order of listeners, in another pod, at another time.
func another(dump []byte, pod string, source *rand.Rand) []byte {
	text := strings.ReplaceAll(string(dump), pod, "test-6d5f8b7c9d-"+string("bcdfg"[source.IntN(5)])+"x2zq")
	text = regexp.MustCompile(`"2\d\d\d-\d\d-\d\dT[^"]+"`).ReplaceAllString(text, `"`+time.Unix(source.Int64N(1<<31), 0).UTC().Format(time.RFC3339)+`"`)
	addresses := map[string]string{}
	text = address.ReplaceAllStringFunc(text, func(s string) string {
		if (normaliser{}).address(s) == s {
			return s
		}
		if addresses[s] == "" {
			addresses[s] = fmt.Sprintf("10.%d.%d.%d", len(addresses)%250, source.IntN(250), source.IntN(250))
		}
		return addresses[s]
	})
	var answer map[string]any
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		panic(err)
	}
	for _, s := range answer["configs"].([]any) {
		for _, list := range s.(map[string]any) {
			if list, ok := list.([]any); ok {
				source.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			}
		}
	}
	out, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return out
}

func run(tb testing.TB, dump, clusters []byte, pod string) *Run {
	tb.Helper()
	c, err := parse(dump, clusters, pod)
	if err != nil {
		tb.Fatal(err)
	}
	return &Run{Steps: []Step{{"headless", "ns1/test", c}}}
}

// TestSame: a configuration that differs from another only by chance does not differ.
func TestSame(t *testing.T) {
	dump, clusters, pod := answers(t)
	a := run(t, dump, clusters, pod)
	for seed := range uint64(3) {
		source := rand.New(rand.NewPCG(seed, 0))
		changed := another(dump, pod, source)
		b := run(t, changed, clusters, string(podName.FindSubmatch(changed)[1]))
		d := Compare(a, b)
		if len(d.Changes) > 0 || d.Compared != 1 || d.Objects[Listener] < 40 {
			t.Errorf("seed %d: %d compared, %v, %s", seed, d.Compared, d.Objects, d.Sections("A", "B"))
		}
	}
}

// TestPlanted plants differences in a real answer, beside those of chance. What is found
// of them is in the golden file.
func TestPlanted(t *testing.T) {
	dump, clusters, pod := answers(t)
	source := rand.New(rand.NewPCG(7, 0))
	var out bytes.Buffer
	for _, planted := range []struct{ what, old, new string }{
		{"xDS", `"api_type": "DELTA_GRPC"`, `"api_type": "GRPC"`},
		{"a field of all clusters that have it", `"connect_timeout": "10s"`, `"connect_timeout": "3s"`},
		{"a filter in many chains", `envoy.filters.http.fault"`, `envoy.filters.http.lua"`},
		{"a virtual host's name", `"name": "allow_any"`, `"name": "allow_some"`},
		{"a Service", `_9081"`, `_9082"`},
		{"the name of a filter chain", `"name": "virtualInbound-blackhole"`, `"name": "blackhole"`},
		{"a domain", `"172.20.9.69"`, `"elsewhere"`},
		{"an endpoint's port", `"port_value": 9153`, `"port_value": 9154`},
	} {
		changed := bytes.ReplaceAll(dump, []byte(planted.old), []byte(planted.new))
		if bytes.Equal(changed, dump) {
			t.Errorf("%s: nothing to plant it in", planted.what)
		}
		changed = another(changed, pod, source)
		b := run(t, changed, clusters, string(podName.FindSubmatch(changed)[1]))
		fmt.Fprintf(&out, "# %s: %s for %s\n", planted.what, planted.new, planted.old)
		for _, s := range Compare(run(t, dump, clusters, pod), b).Sections("A", "B") {
			fmt.Fprintf(&out, "%s\n- %s\n", s.Title, strings.Join(s.Lines, "\n- "))
		}
		fmt.Fprintln(&out)
	}
	golden(t, "planted", out.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("differs from %s (look at it, then go test -update):\n%s", path, diff)
	}
}

// small are answers of a made-up Envoy with one cluster and one listener.
func small(listener string) (dump, clusters string) {
	return `{"configs":[
		{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","static_clusters":[{"cluster":{"name":"a"}}]},
		{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","static_listeners":[{"listener":` + listener + `}]}]}`,
		`{"cluster_statuses":[{"name":"a","host_statuses":[{"address":{"socket_address":{"address":"10.0.0.7","port_value":80}}}]}]}`
}

// folder is that of a run of steps; the listener of each is given.
func folder(t *testing.T, listeners map[string]string, steps ...string) string {
	t.Helper()
	dir := t.TempDir()
	log, err := observations.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	add := func(r observations.Record) {
		if err := log.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	add(observations.Record{Run: &observations.Run{Schema: observations.Schema, Steps: steps}})
	for i, step := range steps {
		add(observations.Record{Step: &i, Begin: &observations.Begin{Name: step}})
		proxy := &observations.Proxy{Workload: "ns1/test", Pod: "test-1", Dumps: map[string]string{}}
		dump, clusters := small(listeners[step])
		for name, text := range map[string]string{"config_dump": dump, "clusters": clusters} {
			proxy.Dumps[name] = filepath.Join("dumps", step+"."+name+".json")
			if err := os.MkdirAll(filepath.Join(dir, "dumps"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, proxy.Dumps[name]), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		add(observations.Record{Step: &i, Proxy: proxy})
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRead(t *testing.T) {
	plain, grown := `{"name":"l","filter_chains":[]}`, `{"name":"l","filter_chains":[],"drain":"x"}`
	a := folder(t, map[string]string{"one": plain, "two": plain, "three": plain, "five": `{"name":"l2","filter_chains":[]}`}, "one", "two", "three", "five")
	b := folder(t, map[string]string{"one": plain, "two": grown, "four": plain, "five": `{"name":"l2","filter_chains":[],"drain":"x"}`}, "one", "two", "four", "five")
	read := func(dir string) *Run {
		r, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	d := Compare(read(a), read(b))
	want := []Section{{"Configuration of new against old: listeners", []string{
		`changed, at two, five: l, l2 (+drain: "x"), +3 bytes`, "not compared: three is only in A", "not compared: four is only in B",
	}}}
	if diff := cmp.Diff(want, d.Sections("old", "new")); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove(filepath.Join(b, "dumps", "two.config_dump.json")); err != nil {
		t.Fatal(err)
	}
	run := read(b)
	if diff := cmp.Diff([]string{"dumps/two.config_dump.json"}, run.Missing); diff != "" {
		t.Error(diff)
	}
	run.Steps = run.Steps[:1]
	if s := Compare(read(a), run).Sections("A", "B"); len(s) != 1 || !strings.HasPrefix(s[0].Lines[0], "no difference in 1 dump (1 cluster, 1 endpoint, 1 listener)") {
		t.Errorf("%q", s)
	}
	if s := Compare(&Run{}, run).Sections("A", "B"); !strings.Contains(s[0].Lines[0], "no step in common") {
		t.Errorf("%q", s)
	}
	if err := os.WriteFile(filepath.Join(b, "dumps", "one.clusters.json"), []byte("<html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(b); err == nil || !strings.Contains(err.Error(), "dumps/one.config_dump.json: read Envoy's clusters") {
		t.Error(err)
	}
	if _, err := Read(t.TempDir()); err == nil {
		t.Error("a folder without a log was read")
	}
}

func TestNormalise(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.16.4_80":                         "{IP of web.ns1}_80",
		"[fd00::12]:80":                        "[{IP of web.ns1}]:80",
		"0.0.0.0_80":                           "0.0.0.0_80",
		"127.0.0.6":                            "127.0.0.6",
		"::_80":                                "::_80",
		"169.254.169.254":                      "169.254.169.254",
		"sidecar~10.0.16.4~web-1.ns1~x":        "sidecar~{IP of web.ns1}~{pod}.ns1~x",
		"istiod-7d8f9c6b5-x2zqk":               "istiod-{pod}",
		"2026-11-24T06:37:20.460Z/4":           "{time}/4",
		"6f1c2a34-0000-4bcd-8e9f-001122334455": "{uid}",
		"outbound|80||web.ns1":                 "outbound|80||web.ns1",
		"06:37:20":                             "06:37:20",
		"1.23.2":                               "1.23.2",
	} {
		if got := (normaliser{pod: "web-1", host: "web.ns1"}).text(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}

// TestLong: what is many is said in few words.
func TestLong(t *testing.T) {
	var names []Name
	var fields []field
	for i := range 40 {
		names = append(names, Name{fmt.Sprintf("outbound|80||web-%d.apps", i), 1})
		fields = append(fields, field{path: []string{fmt.Sprintf("list[e%d]", i)}, old: "x"})
	}
	c := Change{Kind: Cluster, How: Changed, Names: names, Fields: describe(fields, false), Count: Range{7, 40}, Bytes: Range{-123456, -12}}
	if got, want := c.line("A", "B", 2), "changed, at all steps: 7 to 40 clusters: 40 of outbound|#||web-#.apps (-list[e0, e1, e2, e3, and 36 more]), -123 kB to -12 bytes"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzCompare: whatever an Envoy may answer, a configuration equals itself, and what it
// differs in from another, one way round, is what it differs in the other way round.
func FuzzCompare(f *testing.F) {
	dump, clusters := small(`{"name":"10.0.0.1_80","filter_chains":[{"filters":[{"name":"x"}]},null,3]}`)
	f.Add([]byte(dump), []byte(clusters))
	f.Add([]byte(strings.Replace(dump, `{"name":"a"}`, `"a"`, 1)), []byte(clusters))
	f.Fuzz(func(t *testing.T, dump, clusters []byte) {
		c, err := parse(dump, clusters, "pod")
		if err != nil {
			return
		}
		if changes := compare(c, c); len(changes) > 0 {
			t.Errorf("differs from itself: %v", changes)
		}
		if changes := compare(c, config{}); len(changes) == 0 {
			t.Error("nothing went")
		}
		same, answer := small(`{"name":"{IP}_80","filter_chains":[{"name":"y"}]}`)
		other := run(t, []byte(same), []byte(answer), "").Steps[0].config
		there, back := compare(c, other), compare(other, c)
		if (len(there) == 0) != (len(back) == 0) {
			t.Errorf("%v, the other way round %v", there, back)
		}
	})
}

// Runs on a cluster of others call the scenario's namespaces differently each time, which is
// no difference between their configurations.
func TestNamespaces(t *testing.T) {
	in := func(real, host string) *Run {
		dir := folder(t, map[string]string{"one": `{"name":"0.0.0.0_80","filter_chains":[],"stat_prefix":"outbound|80||` + host + `.svc"}`}, "one")
		path := filepath.Join(dir, observations.LogName)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte(`"schema":1`), []byte(`"schema":1,"namespaces":{"ns1":"`+real+`"}`), 1)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		run, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	a := in("ns1-x7k2p", "web.ns1-x7k2p")
	if d := Compare(a, in("ns1-bcdfg", "web.ns1-bcdfg")); len(d.Changes) > 0 || d.Compared != 1 {
		t.Errorf("%d compared: %v", d.Compared, d.Sections("A", "B"))
	}
	if d := Compare(a, in("ns1-bcdfg", "web.ns1-hjklm")); len(d.Changes) == 0 {
		t.Error("another namespace is no difference")
	}
}
