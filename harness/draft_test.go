package harness

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
)

// TestDraft holds that of a measurement which is made anew only the last is in the log, with the
// times at which it was made, and all that was said meanwhile.
func TestDraft(t *testing.T) {
	g := NewWithT(t)
	var log kept
	d := &draft{recorder: &recorder{log: &log}}
	objects := func(pods int) observations.Record {
		return observations.Record{Objects: &observations.Objects{Pods: pods}}
	}
	g.Expect(d.Append(objects(1))).To(Succeed())
	d.hold()
	g.Expect(d.Append(objects(2))).To(Succeed())
	d.event(observations.Warning, observations.Again, "said", "")
	d.drop()
	before := time.Now()
	g.Expect(d.Append(objects(3))).To(Succeed())
	after := time.Now()
	g.Expect(log).To(HaveLen(2))
	g.Expect(d.keep()).To(Succeed())
	g.Expect(d.Append(objects(4))).To(Succeed())

	g.Expect(log).To(HaveLen(4))
	g.Expect(log[0].Objects.Pods).To(Equal(1))
	g.Expect(log[1].Event.Message).To(Equal("said"))
	g.Expect(log[2].Objects.Pods).To(Equal(3))
	g.Expect(log[2].Time).To(And(BeTemporally(">=", before), BeTemporally("<=", after)))
	g.Expect(log[3].Objects.Pods).To(Equal(4))
}
