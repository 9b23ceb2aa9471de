package history

import (
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/reports/changepoint"
	"github.com/meshbench/meshbench/reports/words"
)

// blocks are a series' values by block, without those that were not read. By date a day is
// one value, the median of its runs: those of a day are more alike than those of two.
func (s *Section) blocks(values []float64, by Order) [][]float64 {
	var all [][]float64
	for _, b := range s.Blocks {
		known := slices.DeleteFunc(slices.Clone(values[b.From:b.To]), math.IsNaN)
		if by == ByDate && len(known) > 1 {
			median, _, _ := words.Spread(known)
			known = []float64{median}
		}
		all = append(all, known)
	}
	return all
}

// levels counts the series in which changes of level can be looked for.
func (s *Section) levels() int {
	n := 0
	for _, step := range s.Steps {
		for _, series := range step.Series {
			if !series.Metric.Exact {
				n++
			}
		}
	}
	return n
}

// changes finds them; levels is how many series are looked at in all.
func (s *Section) changes(by Order, levels int) {
	for i := range s.Steps {
		step := &s.Steps[i]
		for j := range step.Series {
			series := &step.Series[j]
			if series.Metric.Exact {
				series.Testable = true
				s.counts(series)
			} else {
				blocks := s.blocks(series.Values, by)
				series.Testable = changepoint.Testable(blocks)
				for _, c := range changepoint.Find(blocks, changepoint.Options{Alpha: Alpha, Series: levels, Relative: series.Metric.Floor}) {
					series.Changes = append(series.Changes, Change{At: s.first(series, c.At), Before: c.Before, After: c.After, P: c.P})
				}
			}
			for k := range series.Changes {
				c := &series.Changes[k]
				c.Step, c.Metric, c.Block = step.Name, series.Metric, s.Block(c.At)
				c.With = s.with(series, c.At, by)
				s.Changes = append(s.Changes, *c)
			}
		}
	}
}

// counts finds the runs whose count is another than that of the run before.
func (s *Section) counts(series *Series) {
	before := -1
	for i, v := range series.Values {
		if math.IsNaN(v) {
			continue
		}
		if before >= 0 && series.Values[before] != v {
			series.Changes = append(series.Changes, Change{At: i, Before: series.Values[before], After: v, Within: s.Block(before) == s.Block(i)})
		}
		before = i
	}
}

// first is the first run of a block that has a value.
func (s *Section) first(series *Series, block int) int {
	b := s.Blocks[block]
	for i := b.From; i < b.To; i++ {
		if !math.IsNaN(series.Values[i]) {
			return i
		}
	}
	return b.From
}

// with is what a run differs in from the one before it that has a value: versions, beside
// that which the block's label says.
func (s *Section) with(series *Series, at int, by Order) []string {
	before := at - 1
	for before >= 0 && math.IsNaN(series.Values[before]) {
		before--
	}
	if before < 0 {
		return nil
	}
	var all []string
	a, b := s.Runs[before], s.Runs[at]
	add := func(what, was, is string) {
		if was != is && was != "" && is != "" {
			all = append(all, fmt.Sprintf("%s %s → %s", what, was, is))
		}
	}
	if by != ByVersion {
		add("Istio", a.Environment.Istio, b.Environment.Istio)
	}
	add("Envoy", a.Environment.Envoy, b.Environment.Envoy)
	if by != ByCommit {
		add("meshbench", a.Meshbench, b.Meshbench)
	}
	add("kernel", a.Machine.Kernel, b.Machine.Kernel)
	return all
}
