package callgraph

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoForms = `calls:
  - {from: shop, to: catalog/catalog}
  - from: shop/cart
    to: [payments/api, stock/*, api.example.com, "db.data.svc.cluster.local:5432"]
  - {from: stock, to: []}
`

func TestDeclared(t *testing.T) {
	g, err := Declared("calls.yaml", strings.NewReader(twoForms), Names{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Call{
		{From: Party{Namespace: "shop"}, To: Target{Namespace: "catalog", Service: "catalog"}, Places: []string{"calls.yaml:2"}},
		{From: Party{Namespace: "shop", Workload: "cart"}, To: Target{Host: "api.example.com"}, Places: []string{"calls.yaml:4"}},
		{From: Party{Namespace: "shop", Workload: "cart"}, To: Target{Namespace: "data", Service: "db"}, Places: []string{"calls.yaml:4"}},
		{From: Party{Namespace: "shop", Workload: "cart"}, To: Target{Namespace: "payments", Service: "api"}, Places: []string{"calls.yaml:4"}},
		{From: Party{Namespace: "shop", Workload: "cart"}, To: Target{Namespace: "stock"}, Places: []string{"calls.yaml:4"}},
	}
	if diff := cmp.Diff(want, g.Calls); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"shop", "stock"}, g.Seen); diff != "" {
		t.Error(diff)
	}
	table := "# a comment\nwho,from,to\nme,shop,catalog/catalog\nme,shop/cart,payments/api\nme,shop/cart,stock/*\nme,shop/cart,api.example.com\nme,shop/cart,db.data.svc.cluster.local:5432\n"
	same, err := Declared("calls.csv", strings.NewReader(table), Names{})
	if err != nil {
		t.Fatal(err)
	}
	without := func(calls []Call) []Call {
		var list []Call
		for _, c := range calls {
			c.Places = nil
			list = append(list, c)
		}
		return list
	}
	if diff := cmp.Diff(without(g.Calls), without(same.Calls)); diff != "" {
		t.Errorf("the same calls as CSV: %s", diff)
	}
}

func TestDeclaredProblems(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a.yaml", "", "a.yaml:1: is empty; want calls: with items like {from: shop/cart, to: payments/api}"},
		{"a.yaml", "call: []", "a.yaml:1: unknown field \"call\"; want calls\na.yaml:1: calls is missing: a list with items like {from: shop/cart, to: payments/api}"},
		{"a.yaml", "calls:\n- {from: a b, to: c/d}\n- {from: x, to: y}\n- {from: x}\n- {from: x, to: [{a: b}]}\n- {from: x, to: a/b/c, by: http}",
			`a.yaml:2: invalid caller "a b": want NAMESPACE or NAMESPACE/WORKLOAD, e.g. shop/cart
a.yaml:3: invalid callee "y": want NAMESPACE/SERVICE, NAMESPACE/* or a host, e.g. payments/api, stock/*, api.example.com
a.yaml:4: want both from and to, e.g. {from: shop/cart, to: payments/api}; who calls nobody has to: []
a.yaml:5: to: want NAMESPACE/SERVICE, NAMESPACE/* or a host
a.yaml:6: unknown field "by"; want from and to
a.yaml:6: invalid callee "a/b/c": want NAMESPACE/SERVICE, NAMESPACE/* or a host, e.g. payments/api, stock/*, api.example.com`},
		{"a.yaml", "calls: [", "a.yaml:1: invalid YAML: line 1: did not find expected node content"},
		{"a.csv", "shop\n\"x,y\n", "a.csv:1: want the columns from and to, got 1; e.g. shop/cart,payments/api\na.csv:2: invalid CSV: extraneous or missing \" in quoted-field"},
		{"a.csv", "", "a.csv:1: is empty; want lines like shop/cart,payments/api"},
	} {
		_, err := Declared(test.name, strings.NewReader(test.text), Names{})
		if err == nil || err.Error() != test.want {
			t.Errorf("%q:\n%v\nwant\n%s", test.text, err, test.want)
		}
	}
}

func FuzzDeclared(f *testing.F) {
	f.Add(twoForms, true)
	f.Add("from,to\na,b/c\n", false)
	f.Fuzz(func(t *testing.T, text string, yaml bool) {
		name := "calls.csv"
		if yaml {
			name = "calls.yaml"
		}
		g, err := Declared(name, strings.NewReader(text), Names{})
		if err == nil {
			wellFormed(t, g)
		}
	})
}

// wellFormed holds of every graph.
func wellFormed(t *testing.T, g *Graph) {
	t.Helper()
	for _, c := range g.Calls {
		if c.From.Namespace == "" || (c.To.Host == "") == (c.To.Namespace == "") || c.To.Host != "" && c.To.Service != "" {
			t.Errorf("a call without a side: %+v", c)
		}
	}
	for _, u := range g.Unknown {
		if u.Caller == "" || u.Callee == "" || u.Side != Caller && u.Side != Callee {
			t.Errorf("an unknown call that does not say what is known: %+v", u)
		}
	}
}
