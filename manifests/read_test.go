package manifests

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

// listed returns the objects as line:place:name.
func listed(m *Manifest) string {
	var words []string
	for _, o := range m.Objects {
		words = append(words, fmt.Sprintf("%d:%s:%s", o.Line, o.Place, o))
	}
	return strings.Join(words, "\n")
}

const service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: ns}\n"

func TestLoad(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"a document":        {service, "1::Service ns/a"},
		"comments before":   {"# a\n---\n# b\n\n" + service, "5::Service ns/a"},
		"several documents": {"---\n---\n" + service + "---\n# nothing\n---\nnull\n---\n{}\n---\n" + strings.ReplaceAll(service, "name: a", "name: b"), "3::Service ns/a\n13::Service ns/b"},
		"an end mark":       {"%YAML 1.1\n---\n" + service + "...\n---\n" + strings.ReplaceAll(service, "name: a", "name: b"), "3::Service ns/a\n8::Service ns/b"},
		"dashes in a text": {service + "data: |\n  ---\n  a\n---\n" + strings.ReplaceAll(service, "name: a", "name: b"),
			"1::Service ns/a\n8::Service ns/b"},
		"on the dashes' line": {"--- {apiVersion: v1, kind: Service, metadata: {name: a, namespace: ns}}\n--- {apiVersion: v1, kind: Service, metadata: {name: b, namespace: ns}}", "1::Service ns/a\n2::Service ns/b"},
		"Windows":             {strings.ReplaceAll("\xef\xbb\xbf"+service+"---\n"+strings.ReplaceAll(service, "name: a", "name: b"), "\n", "\r\n"), "1::Service ns/a\n5::Service ns/b"},
		"kubectl's list": {`apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata:
    name: a
    namespace: ns
    annotations:
      text: |
        - apiVersion: v2
        items:
        # no comment
# a comment
- apiVersion: v1
  kind: Service
  metadata: {name: b, namespace: ns}
kind: List
metadata:
  resourceVersion: ""
`, "3:items[0]:Service ns/a\n14:items[1]:Service ns/b"},
		"an indented list": {`kind: List
apiVersion: v1
items:

  - kind: Service
    apiVersion: v1
    metadata: {name: a, namespace: ns}
  -
    kind: Service
    apiVersion: v1
    metadata: {name: b, namespace: ns}
`, "5:items[0]:Service ns/a\n8:items[1]:Service ns/b"},
		"a list of one kind": {`apiVersion: v1
items:
- metadata: {name: a, namespace: ns}
- {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns}}
- metadata: {name: b, namespace: ns}
kind: ServiceList
`, "3:items[0]:Service ns/a\n5:items[2]:Service ns/b\n4:items[1]:Pod ns/p"},
		"a list in a list": {`apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: List
  items:
  - apiVersion: v1
    kind: Service
    metadata: {name: a, namespace: ns}
- apiVersion: v1
  kind: ServiceList
  items:
  - metadata: {name: b, namespace: ns}
`, "7:items[0].items[0]:Service ns/a\n13:items[1].items[0]:Service ns/b"},
		"a list in flow style": {"{apiVersion: v1, kind: List, items: [\n{apiVersion: v1, kind: Service, metadata: {name: a, namespace: ns}},\n{apiVersion: v1, kind: Service, metadata: {name: b, namespace: ns}}]}",
			"2:items[0]:Service ns/a\n3:items[1]:Service ns/b"},
		"anchors over items": {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a, namespace: &n ns}\n- apiVersion: v1\n  kind: Service\n  metadata: {name: b, namespace: *n}\n",
			"4:items[0]:Service ns/a\n7:items[1]:Service ns/b"},
		"a document and a list": {service + "---\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: b, namespace: ns}\nkind: List\n",
			"1::Service ns/a\n7:items[0]:Service ns/b"},
		"an empty list":        {"apiVersion: v1\nitems: []\nkind: List\n", ""},
		"an empty JSON list":   {`{"apiVersion": "v1", "items": [], "kind": "List"}`, ""},
		"a list without items": {"apiVersion: v1\nkind: List\n", ""},
		"JSON": {`{
	"apiVersion": "v1",
	"kind": "Service", "metadata": {"name": "a", "namespace": "ns"}}`, "1::Service ns/a"},
		"JSON documents": {"{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\", \"namespace\": \"ns\"}}\n---\n\n{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"b\", \"namespace\": \"ns\"}}{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"c\", \"namespace\": \"ns\"}}\n",
			"1::Service ns/a\n4::Service ns/b\n4::Service ns/c"},
		"a JSON list": {`{
  "apiVersion": "v1",
  "items": [
    {
      "apiVersion": "v1",
      "kind": "Service",
      "metadata": {"name": "a", "namespace": "ns"}
    },

    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b", "namespace": "ns"}}
  ],
  "kind": "List"
}`, "4:items[0]:Service ns/a\n10:items[1]:Service ns/b"},
		"a JSON list of one kind": {`{"items": [{"metadata": {"name": "a", "namespace": "ns"}},
{"metadata": {"name": "b", "namespace": "ns"}}], "kind": "ServiceList", "apiVersion": "v1"}`, "1:items[0]:Service ns/a\n2:items[1]:Service ns/b"},
		"no JSON after all": {`{"apiVersion": v1, kind: Service, metadata: {name: a, namespace: ns}}`, "1::Service ns/a"},
		"JSON, then YAML": {`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "ns"}}
---
` + strings.ReplaceAll(service, "name: a", "name: b"), "1::Service ns/a\n3::Service ns/b"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Load(Text(tt.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := listed(m); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			// However the text comes in, it is the same.
			in, err := Load(Source{Open: func() (io.ReadCloser, error) {
				return io.NopCloser(iotest.OneByteReader(strings.NewReader(tt.text))), nil
			}}, Options{})
			if err != nil || listed(in) != tt.want || in.Sum != m.Sum || in.Size != int64(len(tt.text)) {
				t.Errorf("by single bytes: %v", err)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"no name": {"apiVersion: v1\nkind: Service\n", `x.yaml:1: Service: metadata.name: is missing; write the object's name`},
		"no name in a list": {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a, namespace: ns}\n- apiVersion: v1\n  kind: Service\n  metadata:\n    namespace: ns\n",
			`x.yaml:10: items[1] (Service): metadata.name: is missing; write the object's name`},
		"no name in JSON": {"{\"kind\": \"List\", \"items\": [\n{\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\t\"metadata\": {}}]}",
			`x.yaml:3: items[0] (Service): metadata.name: is missing; write the object's name`},
		"generateName": {"apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", `x.yaml:3: Pod: metadata.name: is missing; an object that is applied has a name, not a generateName`},
		"no kind":      {"\napiVersion: v1\nmetadata: {name: a}\n", `x.yaml:2: kind: is missing; write what kind of object it is, Service or Deployment`},
		"nothing": {"a: b\n", "x.yaml:1: apiVersion: is missing; write the kind's version, v1 or apps/v1\n" +
			"x.yaml:1: kind: is missing; write what kind of object it is, Service or Deployment\nx.yaml:1: metadata.name: is missing; write the object's name"},
		"a number":               {"apiVersion: v1\nkind: Service\nmetadata:\n  namespace: ns\n  name: 12\n", `x.yaml:5: Service: metadata.name: want a string, got the number 12; quote it`},
		"a label of YAML's":      {"apiVersion: v1\nkind: Service\nmetadata:\n  namespace: ns\n  name: a\n  labels:\n    a.b/c: x\n    sidecar.istio.io/inject: yes\n", `x.yaml:8: Service ns/a: metadata.labels.sidecar.istio.io/inject: want a string, got true (YAML takes y, n, yes, no, on and off for true and false); quote it`},
		"no namespace":           {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", `x.yaml:1: Service a: metadata.namespace: is missing; name a namespace, or add namespace: to the action apply for all objects that name none`},
		"twice":                  {service + "---\n" + service, `x.yaml:5: Service ns/a: metadata.name: the same object stands at line 1; remove one of them`},
		"a list of objects":      {"- apiVersion: v1\n", `x.yaml:1: want an object with apiVersion and kind, got a list; write apiVersion: v1, kind: List and items: around them`},
		"a JSON array":           {"[{\"kind\": \"Service\"}]", `x.yaml:1: want an object with apiVersion and kind, got a list; write apiVersion: v1, kind: List and items: around them`},
		"a text":                 {"Error from server: no\n---\nhello\n", "x.yaml:1: apiVersion: is missing; write the kind's version, v1 or apps/v1\nx.yaml:1: kind: is missing; write what kind of object it is, Service or Deployment\nx.yaml:1: metadata.name: is missing; write the object's name\nx.yaml:3: want an object with apiVersion and kind, got the string \"hello\""},
		"an empty item":          {"kind: List\nitems:\n-\n- {}\n", "x.yaml:3: items[0]: is empty; write an object or remove the item\nx.yaml:4: items[1]: apiVersion: is missing; write the kind's version, v1 or apps/v1\nx.yaml:4: items[1]: kind: is missing; write what kind of object it is, Service or Deployment\nx.yaml:4: items[1]: metadata.name: is missing; write the object's name"},
		"items no list":          {"{\"kind\": \"List\",\n\"items\": {}}", `x.yaml:2: items: want a list of objects`},
		"items no list in YAML":  {"kind: List\nitems: {}\n", `x.yaml:2: items: want a list of objects, got a mapping`},
		"duplicate":              {service + "kind: Pod\n", `x.yaml:4: duplicate field "kind"; write it once`},
		"duplicate in an item":   {"kind: List\nitems:\n- kind: Pod\n  kind: Pod\n", `x.yaml:4: duplicate field "kind"; write it once`},
		"duplicate in JSON":      {"{\"kind\": \"List\", \"items\": [\n{\"kind\": \"a\", \"kind\": \"b\"}]}", `x.yaml:2: duplicate field "kind"; write the field once`},
		"YAML syntax":            {service + "---\na: b\nc: [\n", `x.yaml:6: invalid YAML: did not find expected node content`},
		"YAML syntax in an item": {"kind: List\nitems:\n- a: b\n- a: 'b\n", `x.yaml:4: invalid YAML: found unexpected end of stream`},
		"JSON syntax":            {"{\"kind\": \"List\",\n\"items\": [\n{\"a\": 1},\n{\"a\" 1}]}", `x.yaml:4: invalid JSON: invalid character '1' after object key`},
		"JSON cut off":           {"{\"kind\": \"List\",\n\"items\": [\n{\"a\": 1},\n{\"a\": ", "x.yaml:4: invalid JSON: the text ends in the middle of a value; is the file whole?"},
		"no UTF-8":               {"apiVersion: v1\nkind: \xff\n", `x.yaml:2: invalid UTF-8; save the file as UTF-8`},
		"no UTF-8 in JSON":       {"{\"kind\":\n\"\xff\"}", `x.yaml:1: invalid UTF-8; save the file as UTF-8`},
		"an alias bomb": {"a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]\ng: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]\n",
			`x.yaml:1: invalid YAML: document contains excessive aliasing`},
	} {
		t.Run(name, func(t *testing.T) {
			source := Text(tt.text)
			source.Name = "x.yaml"
			_, err := Load(source, Options{})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

// TestLong holds that a text above the limit is read where it can be cut, and refused with
// advice where it cannot.
func TestLong(t *testing.T) {
	var list, flow strings.Builder
	list.WriteString("apiVersion: v1\nitems:\n")
	flow.WriteString("{apiVersion: v1, kind: List, items: [")
	for i := range 100 {
		fmt.Fprintf(&list, "- apiVersion: v1\n  kind: Service\n  metadata: {name: a%d, namespace: ns}\n", i)
		fmt.Fprintf(&flow, "{apiVersion: v1, kind: Service, metadata: {name: a%d, namespace: ns}},\n", i)
	}
	list.WriteString("kind: List\n---\n" + service)
	flow.WriteString("]}")
	small := limits{whole: 1000, rest: 100}
	m, err := read(Text(list.String()), Options{}, small)
	if err != nil || len(m.Objects) != 101 || m.Objects[100].Line != 305 {
		t.Errorf("%v: %s", err, listed(m))
	}
	for name, text := range map[string]string{"flow": flow.String(), "plain": service + "data: " + strings.Repeat("\n  long\n", 200)} {
		if _, err := read(Text(text), Options{}, small); err == nil || !strings.Contains(err.Error(), "line 1: a YAML document of more than 0 MiB") || !strings.Contains(err.Error(), "-o json") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := read(Text(text), Options{}, limits{whole: maxWhole, rest: maxRest}); err != nil {
			t.Errorf("%s within the limit: %v", name, err)
		}
	}
	broken := strings.Replace(list.String(), "{name: a99", "{name a99: ", 1)
	if _, err := read(Text(broken), Options{}, small); err == nil || !strings.Contains(err.Error(), "line 302: ") {
		t.Errorf("a broken item: %v", err)
	}
}

func TestLine(t *testing.T) {
	for name, text := range map[string]string{
		"YAML": "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a, namespace: ns}\n  spec:\n    ports:\n    - port: 1\n    - port: 2\n      nama: x\nkind: List\n",
		"JSON": "{\"items\": [\n\n{\n\t\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\t\"metadata\": {\"name\": \"a\", \"namespace\": \"ns\"},\n\t\"spec\": {\"ports\": [\n\n{\"port\": 1},\n{\"port\": 2,\n\"nama\": \"x\"}]}}], \"kind\": \"List\"}",
		"flow": "{kind: List, items: [\n\n{\n  apiVersion: v1, kind: Service,\n  metadata: {name: a, namespace: ns},\n  spec: {ports: [\n\n{port: 1},\n{port: 2,\nnama: x}]}}]}",
	} {
		m, err := Load(Text(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		o := m.Objects[0]
		if line := m.Line(o, "spec.ports[1].nama"); line != 10 {
			t.Errorf("%s: field at %d", name, line)
		}
		if line := m.Line(o, "spec.ports[1].other"); line != 9 {
			t.Errorf("%s: missing field at %d", name, line)
		}
		if line := m.Line(o, ""); line != 3 {
			t.Errorf("%s: object at %d", name, line)
		}
	}
}

// TestSplitAsWhole holds that a list is the same whether it is cut or parsed whole.
func TestSplitAsWhole(t *testing.T) {
	const list = `apiVersion: v1
items:
- apiVersion: v1
  kind: ConfigMap
  metadata:
    name: a
    namespace: ns
  data:
    yes: "1"
    octal: 0644
    folded: >
      a
      # b

      - c
    quoted: "a
      b"
    plain: a
      b
# c
-   kind: Deployment
    apiVersion: apps/v1
    metadata: {name: b, namespace: ns,
      labels: {x: y-}}
    spec: {replicas: 2, share: 0.5, big: 9007199254740993}
kind: List
`
	cut, err := Load(Text(list), Options{Raw: true})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Load(Text(strings.Replace(list, "items:", "items: !!seq", 1)), Options{Raw: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range cut.Objects {
		if a, b := cut.Objects[i].Unstructured(), whole.Objects[i].Unstructured(); !reflect.DeepEqual(a, b) {
			t.Errorf("cut:\n%v\nwhole:\n%v", a, b)
		}
	}
	if replicas := cut.Objects[1].Unstructured().Object["spec"].(map[string]any)["big"]; replicas != int64(9007199254740993) {
		t.Errorf("%T %v", replicas, replicas)
	}
}

// yamlBreak ends a line of YAML 1.1 (https://yaml.org/spec/1.1/#id871136).
var yamlBreak = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

func FuzzLoad(f *testing.F) {
	f.Add(service)
	f.Add("apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a, namespace: ns}\nkind: List\n")
	f.Add(`{"items": [{"metadata": {"name": "a"}}], "kind": "ServiceList", "apiVersion": "v1"}`)
	f.Add("{\"a\": b}\n---\n- c\n...\n%YAML 1.1\n---\nd")
	files, _ := filepath.Glob("testdata/*")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Load(Text(text), Options{Namespace: "x"})
		lines := len(yamlBreak.FindAllString(text, -1)) + 1
		if problems := (*Problems)(nil); errors.As(err, &problems) {
			for _, p := range problems.List {
				if p.Line < 1 || p.Line > lines || p.Message == "" {
					t.Errorf("%+v of %d lines", p, lines)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err) // nothing but problems can be wrong with a text
		}
		for _, o := range m.Objects {
			if o.Kind == "" || o.Name == "" || o.APIVersion == "" || o.Line < 1 || o.Line > lines {
				t.Errorf("%+v", o)
			}
			if u := o.Unstructured(); u.GetName() != o.Name || u.GetKind() != o.Kind || u.GetNamespace() != o.Namespace {
				t.Errorf("%s is %v", o, u)
			}
			if line := m.Line(o, "metadata.name"); line < o.Line || line > lines {
				t.Errorf("%s: name at line %d of %d", o, line, lines)
			}
		}
		low, err := read(Text(text), Options{Namespace: "x"}, limits{whole: 64, rest: 32})
		if err == nil && listed(low) != listed(m) {
			t.Errorf("cut:\n%s\nwhole:\n%s", listed(low), listed(m))
		}
	})
}

// endlessly repeats a text.
type endlessly struct {
	text string
	at   int
}

func (e *endlessly) Read(p []byte) (n int, err error) {
	for n < len(p) {
		m := copy(p[n:], e.text[e.at:])
		n += m
		e.at = (e.at + m) % len(e.text)
	}
	return n, nil
}

// What is longer than any cluster takes is refused where it begins, before it fills memory. None
// of these texts has an end.
func TestWhatNeverEndsIsRefused(t *testing.T) {
	const object = `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}`
	for name, test := range map[string]struct{ begin, again, want string }{
		"a line of YAML":             {"kind: ", "a", "m.yaml:1: the line has more than 16 MiB"},
		"a comment":                  {"kind: List\n# ", "a", "m.yaml:2: the line has more than 16 MiB"},
		"a document of YAML":         {"kind: List\n", "a: b\n", "m.yaml:1: a YAML document of more than 16 MiB"},
		"an item of a list":          {"apiVersion: v1\nkind: List\nitems:\n- a:\n", "  - b\n", "m.yaml:4: an item of more than 16 MiB"},
		"a string of JSON":           {object + `, "data": {"a": "`, "a", "m.yaml:1: a value of more than 16 MiB"},
		"a number of JSON":           {object + `, "data": `, "1", "m.yaml:1: a value of more than 16 MiB"},
		"an item of a list of JSON":  {`{"kind": "List", "apiVersion": "v1", "items": [` + "\n" + object + `, "data": [`, "{},", "m.yaml:2: a value of more than 16 MiB"},
		"many fields of JSON":        {object + `, "x": "` + strings.Repeat("x", 17<<20) + `"`, ` `, "more than 16777216 bytes"},
		"a name of a field of JSON":  {`{"`, "a", "m.yaml:1: a value of more than 16 MiB"},
		"spaces within a JSON value": {`{`, " ", "m.yaml:1: a value of more than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			opened := 0
			_, err := Load(Source{Name: "m.yaml", Open: func() (io.ReadCloser, error) {
				opened++
				return io.NopCloser(io.LimitReader(io.MultiReader(strings.NewReader(test.begin), &endlessly{text: test.again}), 1<<30)), nil
			}}, Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %.300v, want one with %q", err, test.want)
			}
			if opened == 0 {
				t.Error("it was not read")
			}
		})
	}
}

// Documents one after the other take no more memory and time than one list of them.
func TestManyDocumentsOfJSON(t *testing.T) {
	const n = 200_000
	for name, between := range map[string]string{"nothing": "", "lines": "\n", "dashes": "\n---\n"} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat(`{"kind":"A","apiVersion":"v1","metadata":{"name":"a"}}`+between, 3) +
				strings.Repeat("{}"+between, n) + `{"kind":"B","apiVersion":"v1","metadata":{"name":"b"}}`
			m, err := Load(Text(text), Options{Raw: true})
			if err != nil {
				t.Fatal(err)
			}
			last := m.Objects[len(m.Objects)-1]
			if len(m.Objects) != 4 || last.Kind != "B" || last.Line != 1+strings.Count(text, "\n") {
				t.Errorf("%d objects, the last %s at line %d", len(m.Objects), last, last.Line)
			}
		})
	}
}
