package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// notes counts what was left out, by reason.
type notes struct {
	order  []string
	counts map[string]map[string]int // by kind
}

// add counts an object's kind for a reason.
func (n *notes) add(reason, kind string) {
	if n.counts == nil {
		n.counts = map[string]map[string]int{}
	}
	if n.counts[reason] == nil {
		n.counts[reason] = map[string]int{}
		n.order = append(n.order, reason)
	}
	n.counts[reason][kind]++
}

func (n *notes) clone() notes {
	c := notes{order: slices.Clone(n.order), counts: map[string]map[string]int{}}
	for reason, kinds := range n.counts {
		c.counts[reason] = maps.Clone(kinds)
	}
	return c
}

// lines returns a line for each reason: left out 3 Pods: their controllers make them.
func (n *notes) lines() []string {
	var lines []string
	for _, reason := range n.order {
		before, after, _ := strings.Cut(reason, "%s")
		lines = append(lines, before+countsOf(n.counts[reason])+after)
	}
	return lines
}

// countsOf lists kinds with their numbers, the most first: 412 Services, 1 Deployment.
func countsOf(counts map[string]int) string {
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		words[i] = fmt.Sprintf("%d %s", counts[kind], plural(kind, counts[kind]))
	}
	return strings.Join(words, ", ")
}

// plural returns the plural of a kind for numbers other than 1.
func plural(kind string, n int) string {
	switch {
	case n == 1 || kind == "Endpoints" || strings.HasSuffix(kind, "Metrics"):
		return kind
	case strings.HasSuffix(kind, "y") && !strings.HasSuffix(kind, "ay"):
		return strings.TrimSuffix(kind, "y") + "ies"
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	}
	return kind + "s"
}

// Counts returns the numbers of objects by kind: 412 Services, 30 Deployments.
func (m *Manifest) Counts() string {
	counts := map[string]int{}
	for _, o := range m.Objects {
		counts[o.Kind]++
	}
	return countsOf(counts)
}
