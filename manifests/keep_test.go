package manifests

import (
	"strings"
	"testing"
)

const twoItems = `apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata: {name: a, namespace: ns, uid: u}
  spec: {ports: [{port: 80}]}
- apiVersion: v1
  kind: Secret
  metadata: {name: b, namespace: ns}
  data: {a: Yg==}
`

// Of an object only what Keep returns is there, and nothing of those that it leaves out,
// whatever the form of the text.
func TestKeep(t *testing.T) {
	for name, text := range map[string]string{
		"YAML": twoItems + "kind: List\n",
		"JSON": `{"apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"ns","uid":"u"},"spec":{"ports":[{"port":80}]}},` +
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"b"},"data":{"a":"Yg=="}}],"kind":"List"}`,
		"a list that is parsed whole": `{kind: List, apiVersion: v1, items: [{apiVersion: v1, kind: Service, metadata: {name: a, namespace: ns}, spec: {ports: [{port: 80}]}}]}`,
	} {
		m, err := Load(Text(text), Options{Raw: true, Whole: true, Keep: func(o *Object, value map[string]any) map[string]any {
			if o.Kind == "Secret" {
				return nil
			}
			return map[string]any{"spec": value["spec"]}
		}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := listed(m); !strings.HasSuffix(got, ":Service ns/a") || strings.Contains(got, "\n") {
			t.Errorf("%s: %s", name, got)
		}
		if data := string(m.Objects[0].data); data != `{"spec":{"ports":[{"port":80}]}}` {
			t.Errorf("%s: %s", name, data)
		}
	}
}

// A YAML list that was cut between two items passes for a shorter one, unless lists must be
// whole.
func TestWhole(t *testing.T) {
	cut := twoItems[:strings.Index(twoItems, "- apiVersion: v1\n  kind: Secret")]
	if _, err := Load(Text(cut), Options{Raw: true}); err != nil {
		t.Errorf("kubectl takes it: %v", err)
	}
	_, err := Load(Text(cut), Options{Raw: true, Whole: true})
	if err == nil || !strings.Contains(err.Error(), "line 1: the list has no kind") {
		t.Errorf("%v", err)
	}
	if _, err := Load(Text(`{"apiVersion":"v1","items":[]}`), Options{Raw: true, Whole: true}); err == nil {
		t.Error("JSON without a kind is whole")
	}
}
