package callgraph

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	line, err := os.ReadFile("testdata/outbound.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop_cart-0.log", "proxies/shop/web-7d9f8b6c5d-x2k4z/istio-proxy.log", "any.log", "shop.cart-1.clusters.json", "proxies/shop/cart-0/clusters", "other.json"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, line, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	of := func(list []File) (all []string) {
		for _, f := range list {
			who := f.Of.String()
			if who == "" {
				who = "nobody"
			}
			all = append(all, who+" "+strings.TrimPrefix(f.Path, dir+"/"))
		}
		return all
	}
	logs, err := AccessLogs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"nobody any.log", "shop/web proxies/shop/web-7d9f8b6c5d-x2k4z/istio-proxy.log", "shop/cart shop_cart-0.log"}, of(logs)); diff != "" {
		t.Error(diff)
	}
	answers, err := ClustersAnswers(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"shop/cart proxies/shop/cart-0/clusters", "shop/cart shop.cart-1.clusters.json"}, of(answers)); diff != "" {
		t.Error(diff)
	}
	named, err := AccessLogs("pay/api-0=" + filepath.Join(dir, "any.log"))
	if err != nil || named[0].Of.String() != "pay/api" {
		t.Errorf("%v %v", named, err)
	}
	for _, bad := range []string{filepath.Join(dir, "none"), "pay/api-0=" + dir, filepath.Join(dir, "proxies", "shop", "cart-0")} {
		if list, err := AccessLogs(bad); err == nil {
			t.Errorf("%s: %v", bad, list)
		}
	}
	g, err := ReadFiles(logs, addresses(), AccessLog)
	if err != nil {
		t.Fatal(err)
	}
	// Of two proxies of cart, the counts add up.
	calls, _ := short(g)
	if !strings.Contains(strings.Join(calls, "\n"), "shop/cart -> payments/api 4 requests") {
		t.Errorf("%q", calls)
	}
}

func TestSum(t *testing.T) {
	call := func(requests int64) []Call {
		return []Call{{From: Party{Namespace: "a"}, To: Target{Namespace: "b", Service: "b"}, Requests: requests}}
	}
	// Two callers' proxies have counted 2 and 3, the callee's has counted 4 of theirs.
	g := Sum(&Graph{Seen: []string{"a"}, Calls: call(2)}, &Graph{Seen: []string{"a"}, Calls: call(3)}, &Graph{Seen: []string{"b"}, Calls: call(4)})
	if g.Calls[0].Requests != 5 {
		t.Errorf("%+v", g.Calls)
	}
}
