package changepoint

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// blocks are series of n blocks of size measurements, each of what level says of its block.
func blocks(n, size int, level func(block int) float64) [][]float64 {
	all := make([][]float64, n)
	for i := range all {
		for range size {
			all[i] = append(all[i], level(i))
		}
	}
	return all
}

// noises are the scatters of runs around their level, as shares of it: 1 % is about what
// medians of sidecars show, see reports/compare/comparetest.
func noises(random *rand.Rand) map[string]func() float64 {
	return map[string]func() float64{
		"normal": func() float64 { return 0.01 * random.NormFloat64() },
		// Student's t with three degrees of freedom.
		"heavy tails": func() float64 {
			var squares float64
			for range 3 {
				v := random.NormFloat64()
				squares += v * v
			}
			return 0.01 * random.NormFloat64() / math.Sqrt(squares/3)
		},
		// The noise that was seen of repeats: see comparetest.Seen.
		"medians of nine sidecars": func() float64 {
			sidecars := make([]float64, 9)
			for i := range sidecars {
				sidecars[i] = 0.009 * random.NormFloat64()
				if random.IntN(60) == 0 {
					sidecars[i] += 0.18
				}
			}
			slices.Sort(sidecars)
			return sidecars[4] + 0.0095*random.NormFloat64()
		},
		"skewed": func() float64 { return 0.01 * random.ExpFloat64() },
	}
}

// TestFalseAlarms: of pages on which nothing has changed at most Alpha have a mark.
func TestFalseAlarms(t *testing.T) {
	const alpha, series = 0.05, 40
	for _, c := range []struct {
		name         string
		blocks, size int
		pages        int
		relative     float64
		noises       []string
	}{
		{"six versions of three runs", 6, 3, 400, 0, []string{"normal", "heavy tails", "medians of nine sidecars"}},
		{"a month of nights", 30, 1, 100, 0, []string{"normal", "heavy tails", "medians of nine sidecars"}},
		{"a year of weeks", 52, 1, 100, 0, []string{"normal", "heavy tails", "medians of nine sidecars"}},
		// With the least change that reports mark of a sidecar's memory.
		{"six versions of three runs", 6, 3, 400, 0.035, []string{"skewed"}},
		{"a month of nights", 30, 1, 100, 0.035, []string{"skewed"}},
		{"a year of weeks", 52, 1, 50, 0.035, []string{"skewed"}},
	} {
		for _, name := range c.noises {
			t.Run(c.name+", "+name, func(t *testing.T) {
				t.Parallel()
				noise := noises(rand.New(rand.NewPCG(1, 2)))[name]
				alarms := 0
				for range c.pages {
					marks := 0
					for range series {
						marks += len(Find(blocks(c.blocks, c.size, func(int) float64 { return 30 * (1 + noise()) }), Options{Alpha: alpha, Series: series, Relative: c.relative}))
					}
					if marks > 0 {
						alarms++
					}
				}
				t.Logf("%d of %d pages have a mark", alarms, c.pages)
				// The noise is made from a seed, so the number is the same each time. Three
				// standard deviations are allowed: the pages are a sample.
				if most := alpha + 3*math.Sqrt(alpha*(1-alpha)/float64(c.pages)); float64(alarms)/float64(c.pages) > most {
					t.Errorf("%d of %d pages have a mark, at most %.1f %% should", alarms, c.pages, 100*alpha)
				}
			})
		}
	}
}

// TestPower: a change that is large beside the noise is found, at its place.
func TestPower(t *testing.T) {
	const trials, series = 200, 40
	for _, c := range []struct {
		name         string
		blocks, size int
		change       func(block int) float64 // as a share
		want         []int
		least        int // trials of 200 that find just that
	}{
		{"one version of six", 6, 3, func(b int) float64 { return step(b >= 3) * 0.05 }, []int{3}, 195},
		{"the last version", 6, 3, func(b int) float64 { return step(b >= 5) * 0.05 }, []int{5}, 150},
		{"up and down again", 40, 1, func(b int) float64 { return step(b >= 15 && b < 25) * 0.05 }, []int{15, 25}, 180},
		{"a stair", 60, 1, func(b int) float64 { return 0.04 * (step(b >= 20) + step(b >= 40)) }, []int{20, 40}, 120},
	} {
		t.Run(c.name, func(t *testing.T) {
			noise := noises(rand.New(rand.NewPCG(3, 4)))["normal"]
			found := 0
			for range trials {
				changes := Find(blocks(c.blocks, c.size, func(b int) float64 { return 30 * (1 + c.change(b) + noise()) }), Options{Alpha: 0.05, Series: series, Relative: 0.02})
				ok := len(changes) == len(c.want)
				for i := 0; ok && i < len(changes); i++ {
					ok = changes[i].At == c.want[i]
				}
				if ok {
					found++
				}
			}
			t.Logf("found as it is in %d of %d", found, trials)
			if found < c.least {
				t.Errorf("found as it is in %d of %d, want %d or more", found, trials, c.least)
			}
		})
	}
}

func step(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func TestFind(t *testing.T) {
	one := func(values ...float64) [][]float64 {
		var all [][]float64
		for _, v := range values {
			all = append(all, []float64{v})
		}
		return all
	}
	tenth := 0.1 // a constant would be exact
	for name, c := range map[string]struct {
		blocks   [][]float64
		relative float64
		want     []Change // without P
	}{
		"nothing":                    {},
		"one block":                  {blocks: [][]float64{{1, 2, 3, 9, 9, 9}}},
		"too few on a side":          {blocks: one(1, 1, 1, 1, 9, 9, 9, 9, 9)},
		"too few repeats":            {blocks: [][]float64{{1, 1}, {9, 9, 9, 9}}},
		"the same":                   {blocks: one(7, 7, 7, 7, 7, 7, 7, 7, 7, 7)},
		"all 0":                      {blocks: one(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)},
		"a clean step":               {blocks: one(1, 1, 1, 1, 1, 2, 2, 2, 2, 2), want: []Change{{At: 5, Before: 1, After: 2}}},
		"up and down":                {blocks: one(1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1), want: []Change{{At: 5, Before: 1, After: 2}, {At: 10, Before: 2, After: 1}}},
		"rounding is no change":      {blocks: [][]float64{{0.1 + tenth*2, 0.1 + tenth*2, 0.1 + tenth*2}, {0.3, 0.3, 0.3}}},
		"large numbers":              {blocks: [][]float64{{3e15, 3e15, 3e15}, {4e15, 4e15, 4e15}}, want: []Change{{At: 1, Before: 3e15, After: 4e15}}},
		"no change within a block":   {blocks: [][]float64{{1, 1, 1, 5, 5, 5}, {5, 5, 5}}},
		"empty blocks begin nothing": {blocks: [][]float64{{}, {1, 1, 1}, {}, {}, {2, 2, 2}, {}}, want: []Change{{At: 4, Before: 1, After: 2}}},
		"less than is worth a mark":  {blocks: [][]float64{{1, 1, 1}, {1.02, 1.02, 1.02}}, relative: 0.03},
		"small ones join":            {blocks: [][]float64{{1, 1, 1}, {1.02, 1.02, 1.02}, {2, 2, 2}}, relative: 0.03, want: []Change{{At: 2, Before: 1.01, After: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Find(c.blocks, Options{Alpha: 0.05, Relative: c.relative})
			ok := len(got) == len(c.want)
			for i := 0; ok && i < len(got); i++ {
				g, w := got[i], c.want[i]
				ok = g.At == w.At && math.Abs(g.Before-w.Before) < 1e-9*w.Before && math.Abs(g.After-w.After) < 1e-9*w.After && g.P <= 0.05
			}
			if !ok {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestSeeded: the whole is an interval, each lies within the series, and none is there twice.
func TestSeeded(t *testing.T) {
	for n := range 200 {
		seen := map[interval]bool{}
		whole := n < 2
		for _, in := range seeded(n) {
			if seen[in] || in.from < 0 || in.to > n || in.to-in.from < 2 {
				t.Fatalf("%d blocks: %v", n, in)
			}
			seen[in] = true
			whole = whole || in == interval{0, n}
		}
		if !whole {
			t.Errorf("%d blocks: the whole is no interval", n)
		}
	}
}
