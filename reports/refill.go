package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// histories are what deletions have done to memory: of a step that is as an earlier one was,
// what those hold that lived through what was deleted in between, and of churn, what was
// needed along the way.
func (r *Report) histories() []sections.Finding {
	var found []sections.Finding
	for j := range r.Steps {
		s := &r.Steps[j]
		if text := s.churnText(); text != "" {
			found = append(found, sections.Finding{Kind: "churn", Step: s.Name, Text: text})
		}
		for i := range r.Steps[:j] {
			before := &r.Steps[i]
			// After an interruption a pod of the same name may be another one.
			if !same(before, s) || before.Resumed != s.Resumed {
				continue
			}
			if b := r.past.Between(before.Number-1, s.Number-1); b != nil {
				if text := refillText(before, s); text != "" {
					found = append(found, sections.Finding{Kind: "history", Step: s.Name, Text: fmt.Sprintf("%s In between: %s (step %s).", text, b.Why, b.Step)})
				}
			}
			break // the first of them is the one before all deletions
		}
	}
	return found
}

// same says whether two settled steps have the same pods and Services, and all witnesses the
// same configuration.
func same(a, b *Step) bool {
	if !a.Settled || !b.Settled || !a.Measured || !b.Measured || a.Objects == nil || b.Objects == nil || a.ConfigObjects == nil || b.ConfigObjects == nil {
		return false
	}
	if a.Objects.Pods != b.Objects.Pods || a.Objects.Services != b.Objects.Services || *a.ConfigObjects != *b.ConfigObjects || *a.Rows != *b.Rows {
		return false
	}
	for _, p := range a.Proxies {
		for _, o := range b.Proxies {
			// What logs of before routing was counted do not say is taken to be the same.
			routing := p.Routing != nil && o.Routing != nil && *p.Routing != *o.Routing
			if p.Workload == o.Workload && (p.Objects != o.Objects || p.Rows != o.Rows || routing) {
				return false
			}
		}
	}
	return true
}

// refillText compares the sidecars that both steps have, and istiod if it is the same; "" for
// nothing to compare.
func refillText(before, now *Step) string {
	was := map[string]int64{}
	for _, c := range before.Sidecars {
		if !c.Witness {
			was[c.Pod] = c.MemoryBytes
		}
	}
	var then, is []int64
	for _, c := range now.Sidecars {
		if b, both := was[c.Pod]; both && !c.Witness {
			then, is = append(then, b), append(is, c.MemoryBytes)
		}
	}
	var parts []string
	if len(is) > 0 {
		a, b := memoryOf(then).MedianBytes, memoryOf(is).MedianBytes
		parts = append(parts, fmt.Sprintf("a sidecar that lived through it holds %s (median of %d: %s, then %s Mi)", more(b-a), len(is), words.Mib(a), words.Mib(b)))
	}
	if a, b := before.Istiod, now.Istiod; a != nil && b != nil && a.Pod == b.Pod && a.MemoryBytes > 0 && b.MemoryBytes > 0 {
		parts = append(parts, fmt.Sprintf("istiod holds %s (%s, then %s Mi)", more(b.MemoryBytes-a.MemoryBytes), words.Mib(a.MemoryBytes), words.Mib(b.MemoryBytes)))
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("with the same configuration as at step %s, %s.", before.Name, strings.Join(parts, "; "))
}

// more is a difference in words.
func more(bytes int64) string {
	if bytes < 0 {
		return words.Mib(-bytes) + " Mi less"
	}
	return words.Mib(bytes) + " Mi more"
}

// churnText says what churn took, and the peaks of the step beside what it settled on; ""
// without churn.
func (s *Step) churnText() string {
	if len(s.Churn) == 0 {
		return ""
	}
	deleted := 0
	var order []string
	for _, c := range s.Churn {
		deleted += len(c.Chosen)
		if !slices.Contains(order, c.What) {
			order = append(order, c.What)
		}
	}
	peak := func(metric, settled string, memory int64) string {
		f, ok := s.Metrics[metric]
		switch {
		case !ok:
			return "unknown"
		case memory == 0:
			return fmt.Sprintf("%s Mi", words.Mib(int64(f.Value)))
		}
		return fmt.Sprintf("%s Mi, %s %s Mi", words.Mib(int64(f.Value)), settled, words.Mib(memory))
	}
	var istiod int64
	if s.Istiod != nil {
		istiod = s.Istiod.MemoryBytes
	}
	return fmt.Sprintf("churn of %s: %s in %s, all made again. Peak of a sidecar along the way: %s; of istiod: %s.",
		strings.Join(order, "; "), words.Plural(deleted, "deletion"), words.Plural(len(s.Churn), "round"),
		peak("sidecar_memory_peak_bytes", "settled at a median of", s.Memory.MedianBytes), peak("istiod_memory_peak_bytes", "settled at", istiod))
}
