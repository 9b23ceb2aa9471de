package costmodel

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"
)

// t is the factor of a two-sided interval.
func (l *Linear) t() float64 {
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(l.DF)}.Quantile(1 - (1-Confidence)/2)
}

// proportional says whether residuals are shares of what is fitted.
func (l *Linear) proportional() bool { return l.Share > 0 }

// form is the quadratic form d·Inverse·d.
func (l *Linear) form(d []float64) float64 {
	var sum float64
	for a := range d {
		for b := range d {
			sum += d[a] * l.Inverse[a][b] * d[b]
		}
	}
	return max(sum, 0)
}

// Predict estimates one more observation at values, by column.
func (l *Linear) Predict(values map[string]float64) Estimate {
	e := Estimate{Bytes: l.Intercept}
	away := make([]float64, len(l.Terms))
	for k, t := range l.Terms {
		v := values[t.Column]
		e.Bytes += t.Coefficient * v
		away[k] = v - t.Mean
		if v < t.Min || v > t.Max {
			e.Warnings = append(e.Warnings, fmt.Sprintf("%s: %s is outside the measured range, %s to %s", t.Column, amount(v), amount(t.Min), amount(t.Max)))
		}
	}
	one, sigma := 1.0, l.StdDev
	if l.proportional() {
		f := max(0, e.Bytes)
		one, sigma = f*f, l.Share
	}
	half := l.t() * sigma * math.Sqrt(one+1/l.Weight+l.form(away))
	// Far from what was measured the interval can reach below nothing, which memory cannot.
	e.Lo, e.Hi = max(0, e.Bytes-half), e.Bytes+half
	for _, t := range l.Tied {
		if v := values[t.Column]; !l.follows(t, v, t.Relation[0], values) {
			e.Warnings = append(e.Warnings, fmt.Sprintf("%s is not as it always was with %s (%.10g, where %.10g goes with the rest): the model cannot tell them apart, and the interval does not know",
				t.Column, strings.Join(t.With, " and "), v, l.tiedValue(t, t.Relation[0], values)))
		}
	}
	for _, f := range l.Fixed {
		if v := values[f.Column]; v != f.Value {
			e.Warnings = append(e.Warnings, fmt.Sprintf("%s: %.10g; it was always %.10g, so what it costs is unknown and not in the estimate", f.Column, v, f.Value))
		}
	}
	return e
}

// Slope estimates what a change of the columns costs. Unknown, it returns a reason.
func (l *Linear) Slope(change map[string]float64) (e Estimate, unknown string) {
	d := make([]float64, len(l.Terms))
	for k, t := range l.Terms {
		d[k] = change[t.Column]
		e.Bytes += t.Coefficient * d[k]
	}
	half := l.t() * max(l.StdDev, l.Share) * math.Sqrt(l.form(d))
	e.Lo, e.Hi = e.Bytes-half, e.Bytes+half
	for _, t := range l.Tied {
		if !l.follows(t, change[t.Column], 0, change) {
			return Estimate{}, fmt.Sprintf("%s always moved with %s", t.Column, strings.Join(t.With, " and "))
		}
	}
	for _, f := range l.Fixed {
		if change[f.Column] != 0 {
			return Estimate{}, f.Column + " never changed"
		}
	}
	return e, ""
}

// follows says whether a tied column's value is what its relation says, within what it
// was, or 5 %.
func (l *Linear) follows(t Tie, v, constant float64, values map[string]float64) bool {
	spread := t.Spread
	if constant == 0 { // a change
		spread = 0
	}
	return math.Abs(v-l.tiedValue(t, constant, values)) <= max(spread, 0.05*math.Abs(v), 1e-6)
}

func (l *Linear) tiedValue(t Tie, constant float64, values map[string]float64) float64 {
	for k, term := range l.Terms {
		constant += t.Relation[k+1] * values[term.Column]
	}
	return constant
}

// Tie in words.
func (t Tie) String() string {
	if len(t.With) == 0 {
		return t.Column + " barely moved on its own"
	}
	return fmt.Sprintf("%s always moved with %s: what they cost is not split, it is all in the coefficients of the latter", t.Column, strings.Join(t.With, " and "))
}

func pick(names []string, indexes []int) []string {
	var list []string
	for _, i := range indexes {
		list = append(list, names[i])
	}
	return list
}
