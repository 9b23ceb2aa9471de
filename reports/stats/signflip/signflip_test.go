package signflip

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTestExact(t *testing.T) {
	inf := math.Inf(1)
	same := []float64{1, 1, 1, 1, 1, 1}
	tests := map[string]struct {
		family []Metric
		want   []float64 // p-values
	}{
		"all up":              {[]Metric{{Differences: []float64{1, 2, 3, 4, 5, 6}}}, []float64{1.0 / 64}},
		"all alike":           {[]Metric{{Differences: same}}, []float64{1.0 / 64}},
		"all down":            {[]Metric{{Differences: []float64{-1, -2, -3, -4, -5, -6}}}, []float64{1}},
		"all down, two-sided": {[]Metric{{Differences: []float64{-1, -2, -3, -4, -5, -6}, TwoSided: true}}, []float64{2.0 / 64}},
		// Flips that sum to 19 or more: none, that of 1 alone (2 less), and the identity less 1.
		"the least one down": {[]Metric{{Differences: []float64{-1, 2, 3, 4, 5, 6}}}, []float64{2.0 / 64}},
		"never varies":       {[]Metric{{Differences: make([]float64, 6)}}, []float64{1}},
		// One that never varies takes nothing from another.
		"beside one that never varies": {[]Metric{{Differences: make([]float64, 6)}, {Differences: []float64{1, 2, 3, 4, 5, 6}}}, []float64{1, 1.0 / 64}},
		"twice the same":               {[]Metric{{Differences: same}, {Differences: []float64{2, 2, 2, 2, 2, 2}}}, []float64{1.0 / 64, 1.0 / 64}},
		// The second one reaches sqrt(6) under another flip, and is ahead of the first there.
		"beside one that is alike": {[]Metric{{Differences: []float64{1, 2, 3, 4, 5, 6}}, {Differences: []float64{1, -1, 1, -1, 1, -1}}}, []float64{2.0 / 64, 42.0 / 64}},
		// Its floor takes it out of the way.
		"beside one under its floor": {[]Metric{{Differences: []float64{1, 2, 3, 4, 5, 6}}, {Differences: []float64{1, -1, 1, -1, 1, -1}, Floor: 4}}, []float64{1.0 / 64, 42.0 / 64}},
	}
	for name, tt := range tests {
		r, err := Once(6).Test(tt.family)
		if err != nil {
			t.Fatal(err)
		}
		if r.Flips != 64 || !r.Exact || r.Pairs != 6 || r.Critical == inf {
			t.Errorf("%s: %+v", name, r)
		}
		for k, want := range tt.want {
			if o := r.Metrics[k]; math.Abs(o.P-want) > 1e-12 || o.Significant != (want <= 0.05) {
				t.Errorf("%s: metric %d: p=%g (%g flips), significant %v, want %g", name, k, o.P, o.P*64, o.Significant, want)
			}
		}
	}
}

func TestTestRefuses(t *testing.T) {
	for name, family := range map[string][]Metric{
		"nothing":       nil,
		"five pairs":    {{Differences: make([]float64, 5)}},
		"unequal":       {{Differences: make([]float64, 6)}, {Differences: make([]float64, 7)}},
		"not a number":  {{Differences: []float64{1, 2, 3, 4, 5, math.NaN()}}},
		"no end of one": {{Differences: []float64{1, 2, 3, 4, 5, math.Inf(1)}}},
	} {
		if _, err := Once(6).Test(family); err == nil {
			t.Errorf("%s was tested", name)
		}
	}
}

func TestLevel(t *testing.T) {
	p := Early(12)
	before := 0.0
	for _, n := range p.Looks {
		if level := p.Level(n); level <= before || level > Alpha {
			t.Errorf("level at %d is %g, at the look before %g", n, level, before)
		} else {
			before = level
		}
	}
	if before != Alpha || len(p.Looks) != 4 || p.Looks[0] != 6 || p.Looks[3] != 12 {
		t.Errorf("%+v ends with %g", p, before)
	}
	// a ln(1 + (e-1)/2) by hand.
	if got := p.Level(6); math.Abs(got-0.0310057) > 1e-6 {
		t.Errorf("half of the pairs may use up %g", got)
	}
	for n := MinPairs; n < 200; n++ {
		looks := Early(n).Looks
		if len(looks) > mostLooks || looks[0] != MinPairs || looks[len(looks)-1] != n || n <= 16 && len(looks) > 1 && looks[1] != min(n, 8) {
			t.Errorf("looks of %d pairs: %v", n, looks)
		}
	}
	if odd := Early(7).Looks; len(odd) != 2 || odd[1] != 7 {
		t.Errorf("looks of 7 pairs: %v", odd)
	}
}

// TestEarlier: what an earlier look could have used up is missing at the next.
func TestEarlier(t *testing.T) {
	// At 6 pairs two flips of 64 may stop (4.1 % of 64 is 2.6), which are 8 of 256 later.
	d := []float64{1, -2, 3, 4, 5, 6, 7, 8}
	r, err := Early(8).Test([]Metric{{Differences: d}})
	if err != nil {
		t.Fatal(err)
	}
	once, err := Once(8).Test([]Metric{{Differences: d}})
	if err != nil {
		t.Fatal(err)
	}
	if once.Metrics[0].P*256 != 3 || r.Metrics[0].P*256 <= 8 || r.Metrics[0].P*256 > 11 {
		t.Errorf("%g flips, in one look %g", r.Metrics[0].P*256, once.Metrics[0].P*256)
	}
	// What stopped the gate stays found.
	r, err = Early(8).Test([]Metric{{Differences: []float64{1, 2, 3, 4, 5, 6, -50, -50}}})
	if err != nil || !r.Metrics[0].Significant || r.Metrics[0].At != 6 || r.Metrics[0].P < 0.05 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDrawn(t *testing.T) {
	d := make([]float64, 20)
	for i := range d {
		d[i] = float64(i%5) - 1 // mean 1
	}
	plan := Plan{Alpha: Alpha, Looks: []int{6, 12, 16, 20}, Seed: 7}
	r, err := plan.Test([]Metric{{Differences: d}, {Differences: make([]float64, 20)}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Exact || r.Flips != draws+1 || !r.Metrics[0].Significant || r.Metrics[1].Significant {
		t.Errorf("%+v", r)
	}
	again, err := plan.Test([]Metric{{Differences: d}, {Differences: make([]float64, 20)}})
	if err != nil || again.Metrics[0] != r.Metrics[0] {
		t.Errorf("the same seed gives %+v and %+v", r, again)
	}
}

func TestEstimate(t *testing.T) {
	// Depression scores of nine patients, from Hollander and Wolfe's example 3.1: estimate
	// -0.46, interval of 96 % from -0.786 to -0.010.
	d := []float64{-0.952, 0.147, -1.022, -0.430, -0.620, -0.590, -0.490, 0.080, -0.010}
	e := EstimateOf(d)
	if math.Abs(e.Center+0.46) > 1e-9 || math.Abs(e.Lo+0.786) > 1e-9 || math.Abs(e.Hi+0.010) > 1e-9 || math.Abs(e.Confidence-0.961) > 0.0005 {
		t.Errorf("%+v", e)
	}
	six := EstimateOf([]float64{1, 2, 3, 4, 5, 6})
	if six.Lo != 1 || six.Hi != 6 || six.Confidence != 1-2.0/64 || six.Center != 3.5 {
		t.Errorf("%+v", six)
	}
	if five := EstimateOf([]float64{1, 2, 3, 4, 5}); !math.IsInf(five.Lo, -1) || five.Confidence != 0 {
		t.Errorf("%+v", five)
	}
	sum := 0.0
	for _, p := range signedRanks(9) {
		sum += p
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("the signed ranks' probabilities sum to %g", sum)
	}
}

// gate makes up the differences of a gate: so many metrics that share their run's luck, with
// noise of heavy tails and a drift of the machine, which an order by turns has on both sides.
func gate(random *rand.Rand, metrics, pairs int, drift float64) []Metric {
	family := make([]Metric, metrics)
	// Student's t with 3 degrees of freedom.
	heavy := func() float64 {
		squares := 0.0
		for range 3 {
			x := random.NormFloat64()
			squares += x * x
		}
		return random.NormFloat64() / math.Sqrt(squares/3)
	}
	first := random.IntN(2) == 0
	for pair := range pairs {
		// Pairs are turned round two by two.
		if pair%2 == 1 {
			first = !first
		} else {
			first = random.IntN(2) == 0
		}
		moved := drift
		if !first {
			moved = -drift
		}
		shared := heavy() - heavy()
		for k := range family {
			own := heavy() - heavy()
			// Some metrics come in steps, as pages do.
			d := 0.01*(shared+0.5*own) + moved
			if k%3 == 2 {
				d = 0.01 * math.Round(d/0.01)
			}
			family[k].Differences = append(family[k].Differences, d)
			family[k].Floor = 0.01
		}
	}
	return family
}

// TestFalseAlarms holds the chance of any false alarm of a whole gate, all looks and metrics,
// to Alpha, with noise that is correlated, has heavy tails and drifts along.
func TestFalseAlarms(t *testing.T) {
	const gates = 800
	for name, tt := range map[string]struct {
		plan    Plan
		metrics int
		drift   float64
	}{
		"6 pairs":               {Once(6), 9, 0},
		"6 pairs, drift":        {Once(6), 9, 0.02},
		"8 pairs in two looks":  {Early(8), 18, 0},
		"10 pairs, three looks": {Early(10), 9, 0.005},
	} {
		random := rand.New(rand.NewPCG(15, 0))
		alarms := 0
		for range gates {
			r, err := tt.plan.Test(gate(random, tt.metrics, tt.plan.Looks[len(tt.plan.Looks)-1], tt.drift))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range r.Metrics {
				if m.Significant {
					alarms++
					break
				}
			}
		}
		rate := float64(alarms) / gates
		t.Logf("%s, %d metrics: %.1f %% of %d gates without a change raise an alarm", name, tt.metrics, 100*rate, gates)
		// Three standard errors.
		if rate > Alpha+3*math.Sqrt(Alpha*(1-Alpha)/gates) {
			t.Errorf("%s: %.1f %% false alarms", name, 100*rate)
		}
		// The test is not so careful that it would never find anything.
		if tt.drift == 0 && rate < 0.02 {
			t.Errorf("%s: only %.1f %% false alarms, of %g %% allowed", name, 100*rate, 100*Alpha)
		}
	}
}

// TestPower holds what Finds says against gates with that shift: 95 % are found, and the
// metrics beside the one that rose are not.
func TestPower(t *testing.T) {
	const gates = 400
	for _, tt := range []struct{ pairs, metrics int }{{6, 1}, {6, 9}, {8, 9}} {
		plan := Early(tt.pairs)
		const spread, floor, least = 0.014, 0.01, 0.02
		power := plan.Planned(tt.metrics, spread, floor, least)
		shift := power.Finds()
		random := rand.New(rand.NewPCG(16, uint64(tt.pairs)))
		found, others := 0, 0
		for range gates {
			family := make([]Metric, tt.metrics)
			for k := range family {
				family[k].Floor = floor
				for range tt.pairs {
					family[k].Differences = append(family[k].Differences, spread*random.NormFloat64())
				}
			}
			for i := range family[0].Differences {
				family[0].Differences[i] += shift
			}
			r, err := plan.Test(family)
			if err != nil {
				t.Fatal(err)
			}
			if r.Metrics[0].Significant && EstimateOf(family[0].Differences).Center >= least {
				found++
			}
			for _, m := range r.Metrics[1:] {
				if m.Significant {
					others++
					break
				}
			}
		}
		t.Logf("%d pairs, %d metrics, spread %.1f %%: finds %.1f %%; found %.1f %% of the time", tt.pairs, tt.metrics, 100*spread, 100*shift, 100*float64(found)/gates)
		if share := float64(found) / gates; share < 0.91 || share > 0.995 {
			t.Errorf("%d pairs, %d metrics: a rise of %g is found %.1f %% of the time, not 95 %%", tt.pairs, tt.metrics, shift, 100*share)
		}
		if others > gates/14 {
			t.Errorf("%d pairs: others were found in %d of %d", tt.pairs, others, gates)
		}
	}
	// Metrics that never varied find what is worth an alarm.
	still, err := Once(6).Test([]Metric{{Differences: make([]float64, 6), Floor: 0.01}})
	if err != nil {
		t.Fatal(err)
	}
	if least := (Power{Pairs: 6, Critical: still.Critical, Floor: 0.01, Least: 0.02}).Finds(); math.Abs(least-0.02) > 1e-5 {
		t.Errorf("without noise a rise of %g is found, want 0.02", least)
	}
	if never := (Power{Pairs: 6, Spread: 0.01, Critical: math.Inf(1)}).Finds(); !math.IsInf(never, 1) {
		t.Errorf("without a critical value a rise of %g is found", never)
	}
}
