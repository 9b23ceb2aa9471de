package reports

import "slices"

// expectProofs judges whether what the steps' calls were to show was shown.
func (r *Report) expectProofs() {
	for i := range r.Calls {
		c := &r.Calls[i]
		s := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Number == c.Number })
		if s < 0 {
			continue
		}
		got := 0
		if c.Holds() {
			got = 1
		}
		r.Steps[s].Expectations = append(r.Steps[s].Expectations, Expectation{
			What: "proof of " + c.Proves + ", " + c.From + " to " + c.To, Want: 1, Got: &got, OK: got == 1,
			Text: c.Expected() + ": " + c.Seen(),
		})
	}
}
