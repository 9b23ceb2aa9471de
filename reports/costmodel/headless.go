package costmodel

import (
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// HeadlessPod is what a pod behind a headless Service with a detected port adds.
var HeadlessPod = observations.ConfigObjects{Listeners: 1, FilterChains: 2}

// PublishedHeadlessMB is the published cost of a headless Service's pod to a sidecar, in
// MB (10^6 bytes): real Envoy, 100 to 3,000 headless pods.
const PublishedHeadlessMB = 0.083

// HeadlessLine is a line through the steps of a run that differ in nothing but the pods
// behind headless Services with a detected port: what such a pod costs, with no other
// column in between.
type HeadlessLine struct {
	Run   string `json:"run"`
	Steps int    `json:"steps"`
	// From and To are the lowest and the highest number of listeners, of which each such
	// pod has one.
	From int `json:"fromListeners"`
	To   int `json:"toListeners"`
	// PerPod is in bytes, with its confidence interval.
	PerPod Estimate `json:"perPod"`
}

// headlessLines finds the lines in fresh points: at least three steps of a run, with three
// numbers of listeners.
func headlessLines(points []Point) []HeadlessLine {
	const listeners, filterChains = 1, 2 // of sidecarColumns
	type rest struct {
		run   string
		other string // all that must not differ
	}
	groups := map[rest][]Point{}
	var order []rest
	for _, p := range points {
		others := slices.Clone(p.X)
		others[filterChains] -= 2 * others[listeners]
		others[listeners] = 0
		key := rest{p.Run, fmt.Sprint(others)}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], Point{p.Run, p.Step, p.X[listeners : listeners+1], p.Y})
	}
	var lines []HeadlessLine
	for _, key := range order {
		l, err := FitLine(sidecarColumns[listeners], groups[key])
		if err != nil {
			continue // too few steps
		}
		t := l.Terms[0]
		lines = append(lines, HeadlessLine{
			Run: key.run, Steps: l.Points, From: int(t.Min), To: int(t.Max),
			PerPod: Estimate{Bytes: t.Coefficient, Lo: t.Lo, Hi: t.Hi},
		})
	}
	return lines
}
