package reports

import (
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestLight: light proxies come in a later step, are expected, are said to have cost, and are
// warned of when one of them lacks something.
func TestLight(t *testing.T) {
	g := gomega.NewWithT(t)
	for _, missing := range []int{0, 1} {
		var records []observations.Record
		for _, r := range reportstest.Log() {
			if r.Begin != nil {
				b := *r.Begin
				b.Expect = append(b.Expect, observations.Expectation{What: "lightSidecars", Change: min(*r.Step, 1) * 100})
				r.Begin = &b
			}
			if r.Objects != nil && *r.Step > 0 {
				o := *r.Objects
				o.LightSidecars = 100
				r.Objects = &o
			}
			records = append(records, r)
			if r.Objects != nil && *r.Step > 0 {
				light := &observations.Light{Clients: 100, Connected: 100, Acknowledged: 100 - missing, Streams: 101, Certificates: 100,
					Cost: observations.Cost{CPUSeconds: 0.5, MemoryBytes: 100 << 20}, Bytes: map[string]int64{"cds": 1e6, "lds": 2e6}}
				if missing > 0 {
					light.Error = "no token"
				}
				records = append(records, observations.Record{Time: r.Time, Step: r.Step, Light: light})
			}
		}
		r, err := Build(records, false)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		for _, s := range r.Steps {
			for _, e := range s.Expectations {
				if e.What == "lightSidecars" {
					g.Expect(e.OK).To(gomega.BeTrue(), "%s: %v", s.Name, e.String())
				}
			}
		}
		g.Expect(r.Steps[0].Metrics).NotTo(gomega.HaveKey("light_sidecars"))
		g.Expect(r.Steps[1].Metrics["light_sidecars"].Value).To(gomega.Equal(100.0))
		want := "Light proxies at the last step: 100, of which 100 were connected and 100 had acknowledged everything. Each has cost 5.0 ms of CPU so far, and 1024 KiB of the memory of the process that speaks for all (0.5 s, 100.0 Mi). istiod has sent them 3.0 MB in 101 streams, and signed 100 certificates. They are in no statistic of sidecars."
		level := observations.Info
		if missing > 0 {
			level = observations.Warning
			want = strings.Replace(want, "and 100 had", "and 99 had", 1) + " One says: no token."
		}
		g.Expect(r.Findings).To(gomega.ContainElement(gomega.And(gomega.HaveField("Level", level), gomega.HaveField("Text", want))))
	}
}
