package costmodel

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

const (
	// Confidence is the level of all intervals.
	Confidence = 0.95
	// VIFTied is the variance inflation factor from which on a column counts as one that
	// always moved with others: they leave less than a thousandth of its variance to it,
	// so that its coefficient would be of the noise. It gets none. Below, what is left can
	// be enough where one run goes much further than the others (320 for listeners with
	// one of 3,000 headless pods); the coefficient's interval says whether it is.
	VIFTied = 1000
	// VIFWarning is the one from which on a column is said to have moved with others; its
	// coefficient has an interval that is three times as wide as it could be, or more.
	// Source: Marquardt, Technometrics 12 (1970), 591.
	VIFWarning = 10
	// leastDF is how many more points than coefficients a fit needs, so that something is
	// left to judge it by.
	leastDF = 3
)

// Point is one observation: what was there, and what it cost.
type Point struct {
	Run, Step string
	X         []float64 // one value a column
	Y         float64   // bytes
}

// Linear is a least-squares model of memory over columns. Its intervals are Student's,
// for points whose deviations are independent, and of equal variance or, of a
// proportional model, of a standard deviation that is a share of what is fitted.
type Linear struct {
	// Points is the number of observations, DF the degrees of freedom that are left.
	Points int `json:"points"`
	DF     int `json:"degreesOfFreedom"`
	// R2 is the share of the variance that the columns explain.
	R2 float64 `json:"r2"`
	// StdDev is the standard deviation of the residuals, in bytes; of a proportional model
	// Share is, of the residuals as a share of what is fitted.
	StdDev float64 `json:"residualStdDevBytes,omitempty"`
	Share  float64 `json:"residualStdDevShare,omitempty"`
	// Weight is the sum of the points' weights, which are 1 each, or one over the square
	// of what is fitted.
	Weight float64 `json:"weight"`
	// Intercept is the memory where all columns are 0, in bytes.
	Intercept float64 `json:"interceptBytes"`
	Terms     []Term  `json:"terms"`
	// Tied are columns that have no term since they always moved with others.
	Tied []Tie `json:"tied,omitempty"`
	// Fixed are columns that have no term since they never changed.
	Fixed []Fixed `json:"fixed,omitempty"`
	// Inverse is the inverse of the terms' centred sums of weighted squares and products,
	// from which the widths of intervals come.
	Inverse   [][]float64 `json:"inverse"`
	Residuals []Residual  `json:"residuals"`
}

// Term is a column with a coefficient.
type Term struct {
	Column      string  `json:"column"`
	Coefficient float64 `json:"bytes"` // for one more
	Lo          float64 `json:"lo"`    // confidence interval
	Hi          float64 `json:"hi"`
	// VIF is the factor by which the other columns' moving along widens the interval,
	// squared; 1 where none does.
	VIF float64 `json:"vif"`
	// Mean (by weight), Min and Max are of the observations.
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
}

// Tie is a column whose effect cannot be told from that of others. Its share is in
// their coefficients.
type Tie struct {
	Column string `json:"column"`
	// With are the columns it moved with.
	With []string `json:"with"`
	// Relation is what it was: Relation[0], and Relation[i+1] for one of term i; give or
	// take Spread, the largest deviation.
	Relation []float64 `json:"relation"`
	Spread   float64   `json:"spread"`
}

// Fixed is a column that had one value only.
type Fixed struct {
	Column string  `json:"column"`
	Value  float64 `json:"value"`
}

// Residual is an observation and what the model makes of it, in bytes.
type Residual struct {
	Run      string  `json:"run"`
	Step     string  `json:"step"`
	Observed float64 `json:"observed"`
	Fitted   float64 `json:"fitted"`
}

// Estimate is what the model says of one point, in bytes.
type Estimate struct {
	Bytes float64 `json:"bytes"`
	// Lo and Hi are the prediction interval: of one more observation.
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
	// Warnings say where the point lies outside of what was fitted.
	Warnings []string `json:"warnings,omitempty"`
}

// FitLine is the least-squares line through points of one column. It needs three points,
// not all at one place.
func FitLine(column string, points []Point) (*Linear, error) {
	l, err := fitWith([]string{column}, points, 1, false)
	if err == nil && len(l.Terms) == 0 {
		return nil, fmt.Errorf("%s: always %g", column, l.Fixed[0].Value)
	}
	return l, err
}

// fit fits the points; columns names their values. Columns that cannot be told from
// others are tied to them, the later to the earlier.
func fit(columns []string, points []Point) (*Linear, error) {
	return fitWith(columns, points, leastDF, false)
}

// fitProportional is fit for what scatters the more the larger it is. The weights follow
// from the fit, the fit from the weights, until neither changes: what a gamma regression
// with an identity link solves (McCullagh and Nelder, Generalized Linear Models, 8.2).
func fitProportional(columns []string, points []Point) (*Linear, error) {
	return fitWith(columns, points, leastDF, true)
}

// fitWith is fit with so many more points than coefficients at the least.
func fitWith(columns []string, points []Point, leastDF int, proportional bool) (*Linear, error) {
	if len(points) == 0 {
		return nil, errors.New("there is no usable step")
	}
	l := &Linear{Points: len(points)}
	x := make([][]float64, len(columns)) // by column
	var kept []int
	for j, name := range columns {
		for _, p := range points {
			x[j] = append(x[j], p.X[j])
		}
		if slices.Min(x[j]) == slices.Max(x[j]) {
			l.Fixed = append(l.Fixed, Fixed{name, x[j][0]})
			continue
		}
		kept = append(kept, j)
	}
	others := func(j int) []int { return slices.DeleteFunc(slices.Clone(kept), func(k int) bool { return k == j }) }
	var tied []int
	for {
		worst, highest := -1, float64(VIFTied)
		for _, j := range kept {
			// Of columns that are tied to one another, and so to the same degree, the last.
			if v := inflation(x, j, others(j)); v >= highest*(1-1e-6) {
				worst, highest = j, v
			}
		}
		if worst < 0 {
			break
		}
		tied = append(tied, worst)
		kept = others(worst)
	}
	slices.Sort(tied)
	for _, j := range tied {
		l.Tied = append(l.Tied, tie(columns, x, j, kept))
	}

	l.DF = len(points) - len(kept) - 1
	if l.DF < leastDF {
		moved := "in which nothing changed"
		if len(kept) > 0 {
			moved = fmt.Sprintf("for %d columns (%s)", len(kept), strings.Join(pick(columns, kept), ", "))
		}
		return nil, fmt.Errorf("%d usable steps are too few %s: the fit needs at least %d", len(points), moved, len(kept)+1+leastDF)
	}
	y := make([]float64, len(points))
	for i, p := range points {
		y[i] = p.Y
	}
	beta := solve(x, kept, y, nil)
	var weights []float64 // none are all 1
	if proportional {
		beta, weights = reweighted(x, kept, y, beta)
	}
	l.Intercept = beta[0]
	var rss, weighted float64
	for i, p := range points {
		f := fitted(x, kept, beta, i)
		rss += (y[i] - f) * (y[i] - f)
		weighted += weight(weights, i) * (y[i] - f) * (y[i] - f)
		l.Weight += weight(weights, i)
		l.Residuals = append(l.Residuals, Residual{p.Run, p.Step, y[i], f})
	}
	sigma := math.Sqrt(weighted / float64(l.DF))
	if proportional {
		l.Share = sigma
	} else {
		l.StdDev = sigma
	}
	if tss := stat.Variance(y, nil) * float64(len(y)-1); tss > 0 {
		l.R2 = 1 - rss/tss
	}
	if err := l.invert(x, kept, weights); err != nil {
		return nil, err
	}
	for k, j := range kept {
		half := l.t() * sigma * math.Sqrt(l.Inverse[k][k])
		l.Terms = append(l.Terms, Term{
			Column: columns[j], Coefficient: beta[k+1], Lo: beta[k+1] - half, Hi: beta[k+1] + half,
			VIF: inflation(x, j, others(j)), Mean: stat.Mean(x[j], weights), Min: slices.Min(x[j]), Max: slices.Max(x[j]),
		})
	}
	return l, nil
}

// fitted is what coefficients make of row i.
func fitted(x [][]float64, columns []int, beta []float64, i int) float64 {
	f := beta[0]
	for k, j := range columns {
		f += beta[k+1] * x[j][i]
	}
	return f
}

// weight is that of row i; without weights, 1.
func weight(weights []float64, i int) float64 {
	if weights == nil {
		return 1
	}
	return weights[i]
}

// reweighted is the fit of a proportional model, from a start, and its weights.
func reweighted(x [][]float64, columns []int, y, beta []float64) ([]float64, []float64) {
	weights := make([]float64, len(y))
	least := slices.Min(y) / 2 // keeps a wild start from fitting less than nothing
	for range 100 {
		for i := range y {
			f := max(fitted(x, columns, beta, i), least)
			weights[i] = 1 / (f * f)
		}
		before := beta
		beta = solve(x, columns, y, weights)
		var moved float64
		for i := range y {
			moved = max(moved, math.Abs(fitted(x, columns, beta, i)-fitted(x, columns, before, i))*math.Sqrt(weights[i]))
		}
		if moved < 1e-10 {
			break
		}
	}
	return beta, weights
}

// solve returns the least-squares coefficients of y over the columns, the constant
// first. Columns are scaled: endpoints are counted in thousands, clusters in tens.
func solve(x [][]float64, columns []int, y, weights []float64) []float64 {
	n := len(y)
	a := mat.NewDense(n, len(columns)+1, nil)
	right := mat.NewDense(n, 1, nil)
	scale := make([]float64, len(columns)+1)
	scale[0] = 1
	for k, j := range columns {
		scale[k+1] = max(mat.Max(mat.NewVecDense(n, x[j])), 1)
	}
	// Scaled as well, lest the rank be judged by units.
	unit := 1.0
	if weights != nil {
		unit = math.Sqrt(slices.Max(weights))
	}
	for i := range n {
		root := math.Sqrt(weight(weights, i)) / unit
		a.Set(i, 0, root)
		for k, j := range columns {
			a.Set(i, k+1, root*x[j][i]/scale[k+1])
		}
		right.Set(i, 0, root*y[i])
	}
	var svd mat.SVD
	svd.Factorize(a, mat.SVDThin)
	var b mat.Dense
	svd.SolveTo(&b, right, max(1, svd.Rank(1e-10)))
	beta := mat.Col(nil, 0, &b)
	for k := range beta {
		beta[k] /= scale[k]
	}
	return beta
}

// inflation is the variance inflation factor of column j among others.
func inflation(x [][]float64, j int, others []int) float64 {
	if len(others) == 0 {
		return 1
	}
	beta := solve(x, others, x[j], nil)
	var rss float64
	for i, v := range x[j] {
		f := fitted(x, others, beta, i)
		rss += (v - f) * (v - f)
	}
	tss := stat.Variance(x[j], nil) * float64(len(x[j])-1)
	return 1 / max(rss/tss, 1e-12) // exact dependence, give or take rounding
}

// tie describes column j by the kept ones.
func tie(columns []string, x [][]float64, j int, kept []int) Tie {
	t := Tie{Column: columns[j], Relation: make([]float64, len(kept)+1)}
	var with []int
	for k, b := range solve(x, kept, x[j], nil)[1:] {
		// A column that accounts for less than a tenth of the movement is none of those.
		if math.Abs(b)*stat.StdDev(x[kept[k]], nil) > stat.StdDev(x[j], nil)/10 {
			with = append(with, kept[k])
		}
	}
	t.With = pick(columns, with)
	beta := solve(x, with, x[j], nil)
	t.Relation[0] = beta[0]
	for k, o := range with {
		t.Relation[slices.Index(kept, o)+1] = beta[k+1]
	}
	for i, v := range x[j] {
		t.Spread = max(t.Spread, math.Abs(v-fitted(x, kept, t.Relation, i)))
	}
	return t
}

// invert sets Inverse.
func (l *Linear) invert(x [][]float64, kept []int, weights []float64) error {
	k := len(kept)
	if k == 0 {
		return nil
	}
	squares := mat.NewSymDense(k, nil)
	mean := make([]float64, k)
	for a, j := range kept {
		mean[a] = stat.Mean(x[j], weights)
	}
	for a := range k {
		for b := a; b < k; b++ {
			var sum float64
			for i := range l.Points {
				sum += weight(weights, i) * (x[kept[a]][i] - mean[a]) * (x[kept[b]][i] - mean[b])
			}
			squares.SetSym(a, b, sum)
		}
	}
	var c mat.Cholesky
	var inverse mat.SymDense
	if !c.Factorize(squares) {
		return errors.New("the columns are not independent") // tied before
	}
	if err := c.InverseTo(&inverse); err != nil {
		var condition mat.Condition // a warning of lost digits, of which doubles have enough
		if !errors.As(err, &condition) {
			return fmt.Errorf("computing intervals: %w", err)
		}
	}
	for a := range k {
		l.Inverse = append(l.Inverse, mat.Row(nil, a, &inverse))
	}
	return nil
}
