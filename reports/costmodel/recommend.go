package costmodel

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// roundTo is what requests and limits are rounded up to, in bytes.
const roundTo = 16 * mi

// defaultLimit is the memory limit that Istio's charts give a sidecar, in bytes.
// Source: istio 1.23.2, values of chart istiod, global.proxy.resources.limits.memory.
const defaultLimit = 1 << 30

// Recommendation is what a sidecar's container should be given. All memory is in bytes.
type Recommendation struct {
	// Of is the estimate that it was made from, with its warnings.
	Of Estimate `json:"of"`
	// RequestBytes is what a sidecar settles on after a life of changes, LimitBytes what it
	// reaches on the way there; both rounded up to 16 Mi.
	RequestBytes int64 `json:"requestBytes"`
	LimitBytes   int64 `json:"limitBytes"`
	// Request and Limit are the same as Kubernetes' quantities: 112Mi.
	Request string `json:"request"`
	Limit   string `json:"limit"`
	// Parts are what the limit is the sum of, before it is rounded.
	Parts []RecommendedPart `json:"parts"`
	// Unknown are what is in neither, with the reasons, and Warnings what to mind besides.
	Unknown  []string `json:"unknown,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	// Annotations are those of pods, by name, and Values the Helm values for all sidecars.
	Annotations map[string]string `json:"annotations"`
	Values      string            `json:"values"`
}

// RecommendedPart is one of the sums that a limit is made of.
type RecommendedPart struct {
	Name  string  `json:"name"`
	Bytes float64 `json:"bytes"`
	// Request says that the request has it, too.
	Request bool `json:"request"`
}

// Annotations of a pod for its sidecar's memory.
const (
	MemoryAnnotation      = "sidecar.istio.io/proxyMemory"
	MemoryLimitAnnotation = "sidecar.istio.io/proxyMemoryLimit"
)

// Recommend is what the model recommends for a sidecar that it estimates like that: see
// [Recommend]. Growth in life and peaks are the model's.
func (m *Model) Recommend(e Estimate) Recommendation {
	if m.Calibration == nil || !m.Calibration.Lived {
		return Recommend(e, m.SidecarHistory, m.SidecarPeaks)
	}
	r := Recommend(e, &History{}, m.SidecarPeaks)
	r.Warnings = append(r.Warnings, "growth in life is in the calibration, whose mesh had a past")
	return r
}

// Recommend is what a sidecar should be given whose settled memory is estimated as e: from the
// upper bound of the prediction, what those that lived through changes held beside it (life),
// and how far they go over what they settle on at pushes and starts (peaks). The request has
// the bound and the median of growth, the limit the bound, the most of growth and the highest
// of peaks. What is nil is unknown: it is in neither, and Unknown says so.
func Recommend(e Estimate, life *History, peaks *Peaks) Recommendation {
	r := Recommendation{Of: e}
	add := func(name string, bytes float64, request bool) {
		if bytes <= 0 {
			return
		}
		r.Parts = append(r.Parts, RecommendedPart{name, bytes, request})
	}
	add("upper bound of the prediction", e.Hi, true)
	settled := e.Hi
	if life == nil {
		r.Unknown = append(r.Unknown, "growth in life: no run has sidecars that lived through changes")
	} else {
		typical := max(0, life.Median)
		add("growth in life, median", typical, true)
		add("growth in life, the most less the median", life.Max-typical, false)
		settled += max(0, life.Max)
	}
	over := 0.0
	if peaks != nil {
		for _, x := range []*Over{peaks.Pushed, peaks.Started} {
			if x != nil {
				over = max(over, x.Max)
			}
		}
	}
	if peaks == nil || peaks.Pushed == nil {
		r.Unknown = append(r.Unknown, "the peak at pushes: no run has read it")
	}
	if peaks == nil || peaks.Started == nil {
		r.Unknown = append(r.Unknown, "the peak at starts: no run has read it")
	}
	if settled > 0 {
		add(fmt.Sprintf("peak at pushes and starts, %.0f %% over that", 100*over), over*settled, false)
	}
	var request, limit float64
	for _, p := range r.Parts {
		limit += p.Bytes
		if p.Request {
			request += p.Bytes
		}
	}
	r.RequestBytes, r.LimitBytes = roundUp(request), roundUp(limit)
	r.Request, r.Limit = fmt.Sprintf("%dMi", r.RequestBytes/mi), fmt.Sprintf("%dMi", r.LimitBytes/mi)
	r.Annotations = map[string]string{MemoryAnnotation: r.Request, MemoryLimitAnnotation: r.Limit}
	r.Values = fmt.Sprintf("global:\n  proxy:\n    resources:\n      requests:\n        memory: %s\n      limits:\n        memory: %s\n", r.Request, r.Limit)
	if r.LimitBytes > defaultLimit {
		r.Warnings = append(r.Warnings, fmt.Sprintf("Istio's default limit, %s, is lower: sidecars are killed at it", size(defaultLimit)))
	}
	return r
}

func roundUp(bytes float64) int64 { return int64(math.Ceil(bytes/roundTo)) * roundTo }

// Print says what to give a sidecar, for people.
func (r Recommendation) Print(w io.Writer) error {
	p := newPrinter(w)
	p.line("Requests and limits of a sidecar's memory")
	rows := []string{"\trequest\tlimit"}
	for _, x := range r.Parts {
		request := ""
		if x.Request {
			request = size(x.Bytes)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", x.Name, request, size(x.Bytes)))
	}
	rows = append(rows, fmt.Sprintf("together, rounded up\t%s\t%s", size(float64(r.RequestBytes)), size(float64(r.LimitBytes))))
	p.table(rows...)
	for _, u := range r.Unknown {
		p.line("  Not in it: %s.", u)
	}
	for _, warning := range r.Warnings {
		p.line("  Mind: %s.", warning)
	}
	if len(r.Of.Warnings) > 0 {
		p.line("  WARNING: the prediction is outside of what was measured, and so is this.")
	}
	p.line("  On a pod's template, for its sidecar alone. They replace all of the Helm values' resources,")
	p.line("  CPU as well: annotate sidecar.istio.io/proxyCPU and proxyCPULimit, too.")
	p.line("    %s: %s", MemoryAnnotation, r.Request)
	p.line("    %s: %s", MemoryLimitAnnotation, r.Limit)
	p.line("  Helm values of chart istiod, for all sidecars:")
	for line := range strings.Lines(r.Values) {
		p.line("    %s", strings.TrimRight(line, "\n"))
	}
	return p.err
}
