package costmodel

import "fmt"

// ExtrapolationLimit is how many times the most that was measured of a column a prediction may
// be asked for. Beyond, a line that was fitted says nothing: a model of twenty proxies made
// 9 GiB of what a thousand take 1 GiB for.
const ExtrapolationLimit = 10

// Beyond says of which columns values are beyond [ExtrapolationLimit]; nil for none.
func (l *Linear) Beyond(values map[string]float64) (beyond []string) {
	for _, t := range l.Terms {
		if v := values[t.Column]; t.Max > 0 && v > ExtrapolationLimit*t.Max {
			beyond = append(beyond, fmt.Sprintf("%s: %.10g is more than %d times the most that was measured, %.10g", t.Column, v, ExtrapolationLimit, t.Max))
		}
	}
	return beyond
}
