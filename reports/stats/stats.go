// Package stats summarizes and compares what runs measured, by golang.org/x/perf's
// benchmath: counts are exact, memory is noisy.
//
// # What is one observation
//
// Memory varies on two levels. The sidecars of one run lie close together (their standard
// deviation is 0.6 to 0.9 % of their median), and they share whatever that run was given:
// the order in which pushes arrived, how busy the machine was, when Envoy's heap last
// grew. Six repeats of headless on the embedded cluster, ten sidecars each, had medians
// whose standard deviation was 0.5 % at its second step and 1 % at its last, where two
// runs lay up to 3 % apart; a rank test over sidecars, which takes them for independent,
// calls most such differences significant. So:
//
//   - With at least [MinRuns] runs on both sides, a run is one observation: its median.
//     The test is Mann and Whitney's U-test on the runs' medians.
//   - With fewer, the readings of the sidecars are tested in their place, with a warning,
//     and two things more must hold before a difference is called one: the medians of the
//     two sides' runs do not overlap (no run of one side lies between runs of the other),
//     and the difference is larger than what two runs of the same version show, which
//     the caller knows (its floor or limit). The test then only tells a shift of all
//     sidecars from that of a few.
//
// Nothing here corrects for the number of comparisons made: with few repeats a corrected
// rank test could never find anything (five runs against five reach p=0.008 at best).
// What keeps chance findings out of a table of many steps is the floor.
package stats

import (
	"fmt"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Defaults of tests and intervals.
const (
	// Alpha is the chance of calling a difference one that is not.
	Alpha = 0.05
	// Confidence is the least level of the intervals around medians. Five observations
	// are enough for one (of 94 %); for 95 % it would take six.
	Confidence = 0.9
	// MinRuns is the number of runs a side from which runs are compared by their
	// medians: with four against four the U-test's p-value can fall under Alpha
	// (0.029), with three against three it cannot (0.1).
	MinRuns = 4
	// SingleRuns is how much wider a floor or limit that is made for medians of MinRuns
	// runs or more has to be where a side has fewer.
	SingleRuns = 1.4
)

// Sample holds the readings of one quantity, those of each run apart. Runs without a
// reading are left out by its maker.
type Sample [][]float64

// Medians are the runs' medians.
func (s Sample) Medians() []float64 {
	medians := make([]float64, len(s))
	for i, run := range s {
		medians[i] = median(run)
	}
	return medians
}

func (s Sample) pooled() []float64 { return slices.Concat(s...) }

// Unit is what one observation of a comparison is.
type Unit int

// Units.
const (
	Exact   Unit = iota // no distribution: the value itself
	Run                 // the median of a run
	Reading             // one sidecar's reading
)

// Summary is one side of a comparison.
type Summary struct {
	// Center is the median of the runs' medians; of an exact quantity its most frequent
	// value.
	Center float64
	// Lo and Hi are the ends of the confidence interval of the median, infinite where
	// there are too few observations for one. Of an exact quantity they are the lowest
	// and the highest value.
	Lo, Hi float64
	N      int // observations
	Runs   int
}

// Interval is the half width of the confidence interval as a share of the center, as
// benchstat prints it: "±2%", "±∞" with too few observations for one, "" with a single
// one, or where all are the same.
func (s Summary) Interval() string {
	if s.N < 2 || s.Lo == s.Hi {
		return ""
	}
	return "±" + benchmath.Summary{Center: s.Center, Lo: s.Lo, Hi: s.Hi}.PctRangeString()
}

// Comparison is what two samples have to say about one quantity.
type Comparison struct {
	Unit     Unit
	Old, New Summary
	// P is the p-value of the U-test: the chance of a difference like this, or a
	// greater one, where there is none. 0 for exact quantities.
	P float64
	// Apart says that no run's median of one side lies between those of the other.
	Apart bool
	// Warnings say what weakens the comparison, for people.
	Warnings []string
}

// Change is the difference of the centers, New less Old.
func (c Comparison) Change() float64 { return c.New.Center - c.Old.Center }

// Relative is Change as a share of the old center; infinite where that is 0 and the new
// one is not.
func (c Comparison) Relative() float64 {
	switch {
	case c.Change() == 0:
		return 0
	case c.Old.Center == 0:
		return math.Copysign(math.Inf(1), c.Change())
	}
	return c.Change() / math.Abs(c.Old.Center)
}

// Exceeds says whether the centers lie further apart than by the share relative and than
// by absolute. The share is of the smaller one, so that halving and doubling count the
// same. Both are widened by SingleRuns where a side has too few runs.
func (c Comparison) Exceeds(relative, absolute float64) bool {
	if c.Unit == Reading {
		relative, absolute = SingleRuns*relative, SingleRuns*absolute
	}
	return math.Abs(c.Change()) > max(relative*min(c.Old.Center, c.New.Center), absolute)
}

// Testable says whether so many observations can reach a p-value of alpha or less at
// all. Exact quantities always can.
func (c Comparison) Testable(alpha float64) bool {
	return c.Unit == Exact || leastP(c.Old.N, c.New.N) <= alpha
}

// Significant says whether the difference is more than chance at level alpha. Any
// difference of exact quantities is. The caller decides whether it is large enough to
// matter (see the package's comment).
func (c Comparison) Significant(alpha float64) bool {
	if c.Unit == Exact {
		return c.Old.Center != c.New.Center || c.Old.Lo != c.New.Lo || c.Old.Hi != c.New.Hi
	}
	return c.P <= alpha && (c.Unit == Run || c.Apart)
}

// String is the test in short, "p=0.008 n=5" as benchstat prints it, "n=1" where nothing
// could be tested; "" for exact quantities.
func (c Comparison) String() string {
	switch {
	case c.Unit == Exact:
		return ""
	case !c.Testable(1 - 1e-9):
		return benchmath.Comparison{N1: c.Old.N, N2: c.New.N}.String()
	}
	// benchmath takes 0 for an exact result.
	return benchmath.Comparison{P: max(c.P, math.SmallestNonzeroFloat64), N1: c.Old.N, N2: c.New.N}.String()
}

// CompareExact compares values that have no noise, one a run. Repeats that disagree are
// warned of: the quantity is not as exact as it should be. Both sides need a value.
func CompareExact(before, after []float64) Comparison {
	c := Comparison{Unit: Exact, Apart: true}
	for _, side := range []struct {
		values  []float64
		summary *Summary
		name    string
	}{{before, &c.Old, "first"}, {after, &c.New, "second"}} {
		s := benchmath.AssumeExact.Summary(sample(side.values), Confidence)
		*side.summary = Summary{Center: s.Center, Lo: s.Lo, Hi: s.Hi, N: len(side.values), Runs: len(side.values)}
		if s.Lo != s.Hi {
			c.Warnings = append(c.Warnings, fmt.Sprintf("repeats of the %s side disagree: %g to %g", side.name, s.Lo, s.Hi))
		}
	}
	return c
}

// Compare compares noisy readings. Both sides need at least one.
func Compare(before, after Sample) Comparison {
	var c Comparison
	c.Unit = Reading
	a, b := before.pooled(), after.pooled()
	if len(before) >= MinRuns && len(after) >= MinRuns {
		c.Unit = Run
		a, b = before.Medians(), after.Medians()
	}
	c.Old, c.New = summary(before, a), summary(after, b)
	c.Apart = apart(before.Medians(), after.Medians())
	// The numbers of observations can differ by a lot, for which the warnings of
	// benchmath's comparison, about equal ones, are not made.
	c.P = benchmath.AssumeNothing.Compare(sample(a), sample(b)).P
	if !c.Testable(Alpha) {
		c.Warnings = append(c.Warnings, fmt.Sprintf("too few readings for a test (%d and %d; four and four are enough)", c.Old.N, c.New.N))
	}
	if c.Unit == Reading && len(a)+len(b) > len(before)+len(after) {
		c.Warnings = append(c.Warnings, fmt.Sprintf("sidecars of one run are not independent: with %d runs a side their medians would be tested instead", MinRuns))
	}
	return c
}

// summary is the side of a comparison whose observations are given.
func summary(s Sample, observations []float64) Summary {
	interval := benchmath.AssumeNothing.Summary(sample(observations), Confidence)
	center := median(s.Medians())
	return Summary{
		Center: center,
		// The medians of runs and of all their readings can differ a little.
		Lo: min(interval.Lo, center), Hi: max(interval.Hi, center),
		N: len(observations), Runs: len(s),
	}
}

// sample is values for benchmath, which sorts what it is given.
func sample(values []float64) *benchmath.Sample {
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = Alpha
	return benchmath.NewSample(slices.Clone(values), &thresholds)
}

func median(values []float64) float64 {
	return benchmath.AssumeNothing.Summary(sample(values), Confidence).Center
}

// apart says whether the ranges of two sets of values do not overlap.
func apart(a, b []float64) bool {
	return slices.Max(a) < slices.Min(b) || slices.Max(b) < slices.Min(a)
}

// leastP is the lowest p-value that the two-sided U-test gives for n and m
// observations: that of full separation, 2 of the (n+m choose n) orders.
func leastP(n, m int) float64 {
	p := 2.0
	for i := 1; i <= n; i++ {
		p *= float64(i) / float64(m+i)
	}
	return min(p, 1)
}
