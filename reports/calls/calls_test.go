package calls

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
)

func TestBuild(t *testing.T) {
	g := NewWithT(t)
	yes, no, first, second := true, false, 0, 1
	call := func(step *int, to string, proofs ...observations.Proof) observations.Record {
		return observations.Record{Step: step, Call: &observations.Call{From: "ns1/client", To: to, Protocol: "http", Proves: "blocked", Proofs: proofs}}
	}
	answer := observations.Proof{By: "the answer", Holds: &yes, Says: "status 502"}
	log := observations.Proof{By: "the access log", Holds: &no, Says: "no line"}
	metric := observations.Proof{By: "the metric", Says: "not kept"}
	got := Build([]observations.Record{
		{Run: &observations.Run{Steps: []string{"open", "closed"}}},
		{Step: &first, Begin: &observations.Begin{}},
		call(&first, "a.ns2:80", answer),
		{Step: &second, Begin: &observations.Begin{}},
		call(&second, "again.ns2:80", answer),
		{Step: &second, Begin: &observations.Begin{}},
		call(&second, "b.ns2:80", answer, metric),
		call(&second, "c.ns2:80", answer, log),
		call(&second, "d.ns2:80", metric),
	})
	g.Expect(got).To(HaveLen(4))
	var holds []bool
	for i := range got {
		holds = append(holds, got[i].Holds())
	}
	g.Expect(holds).To(Equal([]bool{true, true, false, false}))
	g.Expect(got[2].Step).To(Equal("closed"))
	g.Expect(got[1].Seen()).To(Equal("the answer: proved (status 502); the metric: not to be had (not kept)"))
	g.Expect(got[2].Expected()).To(Equal("the sidecar of ns1/client should block what goes to c.ns2:80 (http)"))
	g.Expect(Section(got).Summary.Rows).To(HaveLen(6))
	g.Expect(Build(nil)).To(BeEmpty())
}
