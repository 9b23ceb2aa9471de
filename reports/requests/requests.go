// Package requests tells where the proxies that are witnesses have sent requests: to which
// subset of which host, in each step, by their own counts. It is the proof that routing by
// weight does what it says.
package requests

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
)

// Step is a step with the witnesses' configurations.
type Step struct {
	Name    string
	Proxies []observations.Proxy
}

// Sent is what a proxy sent to a cluster in a step.
type Sent struct {
	From   string // namespace/pod
	Of     string // the pod's workload, namespace/name
	Host   string // reviews.bookinfo.svc.cluster.local:9080
	Subset string // "" for none
	N      int64
	// Share is that of all that the proxy sent to the host in the step, 0 to 1.
	Share float64
}

// In is what was sent in a step, since the witnesses were read in the steps before, sorted by
// proxy, host and subset. A proxy that was started anew, which counts from 0, has all of its.
func In(steps []Step, at int) []Sent {
	var sent []Sent
	for _, p := range steps[at].Proxies {
		before := map[string]int64{}
		for _, s := range steps[:at] {
			for _, o := range s.Proxies {
				if o.Namespace == p.Namespace && o.Pod == p.Pod {
					before = o.Requests
				}
			}
		}
		if slices.ContainsFunc(slices.Collect(maps.Keys(p.Requests)), func(c string) bool { return p.Requests[c] < before[c] }) {
			before = nil
		}
		total := map[string]int64{}
		var of []Sent
		for cluster, n := range p.Requests {
			direction, port, subset, host, ok := split(cluster)
			if n -= before[cluster]; !ok || direction != "outbound" || n <= 0 {
				continue
			}
			one := Sent{From: p.Namespace + "/" + p.Pod, Of: p.Workload, Host: host + ":" + port, Subset: subset, N: n}
			total[one.Host] += n
			of = append(of, one)
		}
		for i := range of {
			of[i].Share = float64(of[i].N) / float64(total[of[i].Host])
		}
		sent = append(sent, of...)
	}
	slices.SortFunc(sent, func(a, b Sent) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.Host, b.Host), strings.Compare(a.Subset, b.Subset))
	})
	return sent
}

// split takes the name that istiod gives a cluster apart: outbound|9080|v1|reviews.ns1.svc.cluster.local.
func split(cluster string) (direction, port, subset, host string, ok bool) {
	parts := strings.Split(cluster, "|")
	if len(parts) != 4 {
		return "", "", "", "", false
	}
	return parts[0], parts[1], parts[2], parts[3], true
}

// Section is the section about all steps; nil where no witness has sent anything.
func Section(steps []Step) *sections.Section {
	table := sections.Table{Title: "Requests that the witnesses sent in each step, by their proxies' own counts",
		Header: []string{"step", "from", "requests", "share %", "subset", "to"}}
	for i, s := range steps {
		for _, sent := range In(steps, i) {
			table.Rows = append(table.Rows, []string{s.Name, cmp.Or(sent.Of, sent.From), fmt.Sprint(sent.N), fmt.Sprintf("%.1f", 100*sent.Share), cmp.Or(sent.Subset, "-"), strings.Replace(sent.Host, ".svc.cluster.local", "", 1)})
		}
	}
	if len(table.Rows) == 0 {
		return nil
	}
	return &sections.Section{Name: "requests", Summary: table,
		Notes: []string{"Counted are requests to pods that are still there, from the begin of the proxy (rq_total of its /clusters)."}}
}
