package proxyconfig

import (
	"strings"
	"testing"
)

func TestEgress(t *testing.T) {
	const cart, istiod, web = "cart.shop.svc.cluster.local", "istiod.istio-system.svc.cluster.local", "api.example.com"
	for _, test := range []struct {
		hosts []string
		sees  map[string]bool // by namespace/host, for a sidecar in shop
	}{
		{[]string{"./*", "istio-system/*"}, map[string]bool{"shop/" + cart: true, "istio-system/" + istiod: true, "pay/x.pay.svc.cluster.local": false, "/unknown": false}},
		{[]string{"*/*"}, map[string]bool{"shop/" + cart: true, "/unknown": true}},
		{[]string{"~/*"}, map[string]bool{"shop/" + cart: false}},
		{[]string{"*/*.example.com", "shop/" + cart}, map[string]bool{"ext/" + web: true, "ext/example.com": false, "shop/" + cart: true, "shop/other.shop.svc.cluster.local": false, "pay/" + cart: false}},
		{[]string{"~istio-system/*", "*/*"}, map[string]bool{"shop/" + cart: true, "istio-system/" + istiod: false}},
	} {
		e, err := ParseEgress(test.hosts)
		if err != nil {
			t.Fatal(err)
		}
		if e.String() != strings.Join(test.hosts, ", ") {
			t.Errorf("%v prints %s", test.hosts, e)
		}
		for key, want := range test.sees {
			namespace, host, _ := strings.Cut(key, "/")
			if got := e.Sees("shop", namespace, host); got != want {
				t.Errorf("%v sees %s: %v", test.hosts, key, got)
			}
		}
	}
	if e := (Egress{{namespace: ".", host: "*"}}); e.Sees("", "", "x") || !e.Own() {
		t.Error("an unknown namespace is nobody's own")
	}
	for _, wrong := range []string{"", "shop", "shop/", "/x", "Shop/*", "shop/a*", "~/x", "a/b/c"} {
		if _, err := ParseEgress([]string{wrong}); err == nil || !strings.Contains(err.Error(), "give NAMESPACE/HOST") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
