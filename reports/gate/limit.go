package gate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/stats"
)

// Limit is how far a noisy metric may move from its baseline. It has moved when the
// change is larger than both Relative and Absolute allow and is more than chance. Both are
// for repeats; see stats.Comparison.Exceeds.
type Limit struct {
	// Relative is a share of the smaller of the two values: 0.03 is 3 %.
	Relative float64 `json:"relative"`
	// Absolute is in what logs hold: bytes, or seconds.
	Absolute float64 `json:"absolute"`
	// P is the level of significance (stats.Alpha).
	P float64 `json:"p"`
	// Off says that the metric is not judged.
	Off bool `json:"off,omitempty"`
}

// Limits are limits by the name of their metric. Counts have none: they are exact, any
// change is one.
type Limits map[string]Limit

// Defaults are the limits of a baseline that sets no others: those of the table of
// metrics. Metrics without one are compared but not judged.
//
// Medians of memory of single runs of the same version on the same machine were seen to
// differ by up to 3 %, with a standard deviation of 1 % around their version's: 3.5 % is
// more than four times the standard error between five repeats and five, and the 4.9 %
// that it becomes for single runs three and a half times theirs. istiod's working set was
// seen to differ by 130 % and is not judged; its live heap is (docs/metrics.md has how far
// repeats of it differ).
func Defaults() Limits {
	limits := Limits{}
	for _, m := range metrics.In(metrics.Compare) {
		if m.Limit != (metrics.Limit{}) {
			limits[m.Name] = Limit{Relative: m.Limit.Relative, Absolute: m.Limit.Absolute, P: stats.Alpha}
		}
	}
	return limits
}

// with are the limits with others in their place.
func (l Limits) with(others Limits) Limits {
	all := Limits{}
	maps.Copy(all, l)
	maps.Copy(all, others)
	return all
}

// shared are the limits with those that metrics have of others (metrics.Metric.LimitAs);
// given are those that are no defaults.
func (l Limits) shared(given Limits) Limits {
	all := maps.Clone(l)
	for _, m := range metrics.In(metrics.Compare) {
		of, there := l[m.LimitAs]
		if _, own := given[m.Name]; there && !own && (of.Off || m.Limit == (metrics.Limit{})) {
			all[m.Name] = of
		}
	}
	return all
}

// check says the first limit that makes no sense.
func (l Limits) check() error {
	for _, name := range slices.Sorted(maps.Keys(l)) {
		limit := l[name]
		m, err := compare.MetricNamed(name)
		switch {
		case err != nil:
			return err
		case m.Exact:
			return fmt.Errorf("invalid limit of %s: counts are exact, any change counts", name)
		case limit.Off:
		case !(limit.Relative >= 0 && limit.Relative <= 10):
			return fmt.Errorf("invalid limit of %s: relative change %g, want 0 to 10 (0.03 is 3 %%)", name, limit.Relative)
		case !(limit.Absolute >= 0) || math.IsInf(limit.Absolute, 0):
			return fmt.Errorf("invalid limit of %s: absolute change %g, want 0 or more", name, limit.Absolute)
		case limit.Relative == 0 && limit.Absolute == 0:
			return fmt.Errorf("invalid limit of %s: with 0 any noise is a regression; give a relative or an absolute change, or off", name)
		case !(limit.P > 0 && limit.P <= 0.5):
			return fmt.Errorf("invalid limit of %s: p-value %g, want more than 0 and at most 0.5 (usually %g)", name, limit.P, stats.Alpha)
		}
	}
	return nil
}

// ParseLimit reads a limit as it is given on the command line: METRIC=3%,0.5Mi,p=0.05,
// or METRIC=off. What is not given is 0, and p is stats.Alpha.
func ParseLimit(text string) (Limits, error) {
	name, rest, found := strings.Cut(text, "=")
	if !found {
		return nil, fmt.Errorf("limit %q: expected METRIC=PERCENT,ABSOLUTE,p=P, as in sidecar_memory_bytes=3%%,0.5Mi,p=0.05, or METRIC=off", text)
	}
	m, err := compare.MetricNamed(name)
	if err != nil {
		return nil, fmt.Errorf("limit %q: %w", text, err)
	}
	limit := Limit{P: stats.Alpha}
	for _, part := range strings.Split(rest, ",") {
		switch {
		case part == "off":
			limit.Off = true
			continue
		case strings.HasSuffix(part, "%"):
			limit.Relative, err = strconv.ParseFloat(strings.TrimSuffix(part, "%"), 64)
			limit.Relative /= 100
		case strings.HasPrefix(part, "p="):
			limit.P, err = strconv.ParseFloat(part[2:], 64)
		case m.Shown != metrics.Plain && strings.HasSuffix(part, string(m.Shown)):
			limit.Absolute, err = strconv.ParseFloat(strings.TrimSuffix(part, string(m.Shown)), 64)
			limit.Absolute = m.Shown.Raw(limit.Absolute)
		default:
			err = fmt.Errorf("not one of them")
		}
		if err != nil {
			return nil, fmt.Errorf("limit %q: %q: expected a change in percent (3%%), one in %s, p=0.05, or off", text, part, cmpUnit(m))
		}
	}
	limits := Limits{m.Name: limit}
	if err := limits.check(); err != nil {
		return nil, fmt.Errorf("limit %q: %w", text, err)
	}
	return limits, nil
}

func cmpUnit(m compare.Metric) string {
	if m.Shown == metrics.Plain {
		return "nothing else"
	}
	return fmt.Sprintf("%s (0.5%s)", m.Shown, m.Shown)
}

// text is the limit for people.
func (l Limit) text(m compare.Metric) string {
	var parts []string
	if l.Relative > 0 {
		parts = append(parts, fmt.Sprintf("%g %%", math.Round(l.Relative*1e6)/1e4))
	}
	if l.Absolute > 0 {
		parts = append(parts, m.Shown.Format(l.Absolute)+" "+string(m.Shown))
	}
	return strings.Join(parts, " and ")
}
