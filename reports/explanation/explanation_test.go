package explanation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/proxyconfig/proxyconfigtest"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// recorded is an answer of proxyconfig's test data.
func recorded(tb testing.TB, name, answer string) []byte {
	tb.Helper()
	return proxyconfigtest.Recorded(tb, filepath.Join("..", "..", "proxyconfig", "testdata"), name, answer)
}

// of takes apart a recorded dump, with its /clusters or without.
func attributed(tb testing.TB, name string, clusters bool) *proxyconfig.Attribution {
	tb.Helper()
	var hosts io.Reader
	if clusters {
		hosts = bytes.NewReader(recorded(tb, name, "clusters"))
	}
	a, err := proxyconfig.Attribute(bytes.NewReader(recorded(tb, name, "config_dump")), hosts)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func model(tb testing.TB) *costmodel.Model {
	tb.Helper()
	m, err := costmodel.Default()
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func egress(tb testing.TB, hosts ...string) proxyconfig.Egress {
	tb.Helper()
	e, err := proxyconfig.ParseEgress(hosts)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// meshDump is a configuration of Services with a port of TCP each, named by name, and a number
// of them of HTTP that share port 8080.
func meshDump(namespaces, services int, name func(i int) string) []byte {
	var clusters, listeners, hosts []string
	for n := range namespaces {
		for s := range services {
			i := n*services + s
			host := fmt.Sprintf("%s.%s.svc.cluster.local", name(i), name(n))
			port := 9000
			if i%3 == 0 {
				port = 8080
				hosts = append(hosts, fmt.Sprintf(`{"name":%q,"domains":[%q],"routes":[{"match":{"prefix":"/"},"route":{"cluster":%q}}]}`, host+":8080", host, "outbound|8080||"+host))
			} else {
				listeners = append(listeners, fmt.Sprintf(`{"name":"10.0.%d.%d_9000","active_state":{"listener":{"name":"x","filter_chains":[{"filters":[{"typed_config":{"cluster":%q}}]}]}}}`, i/250, i%250, fmt.Sprintf("outbound|%d||%s", port, host)))
			}
			meta := fmt.Sprintf(`{"filter_metadata":{"istio":{"services":[{"host":%q,"name":%q,"namespace":%q}]}}}`, host, name(i), name(n))
			clusters = append(clusters, fmt.Sprintf(`{"cluster":{"name":%q,"type":"EDS","metadata":%s}}`, fmt.Sprintf("outbound|%d||%s", port, host), meta))
		}
	}
	listeners = append(listeners, `{"name":"0.0.0.0_8080","active_state":{"listener":{"name":"x","filter_chains":[{"filters":[{"typed_config":{"rds":{"route_config_name":"8080"}}}]}]}}}`)
	const section = `{"@type":"type.googleapis.com/envoy.admin.v3.%sConfigDump",%q:[%s]}`
	return []byte(`{"configs":[` + strings.Join([]string{
		`{"@type":"type.googleapis.com/envoy.admin.v3.BootstrapConfigDump","bootstrap":{"node":{"id":"sidecar~10.0.0.1~web.` + name(0) + `~` + name(0) + `.svc.cluster.local","metadata":{"NAMESPACE":"` + name(0) + `","WORKLOAD_NAME":"web","NAME":"web-1","ISTIO_VERSION":"1.23.2"}}}}`,
		fmt.Sprintf(section, "Clusters", "dynamic_active_clusters", strings.Join(clusters, ",")),
		fmt.Sprintf(section, "Listeners", "dynamic_listeners", strings.Join(listeners, ",")),
		fmt.Sprintf(section, "Routes", "dynamic_route_configs", `{"route_config":{"name":"8080","virtual_hosts":[`+strings.Join(hosts, ",")+`]}}`),
	}, ",") + `]}`)
}

func generated(tb testing.TB, namespaces, services int, name func(i int) string) *proxyconfig.Attribution {
	tb.Helper()
	a, err := proxyconfig.Attribute(bytes.NewReader(meshDump(namespaces, services, name)), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// TestSums: parts make the whole, in counts, in bytes and in memory.
func TestSums(t *testing.T) {
	m := model(t)
	for _, name := range []string{"draining", "one-pod", "sidecar-resource", "virtualhosts"} {
		a := attributed(t, name, true)
		e := Explain(a, m, Options{Of: name})
		parts := append([]Part{e.Own, e.SharedTotal}, e.Namespaces...)
		var memory float64
		var bytes int64
		rows, endpoints := 0, 0
		for _, p := range parts {
			memory += p.Memory.Bytes
			bytes += p.Bytes
			rows += p.Rows.Cluster + p.Rows.Listener + p.Rows.Route
			endpoints += *p.Rows.Endpoint
		}
		total := e.Total
		if math.Abs(memory-total.Memory.Bytes) > 1 || bytes != total.Bytes || rows != total.Rows.Cluster+total.Rows.Listener+total.Rows.Route || endpoints != *total.Rows.Endpoint {
			t.Errorf("%s: parts have %.0f, %d, %d, %d, the whole %+v", name, memory, bytes, rows, endpoints, total)
		}
		memory, bytes = e.Empty.Bytes, 0
		for _, p := range e.Kinds {
			memory += p.Memory.Bytes
			bytes += p.Bytes
		}
		if math.Abs(memory-total.Memory.Bytes) > 1 || bytes != a.Bytes {
			t.Errorf("%s: kinds have %.0f and %d bytes, the whole %+v", name, memory, bytes, total)
		}
		var services float64
		for _, p := range e.Services {
			services += p.Memory.Bytes
		}
		for _, p := range e.Namespaces {
			services -= p.Memory.Bytes
		}
		if math.Abs(services) > 1 {
			t.Errorf("%s: Services differ from namespaces by %.0f", name, services)
		}
		for i := 1; i < len(e.Services); i++ {
			if e.Services[i].Memory.Bytes > e.Services[i-1].Memory.Bytes {
				t.Errorf("%s: %s stands before the larger %s", name, e.Services[i-1].Name, e.Services[i].Name)
			}
		}
	}
}

// TestScoped holds the scoped side against the configuration of a real sidecar that has the
// Sidecar resource.
func TestScoped(t *testing.T) {
	m := model(t)
	e := Explain(attributed(t, "draining", true), m, Options{Scope: egress(t, "./*", "istio-system/*"), Namespace: "ns2"})
	real := Explain(attributed(t, "sidecar-resource", true), m, Options{})
	// The proxies' own ports differ, nothing else does.
	scoped, own := e.Scoped.Total.Memory.Bytes-e.Own.Memory.Bytes, real.Total.Memory.Bytes-real.Own.Memory.Bytes
	if math.Abs(scoped-own) > 1 {
		t.Errorf("scoped %.0f above the proxy, really %.0f", scoped, own)
	}
	if saved := e.Total.Memory.Bytes - e.Scoped.Total.Memory.Bytes; math.Abs(saved-e.Scoped.Saves.Bytes) > 1 || saved <= 0 {
		t.Errorf("saves %.0f, the difference is %.0f", e.Scoped.Saves.Bytes, saved)
	}
	stays := map[string]bool{"istio-system/istiod": true, "ns2/noendpoints": true}
	for _, s := range e.Services {
		if s.Goes == stays[s.Name] {
			t.Errorf("%s goes: %v", s.Name, s.Goes)
		}
	}
	if one := Explain(attributed(t, "draining", true), m, Options{Scope: egress(t, "./*")}); one.Scoped.Services != 4 {
		t.Errorf("%d Services in the dump's own namespace", one.Scoped.Services)
	}
}

// TestUnknownEndpoints: what is not known is null and said, and no 0.
func TestUnknownEndpoints(t *testing.T) {
	e := Explain(generated(t, 2, 3, func(i int) string { return fmt.Sprintf("n%d", i) }), model(t), Options{Of: "x", Scope: egress(t, "./*")})
	if e.Total.Rows.Endpoint != nil || e.Total.Objects.Endpoints != nil || e.Services[0].Rows.Endpoint != nil {
		t.Error("endpoints are known")
	}
	text, err := json.Marshal(e)
	if err != nil || !bytes.Contains(text, []byte(`"endpoint":null`)) || !bytes.Contains(text, []byte(`"endpoints":null`)) {
		t.Errorf("%v %s", err, text)
	}
	var b strings.Builder
	if err := e.Text(&b, 20); err != nil {
		t.Fatal(err)
	}
	one := model(t).Added(observations.ConfigObjects{Endpoints: 1}, observations.RoutingObjects{})
	each := fmt.Sprintf("%.1f KiB each", one.Bytes/1024) // as the built-in model has it now
	for _, want := range []string{"takes at least", "it would take at least", "endpoint unknown", "Unknown: endpoints: the dump has no section of them", each} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "endpoints: 0 is outside") {
		t.Error("unknown endpoints are taken for none")
	}
	// The domain's own namespace cannot be told without a bootstrap.
	a := generated(t, 1, 1, func(i int) string { return "n" })
	a.Node = proxyconfig.Node{}
	if e := Explain(a, model(t), Options{Scope: egress(t, "./*")}); !strings.Contains(strings.Join(e.Unknown, "\n"), "give --namespace") {
		t.Errorf("%v", e.Unknown)
	}
}

// A gateway's configuration is said to be one, and a sidecar's limits are not advised for it.
func TestGateway(t *testing.T) {
	a := generated(t, 2, 3, func(i int) string { return fmt.Sprintf("n%d", i) })
	a.Node.ID = strings.Replace(a.Node.ID, "sidecar~", "router~", 1)
	e := Subject{Attribution: a, Options: Options{Of: "x"}}.Explain(model(t), egress(t, "./*"))
	var b strings.Builder
	if err := e.Text(&b, 20); err != nil {
		t.Fatal(err)
	}
	if e.Scoped != nil || e.Recommendation != nil || strings.Contains(b.String(), "proxyMemory") || !strings.Contains(b.String(), "It is not a sidecar's, and the model is of sidecars: one with it would take") {
		t.Error(b.String())
	}
}

// TestCompare: the difference is the second less the first, and nothing where they are equal.
func TestCompare(t *testing.T) {
	m := model(t)
	a, b := attributed(t, "one-pod", true), attributed(t, "draining", true)
	d := Compare(a, b, m, [2]Options{{Of: "a"}, {Of: "b"}})
	if c := d.Total; c.Rows.Cluster != 25 || c.Rows.Listener != 56 || c.Rows.Route != 18 || *c.Rows.Endpoint != 132 {
		t.Errorf("%+v", c)
	}
	if off := d.Memory[1].Bytes - d.Memory[0].Bytes - d.Total.Memory.Bytes; math.Abs(off) > 1 {
		t.Errorf("the change of memory is off by %.0f", off)
	}
	whats := map[string]string{}
	for _, c := range d.Services {
		whats[c.Name] = c.What
	}
	if whats["ns1/named"] != Added || whats["kube-system/kube-dns"] != "" {
		t.Errorf("%v", whats)
	}
	back := Compare(b, a, m, [2]Options{})
	if back.Services[0].What != Removed || back.Total.Memory.Bytes != -d.Total.Memory.Bytes {
		t.Errorf("%+v", back.Services[0])
	}
	same := Compare(a, attributed(t, "one-pod", true), m, [2]Options{})
	if len(same.Kinds)+len(same.Services)+len(same.Namespaces) > 0 || same.Own != nil || same.Total.Bytes != 0 {
		t.Errorf("%+v", same)
	}
	var text strings.Builder
	if err := same.Text(&text, 5); err != nil || !strings.Contains(text.String(), "Nothing that is counted differs") {
		t.Errorf("%v %s", err, text.String())
	}
	// A change of bytes alone is no row of a table.
	moved := attributed(t, "one-pod", true)
	for i := range moved.Items {
		if moved.Items[i].Host == "kubernetes.default.svc.cluster.local" {
			moved.Items[i].Bytes += 7
			break
		}
	}
	text.Reset()
	if err := Compare(a, moved, m, [2]Options{}).Text(&text, 5); err != nil || !strings.Contains(text.String(), "In bytes alone, as by times of updates: 1 part, +7 bytes") || strings.Contains(text.String(), "default/kubernetes") {
		t.Errorf("%v %s", err, text.String())
	}
	// One without endpoints says nothing of them.
	if d := Compare(a, attributed(t, "draining", false), m, [2]Options{}); d.Total.Rows.Endpoint != nil || len(d.Unknown) != 1 {
		t.Errorf("%+v, %v", d.Total, d.Unknown)
	}
}

// TestFormats: every format says the same, names are text, and long tables are cut.
func TestFormats(t *testing.T) {
	evil := func(i int) string { return fmt.Sprintf("<b>*_%d&", i) }
	e := Explain(generated(t, 3, 40, evil), model(t), Options{Of: "<script>x</script>", Scope: egress(t, "istio-system/*")})
	for name, print := range map[string]func(io.Writer) error{
		"text":     func(w io.Writer) error { return e.Text(w, 5) },
		"markdown": func(w io.Writer) error { return e.Markdown(w, 5) },
		"html":     func(w io.Writer) error { return HTML(w, "<i>", e) },
	} {
		var b strings.Builder
		if err := print(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if !strings.Contains(text, mib(e.Total.Memory.Bytes)+" Mi") || !strings.Contains(text, "proxyMemoryLimit") {
			t.Errorf("%s lacks the memory or the limits:\n%s", name, text)
		}
		switch name {
		case "html":
			for _, markup := range []string{"<script", "<b>*", "<i>"} {
				if strings.Contains(text, markup) {
					t.Errorf("html has %s of a name", markup)
				}
			}
			if n := strings.Count(text, "<svg"); n != 6 {
				t.Errorf("%d treemaps", n)
			}
		case "markdown":
			if strings.Contains(text, "<b>") || strings.Contains(text, "<script") {
				t.Error("markdown has markup of a name")
			}
			fallthrough
		default:
			if !strings.Contains(text, "115 more") {
				t.Errorf("%s does not say how many Services it leaves out:\n%s", name, text)
			}
		}
	}
}
