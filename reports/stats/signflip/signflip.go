// Package signflip tests differences within pairs: reference and candidate are measured in
// turns, and what the machine did meanwhile is in both.
//
// # The test
//
// Where candidate and reference do not differ, they could have been swapped in any pair, which
// gives a difference the other sign. So each of the 2^n ways to flip the signs of n pairs was
// as likely as the one that was seen (Fisher's randomisation test). Nothing is assumed of the
// noise's distribution; that differences are symmetric about 0 without a change is what a
// random order within pairs brings about.
//
// The statistic of a metric with differences d and floor f is
//
//	S = sum(d) / sqrt(sum(d^2) + n f^2)
//
// With f = 0 it is a rising function of Student's t, t = S sqrt((n-1)/(n-S^2)), but its
// denominator does not change when signs flip, and it is never above sqrt(n): with six pairs
// whose differences happen to be alike, t is as large as one likes. The floor, which is chosen
// before anything is measured, has metrics that hardly vary, or never, stay near 0 and not
// compete with others (as the fudge of Tusher, Tibshirani and Chu 2001, PNAS 98, 5116).
//
// # All metrics and steps of one gate together
//
// Westfall and Young's step-down max-T (1993, algorithm 4.1): a flip is of a whole pair, all
// metrics and steps alike, so that whatever ties them to each other is in the distribution of
// the largest S. Its p-values keep the chance of any false alarm, not that of each.
//
// # Early stops
//
// At looks that were fixed before, by Lan and DeMets (1983, Biometrika 70, 659) with the
// spending function like Pocock's, a(t) = a ln(1 + (e-1) t) at the share t of the pairs. One
// like O'Brien and Fleming's would leave six pairs of ten or more 1.1 % or less, under 1/64,
// which is the lowest p-value that six pairs can have. What earlier looks have used up is
// known exactly: a flip that would have stopped the gate then counts as an alarm at all later
// looks.
package signflip

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Defaults of gates.
const (
	// Alpha is the chance of any false alarm of a whole gate.
	Alpha = 0.05
	// MinPairs is the least number of pairs: with five, one flip of 32 is 3 %, which leaves
	// room for no second one, and the interval of the estimate has 94 %.
	MinPairs = 6
	// between is the least number of pairs between two looks, mostLooks their number at most.
	between   = 2
	mostLooks = 6
	// exact is the number of pairs up to which all flips are done; beyond, draws of them are
	// drawn from the seed.
	exact = 12
	draws = 9999
	// equal is the difference under which statistics, which are at most sqrt(n), are ties.
	equal = 1e-9
)

// Plan says when a test looks at its pairs.
type Plan struct {
	// Alpha is the chance of any false alarm, over all metrics and looks.
	Alpha float64
	// Looks are numbers of pairs, rising; the last one is that of all pairs.
	Looks []int
	// Seed determines flips that are drawn, where there are too many pairs for all of them.
	Seed uint64
}

// Once is a plan with one look, at all pairs.
func Once(pairs int) Plan { return Plan{Alpha: Alpha, Looks: []int{pairs}} }

// Early is a plan with looks from MinPairs on, every second pair (more seldom from 17 pairs on),
// and at all pairs.
func Early(pairs int) Plan {
	p := Plan{Alpha: Alpha}
	step := max(between, (pairs-MinPairs+mostLooks-2)/(mostLooks-1))
	for n := MinPairs; n < pairs; n += step {
		p.Looks = append(p.Looks, n)
	}
	p.Looks = append(p.Looks, pairs)
	return p
}

// Level is how much of Alpha may be used up at a look with so many pairs, those before it
// included.
func (p Plan) Level(pairs int) float64 {
	last := p.Looks[len(p.Looks)-1]
	if pairs >= last {
		return p.Alpha
	}
	return p.Alpha * math.Log1p((math.E-1)*float64(pairs)/float64(last))
}

// Metric is one metric at one step.
type Metric struct {
	// Differences are those of the pairs, in the order in which they were measured: rises are
	// above 0. Their unit does not matter.
	Differences []float64
	// Floor is a difference that is nothing yet, in the same unit; 0 for none.
	Floor float64
	// TwoSided tests falls as well as rises.
	TwoSided bool
}

// Result is what a test found at its last look.
type Result struct {
	Pairs int // those that were looked at
	// Level is how much of Alpha may be used up until then.
	Level float64
	// Flips is the number of flips behind the p-values; Exact says that these are all.
	Flips int
	Exact bool
	// Critical is the least statistic, of any metric, that is significant at this look with all
	// metrics in the family; infinite where none is.
	Critical float64
	Metrics  []Outcome // in the family's order
}

// Outcome is what was found of one metric.
type Outcome struct {
	Statistic float64
	// P is the p-value at the last look, adjusted for all metrics and all earlier looks.
	P float64
	// Significant says that P was at most the level at this look or at an earlier one, At is
	// the number of pairs that it was first so with.
	Significant bool
	At          int
}

// Test does the looks that the family has pairs for. All metrics need the same number of
// pairs, enough for the first look.
func (p Plan) Test(family []Metric) (*Result, error) {
	if len(family) == 0 {
		return nil, errors.New("there is no metric to test")
	}
	pairs := len(family[0].Differences)
	for _, m := range family {
		if len(m.Differences) != pairs {
			return nil, fmt.Errorf("one metric has %d pairs, another %d", pairs, len(m.Differences))
		}
		for _, d := range m.Differences {
			if math.IsNaN(d) || math.IsInf(d, 0) {
				return nil, fmt.Errorf("a difference is %g", d)
			}
		}
	}
	var looks []look
	for i, n := range p.Looks {
		if n <= pairs {
			looks = append(looks, p.look(family, p.Looks[:i+1]))
		}
	}
	if len(looks) == 0 {
		return nil, fmt.Errorf("%d pairs: the first look is at %d", pairs, p.Looks[0])
	}
	last := looks[len(looks)-1]
	r := &Result{Pairs: last.pairs, Level: last.level, Flips: len(last.flips), Exact: last.pairs <= exact, Metrics: make([]Outcome, len(family))}
	for i := range looks {
		ps, critical := adjusted(looks[:i+1])
		r.Critical = critical
		for k, v := range ps {
			o := &r.Metrics[k]
			o.P, o.Statistic = v, looks[i].own()[k][0]
			if v <= looks[i].level && !o.Significant {
				o.Significant, o.At = true, looks[i].pairs
			}
		}
	}
	return r, nil
}

// look is what one look has: its flips and the statistics of all of them.
type look struct {
	pairs int
	level float64
	// flips are the pairs whose sign is changed; the first flip changes none.
	flips []flip
	// statistics are those of the flips at each look until this one, which is the last, by
	// metric and flip.
	statistics [][][]float64
}

// own are the statistics at this look.
func (l look) own() [][]float64 { return l.statistics[len(l.statistics)-1] }

// flip is a set of pairs, by their bits.
type flip []uint64

func (f flip) of(pair int) bool { return f[pair/64]>>(pair%64)&1 == 1 }

// look computes the statistics of all flips of the pairs at the last of the looks.
func (p Plan) look(family []Metric, looks []int) look {
	pairs := looks[len(looks)-1]
	l := look{pairs: pairs, level: p.Level(pairs)}
	if pairs <= exact {
		for bits := range uint64(1) << pairs {
			l.flips = append(l.flips, flip{bits})
		}
	} else {
		random := rand.New(rand.NewPCG(p.Seed, uint64(pairs)))
		words := (pairs + 63) / 64
		l.flips = append(l.flips, make(flip, words))
		for range draws {
			f := make(flip, words)
			for w := range f {
				f[w] = random.Uint64()
			}
			l.flips = append(l.flips, f)
		}
	}
	for _, n := range looks {
		var at [][]float64
		for _, m := range family {
			at = append(at, m.statistics(l.flips, n))
		}
		l.statistics = append(l.statistics, at)
	}
	return l
}

// statistics are those of a metric's first pairs under each flip.
func (m Metric) statistics(flips []flip, pairs int) []float64 {
	differences := m.Differences[:pairs]
	scale := statisticScale(differences, m.Floor)
	all := make([]float64, len(flips))
	for i, f := range flips {
		sum := 0.0
		for j, d := range differences {
			if f.of(j) {
				d = -d
			}
			sum += d
		}
		if m.TwoSided {
			sum = math.Abs(sum)
		}
		all[i] = sum * scale
	}
	return all
}

// statisticScale is 1 by the statistic's denominator, which no flip changes; 0 where that is 0.
func statisticScale(differences []float64, floor float64) float64 {
	squares := float64(len(differences)) * floor * floor
	for _, d := range differences {
		squares += d * d
	}
	if squares == 0 {
		return 0
	}
	return 1 / math.Sqrt(squares)
}

// adjusted are the p-values of all metrics at the last of the looks, and the least statistic
// that is significant there with all metrics in the family.
func adjusted(looks []look) (ps []float64, critical float64) {
	last := looks[len(looks)-1]
	seen := last.own()
	order := make([]int, len(seen))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(seen[b][0], seen[a][0]) })

	// largest are the largest statistics of the metrics that are still in the family, by look,
	// look before it, and flip. The family grows from its least metric up.
	largest := make([][][]float64, len(looks))
	for i, l := range looks {
		for range l.statistics {
			largest[i] = append(largest[i], slices.Repeat([]float64{math.Inf(-1)}, len(l.flips)))
		}
	}
	ps = make([]float64, len(seen))
	for _, k := range slices.Backward(order) {
		for i, l := range looks {
			for j := range l.statistics {
				for f, s := range l.statistics[j][k] {
					largest[i][j][f] = max(largest[i][j][f], s)
				}
			}
		}
		alarms, boundary := 0, boundaries(looks, largest)
		for f, s := range largest[len(looks)-1][len(looks)-1] {
			if s >= seen[k][0]-equal || stopped(largest[len(looks)-1], boundary, f) {
				alarms++
			}
		}
		ps[k] = float64(alarms) / float64(len(last.flips))
		critical = boundary[len(looks)-1]
	}
	for at := 1; at < len(order); at++ {
		ps[order[at]] = max(ps[order[at]], ps[order[at-1]])
	}
	return ps, critical
}

// stopped says whether a flip would have stopped the gate at a look before the last of those
// whose statistics these are.
func stopped(largest [][]float64, boundary []float64, f int) bool {
	for j := range len(largest) - 1 {
		if largest[j][f] >= boundary[j]-equal {
			return true
		}
	}
	return false
}

// boundaries are the least statistics that stop the gate at each look: with them, no more
// flips stop it, at that look or an earlier one, than the level allows. Infinite where the
// level allows no flip.
func boundaries(looks []look, largest [][][]float64) []float64 {
	var boundary []float64
	for i, l := range looks {
		allowed := int(math.Floor(l.level*float64(len(l.flips)) + equal))
		var open []float64
		for f, s := range largest[i][i] {
			if stopped(largest[i], boundary, f) {
				allowed--
			} else {
				open = append(open, s)
			}
		}
		slices.Sort(open)
		slices.Reverse(open)
		least := math.Inf(1)
		for from := 0; from < len(open); {
			to := from // ties stop together
			for to < len(open) && open[to] >= open[from]-equal {
				to++
			}
			if to > allowed {
				// Without a flip that may stop the gate, whatever lies above all flips would.
				if from == 0 && allowed > 0 {
					least = open[0] + 2*equal
				}
				break
			}
			least, from = open[to-1], to
		}
		boundary = append(boundary, least)
	}
	return boundary
}
