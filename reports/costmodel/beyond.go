package costmodel

import (
	"fmt"
	"math"
)

// ExtrapolationLimit is how many times the most that was measured of a column a prediction may
// be asked for. Beyond, a line that was fitted says nothing: a model of twenty proxies made
// 9 GiB of what a thousand take 1 GiB for.
const ExtrapolationLimit = 10

// Beyond says of which columns values are beyond [ExtrapolationLimit]; nil for none.
func (l *Linear) Beyond(values map[string]float64) (beyond []string) {
	for _, t := range l.Terms {
		if v := values[t.Column]; t.Max > 0 && v > ExtrapolationLimit*t.Max {
			beyond = append(beyond, fmt.Sprintf("%s: %s is more than %d times the most that was measured, %s", t.Column, amount(v), ExtrapolationLimit, amount(t.Max)))
		}
	}
	return beyond
}

// amount is a column's value: whole, but for small ones that are not.
func amount(v float64) string {
	if math.Abs(v) >= 100 {
		v = math.Round(v)
	}
	return fmt.Sprintf("%.10g", v)
}
