package growth

import (
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/reports/costmodel"
)

// Slope is a line through memory over revisions, in bytes.
type Slope struct {
	// BytesPerRevision is the line's slope, Lo and Hi its interval of 95 % (Student's),
	// which needs three points: nil with fewer.
	BytesPerRevision float64  `json:"bytesPerRevision"`
	Lo               *float64 `json:"lo,omitempty"`
	Hi               *float64 `json:"hi,omitempty"`
	AtZeroBytes      float64  `json:"atZeroBytes"` // the line's value at 0 revisions
	// StdDevBytes is the standard deviation of the points about the line, R2 the share of
	// their variance that it explains; 0 with two points.
	StdDevBytes float64 `json:"residualStdDevBytes"`
	R2          float64 `json:"r2"`
	Points      int     `json:"points"`
	// From and To are the lowest and the highest number of revisions among the points.
	From int `json:"fromRevisions"`
	To   int `json:"toRevisions"`
}

// At is the line's value at a number of revisions, in bytes.
func (s *Slope) At(revisions float64) float64 { return s.AtZeroBytes + s.BytesPerRevision*revisions }

// place is a value at a number of revisions.
type place struct {
	revisions int
	bytes     float64
}

// slope fits the points that may be fitted.
func slope(points []Point) (s *Slope, no string) {
	var places []place
	for _, p := range points {
		if p.Fitted() {
			places = append(places, place{p.Revisions, float64(p.MemoryBytes)})
		}
	}
	return line(places)
}

// line is the least-squares line through places, but for those of 0 bytes, which were not
// read; where there is none, no says why.
func line(places []place) (s *Slope, no string) {
	places = slices.DeleteFunc(slices.Clone(places), func(p place) bool { return p.bytes == 0 })
	switch len(places) {
	case 0:
		return nil, "it was measured at no settled step"
	case 1:
		return nil, "it was measured at one settled step only"
	}
	s = &Slope{Points: len(places), From: places[0].revisions, To: places[0].revisions}
	points := make([]costmodel.Point, len(places))
	for i, p := range places {
		s.From, s.To = min(s.From, p.revisions), max(s.To, p.revisions)
		points[i] = costmodel.Point{X: []float64{float64(p.revisions)}, Y: p.bytes}
	}
	if s.From == s.To {
		return nil, fmt.Sprintf("there were %d revisions at all of its settled steps", s.From)
	}
	if len(places) == 2 {
		a, b := places[0], places[1]
		s.BytesPerRevision = (b.bytes - a.bytes) / float64(b.revisions-a.revisions)
		s.AtZeroBytes = a.bytes - s.BytesPerRevision*float64(a.revisions)
		return s, ""
	}
	l, err := costmodel.FitLine("revisions", points)
	if err != nil {
		return nil, err.Error()
	}
	t := l.Terms[0]
	s.BytesPerRevision, s.Lo, s.Hi = t.Coefficient, &t.Lo, &t.Hi
	s.AtZeroBytes, s.StdDevBytes, s.R2 = l.Intercept, l.StdDev, l.R2
	return s, ""
}
