package stats_test

import (
	"fmt"

	"github.com/meshbench/meshbench/reports/stats"
)

// Memory in MiB of four runs of each version, the readings of two sidecars a run: with
// that many runs, a run's median is one observation.
func ExampleCompare() {
	before := stats.Sample{{38.1, 38.3}, {38.4, 38.2}, {38.0, 38.2}, {38.5, 38.3}}
	after := stats.Sample{{40.2, 40.4}, {40.1, 40.1}, {40.6, 40.4}, {40.3, 40.5}}
	c := stats.Compare(before, after)
	fmt.Printf("%+.1f MiB (%+.1f %%), %s\n", c.Change(), 100*c.Relative(), c)
	fmt.Println("more than chance:", c.Significant(stats.Alpha))
	fmt.Println("more than 3.5 % and 0.5 MiB:", c.Exceeds(0.035, 0.5))
	// Output:
	// +2.1 MiB (+5.5 %), p=0.029 n=4
	// more than chance: true
	// more than 3.5 % and 0.5 MiB: true
}

// With a single run a side, what weakens the comparison comes with it.
func ExampleCompare_singleRuns() {
	c := stats.Compare(stats.Sample{{38.1, 38.3, 38.2}}, stats.Sample{{38.2, 38.4, 38.1}})
	fmt.Println("more than chance:", c.Significant(stats.Alpha))
	fmt.Println("warnings:", len(c.Warnings)) // too few readings; sidecars of one run depend on each other
	// Output:
	// more than chance: false
	// warnings: 2
}

// Counts have no noise: any difference is one.
func ExampleCompareExact() {
	c := stats.CompareExact([]float64{224}, []float64{225})
	fmt.Printf("%+.0f, more than chance: %v\n", c.Change(), c.Significant(stats.Alpha))
	// Output: +1, more than chance: true
}
