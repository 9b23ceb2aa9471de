package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// expectAnswers judges how the requests of the steps' loads were answered.
func (r *Report) expectAnswers() {
	for i := range r.Traffic.Loads {
		l := &r.Traffic.Loads[i]
		s := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Number == l.Number })
		if s < 0 {
			continue
		}
		for _, status := range slices.Sorted(maps.Keys(l.Expect)) {
			share := l.Expect[status]
			want, got := int(math.Ceil(share*float64(l.Requests)-1e-9)), int(l.Statuses[status])
			is := 0.0
			if l.Requests > 0 {
				is = 100 * float64(got) / float64(l.Requests)
			}
			r.Steps[s].Expectations = append(r.Steps[s].Expectations, Expectation{
				What: fmt.Sprintf("answers %s to %s at %s", status, l.From, l.To), Want: want, Got: &got,
				OK:   l.Requests > 0 && got >= want,
				Text: fmt.Sprintf("of the requests from %s to %s, %.4g %% should be answered with %s, got %.4g %% (%d of %d)", l.From, l.To, 100*share, status, is, got, l.Requests),
			})
		}
	}
}
