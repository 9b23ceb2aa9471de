// Package changepoint finds where the level of a series of measurements changed.
//
// The method is seeded binary segmentation (Kovács, Bühlmann, Li and Munk, Biometrika 110,
// 2023) with a normal mean cost: in each of a fixed set of intervals, long and short ones, every
// place is tried that could split it in two, and the split with the clearest difference is
// kept. Plain binary segmentation looks at the whole series alone and misses a level that
// goes up and comes down again; a fixed set, other than a random one, finds the same each
// time.
//
// A split is judged by Student's t of the two sides within its interval, whose variance is
// pooled: the measurements' noise is taken from them, not assumed. The place with the
// clearest difference is chosen among many, so its p is multiplied by the number of all
// places in all intervals (Bonferroni), and by the number of series that are looked at
// together. At most [Options.Alpha] of all pages of series in which nothing has changed then
// have any mark, if the noise of neighbours is independent and about normal. Other noise
// needs [Options.Relative], under which no change is marked. TestFalseAlarms shows the rates.
//
// E-divisive with a permutation test (Matteson and James, 2014), as MongoDB used it, cannot
// be significant at such a level with three measurements of each of six versions; Apache
// Otava (once Hunter) replaced that test by a t-test, too.
package changepoint

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/meshbench/meshbench/reports/words"
)

// MinSegment is the least number of measurements on each side of a change where blocks are
// single measurements: fewer are above the others by chance too often.
const MinSegment = 5

// MinRepeats is the same where blocks hold repeats.
const MinRepeats = 3

// Options say what is a change.
type Options struct {
	// Alpha is the share of all pages without a change that may have a mark, e.g. 0.05.
	Alpha float64
	// Series is how many series are looked at together; 0 is 1.
	Series int
	// Relative is the least change that is worth a mark, as a share of the level before.
	Relative float64
}

// Change is a place where the level changed.
type Change struct {
	// At is the block that the new level begins with.
	At int
	// Before and After are the mean levels, from the change before to the next one.
	Before, After float64
	// P is the p-value of the split in the interval it was found in, with both corrections; at
	// most Options.Alpha.
	P float64
}

// Find returns the changes of level in a series, in its order. The series is of blocks, in
// which nothing can have changed: the repeats of one version. A block of one measurement
// each allows a change anywhere. Blocks may be empty. Measurements are finite numbers.
//
// The time grows as n log n for n blocks: 10 ms for a thousand without a change.
func Find(blocks [][]float64, o Options) []Change {
	s := newSeries(blocks)
	intervals := seeded(len(blocks))
	places := 0
	for _, in := range intervals {
		for at := in.from + 1; at < in.to; at++ {
			if s.testable(in, at) {
				places++
			}
		}
	}
	found := s.split(interval{0, len(blocks)}, intervals, float64(places*max(o.Series, 1)), o.Alpha)
	return s.worth(found, o.Relative)
}

// Testable says whether a series is long enough to be looked at.
func Testable(blocks [][]float64) bool {
	s := newSeries(blocks)
	for at := range blocks {
		if s.testable(interval{0, len(blocks)}, at) {
			return true
		}
	}
	return false
}

// least is the least number of measurements on each side of a change.
func least(blocks [][]float64) int {
	if slices.ContainsFunc(blocks, func(b []float64) bool { return len(b) > 1 }) {
		return MinRepeats
	}
	return MinSegment
}

// interval is of the blocks from from until before to.
type interval struct{ from, to int }

// decay is how much shorter the intervals of a layer are than those of the one before.
const decay = math.Sqrt2

// seeded are the intervals that are looked at: layers of ever shorter ones, each of which
// overlaps its neighbours by half or more.
func seeded(n int) []interval {
	var all []interval
	for layer := 0; ; layer++ {
		length := float64(n) / math.Pow(decay, float64(layer))
		if length < 2 {
			break
		}
		count := 2*int(math.Ceil(math.Pow(decay, float64(layer)))) - 1
		shift := 0.0
		if count > 1 {
			shift = (float64(n) - length) / float64(count-1)
		}
		for i := range count {
			from := float64(i) * shift
			// A little less than the exact end, which rounding may have put beyond it.
			all = append(all, interval{int(from), min(n, int(math.Ceil(from+length-1e-9)))})
		}
	}
	slices.SortFunc(all, func(a, b interval) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	return slices.Compact(all)
}

// series holds sums from the first block on, so that any part's mean and variance are known
// at once. Values are taken from the mean of all: squares of large numbers are not exact.
type series struct {
	mean    float64
	noise   float64 // see noise
	least   int     // see least
	n       []int
	sum, sq []float64
}

func newSeries(blocks [][]float64) *series {
	s := &series{least: least(blocks), n: []int{0}, sum: []float64{0}, sq: []float64{0}}
	if all := slices.Concat(blocks...); len(all) > 0 {
		s.mean, s.noise = stat.Mean(all, nil), noise(all)
	}
	for i, block := range blocks {
		n, sum, sq := s.n[i], s.sum[i], s.sq[i]
		for _, v := range block {
			n, sum, sq = n+1, sum+v-s.mean, sq+(v-s.mean)*(v-s.mean)
		}
		s.n, s.sum, s.sq = append(s.n, n), append(s.sum, sum), append(s.sq, sq)
	}
	return s
}

// noise is the standard deviation of what normal noise there is, from the median of the
// differences between neighbours, of which few changes make few large. A few measurements
// of an interval agree by chance now and then: they are not believed to be better than all.
func noise(all []float64) float64 {
	var differences []float64
	for i := range all[1:] {
		differences = append(differences, math.Abs(all[i+1]-all[i]))
	}
	median, _, _ := words.Spread(differences)
	return median / (math.Sqrt2 * distuv.UnitNormal.Quantile(0.75))
}

// part is the number of an interval's measurements, their mean less the mean of all, and the
// sum of squares around it.
func (s *series) part(in interval) (n, mean, squares float64) {
	n = float64(s.n[in.to] - s.n[in.from])
	sum := s.sum[in.to] - s.sum[in.from]
	return n, sum / n, max(0, s.sq[in.to]-s.sq[in.from]-sum*sum/n)
}

// testable says whether an interval can be split before a block: an empty one begins nothing,
// and both sides need their measurements.
func (s *series) testable(in interval, at int) bool {
	return s.n[at+1] > s.n[at] && s.n[at]-s.n[in.from] >= s.least && s.n[in.to]-s.n[at] >= s.least
}

// exact is the share of the mean under which differences may be those of rounding.
const exact = 1e-9

// p is that of Student's t-test of the two sides of a split, two-sided, with a pooled
// variance.
func (s *series) p(in interval, at int) float64 {
	n, a, squaresA := s.part(interval{in.from, at})
	m, b, squaresB := s.part(interval{at, in.to})
	rounding := exact * math.Abs(s.mean)
	variance := max((squaresA+squaresB)/(n+m-2), s.noise*s.noise) + rounding*rounding
	if variance == 0 {
		return 1 // all are 0
	}
	t := math.Abs(a-b) / math.Sqrt(variance*(1/n+1/m))
	return 2 * distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n + m - 2}.Survival(t)
}

// split finds the clearest change in a part of the series, and those on both sides of it.
// The part is looked at as a whole, too: it is no interval of those counted in places, but
// where nothing has changed there is no part but the whole.
func (s *series) split(part interval, intervals []interval, places, alpha float64) []Change {
	best := Change{P: math.Inf(1)}
	for _, in := range append([]interval{part}, intervals...) {
		if in.from < part.from || in.to > part.to {
			continue
		}
		for at := in.from + 1; at < in.to; at++ {
			if !s.testable(in, at) {
				continue
			}
			if p := s.p(in, at) * places; p < best.P {
				best.At, best.P = at, p
			}
		}
	}
	if best.P > alpha {
		return nil
	}
	return slices.Concat(
		s.split(interval{part.from, best.At}, intervals, places, alpha), []Change{best},
		s.split(interval{best.At, part.to}, intervals, places, alpha))
}

// worth takes the levels between changes, and leaves out those changes that are too small:
// the smallest first, for without it the levels are others.
func (s *series) worth(found []Change, least float64) []Change {
	for len(found) > 0 {
		smallest, share := 0, math.Inf(1)
		for i := range found {
			from, to := 0, len(s.n)-1
			if i > 0 {
				from = found[i-1].At
			}
			if i+1 < len(found) {
				to = found[i+1].At
			}
			c := &found[i]
			_, before, _ := s.part(interval{from, c.At})
			_, after, _ := s.part(interval{c.At, to})
			c.Before, c.After = s.mean+before, s.mean+after
			if by := math.Abs(c.After-c.Before) / math.Abs(c.Before); by < share {
				smallest, share = i, by
			}
		}
		if share >= least {
			break
		}
		found = slices.Delete(found, smallest, smallest+1)
	}
	return found
}
