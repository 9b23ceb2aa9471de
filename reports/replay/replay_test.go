package replay

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// The counts are compared by workload; what was not read is unknown and differs.
func TestReplay(t *testing.T) {
	source := &observations.Source{Proxies: []observations.SourceProxy{
		{Workload: "shop/cart", Pod: "cart-1", Counts: []observations.SourceCount{{What: "cluster", N: 4}, {What: "endpointObjects", N: 9}}},
		{Workload: "shop/web", Counts: []observations.SourceCount{{What: "route", N: 3}, {What: "listener", N: 8}}},
		{Workload: "shop/db", Pod: "db-0", Counts: []observations.SourceCount{{What: "cluster", N: 0}}},
	}}
	read := []observations.Proxy{
		{Workload: "shop/cart", Pod: "cart-x", Rows: observations.Counts{Cluster: 4}, Objects: observations.ConfigObjects{Endpoints: 9}},
		{Workload: "shop/web", Pod: "web-x", Rows: observations.Counts{Route: 5, Listener: 8}},
		{Workload: "shop/other", Pod: "other-x"},
	}
	for name, tt := range map[string]struct {
		source *observations.Source
		want   []string
	}{
		"differs": {source, []string{
			"warning shop/web holds something else than in the source: route 3 in the source, 5 here (+2).",
			"warning shop/db (db-0) was not compared with the source: no real proxy of it was read. Give it one with --real-for shop/db.",
			"info 3 of 5 counts are those of the source's live proxies, 3 in all. 1 of them were not compared.",
		}},
		"equal": {&observations.Source{Proxies: source.Proxies[:1]}, []string{"info All 2 counts are those of the source's live proxies, 1 in all."}},
	} {
		t.Run(name, func(t *testing.T) {
			s := Section(Of(tt.source, "all", read))
			var got []string
			for _, f := range s.Findings {
				if f.Step != "all" {
					t.Errorf("step %q", f.Step)
				}
				got = append(got, f.Level+" "+f.Text)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if name == "differs" {
				if got := strings.Join(s.Summary.Rows[4], "|"); len(s.Summary.Rows) != 5 || got != "shop/db (db-0)|cluster|0|unknown|unknown" {
					t.Errorf("%v", s.Summary.Rows)
				}
			}
		})
	}
	if Of(nil, "all", read) != nil {
		t.Error("a replay of nothing")
	}
}
