package costmodel

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// FactorTolerance is how wide the factor's confidence interval may be, to either side and as a
// share of it, for a calibration to use it. Sidecars that all hold about the same tell where
// the proxy begins, and nothing of what one more object costs it.
const FactorTolerance = 0.5

// compared is a workload of a step: what its sidecars hold and what they take.
type compared struct {
	run, step, workload string
	objects             observations.ConfigObjects
	routing             observations.RoutingObjects
	bytes               float64 // median
}

// compare notes a workload for calibration, once for each configuration that it has in a step.
func (d *data) compare(run, step string, p observations.Proxy, memory []float64) {
	if len(memory) == 0 {
		return
	}
	x := compared{run: run, step: step, workload: p.Workload, objects: p.Objects}
	if p.Routing != nil {
		x.routing = *p.Routing
	}
	same := func(o compared) bool {
		return o.run == run && o.step == step && o.workload == x.workload && o.objects == x.objects && o.routing == x.routing
	}
	if !slices.ContainsFunc(d.compared, same) {
		x.bytes = median(memory)
		d.compared = append(d.compared, x)
	}
}

// Calibration is what runs of somebody's own proxy say of a model: memory is
// InterceptBytes + Factor times what the model says. All memory is in bytes. Make it by
// [Calibrate], use it by [Model.Calibrated].
type Calibration struct {
	Runs []Source `json:"runs"`
	// Points is the number of workloads, in all steps, behind it.
	Points int `json:"points"`
	// Intercept is what the proxy takes more (or less) where the model says nothing, and
	// Factor what an object costs of what the model says it does, with its confidence interval.
	Intercept float64 `json:"interceptBytes"`
	Factor    float64 `json:"factor"`
	FactorLo  float64 `json:"factorLo"`
	FactorHi  float64 `json:"factorHi"`
	// NoFactor says why Factor is 1 and was not fitted; "" where it was.
	NoFactor string `json:"noFactor,omitempty"`
	// From and To are the least and the most that the model says of any of the points.
	From float64 `json:"fromBytes"`
	To   float64 `json:"toBytes"`
	// R2 is the share of the points' variance that the calibrated model explains; 0 where no
	// factor was fitted. Scatter is the standard deviation of what it leaves over.
	R2      float64 `json:"r2"`
	Scatter float64 `json:"scatterBytes"`
	// Residuals are the points, with what the calibrated model makes of each.
	Residuals []Residual `json:"residuals"`
	// Differences are what the runs differ in from the model's that memory depends on: the
	// reasons to calibrate.
	Differences []string `json:"differences,omitempty"`
	// Lived says that the runs observed a mesh that had a past: its sidecars' growth in life is
	// in the calibration.
	Lived bool `json:"lived,omitempty"`
	// LeftOut are sidecars that were not used, with the reasons.
	LeftOut []string `json:"leftOut,omitempty"`

	line *Linear // of memory over what the model says; nil for no factor
	half float64 // without a factor: of the interval of one more point's offset
}

// Calibrate fits a line through what the sidecars of runs take over what the model says of
// their configuration. The runs may be of a scenario or of a mesh that was measured as it was;
// they need settled steps with a witness for each workload that is to count. With fewer than
// three such workloads, or with sidecars that are too much alike, only the intercept is fitted,
// and NoFactor says so.
func Calibrate(m *Model, logs []Log) (*Calibration, error) {
	d, err := observe(logs)
	if err != nil {
		return nil, err
	}
	c := &Calibration{
		Runs: d.sources, Points: len(d.compared), Factor: 1, FactorLo: 1, FactorHi: 1,
		LeftOut: slices.Concat(d.skipped, d.leftFresh, d.leftGrown),
	}
	if len(d.compared) == 0 {
		why := ""
		if len(c.LeftOut) > 0 {
			why = " (" + strings.Join(c.LeftOut, "; ") + ")"
		}
		return nil, fmt.Errorf("cannot calibrate: no settled step has both the memory and the configuration of a sidecar%s; measure with --witnesses, or run a scenario", why)
	}
	c.Differences = differences(m.Runs[0].Run, d.sources[0].Run)
	c.Lived = slices.ContainsFunc(d.sources, func(s Source) bool { return s.Observed != nil })
	var points []Point
	var model, offsets, half []float64
	for _, x := range d.compared {
		e := m.memoryWith(x.objects, x.routing)
		model, offsets, half = append(model, e.Bytes), append(offsets, x.bytes-e.Bytes), append(half, e.Hi-e.Bytes)
		points = append(points, Point{x.run, x.step + ", " + x.workload, []float64{e.Bytes}, x.bytes})
	}
	c.From, c.To = slices.Min(model), slices.Max(model)
	if l, why := factor(points); why == "" {
		t := l.Terms[0]
		c.line, c.Intercept, c.R2, c.Scatter = l, l.Intercept, l.R2, l.StdDev
		c.Factor, c.FactorLo, c.FactorHi = t.Coefficient, t.Lo, t.Hi
	} else {
		c.NoFactor, c.Intercept = why, stat.Mean(offsets, nil)
		c.half = half[0] // of one point alone, the model's own uncertainty there
		if n := float64(len(offsets)); n > 1 {
			c.Scatter = stat.StdDev(offsets, nil)
			t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(1 - (1-Confidence)/2)
			c.half = t * c.Scatter * math.Sqrt(1+1/n)
		}
	}
	for _, p := range points {
		c.Residuals = append(c.Residuals, Residual{p.Run, p.Step, p.Y, c.Intercept + c.Factor*p.X[0]})
	}
	return c, nil
}

// factor is the line through the points, or why its slope says nothing.
func factor(points []Point) (l *Linear, why string) {
	l, err := FitLine("model", points)
	if err != nil {
		return nil, fmt.Sprintf("%s with a sidecar's memory and configuration are too few, or all alike; it takes three that differ", words.Plural(len(points), "workload"))
	}
	t := l.Terms[0]
	if t.Coefficient <= 0 || (t.Hi-t.Coefficient)/t.Coefficient > FactorTolerance {
		return nil, fmt.Sprintf("the sidecars are too much alike to tell: it would be %.2f, in an interval of %.2f to %.2f", t.Coefficient, t.Lo, t.Hi)
	}
	return l, ""
}

// Calibrated is the model with a calibration: what [Model.Memory], [Model.MemoryWith],
// [Model.Cost] and [Model.RoutingCost] say is of the calibrated proxy. The model itself stays
// as it is. Istiod is not calibrated.
func (m *Model) Calibrated(c *Calibration) *Model {
	calibrated := *m
	calibrated.Calibration = c
	if c != nil && c.Lived {
		calibrated.SidecarHistory = nil
	}
	return &calibrated
}

// memory is what a calibration makes of the model's estimate of a sidecar.
func (c *Calibration) memory(e Estimate) Estimate {
	if c == nil {
		return e
	}
	own, half := c.half, c.Factor*(e.Hi-e.Bytes)
	if c.line != nil {
		p := c.line.Predict(map[string]float64{"model": e.Bytes})
		own = p.Hi - p.Bytes
	}
	// The model's errors and the calibration's are of different points.
	half = math.Hypot(half, own)
	if e.Bytes < c.From || e.Bytes > c.To {
		e.Warnings = append(slices.Clip(e.Warnings), fmt.Sprintf("calibrated on sidecars of %s to %s by the model; %s is outside", size(c.From), size(c.To), size(e.Bytes)))
	}
	e.Bytes = c.Intercept + c.Factor*e.Bytes
	e.Lo, e.Hi = max(0, e.Bytes-half), e.Bytes+half
	return e
}

// cost is what it makes of the model's estimate of a difference.
func (c *Calibration) cost(e Estimate) Estimate {
	if c == nil {
		return e
	}
	half := math.Hypot(c.Factor*(e.Hi-e.Bytes), e.Bytes*(c.FactorHi-c.Factor))
	e.Bytes *= c.Factor
	e.Lo, e.Hi = e.Bytes-half, e.Bytes+half
	return e
}

// Worst is the point that the calibrated model is farthest from, by share of what was read.
func (c *Calibration) Worst() Residual {
	return slices.MaxFunc(c.Residuals, func(a, b Residual) int {
		x, y := math.Abs(a.Fitted/a.Observed-1), math.Abs(b.Fitted/b.Observed-1)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// Print says what the calibration is and how far the shapes agree, for people.
func (c *Calibration) Print(w io.Writer) error {
	p := newPrinter(w)
	var runs []string
	for _, r := range c.Runs {
		runs = append(runs, r.ID)
	}
	p.line("Calibrated by %s (%s): a sidecar takes %+.1f Mi and %.3f times what the model says.", strings.Join(runs, ", "), words.Plural(c.Points, "workload"), c.Intercept/mi, c.Factor)
	if c.NoFactor == "" {
		worst := c.Worst()
		p.line("  The factor is %.3f to %.3f, and the calibrated model explains %.1f %% of what the sidecars differ by.", c.FactorLo, c.FactorHi, 100*c.R2)
		p.line("  The shapes agree within %.1f %%: at worst %s where the model has %s (%s).", 100*math.Abs(worst.Fitted/worst.Observed-1), size(worst.Observed), size(worst.Fitted), worst.Step)
	} else {
		p.line("  The factor is unknown and taken as 1: %s.", c.NoFactor)
		p.line("  Whether the shapes agree is unknown.")
	}
	if len(c.Differences) > 0 {
		p.line("  The model's runs and these differ in %s.", strings.Join(c.Differences, ", "))
	}
	if c.Lived {
		p.line("  The mesh had a past: what its sidecars kept of changes is in the calibration.")
	}
	if len(c.LeftOut) > 0 {
		p.line("  Not used: %s.", strings.Join(c.LeftOut, "; "))
	}
	return p.err
}
