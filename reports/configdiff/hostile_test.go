package configdiff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	comparison "github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/hostiletest"
)

// document shows differences as meshbench compare does: a list for each kind.
func document(d *Diff) (*comparison.Document, error) {
	doc := &comparison.Document{Title: "Comparison"}
	for _, s := range d.Sections("A", "B") {
		doc.Lists = append(doc.Lists, comparison.List{Title: s.Title, Lines: s.Lines})
	}
	return doc, nil
}

// TestHostileDiff: whatever the names and values of a configuration are, they are text.
func TestHostileDiff(t *testing.T) {
	build := func() *Diff {
		return &Diff{
			Compared: 2, Objects: map[Kind]int{Cluster: 2, Listener: 1}, Apart: []string{"one is only in A"},
			Changes: []Change{
				{Kind: Cluster, How: OnlyA, Names: []Name{{"outbound|80||web", 2}}, Count: Range{1, 2}, Places: []string{"one"}},
				{Kind: Listener, How: Changed, Names: []Name{{"0.0.0.0_80", 1}, {"0.0.0.0_81", 1}}, Fields: []string{"access_log: a → b", "+filters[x]"}, Bytes: Range{-1, 3}},
			},
		}
	}
	hostiletest.Run(t, build, hostiletest.Below(".Objects{}", ".Changes[].Kind", ".Changes[].How"), hostiletest.Documents(document)...)
}

// planted are texts that a dump has in place of its own.
type planted struct {
	Cluster, Host, Filter, Domain, Field, Value string
}

// TestHostileDump plants texts in a real answer, as names of each kind and as values.
func TestHostileDump(t *testing.T) {
	dump, clusters, pod := answers(t)
	was := run(t, dump, clusters, pod)
	build := func() *planted {
		return &planted{Cluster: "a-cluster", Host: "allow_some", Filter: "a-filter", Domain: "a-domain", Field: "a_field", Value: "a-value"}
	}
	outputs := hostiletest.Documents(func(p *planted) (*comparison.Document, error) {
		changed := dump
		for _, place := range []struct{ old, format, text string }{
			{`"name": "BlackHoleCluster"`, `"name": %s`, p.Cluster}, {`"name": "allow_any"`, `"name": %s`, p.Host}, {`"name": "envoy.filters.http.fault"`, `"name": %s`, p.Filter},
			{`"172.20.9.69"`, `%s`, p.Domain}, {`"connect_timeout": "10s"`, `%s: "3s"`, p.Field}, {`"api_type": "DELTA_GRPC"`, `"api_type": %s`, p.Value},
		} {
			text, err := json.Marshal(place.text)
			if err != nil {
				return nil, err
			}
			if !bytes.Contains(changed, []byte(place.old)) {
				return nil, fmt.Errorf("the dump has no %s", place.old)
			}
			changed = bytes.ReplaceAll(changed, []byte(place.old), fmt.Appendf(nil, place.format, text))
		}
		c, err := parse(changed, clusters, pod)
		if err != nil {
			return nil, err
		}
		return document(Compare(was, &Run{Steps: []Step{{"headless", "ns1/test", c}}}))
	})
	for i := range outputs {
		outputs[i].Slow = true
		if outputs[i].Name == "markdown" { // a long value is left out
			outputs[i].Problems = func(_, hostile string) []string {
				return append(hostiletest.Markdown(hostile), hostiletest.Plain(hostile)...)
			}
		}
	}
	hostiletest.Run(t, build, hostiletest.Nothing, outputs...)
}
