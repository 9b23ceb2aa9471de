package alias

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func fixed() *Names { return New([]byte("0123456789abcdef")) }

// Words of the APIs stay, and all others get aliases of the same form.
func TestText(t *testing.T) {
	for _, tt := range []struct{ text, form string }{
		{"cart", "^[a-z]{4}$"},
		{"cart-v1", "^[a-z]{4}-[a-z][0-9]$"},
		{"Cart_7", "^[A-Z][a-z]{3}_[0-9]$"},
		{"cart.shop.svc.cluster.local", `^[a-z]{4}\.[a-z]{4}\.svc\.cluster\.local$`},
		{"*.shop.svc.cluster.local:8080", `^\*\.[a-z]{4}\.svc\.cluster\.local:8080$`},
		{"shop/*", `^[a-z]{4}/\*$`},
		{"./*", `^\./\*$`},
		{"istio-system/*", `^istio-system/\*$`},
		{"cluster.local/ns/shop/sa/cart", `^cluster\.local/ns/[a-z]{4}/sa/[a-z]{4}$`},
		{"https://login.corp.com/v1/keys", `^https://[a-z]{5}\.[a-z]{4}\.com/v1/[a-z]{4}$`},
		{"10.1.2.3", `^198\.19\.0\.1$`},
		{"10.1.2.3/32,cart", `^198\.19\.0\.1/32,[a-z]{4}$`},
		{"10.0.0.0/8", `^10\.0\.0\.0/8$`},
		{"fd00::1", `^2001:db8:1::1$`},
		{"127.0.0.1:80", `^127\.0\.0\.1:80$`},
		{"198.18.0.7", `^198\.18\.0\.7$`},
		{"1.23.2", `^1\.23\.2$`},
		{"30s", "^30s$"}, {"128Mi", "^128Mi$"}, {"602401143452", "^[0-9]{12}$"},
		{"ROUND_ROBIN", "^ROUND_ROBIN$"},
		{"%REQ(X-CART)% %START_TIME% cart", `^%REQ\(X-CART\)% %START_TIME% [a-z]{4}$`},
		{"envoy.filters.http.lua", `^envoy\.filters\.http\.lua$`},
		{"request.headers[x-cart]", `^request\.headers\[[a-z]-[a-z]{4}\]$`},
	} {
		got := fixed().Text(tt.text)
		if !regexp.MustCompile(tt.form).MatchString(got) {
			t.Errorf("%s: got %s, want %s", tt.text, got, tt.form)
		}
	}
	if got := fixed().Name("PROD"); got == "PROD" {
		t.Error("a label's value in capitals stays")
	}
}

func TestPortName(t *testing.T) {
	n := fixed()
	for name, form := range map[string]string{
		"http": "^http$", "http-cart": "^http-[a-z]{4}$", "grpc-web-cart": "^grpc-web-[a-z]{4}$", "cart": "^[a-z]{4}$", "https": "^https$", "tcp-5": "^tcp-5$", "httpx": "^[a-z]{5}$",
	} {
		if got := n.PortName(name); !regexp.MustCompile(form).MatchString(got) {
			t.Errorf("%s: got %s, want %s", name, got, form)
		}
	}
}

// No alias is taken for a protocol, for a word of the API, or twice, of names of any length.
func TestUnique(t *testing.T) {
	n := fixed()
	seen := map[string]string{}
	add := func(name string) {
		alias := n.Name(name)
		if before, twice := seen[alias]; twice {
			t.Fatalf("%s and %s are both %s", before, name, alias)
		}
		if public(alias) || hasProtocol(alias) || alias == name {
			t.Fatalf("%s is %s", name, alias)
		}
		seen[alias] = name
	}
	for a := 'a'; a <= 'z'; a++ {
		add(string(a) + "q")
		add(string(a))
		for b := 'a'; b <= 'z'; b++ {
			if name := string(a) + string(b) + "z"; !public(name) {
				add(name)
			}
		}
	}
}

func TestBase(t *testing.T) {
	n := fixed()
	n.Base("ledger")
	if got, want := n.Name("ledger-12"), n.Name("ledger")+"-12"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := n.Name("other-12"); strings.HasSuffix(got, "-12") {
		t.Errorf("got %s", got)
	}
}

func TestRegexp(t *testing.T) {
	n := fixed()
	for text, form := range map[string]string{
		`^/cart/v[0-9]+/\d{2,3}$`: `^\^/[a-z]{4}/[a-z]\[0-9\]\+/\\d\{2,3\}\$$`,
		`(?i)shop|cart`:           `^\(\?i\)[a-z]{4}\|[a-z]{4}$`,
		`.*\.corp\.com`:           `^\.\*\\\.[a-z]{4}\\\.com$`,
		`a{1,x`:                   `^.*$`,
		`(`:                       `^\.\*$`,
		`[a-z]+-(blue|green)\x2f`: `^\[a-z\]\+-\([a-z]{4}\|[a-z]{5}\)\\x2f$`,
	} {
		if got := n.Regexp(text); !regexp.MustCompile(form).MatchString(got) {
			t.Errorf("%s: got %s", text, got)
		}
	}
}

// Objects keep what Istio depends on.
func TestObject(t *testing.T) {
	var o, want map[string]any
	decode := func(text string, into *map[string]any) {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	decode(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"cart","namespace":"shop","labels":{"app":"cart","corp.com/team":"blue","istio.io/rev":"canary","topology.kubernetes.io/zone":"eu-1a"},
	"annotations":{"networking.istio.io/exportTo":"shop, .","corp.com/owner":"jane"}},
	"spec":{"selector":{"app":"cart"},"ports":[{"name":"http-cart","port":80,"targetPort":"cart","appProtocol":"http"}],"type":"ClusterIP"},
	"regex":{"regex":"cart.*"},"headers":{"x-cart":{"exact":"blue"}},"inlineCode":"function envoy_on_request() end","matchExpressions":[{"key":"corp.com/team","operator":"In","values":["blue"]}],
	"sha256":"abc","workloadSelector":{"labels":{"app":"cart"}}}`, &o)
	n := fixed()
	cart, shop, blue, corp, team, owner, jane, xcart := n.Name("cart"), n.Name("shop"), n.Name("blue"), n.Name("corp"), n.Name("team"), n.Name("owner"), n.Name("jane"), n.Name("x-cart")
	got := n.Object(o)
	sum, _ := got["sha256"].(string)
	delete(got, "sha256")
	decode(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"`+cart+`","namespace":"`+shop+`","labels":{"app":"`+cart+`","`+corp+`.com/`+team+`":"`+blue+`","istio.io/rev":"canary","topology.kubernetes.io/zone":"eu-1a"},
	"annotations":{"networking.istio.io/exportTo":"`+shop+`, .","`+corp+`.com/`+owner+`":"`+jane+`"}},
	"spec":{"selector":{"app":"`+cart+`"},"ports":[{"name":"http-`+cart+`","port":80,"targetPort":"`+cart+`","appProtocol":"http"}],"type":"ClusterIP"},
	"regex":{"regex":"`+cart+`.*"},"headers":{"`+xcart+`":{"exact":"`+blue+`"}},"inlineCode":"--xxxxxxxxxxxxxxxxxxxxxxxxxxxxx","matchExpressions":[{"key":"`+corp+`.com/`+team+`","operator":"In","values":["`+blue+`"]}],
	"workloadSelector":{"labels":{"app":"`+cart+`"}}}`, &want)
	if !reflect.DeepEqual(got, want) {
		a, _ := json.MarshalIndent(got, "", " ")
		b, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	if len(sum) != 64 {
		t.Errorf("sha256 %s", sum)
	}
}

// The map is private, and keeps the aliases for another time.
func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.json")
	n := New(nil)
	before := n.Text("cart.shop 10.1.2.3")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := n.Save(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Text("cart.shop 10.1.2.3"); got != before {
		t.Errorf("got %s, want %s", got, before)
	}
	if a, b := again.Text("10.9.9.9"), again.Text("10.1.2.3"); a == b {
		t.Errorf("two addresses are %s", a)
	}
	if got, err := Open(filepath.Join(t.TempDir(), "none")); err != nil || got.Len() != 0 {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"key":"zz"}`, `{"key":"00112233445566778899aabbccddeeff","names":{"a":"x","b":"x"}}`, `{"key":"00112233445566778899aabbccddeeff","addresses":{"a":"x"}}`} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q is a map", bad)
		}
	}
}

func TestLeaks(t *testing.T) {
	n := fixed()
	alias := n.Name("cart")
	if got := n.Leaks("a: " + alias + "\nb: cartoon cart-x\nc: http://cart.local"); len(got) != 1 || got[0] != (Leak{"cart", 3}) {
		t.Errorf("%v", got)
	}
	n.Keep("the word cart is the API's")
	if got := n.Leaks("cart"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// Whatever the text, none of its names is left in it, and it is not shorter.
func FuzzText(f *testing.F) {
	for _, s := range []string{"cart.shop.svc.cluster.local", "%REQ(A)%x", "a-b--c", "10.0.0.1/33", "::1", "ſ-K"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := fixed()
		got := n.Text(s)
		if again := n.Text(s); again != got {
			t.Errorf("%q: %q and %q", s, got, again)
		}
		if found := n.Leaks(operator.ReplaceAllString(got, "")); len(found) > 0 && !strings.ContainsAny(s, "%") {
			t.Errorf("%q: %q has %v", s, got, found)
		}
	})
}

func FuzzRegexp(f *testing.F) {
	f.Add(`^/cart/v[0-9]+\d$`)
	f.Add(`\p{Greek}[^]a]`)
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := regexp.Compile(fixed().Regexp(s)); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func FuzzObject(f *testing.F) {
	f.Add(`{"metadata":{"labels":{"a":"b"},"annotations":{"proxy.istio.io/config":"{a: [b]}"}},"values":["x"],"operator":"In","key":"k"}`)
	f.Fuzz(func(t *testing.T, s string) {
		var o map[string]any
		if json.Unmarshal([]byte(s), &o) != nil || o == nil {
			return
		}
		if _, err := json.Marshal(fixed().Object(o)); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(`{"key":"00112233445566778899aabbccddeeff","names":{"a":"x"},"addresses":{"10.0.0.1":"198.19.0.9"}}`)
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parse([]byte(s)); err == nil {
			n.Text("cart 10.1.1.1")
		}
	})
}
