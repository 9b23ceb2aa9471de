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
		n := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Number == l.Number })
		if n < 0 {
			continue
		}
		s := &r.Steps[n]
		for _, status := range slices.Sorted(maps.Keys(l.Expect)) {
			share, got := l.Expect[status], int(l.Statuses[status])
			want, is := int(math.Ceil(share*float64(l.Requests)-1e-9)), 0.0
			if l.Requests > 0 {
				is = float64(got) / float64(l.Requests)
			}
			s.Expectations = append(s.Expectations, Expectation{
				What: s.unlike(fmt.Sprintf("%s from %s to %s%s: %.4g %% answered with %s", l.Asked(), l.From, l.To, l.Path, 100*share, status)),
				Want: want, Got: &got, OK: l.Requests > 0 && got >= want,
				Text: fmt.Sprintf("of the requests from %s to %s%s, %.4g %% should be answered with %s, got %.4g %% (%d of %d)",
					l.From, l.To, l.Path, 100*share, status, 100*is, got, l.Requests),
			})
		}
	}
}

// unlike is a name for an expectation that no other of the step has.
func (s *Step) unlike(what string) string {
	name := what
	for i := 2; slices.ContainsFunc(s.Expectations, func(e Expectation) bool { return e.What == name }); i++ {
		name = fmt.Sprintf("%s (%d)", what, i)
	}
	return name
}
