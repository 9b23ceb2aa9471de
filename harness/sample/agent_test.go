package sample

import (
	"net/http"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
)

// agentHeap is what pilot-agent 1.23.2 answers, cut.
const agentHeap = `heap profile: 6: 43120 [13: 79592] @ heap/1048576
0: 0 [1: 32] @ 0x48b265 0x425c65
#	0x6e0ddb	os.NewSyscallError+0x73b	os/error.go:71

# runtime.MemStats
# Alloc = 3907680
# Sys = 18454792
# HeapAlloc = 3907680
# HeapSys = 11304960
# HeapIdle = 5259264
# HeapReleased = 3833856
# Stack = 1245184 / 1277952
# PauseNs = [315179 40734462 0]
# MaxRSS = 90021888
`

func TestAgent(t *testing.T) {
	w := newWorld(t)
	w.listen(t, "ns1/test-0.b", agentStatusPort, &admin{answers: map[string]string{"/debug/pprof/heap": agentHeap}})
	want := observations.Agent{Namespace: "ns1", Pod: "test-0.b", Workload: "ns1/test", HeapBytes: 7471104, StackBytes: 1277952, LiveBytes: 3907680}
	if got, err := w.sampler(t).Agent(t.Context(), testPod); err != nil || got != want {
		t.Errorf("Agent = %+v, %v; want %+v", got, err, want)
	}
}

func TestAgentTellsNothing(t *testing.T) {
	for name, answer := range map[string]http.Handler{
		"profiling is off":      http.NotFoundHandler(),
		"no account":            &admin{answers: map[string]string{"/debug/pprof/heap": "heap profile: 6: 43120"}},
		"a negative number":     &admin{answers: map[string]string{"/debug/pprof/heap": strings.Replace(agentHeap, "= 1130", "= -1130", 1)}},
		"more released than is": &admin{answers: map[string]string{"/debug/pprof/heap": strings.Replace(agentHeap, "HeapReleased = ", "HeapReleased = 9", 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.listen(t, "ns1/test-0.b", agentStatusPort, answer)
			if got, err := w.sampler(t).Agent(t.Context(), testPod); err == nil {
				t.Errorf("Agent = %+v, want an error", got)
			}
		})
	}
}

// FuzzParseMemStats: whatever answers, what is read is a size.
func FuzzParseMemStats(f *testing.F) {
	f.Add(agentHeap)
	f.Add("# Stack = 1 / \n# HeapSys = 9223372036854775808\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parseMemStats(strings.NewReader(text))
		if err == nil && (len(found) != 4 || found["HeapSys"]-found["HeapReleased"] < 0 || found["Stack"] < 0) {
			t.Errorf("read %v", found)
		}
	})
}
