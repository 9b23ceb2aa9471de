package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Trend is how a quantity changes with another one, time above all, by the medians of the
// slopes between all pairs of points (Theil 1950, Sen 1968): a few points that are far off, as
// a burst of work leaves them, do not move it.
type Trend struct {
	// Slope is in units of y for one of x.
	Slope float64 `json:"slope"`
	// Lo and Hi are its interval of 95 %, by the variance of Kendall's S for the number of
	// points, ties in y counted (Sen 1968). It takes the points for independent; those of a
	// quantity that goes up and down by itself are to be thinned before. Infinite with fewer
	// points than can tell.
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
	// Points are those that it is of.
	Points int `json:"points"`
}

// TrendOf is the trend of ys over xs, which are of one length. Points of the same x have no
// slope between them. With fewer than two different xs the slope is not a number.
func TrendOf(xs, ys []float64) Trend {
	var slopes []float64
	for i := range xs {
		for j := range i {
			if xs[i] != xs[j] {
				slopes = append(slopes, (ys[i]-ys[j])/(xs[i]-xs[j]))
			}
		}
	}
	t := Trend{Slope: math.NaN(), Lo: math.Inf(-1), Hi: math.Inf(1), Points: len(xs)}
	if len(slopes) == 0 {
		return t
	}
	slices.Sort(slopes)
	middle := len(slopes) / 2
	t.Slope = slopes[middle]
	if len(slopes)%2 == 0 {
		t.Slope = (slopes[middle-1] + slopes[middle]) / 2
	}
	n := float64(len(xs))
	variance := n * (n - 1) * (2*n + 5)
	for _, ties := range tied(ys) {
		variance -= ties * (ties - 1) * (2*ties + 5)
	}
	z := distuv.UnitNormal.Quantile(1 - (1-trendConfidence)/2)
	width := z * math.Sqrt(variance/18)
	below := int(math.Round((float64(len(slopes))-width)/2)) - 1
	above := int(math.Round((float64(len(slopes)) + width) / 2))
	if below >= 0 {
		t.Lo = slopes[below]
	}
	if above < len(slopes) {
		t.Hi = slopes[above]
	}
	if allEqual(ys) && len(xs) > 2 { // S has no variance then
		t.Lo, t.Hi = 0, 0
	}
	return t
}

// trendConfidence is the level of a trend's interval.
const trendConfidence = 0.95

// tied are the sizes of the groups of equal values.
func tied(values []float64) []float64 {
	counts := map[float64]float64{}
	for _, v := range values {
		counts[v]++
	}
	var sizes []float64
	for _, n := range counts {
		if n > 1 {
			sizes = append(sizes, n)
		}
	}
	slices.Sort(sizes) // sums of them come out alike
	return sizes
}

func allEqual(values []float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return v != values[0] })
}
