package standin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestParse(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Parse("")).To(Equal(Defaults()))
	g.Expect(Parse("# nothing")).To(Equal(Defaults()))
	g.Expect(Parse("{}")).To(Equal(Defaults()))
	got, err := Parse(`
status: 503
delay: 5ms
headers: {x-version: v2}
size: 1024
calls: [http://details:9080/details/0, "http://ratings:9080/ratings/0"]
timeout: 2s
`)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(Config{
		Status: 503, Delay: Duration(5 * time.Millisecond), Headers: map[string]string{"x-version": "v2"}, Size: 1024,
		Calls: []string{"http://details:9080/details/0", "http://ratings:9080/ratings/0"}, Timeout: Duration(2 * time.Second),
	}))
}

func TestParseRefuses(t *testing.T) {
	many := func(n int, item string) string { return strings.Repeat(item+",", n) }
	for text, want := range map[string]string{
		"statuss: 200":                          "line 1: unknown field statuss; the fields are status, delay, headers, size, calls, timeout",
		"status: 100":                           "status: 100 is no final status of HTTP; want 200 to 599",
		"status: 600":                           "status: 600 is no final status",
		"status: OK":                            "line 1: cannot unmarshal !!str `OK` into int",
		"\ndelay: 5":                            `line 2: "5" is no time such as 5ms or 2s`,
		"delay: -1s":                            "delay: -1s is out of range; want 0s to 1m0s",
		"delay: 2m":                             "delay: 2m0s is out of range",
		"timeout: 0s":                           "timeout: 0s is out of range; want 1ms to 5m0s",
		"size: -1":                              "size: -1 is out of range",
		"size: 10485761":                        "size: 10485761 is out of range; want 0 to 10485760 bytes",
		"headers: {a b: c}":                     `headers: "a b: c" is not valid as an HTTP header`,
		"headers: {a: \"b\\nc\"}":               `is not valid as an HTTP header`,
		"headers: {Content-Length: \"1\"}":      "headers: Content-Length is set by the server itself; omit it",
		"calls: [details]":                      `calls[0]: "details" is no address to request; want e.g. http://details:9080/details/0`,
		"calls: [http://a, https://b]":          `calls[1]: "https://b" is no address to request`,
		"calls: [" + many(33, "http://a") + "]": "calls: 33 are too many; want at most 32",
		"status: 200\n---\nstatus: 200":         "want one document",
		"- 1":                                   "line 1: cannot unmarshal !!seq into a mapping of fields such as status: 200",
		"status: 200\nsize: [":                  "line 3: did not find expected node content",
		"#" + strings.Repeat("x", MaxText):      "65537 bytes are too many; at most 65536 are read",
	} {
		_, err := Parse(text)
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring(want)), "%.40q", text)
	}
}

func TestEnvironment(t *testing.T) {
	g := NewWithT(t)
	c, err := Parse(`{status: 404, delay: 1ms, calls: ["http://a/?x=<&>"]}`)
	g.Expect(err).NotTo(HaveOccurred())
	self := Self{Namespace: "ns1", Pod: "reviews-v2-1", Workload: "reviews-v2", Labels: map[string]string{"version": "v2"}}
	env, err := Environment(c, self, []int{80, 9080})
	g.Expect(err).NotTo(HaveOccurred())
	got := map[string]string{}
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		got[name] = value
	}
	c2, self2, ports, err := FromEnvironment(func(name string) string { return got[name] }, "host")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c2).To(Equal(c))
	g.Expect(self2).To(Equal(self))
	g.Expect(ports).To(Equal([]int{80, 9080}))
}

func TestFromEnvironment(t *testing.T) {
	many := make([]string, MaxPorts+1)
	for i := range many {
		many[i] = fmt.Sprint(i + 1)
	}
	for _, c := range []struct {
		env  map[string]string
		want string // of an error
	}{
		{map[string]string{PortsVariable: "80, 80,9080"}, ""},
		{nil, `MESHBENCH_STAND_IN_PORTS: "" is no list of ports such as 80,9080`},
		{map[string]string{PortsVariable: "0"}, "is no list of ports"},
		{map[string]string{PortsVariable: strings.Join(many, ",")}, "65 ports are too many; want at most 64"},
		{map[string]string{PortsVariable: "80", ConfigVariable: "status: 1"}, "MESHBENCH_STAND_IN: status: 1 is no final status"},
		{map[string]string{PortsVariable: "80", SelfVariable: `{"name": "x"}`}, `MESHBENCH_STAND_IN_SELF: json: unknown field "name"`},
	} {
		g := NewWithT(t)
		config, self, ports, err := FromEnvironment(func(name string) string { return c.env[name] }, "pod-1")
		if c.want != "" {
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
			continue
		}
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(config).To(Equal(Defaults()))
		g.Expect(self).To(Equal(Self{Pod: "pod-1"}))
		g.Expect(ports).To(Equal([]int{80, 9080}))
	}
}

// FuzzParse holds that what is accepted is in range and reaches the stand-in unchanged.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "status: 200", "{delay: 5ms, headers: {a: b}, calls: [http://a:1/b?c]}", "size: 1e3", "a: &a [*a]", "- 1", "headers: {<<: {a: b}}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		if err := c.check(); err != nil {
			t.Fatalf("%q is accepted: %v", text, err)
		}
		env, err := Environment(c, Self{}, []int{1})
		if err != nil {
			t.Fatal(err)
		}
		_, written, _ := strings.Cut(env[0], "=")
		again, err := Parse(written)
		if err != nil && len(written) <= MaxText {
			t.Fatalf("%q of %q: %v", written, text, err)
		}
		if err == nil && fmt.Sprint(again) != fmt.Sprint(c) {
			t.Fatalf("%q: %+v became %+v", text, c, again)
		}
	})
}
