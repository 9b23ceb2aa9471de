package harness

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/internal/standstill"
)

// TestStandstills holds from when limits count, and which standstills concern what was read
// after a time.
func TestStandstills(t *testing.T) {
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	s := &standstills{gaps: []standstill.Gap{
		{From: at(10), To: at(70), Length: time.Minute}, {From: at(100), To: at(130), Length: 30 * time.Second},
	}}
	for name, test := range map[string]struct {
		start, want int // seconds
		words       []string
	}{
		"before both":   {0, 130, []string{"meshbench stood still for 60 s, until 12:01:10: the machine was suspended, or the process was stopped", "meshbench stood still for 30 s, until 12:02:10: the machine was suspended, or the process was stopped"}},
		"between":       {80, 130, []string{"meshbench stood still for 30 s, until 12:02:10: the machine was suspended, or the process was stopped"}},
		"after both":    {140, 140, nil},
		"within a wait": {110, 130, []string{"meshbench stood still for 30 s, until 12:02:10: the machine was suspended, or the process was stopped"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(s.begun(at(test.start))).To(Equal(at(test.want)))
			g.Expect(s.since(at(test.start))).To(Equal(test.words))
		})
	}
}
