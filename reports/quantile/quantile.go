// Package quantile estimates percentiles of what a Prometheus histogram took in during a time,
// from its buckets before and after: a pure function of two readings.
package quantile

import (
	"fmt"

	"github.com/meshbench/meshbench/observations"
)

// Estimate is a quantile between two readings.
type Estimate struct {
	// Known is false where a reading has no buckets, or they went backwards, as they do in
	// another process.
	Known bool
	// Count is how many values the histogram took in; 0 for none, which has no quantile.
	Count float64
	// Above says that the quantile is above the largest bound, which is Low: then nothing else
	// is known of it.
	Above bool
	// Low and High are the bounds of the quantile's bucket, and Value is linear in between, as
	// PromQL's histogram_quantile has it.
	Low, High, Value float64
}

// Finite reports whether the estimate has a value.
func (e Estimate) Finite() bool { return e.Known && e.Count > 0 && !e.Above }

// Between estimates a quantile, 0 to 1, of what came between two readings. before may be the
// zero value, of a process that began in between.
func Between(before, now observations.Histogram, q float64) Estimate {
	e := Estimate{Count: now.Count - before.Count}
	if len(now.Buckets) == 0 || before.Count > 0 && len(before.Buckets) != len(now.Buckets) || e.Count < 0 {
		// Without any value there are no buckets either: a histogram begins with its first one.
		e.Known = now.Count == 0 && before.Count == 0
		return e
	}
	counts := make([]float64, len(now.Buckets))
	for i, b := range now.Buckets {
		counts[i] = b.Count
		if len(before.Buckets) > 0 {
			if before.Buckets[i].UpTo != b.UpTo {
				return Estimate{}
			}
			counts[i] -= before.Buckets[i].Count
		}
		if counts[i] < 0 || i > 0 && counts[i] < counts[i-1] {
			return Estimate{}
		}
	}
	e.Known = true
	if e.Count == 0 {
		return e
	}
	rank := q * e.Count
	for i, n := range counts {
		below := 0.0
		if i > 0 {
			e.Low, below = now.Buckets[i-1].UpTo, counts[i-1]
		}
		if n < rank || n == below {
			continue
		}
		e.High = now.Buckets[i].UpTo
		e.Value = e.Low + (e.High-e.Low)*(rank-below)/(n-below)
		return e
	}
	e.Above, e.Low = true, now.Buckets[len(now.Buckets)-1].UpTo
	return e
}

// String is the estimate for people, in seconds.
func (e Estimate) String() string {
	switch {
	case !e.Known:
		return "unknown"
	case e.Count == 0:
		return "none"
	case e.Above:
		return fmt.Sprintf("above %g s", e.Low)
	}
	return fmt.Sprintf("%.3g s (%g to %g)", e.Value, e.Low, e.High)
}

// Within says whether a quantile is at most a bound in seconds; known is false where its bucket
// has the bound inside, or there is no quantile.
func (e Estimate) Within(bound float64) (within, known bool) {
	switch {
	case !e.Known || e.Count == 0:
		return false, false
	case e.Above:
		return false, e.Low >= bound
	case e.High <= bound:
		return true, true
	}
	return false, e.Low >= bound
}
