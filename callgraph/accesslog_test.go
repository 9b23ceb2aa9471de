package callgraph

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// addresses are those of the lines in testdata.
func addresses() Names {
	return Names{
		Pods: map[netip.Addr]Party{
			netip.MustParseAddr("10.244.0.10"): {Namespace: "shop", Workload: "cart"},
			netip.MustParseAddr("10.244.0.20"): {Namespace: "payments", Workload: "api"},
			netip.MustParseAddr("10.244.0.30"): {Namespace: "ingress", Workload: "gateway", Gateway: true},
		},
		Services: map[netip.Addr]Target{netip.MustParseAddr("10.96.7.7"): {Namespace: "stock", Service: "depot"}},
		Known:    map[string]bool{"payments/api": true, "stock/depot": true, "shop/cart": true, "data/db": true},
	}
}

func short(g *Graph) (calls, unknown []string) {
	for _, c := range g.Calls {
		line := c.From.String() + " -> " + c.To.String() + " " + Amount(c.Requests, c.Connections)
		if c.Bypassed > 0 {
			line += " bypassed"
		}
		if c.Blocked > 0 {
			line += " blocked"
		}
		calls = append(calls, line)
	}
	for _, u := range g.Unknown {
		unknown = append(unknown, u.Side+": "+u.String())
	}
	return calls, unknown
}

func TestAccessLog(t *testing.T) {
	for _, test := range []struct {
		file           string
		of             Party
		calls, unknown []string
	}{
		{
			"outbound.log", Party{Namespace: "shop", Workload: "cart"},
			[]string{
				"shop/cart -> api.example.com 1 request bypassed",
				"shop/cart -> api.stripe.com 1 connection",
				"shop/cart -> nobody.example.com 1 request blocked",
				"shop/cart -> data/db 1 connection",
				"shop/cart -> payments/api 2 requests",
				"shop/cart -> stock/depot 1 connection bypassed",
			},
			nil,
		},
		// Without being told whose log it is, the pod is known by its address.
		{
			"outbound.log", Party{},
			[]string{
				"shop/cart -> api.example.com 1 request bypassed",
				"shop/cart -> api.stripe.com 1 connection",
				"shop/cart -> nobody.example.com 1 request blocked",
				"shop/cart -> data/db 1 connection",
				"shop/cart -> payments/api 2 requests",
				"shop/cart -> stock/depot 1 connection bypassed",
			},
			nil,
		},
		{
			"inbound.log", Party{Namespace: "payments", Workload: "api"},
			[]string{"ingress/gateway -> payments/api 1 request", "shop/cart -> payments/api 1 request"},
			[]string{"caller: 10.9.9.9 calls payments/* (1 connection)", "caller: 10.9.9.9 calls payments/api (1 request)"},
		},
		{
			"json.log", Party{Namespace: "shop", Workload: "cart"},
			[]string{"shop/cart -> nobody.example.com 1 request blocked", "shop/cart -> data/db 1 connection", "shop/cart -> payments/api 1 request"},
			nil,
		},
		{
			"envoy.log", Party{Namespace: "shop", Workload: "cart"},
			[]string{"shop/cart -> payments/api 1 request"},
			[]string{"caller: somebody: Envoy's own format does not say who calls shop/cart (1 request)"},
		},
		{
			"wrapped.log", Party{},
			[]string{"shop/cart -> payments/api 3 requests"},
			[]string{"caller: 10.8.8.8 calls payments/api (1 request)"},
		},
	} {
		file, err := os.Open("testdata/" + test.file)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		g, err := AccessLog(Proxy{test.of, test.file}, file, addresses())
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		wellFormed(t, g)
		if first, last := g.First.Format("15:04:05"), g.Last.Format("15:04:05"); first != "14:00:01" || last < first {
			t.Errorf("%s: from %s to %s", test.file, first, last)
		}
		calls, unknown := short(g)
		if diff := cmp.Diff(test.calls, calls); diff != "" {
			t.Errorf("%s: %s", test.file, diff)
		}
		if diff := cmp.Diff(test.unknown, unknown); diff != "" {
			t.Errorf("%s: %s", test.file, diff)
		}
	}
}

func TestAccessLogErrors(t *testing.T) {
	for _, test := range []struct{ log, want string }{
		{"2026-01-01T00:00:00Z\tinfo\tReady\n", "cannot find a line of an access log among the 1 of x: is it on (meshConfig.accessLogFile: /dev/stdout) and in Istio's format?"},
		{`{"response_code":200,"path":"/"}`, "cannot read the access log of x: its 1 lines of JSON have no field upstream_cluster; log %UPSTREAM_CLUSTER_RAW% under that name (meshConfig.accessLogFormat)"},
	} {
		_, err := AccessLog(Proxy{Name: "x"}, strings.NewReader(test.log), Names{})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.log, err, test.want)
		}
	}
	if _, err := AccessLog(Proxy{Party{Namespace: "a"}, "a/b"}, strings.NewReader(""), Names{}); !errors.Is(err, ErrNoLines) {
		t.Errorf("an empty log: %v", err)
	}
	// One silent proxy among others is noted; silent ones alone are an error.
	var all Several
	if err := all.Add(nil, ErrNoLines); err != nil {
		t.Error(err)
	}
	if _, err := all.Graph(); !errors.Is(err, ErrNoLines) {
		t.Errorf("silent alone: %v", err)
	}
	if err := all.Add(&Graph{Seen: []string{"a"}}, nil); err != nil {
		t.Error(err)
	}
	if g, err := all.Graph(); err != nil || len(g.Notes) != 1 {
		t.Errorf("with another: %v, %v", g, err)
	}
	long := `[2026-11-30T14:00:00.000Z] "GET /` + strings.Repeat("x", 2<<20) + "\n" + `[2026-11-30T14:00:00.000Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 2 1 1 "-" "curl" "id" "payments.shop" "10.0.0.1:80" outbound|80||api.payments.svc.cluster.local 10.0.0.2:1 10.0.0.3:80 10.0.0.2:2 - default` + "\n"
	if g, err := AccessLog(Proxy{Party{Namespace: "a"}, "a/b"}, strings.NewReader(long), Names{}); err != nil || len(g.Calls) != 1 {
		t.Errorf("a line after one of 2 MiB: %v, %v", g, err)
	}
}

func TestWorkloadOf(t *testing.T) {
	for pod, want := range map[string]string{
		"cart-7d9f8b6c5d-x2k4z": "cart", "my-cart-5b8d-abcde": "my-cart-5b8d", "db-0": "db", "web": "web", "node-agent-x2k4z": "node-agent",
	} {
		if got := WorkloadOf(pod); got != want {
			t.Errorf("pod %s is of %s, want %s", pod, got, want)
		}
	}
}

func FuzzAccessLog(f *testing.F) {
	for _, file := range []string{"outbound.log", "inbound.log", "json.log", "envoy.log", "wrapped.log"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), true)
		f.Add(string(text), false)
	}
	f.Fuzz(func(t *testing.T, text string, known bool) {
		p := Proxy{Name: "x"}
		if known {
			p.Of = Party{Namespace: "shop"}
		}
		g, err := AccessLog(p, strings.NewReader(text), addresses())
		if err == nil {
			wellFormed(t, g)
		}
	})
}
