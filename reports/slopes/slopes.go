// Package slopes sets what a number of objects costs proxies of each kind beside what somebody
// else published: a line through memory by the number of objects, of the published figures and
// of the run's own. The versions differ, so the slopes are shown and not judged.
package slopes

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// Sidecar is the kind of proxies that [observations.ProxySidecar], an empty word, stands for.
const Sidecar = "sidecar"

// Point is the memory of proxies of a kind, in Mi, at a number of objects.
type Point struct {
	At int
	Mi float64
}

// Line is a least-squares line through points.
type Line struct {
	// Mi is the slope for one object, Lo and Hi its interval of 95 % (Student's).
	Mi, Lo, Hi float64
	AtZero     float64 // Mi without any object, by the line
	Points     int
	From, To   int // the lowest and the highest number of objects
}

// Fit is the line through points; no says why there is none.
func Fit(points []Point) (l *Line, no string) {
	const enough = 3
	if len(points) < enough {
		return nil, fmt.Sprintf("%d settled steps, a line with its interval needs %d", len(points), enough)
	}
	fitted := make([]costmodel.Point, len(points))
	l = &Line{Points: len(points), From: points[0].At, To: points[0].At}
	for i, p := range points {
		l.From, l.To = min(l.From, p.At), max(l.To, p.At)
		fitted[i] = costmodel.Point{X: []float64{float64(p.At)}, Y: p.Mi}
	}
	line, err := costmodel.FitLine("objects", fitted)
	if err != nil {
		return nil, err.Error()
	}
	t := line.Terms[0]
	l.Mi, l.Lo, l.Hi, l.AtZero = t.Coefficient, t.Lo, t.Hi, line.Intercept
	return l, ""
}

// Section is the section of a run with a version of Istio, by the medians of its steps. Points
// below the lowest published number of objects are not in its lines.
func Section(published *observations.PublishedSeries, istio string, ours map[string][]Point) sections.Section {
	of := objects(published)
	s := sections.Section{Name: "slopes", Summary: sections.Table{
		Title:  fmt.Sprintf("Memory by %s, as published and here", published.By),
		Header: []string{"proxy", "measured", "Istio", fmt.Sprintf("Mi per %s", of), "95 % interval", "at 0, Mi", "points"},
	}}
	each := sections.Table{Title: fmt.Sprintf("Medians by %s, Mi", published.By), Header: []string{published.By}}
	kinds := slices.SortedFunc(maps.Keys(published.MemoryMi), func(a, b string) int { return strings.Compare(b, a) })
	columns := map[string]map[int]string{}
	var at []int
	for _, kind := range kinds {
		lines := map[string]*Line{}
		theirs := points(published, kind)
		lowest := published.At[0]
		mine := slices.DeleteFunc(slices.Clone(ours[kind]), func(p Point) bool { return p.At < lowest })
		for _, x := range []struct {
			measured, istio, metric string
			points                  []Point
		}{{"published", published.Istio, "published_slope_bytes", theirs}, {"here", istio, "slope_bytes", mine}} {
			name := kind + ", " + x.measured
			each.Header = append(each.Header, name)
			columns[name] = map[int]string{}
			shown := x.points
			if x.measured == "here" {
				shown = ours[kind]
			}
			for _, p := range shown {
				columns[name][p.At] = fmt.Sprintf("%.1f", p.Mi)
				if !slices.Contains(at, p.At) {
					at = append(at, p.At)
				}
			}
			line, no := Fit(x.points)
			lines[x.measured] = line
			if line == nil {
				s.Summary.Rows = append(s.Summary.Rows, []string{kind, x.measured, x.istio, "unknown", "", "", no})
				continue
			}
			per := float64(published.Per)
			s.Summary.Rows = append(s.Summary.Rows, []string{
				kind, x.measured, x.istio, fmt.Sprintf("%.2f", line.Mi*per), fmt.Sprintf("%.2f to %.2f", line.Lo*per, line.Hi*per),
				fmt.Sprintf("%.1f", line.AtZero), fmt.Sprintf("%d, %d to %d", line.Points, line.From, line.To),
			})
			labels := []string{"kind", kind}
			s.Samples = append(s.Samples, metrics.Sample{Metric: x.metric, Labels: labels, Value: line.Mi * words.Mi})
			if x.measured == "here" {
				s.Samples = append(s.Samples,
					metrics.Sample{Metric: x.metric, Labels: labels, Bound: "lo", Value: line.Lo * words.Mi},
					metrics.Sample{Metric: x.metric, Labels: labels, Bound: "hi", Value: line.Hi * words.Mi})
			}
			s.Properties = append(s.Properties, [2]string{"slope of " + name, fmt.Sprintf("%.2f Mi per %s, Istio %s", line.Mi*per, of, x.istio)})
		}
		if text := compared(kind, of, published, istio, lines["published"], lines["here"]); text != "" {
			s.Findings = append(s.Findings, sections.Finding{Level: observations.Info, Kind: "published", Text: text})
		}
	}
	slices.Sort(at)
	for _, n := range at {
		row := []string{strconv.Itoa(n)}
		for _, name := range each.Header[1:] {
			row = append(row, columns[name][n])
		}
		each.Rows = append(each.Rows, row)
	}
	s.Parts = []sections.Part{{Title: each.Title, Tables: []sections.Table{each}}}
	s.Notes = []string{fmt.Sprintf("Published: %s. Only slopes compare across versions of Istio and ways of reading memory; %s are those beside the first step's.", published.Source, published.By)}
	return s
}

// compared is the comparison of the slopes in words; "" where one is unknown.
func compared(kind, of string, published *observations.PublishedSeries, istio string, theirs, ours *Line) string {
	if theirs == nil || ours == nil {
		return ""
	}
	per := float64(published.Per)
	return fmt.Sprintf("%s cost a %s %.2f Mi with Istio %s here, %.2f Mi with Istio %s as published.", of, kind, ours.Mi*per, istio, theirs.Mi*per, published.Istio)
}

// objects is what slopes are for: 100 services.
func objects(p *observations.PublishedSeries) string { return fmt.Sprintf("%d %s", p.Per, p.By) }

// points are the published ones of a kind.
func points(p *observations.PublishedSeries, kind string) []Point {
	var all []Point
	for i, mi := range p.MemoryMi[kind] {
		if i < len(p.At) {
			all = append(all, Point{p.At[i], mi})
		}
	}
	return all
}
