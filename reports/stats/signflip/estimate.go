package signflip

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Confidence is the level that intervals have at least.
const Confidence = 0.95

// Estimate is the shift that differences show.
type Estimate struct {
	// Center is Hodges and Lehmann's estimate: the median of the means of all two
	// differences, each with itself too (Walsh averages).
	Center float64
	// Lo and Hi bound the interval that inverts the signed-rank test; infinite where there are
	// too few differences for Confidence. It is of this one metric: nothing in it corrects for
	// others.
	Lo, Hi float64
	// Confidence is the interval's level, exact for differences without ties, else at least
	// that. 0 where there is none.
	Confidence float64
}

// EstimateOf estimates the shift of one or more differences (Hollander, Wolfe and Chicken
// 2014, sections 3.2 and 3.3).
func EstimateOf(differences []float64) Estimate {
	averages := walsh(differences)
	e := Estimate{Center: middle(averages), Lo: math.Inf(-1), Hi: math.Inf(1)}
	ranks := signedRanks(len(differences))
	below := 0.0
	for c, p := range ranks {
		below += p
		if 2*below > 1-Confidence {
			break
		}
		e.Lo, e.Hi, e.Confidence = averages[c], averages[len(averages)-1-c], 1-2*below
	}
	return e
}

// walsh are the means of all two differences, each with itself too, sorted.
func walsh(differences []float64) []float64 {
	averages := make([]float64, 0, len(differences)*(len(differences)+1)/2)
	for i, a := range differences {
		for _, b := range differences[i:] {
			averages = append(averages, (a+b)/2)
		}
	}
	slices.Sort(averages)
	return averages
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// signedRanks are the probabilities of all sums of signed ranks of n differences, from 0 up to
// n(n+1)/2, without a shift.
func signedRanks(n int) []float64 {
	p := make([]float64, n*(n+1)/2+1)
	p[0] = 1
	for rank := 1; rank <= n; rank++ {
		for sum := len(p) - 1; sum >= 0; sum-- {
			p[sum] /= 2
			if sum >= rank {
				p[sum] += p[sum-rank] / 2
			}
		}
	}
	return p
}

// Spread is the standard deviation of differences; 0 for fewer than two.
func Spread(differences []float64) float64 {
	n := float64(len(differences))
	if n < 2 {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, d := range differences {
		mean += d / n
	}
	for _, d := range differences {
		squares += (d - mean) * (d - mean)
	}
	return math.Sqrt(squares / (n - 1))
}

// Sought is the share of times that a shift must be found to call it one that is found.
const Sought = 0.95

// Power asks which shift a test finds.
type Power struct {
	Pairs int
	// Spread is the standard deviation of differences without a shift.
	Spread float64
	// Critical is the least statistic that is significant (Result.Critical).
	Critical float64
	// Floor is that of the metric, Least the least estimate that matters.
	Floor, Least float64
}

// simulations are enough for shares to be right to within one in a hundred, twice their
// standard error.
const simulations = 2000

// Finds is the least shift that is found Sought of the time: significant, and estimated at
// Least or more. It is simulated with normal noise from a fixed seed. Infinite where no shift
// is found.
func (p Power) Finds() float64 {
	if math.IsInf(p.Critical, 1) {
		return math.Inf(1)
	}
	// A shift adds itself to the estimate, so that each sample is sorted once.
	type sample struct{ sum, squares, center float64 }
	random := rand.New(rand.NewPCG(uint64(p.Pairs), 95))
	noise, differences := make([]sample, simulations), make([]float64, p.Pairs)
	for i := range noise {
		n := &noise[i]
		for k := range differences {
			d := p.Spread * random.NormFloat64()
			differences[k] = d
			n.sum, n.squares = n.sum+d, n.squares+d*d
		}
		n.center = middle(walsh(differences))
	}
	pairs := float64(p.Pairs)
	found := func(shift float64) bool {
		times := 0
		for _, n := range noise {
			sum := n.sum + pairs*shift
			squares := n.squares + 2*shift*n.sum + pairs*(shift*shift+p.Floor*p.Floor)
			if sum >= (p.Critical-equal)*math.Sqrt(max(squares, 0)) && n.center+shift >= p.Least {
				times++
			}
		}
		return float64(times) >= Sought*simulations
	}
	// A shift that is far above noise and floor makes the statistic as large as it gets.
	low, high := 0.0, max(p.Spread, p.Floor, p.Least)
	for tries := 0; !found(high); tries++ {
		if tries == 10 || high == 0 {
			return math.Inf(1)
		}
		low, high = high, 2*high
	}
	for range 20 {
		if m := (low + high) / 2; found(m) {
			high = m
		} else {
			low = m
		}
	}
	return high
}

// Planned is the power of a test that is still to be made, with so many metrics that are
// independent and noise of the same spread: the least favourable for the correction.
func (p Plan) Planned(metrics int, spread, floor, least float64) Power {
	pairs := p.Looks[len(p.Looks)-1]
	random := rand.New(rand.NewPCG(uint64(pairs), uint64(metrics)))
	var criticals []float64
	for range 25 {
		family := make([]Metric, metrics)
		for k := range family {
			family[k].Floor = floor
			for range pairs {
				family[k].Differences = append(family[k].Differences, spread*random.NormFloat64())
			}
		}
		if r, err := p.Test(family); err == nil {
			criticals = append(criticals, r.Critical)
		}
	}
	power := Power{Pairs: pairs, Spread: spread, Critical: math.Inf(1), Floor: floor, Least: least}
	if len(criticals) > 0 {
		slices.Sort(criticals)
		power.Critical = criticals[len(criticals)/2]
	}
	return power
}
