package history

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/store"
	"github.com/meshbench/meshbench/reports/words"
)

//go:embed page.html.tmpl
var pageTemplate string

// Widths of figures, in pixels: over the whole page, two beside one another, on a telephone.
const (
	wideWidth   = 1040
	halfWidth   = 512
	narrowWidth = 340
)

// bands is how many blocks a figure names; of more days it names the months.
const bands = 12

// page is what the template prints.
type page struct {
	Title, Method string
	Style         template.CSS
	Tiles         []tile
	Notes         []string
	Sections      []pageSection
}

type tile struct{ Number, What string }

type pageSection struct {
	ID, Title, About string
	Summary          []string
	Counts           compare.Table
	Levels           []compare.Table
	Steps            []pageStep
	Runs             []pageRun
	Notes            []string
}

type pageStep struct {
	ID, Name string
	Counts   string // those that are the same in all runs
	Main     []pageFigure
	Others   []pageFigure // two beside one another
}

type pageFigure struct {
	Title        string
	Wide, Narrow template.HTML
	Changes      []string
}

type pageRun struct{ Date, Name, Href, Istio, Envoy, Meshbench, Outcome string }

// HTML prints the history as one page that needs nothing else: no network, no script. Links
// lead to the runs' own reports, in their folders as seen from the page's, else where their
// records say.
func (h *History) HTML(w io.Writer, dir string) error {
	t, err := template.New("history").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	p, err := h.page(dir)
	if err != nil {
		return err
	}
	return t.Execute(plain.NewWriter(w), p)
}

func (h *History) page(dir string) (*page, error) {
	p := &page{Title: h.Title(), Method: h.Method(), Style: template.CSS(plot.PageStyle()), Notes: h.Notes}
	counts, levels := 0, 0
	scenarios := map[string]bool{}
	for i, s := range h.Sections {
		scenarios[s.Scenario] = true
		for _, c := range s.Changes {
			if c.Metric.Exact {
				counts++
			} else {
				levels++
			}
		}
		section, err := s.page(fmt.Sprint("s", i+1), h.By, dir)
		if err != nil {
			return nil, err
		}
		p.Sections = append(p.Sections, section)
	}
	for _, t := range []struct {
		n         int
		one, more string
	}{{h.Runs, "run", "runs"}, {len(scenarios), "scenario", "scenarios"}, {counts, "change of a count", "changes of counts"}, {levels, "change of a level", "changes of levels"}} {
		what := t.more
		if t.n == 1 {
			what = t.one
		}
		p.Tiles = append(p.Tiles, tile{fmt.Sprint(t.n), what})
	}
	return p, nil
}

func (s *Section) page(id string, by Order, dir string) (pageSection, error) {
	p := pageSection{ID: id, Title: s.Title(), Summary: s.Summary(), Counts: s.CountTable(), Notes: s.Notes}
	first, last := s.Runs[0].Date, s.Runs[0].Date
	links := make([]plot.Link, len(s.Runs))
	for i, r := range s.Runs {
		if r.Date.Before(first) {
			first = r.Date
		}
		if r.Date.After(last) {
			last = r.Date
		}
		links[i] = plot.Link{Title: fmt.Sprintf("%s, %s, Istio %s", r.Run, r.Date.UTC().Format(time.DateOnly), r.Environment.Istio)}
		if r.Dir != "" {
			links[i].Href = compare.ReportLink(r.Dir, dir)
		}
		if links[i].Href == "" && store.IsAddress(r.Report) { // a reader of stores checks it; a page depends on it
			links[i].Href = r.Report
		}
		p.Runs = append(p.Runs, pageRun{r.Date.UTC().Format("2006-01-02 15:04"), r.Run, links[i].Href, r.Environment.Istio, r.Environment.Envoy, r.Meshbench, cmp.Or(r.Outcome, "cut off")})
	}
	days := first.UTC().Format(time.DateOnly)
	if to := last.UTC().Format(time.DateOnly); to != days {
		days += " to " + to
	}
	p.About = fmt.Sprintf("%s, %s. %s.", words.Plural(len(s.Runs), "run"), days, strings.ToUpper(s.Conditions[:1])+s.Conditions[1:])
	for _, m := range metrics.In(metrics.Compare) {
		if m.Exact {
			continue
		}
		if t := s.LevelTable(m); len(t.Rows) > 0 {
			p.Levels = append(p.Levels, t)
		}
	}
	if len(s.Runs) == 1 {
		return p, nil // nothing is over time
	}
	for i, step := range s.Steps {
		one := pageStep{ID: fmt.Sprint(id, "-", i+1), Name: step.Name}
		var f *plot.Figure
		if f, one.Counts = s.countFigure(step, links, by); f != nil {
			drawn, err := draw(f, halfWidth, nil)
			if err != nil {
				return p, err
			}
			one.Others = append(one.Others, drawn)
		}
		for _, series := range step.Series {
			if series.Metric.Exact || !series.Metric.Trend {
				continue
			}
			width := halfWidth
			if len(one.Main) == 0 {
				width = wideWidth
			}
			drawn, err := draw(s.levelFigure(series, links, by), width, s.marks(series))
			if err != nil {
				return p, err
			}
			if len(one.Main) == 0 {
				one.Main = append(one.Main, drawn)
			} else {
				one.Others = append(one.Others, drawn)
			}
		}
		p.Steps = append(p.Steps, one)
	}
	return p, nil
}
