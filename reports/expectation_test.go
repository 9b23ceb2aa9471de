package reports

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// Expectations of a gateway are judged against the first step at which one was read, and are
// unknown where there is none.
func TestExpectationsOfGateways(t *testing.T) {
	g := gomega.NewWithT(t)
	records := reportstest.Gateways() // which are there from the second step on, with 999 clusters
	for i, r := range records {
		if r.Begin == nil {
			continue
		}
		b := *r.Begin
		b.Expect = []observations.Expectation{{What: "cluster", Kind: observations.ProxyGateway, Change: 0}, {What: "route", Kind: observations.ProxyGateway, Change: 5}}
		records[i].Begin = &b
	}
	for i, r := range records { // one row more at the fourth step
		if r.Proxy != nil && r.Proxy.Kind == observations.ProxyGateway && *r.Step == 3 {
			p := *r.Proxy
			p.Rows.Cluster, p.Rows.Route = 1000, 5
			records[i].Proxy = &p
		}
	}
	r, err := Build(records, false)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	got := func(step int) (ok [2]bool, changes [2]any) {
		for i, e := range r.Steps[step].Expectations {
			if ok[i] = e.OK; e.Got != nil {
				changes[i] = *e.Got
			}
		}
		return ok, changes
	}
	for step, want := range [][2]any{{nil, nil}, {0, 0}, {0, 0}, {1, 5}} {
		ok, changes := got(step)
		g.Expect(changes).To(gomega.Equal(want), "step %d", step+1)
		g.Expect(ok).To(gomega.Equal([2]bool{want[0] == any(0), want[1] == any(5)}), "step %d", step+1)
	}
	g.Expect(r.Steps[0].Expectations[0].String()).To(gomega.Equal("gateway cluster should change by +0 against the first step with a gateway, which is unknown: it could not be read"))
	g.Expect(r.Steps[3].Others[0].Rows.Cluster).To(gomega.Equal(1000))
}
