package e2e

import (
	"encoding/json"
	"time"

	. "github.com/onsi/gomega"
)

// explained is explain's JSON in the shape that is promised to its readers.
type explained struct {
	Total  explainedPart
	Kinds  []explainedPart
	Scoped *struct{ Total explainedPart }
}

type explainedPart struct {
	Name   string
	Bytes  int64
	Rows   rows
	Memory struct{ Bytes, Lo, Hi float64 }
}

// explain runs the command explain.
func (who *identity) explain(args ...string) explained {
	var e explained
	Expect(json.Unmarshal([]byte(who.run(time.Minute, append([]string{"explain", "--json"}, args...)...).Succeeds()), &e)).To(Succeed())
	return e
}

// addsUp checks that the kinds of what is explained are the whole.
func (e explained) addsUp() {
	var bytes int64
	for _, k := range e.Kinds {
		bytes += k.Bytes
	}
	Expect(bytes).To(Equal(e.Total.Bytes))
	Expect(e.Total.Memory.Bytes).To(And(BeNumerically(">", e.Total.Memory.Lo), BeNumerically("<", e.Total.Memory.Hi), BeNumerically(">", 20<<20)))
}
