package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// tried is what advise --verify says.
type tried struct {
	Rows []struct {
		Workload  string
		Before    float64 `json:"beforeBytes"`
		Restarted float64 `json:"restartedBytes"`
		Predicted struct {
			Each struct{ Bytes, Lo, Hi float64 }
		}
	}
	Predicted float64 `json:"predictedBytes"`
	Measured  float64 `json:"measuredBytes"`
	Calls     []struct {
		From, To string
		Works    []bool
	}
	NotAsked []struct{ Call, Why string }
	Sources  []struct {
		Source string
		Same   int
		Differ []string
	}
}

var _ = Describe("scopes that advise proposes", Label("advise", nightly), func() {
	It("are the same from every source, save what is predicted, and cut no call", func() {
		who := self()
		dir := filepath.Join(who.Dir, fmt.Sprintf("e2e-%d-advise", os.Getpid()))
		scenario, err := filepath.Abs("testdata/advise.yaml")
		Expect(err).NotTo(HaveOccurred())
		run := who.run(15*time.Minute, "advise", "--verify", scenario, "--out", dir)
		run.Exits(0)
		text, err := os.ReadFile(filepath.Join(dir, "verification.json"))
		Expect(err).NotTo(HaveOccurred())
		var v tried
		Expect(json.Unmarshal(text, &v)).To(Succeed())
		Expect(v.NotAsked).To(BeEmpty())
		Expect(v.Calls).To(HaveLen(12), "six Services call two each")
		for _, c := range v.Calls {
			Expect(c.Works).To(Equal([]bool{true, true, true}), "%s calls %s, unscoped, scoped and restarted", c.From, c.To)
		}
		Expect(v.Sources).To(HaveLen(2))
		for _, s := range v.Sources {
			Expect(s.Differ).To(BeEmpty(), s.Source)
			Expect(s.Same).To(Equal(6), s.Source)
		}
		Expect(v.Rows).To(HaveLen(6))
		for _, r := range v.Rows {
			saved := r.Before - r.Restarted
			Expect(saved).To(BeNumerically(">", 0), r.Workload)
			Expect(saved).To(And(BeNumerically(">", r.Predicted.Each.Lo), BeNumerically("<", r.Predicted.Each.Hi)), "%s: predicted were %.0f", r.Workload, r.Predicted.Each.Bytes)
		}
		Expect(v.Predicted).To(BeNumerically("~", v.Measured, 0.25*v.Measured))
	})
})
