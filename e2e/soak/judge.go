package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/stats"
)

const mi = 1 << 20

// quantity is something that must not grow.
type quantity struct {
	name, what, unit string
	// scale is the unit in what is sampled.
	scale float64
	// bound is the growth that is allowed, in units an hour: little beside what the thing has,
	// and no trouble after a day.
	bound float64
}

// quantities are all that are judged. The bounds were set before anything was measured.
var quantities = []quantity{
	{"runs.rss", "memory of the process that makes a cluster for each run", "MiB", mi, 16},
	{"runs.heap", "live heap of it", "MiB", mi, 4},
	{"runs.goroutines", "goroutines of it", "", 1, 10},
	{"runs.fds", "file descriptors of it", "", 1, 4},
	{"runs.threads", "threads of it", "", 1, 4},
	{"runs.bytes", "folder of a run of it", "MiB", mi, 1},
	{"guest.rss", "memory of the process that visits a cluster for each run", "MiB", mi, 16},
	{"guest.heap", "live heap of it", "MiB", mi, 4},
	{"guest.goroutines", "goroutines of it", "", 1, 10},
	{"guest.fds", "file descriptors of it", "", 1, 4},
	{"guest.threads", "threads of it", "", 1, 4},
	{"guest.bytes", "folder of a run of it", "MiB", mi, 1},
	{"up.rss", "memory of the sandbox that stands", "MiB", mi, 16},
	{"up.heap", "live heap of it", "MiB", mi, 4},
	{"up.goroutines", "goroutines of it", "", 1, 10},
	{"up.fds", "file descriptors of it", "", 1, 4},
	{"up.threads", "threads of it", "", 1, 4},
	{"machine.processes", "processes of both clusters", "", 1, 4},
	{"machine.cgroups", "cgroups of all clusters", "", 1, 4},
	{"tmp.bytes", "temporary files and state", "MiB", mi, 1},
	{"tmp.files", "number of them", "", 1, 4},
	{"logs.bytes", "logs of the cluster that stands", "MiB", mi, 128},
}

// judged is what came of a quantity.
type judged struct {
	Name  string  `json:"name"`
	What  string  `json:"what"`
	Unit  string  `json:"unit,omitempty"`
	Bound float64 `json:"bound"` // of growth, in units an hour
	// Middle and End are medians of the two quarters of time that are looked at: the third
	// and the last.
	Middle  float64     `json:"middle"`
	End     float64     `json:"end"`
	Trend   stats.Trend `json:"-"` // in units an hour
	Slope   float64     `json:"slope"`
	Lo      *float64    `json:"lo,omitempty"` // nil for not bounded
	Hi      *float64    `json:"hi,omitempty"`
	Points  int         `json:"points"`
	Verdict string      `json:"verdict"`
}

// Verdicts.
const (
	flat    = "flat"
	grows   = "grows"
	unknown = "not told: longer"
)

// verdict is what came of a soak.
type verdict struct {
	Began    time.Time      `json:"began"`
	Minutes  float64        `json:"minutes"`
	Samples  int            `json:"samples"`
	Finished map[string]int `json:"finished"` // runs by part
	Failed   []string       `json:"failed,omitempty"`
	Judged   []judged       `json:"judged"`

	points map[string][]point
}

// point is a value at a time, in minutes since the begin.
type point struct{ minute, value float64 }

// readVerdict judges what was sampled in a folder.
func readVerdict(dir string) (*verdict, error) {
	v := &verdict{Finished: map[string]int{}, points: map[string][]point{}}
	err := lines(filepath.Join(dir, samplesFile), func(text []byte) error {
		var s sampled
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
		if v.Samples == 0 {
			v.Began = s.Time
		}
		v.Samples++
		v.Minutes = s.Time.Sub(v.Began).Minutes()
		for name, value := range s.Values {
			v.points[name] = append(v.points[name], point{v.Minutes, value})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if v.Samples == 0 {
		return nil, fmt.Errorf("%s holds no sample", dir)
	}
	err = lines(filepath.Join(dir, endedFile), func(text []byte) error {
		var e ended
		if err := json.Unmarshal(text, &e); err != nil {
			return err
		}
		if e.Outcome != observations.Finished {
			v.Failed = append(v.Failed, fmt.Sprintf("%s/%s: %s: %s", e.Part, e.Run, e.Outcome, e.Error))
			return nil
		}
		v.Finished[e.Part]++
		v.points[e.Part+".bytes"] = append(v.points[e.Part+".bytes"], point{e.At.Sub(v.Began).Minutes(), float64(e.Bytes)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, q := range quantities {
		v.Judged = append(v.Judged, q.judge(v.points[q.name], v.Minutes))
	}
	return v, nil
}

func lines(path string, each func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewScanner(file)
	for number := 1; in.Scan(); number++ {
		if err := each(in.Bytes()); err != nil {
			return fmt.Errorf("%s: line %d: %w", path, number, err)
		}
	}
	return in.Err()
}

// judge looks at what comes after the first quarter, by when caches are full and heaps have their
// size. What goes up and down with each run is judged by its lowest: see floors.
func (q quantity) judge(points []point, minutes float64) judged {
	j := judged{Name: q.name, What: q.what, Unit: q.unit, Bound: q.bound, Middle: math.NaN(), End: math.NaN()}
	later := slices.DeleteFunc(slices.Clone(points), func(p point) bool { return p.minute < minutes/4 })
	var xs, ys, middle, end []float64
	for _, p := range later {
		if p.minute < minutes/2 {
			continue
		}
		if p.minute < minutes*3/4 {
			middle = append(middle, p.value/q.scale)
		} else {
			end = append(end, p.value/q.scale)
		}
	}
	for _, p := range floors(later, max(longestRun, minutes/120)) {
		xs, ys = append(xs, p.minute/60), append(ys, p.value/q.scale)
	}
	j.Trend = stats.TrendOf(xs, ys)
	j.Points, j.Slope = len(xs), j.Trend.Slope
	if len(middle) > 0 && len(end) > 0 {
		j.Middle, j.End = median(middle), median(end)
	}
	if !math.IsInf(j.Trend.Lo, 0) {
		j.Lo = &j.Trend.Lo
	}
	if !math.IsInf(j.Trend.Hi, 0) {
		j.Hi = &j.Trend.Hi
	}
	switch {
	case j.Trend.Lo > q.bound:
		j.Verdict = grows
	case j.Trend.Hi <= q.bound:
		j.Verdict = flat
	default:
		j.Verdict = unknown
	}
	return j
}

// longestRun is longer than a run takes, in minutes, on a machine that does other things too.
const longestRun = 2.5

// floors makes one point of each part of so many minutes: the lowest. Where a part is longer than
// a run, that is what is left between two runs, and what is never given back adds up in it; how
// far a run has come at a sample does not matter.
func floors(points []point, width float64) []point {
	return parts(points, width, slices.Min[[]float64])
}

// thin makes one point of each part of so many minutes: the median.
func thin(points []point, width float64) []point { return parts(points, width, median) }

func parts(points []point, width float64, of func([]float64) float64) []point {
	var thinned []point
	for i := 0; i < len(points); {
		part := math.Floor(points[i].minute / width)
		var minutes, values []float64
		for ; i < len(points) && math.Floor(points[i].minute/width) == part; i++ {
			minutes, values = append(minutes, points[i].minute), append(values, points[i].value)
		}
		thinned = append(thinned, point{median(minutes), of(values)})
	}
	return thinned
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// err says what must not be.
func (v *verdict) err() error {
	var errs []error
	for _, j := range v.Judged {
		if j.Verdict == grows {
			errs = append(errs, fmt.Errorf("%s (%s) grows by %s an hour, at most %s are allowed", j.What, j.Name, j.change(j.Slope), j.change(j.Bound)))
		}
	}
	for _, f := range v.Failed {
		errs = append(errs, fmt.Errorf("a run failed: %s", f))
	}
	if v.Finished[partRuns] == 0 || v.Finished[partGuest] == 0 {
		errs = append(errs, errors.New("no run came to its end: keep it busy for longer"))
	}
	return errors.Join(errs...)
}

// change is a change an hour, in words.
func (j judged) change(value float64) string {
	return strings.TrimSpace(fmt.Sprintf("%+.3g %s", value, j.Unit))
}

// interval is the trend's interval in words.
func (j judged) interval() string {
	end := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return fmt.Sprintf("%+.3g", *v)
	}
	return end(j.Lo) + " to " + end(j.Hi)
}

// level is a level, in words.
func (j judged) level(value float64) string {
	if math.IsNaN(value) {
		return "?"
	}
	if j.Unit == "" {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.1f %s", value, j.Unit)
}

// print prints the verdict as a table.
func (v *verdict) print(out io.Writer) error {
	fmt.Fprintf(out, "%.0f minutes, %d samples, %d runs with a cluster each, %d runs on one that stands, %d measurements of it, %d failed\n",
		v.Minutes, v.Samples, v.Finished[partRuns], v.Finished[partGuest], v.Finished[partMeasure], len(v.Failed))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "quantity\tthird quarter\tlast quarter\tan hour\t95 %\tallowed\tverdict")
	for _, j := range v.Judged {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", j.Name, j.level(j.Middle), j.level(j.End), j.change(j.Slope), j.interval(), j.change(j.Bound), j.Verdict)
	}
	return t.Flush()
}
