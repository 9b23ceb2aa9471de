package formats

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/figures"
	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// Widths of the plots on the page, in pixels: the narrow ones are shown on narrow
// screens, so that their text keeps its size.
const (
	halfWidth   = 512 // two beside one another
	narrowWidth = 340
)

//go:embed report.html.tmpl
var pageTemplate string

// page is what the template prints.
type page struct {
	*reports.Report
	Verdict  string // ok, MISS, INCOMPLETE or UNSETTLED
	Good     bool
	Headline string
	Title    string
	Style    template.CSS
	Tiles    []tile
	Problems []sections.Finding // errors and warnings
	Facts    []sections.Finding

	StepHeader []string
	StepRows   []pageRow
	Notes      []string // under the table of steps

	Plots       map[string]pagePlot
	IstiodPlots []pagePlot

	Config, Memory, Others, Istiod, Profiles, Work, Phases, Expectations, Events, Environment, Readings pageTable

	Sections []pageSection

	HelmValues string
	Dumps      []pageDump
	// Explanation is the file of the page about what the configuration takes; "" without dumps.
	Explanation string
	Files       []string // the report in other formats
}

// tile is one number of the verdict.
type tile struct {
	Share string
	What  string
	Good  bool
	Info  bool // not part of the verdict
}

// pageRow is a row of the table of steps.
type pageRow struct {
	Published bool // stands under a step
	Cells     []pageCell
}

type pageCell struct{ Text, Mark, Class, Meaning string }

// pagePlot is a plot in its widths.
type pagePlot struct {
	Title, Caption string
	Wide, Narrow   template.HTML
	Empty          bool
}

// pageTable is a section for the template.
type pageTable struct {
	Title   string
	Header  []string
	Rows    [][]string
	Numbers []bool // columns that stand to the right
}

// pageSection is a section of the report on the page.
type pageSection struct {
	Summary pageTable
	Notes   []string
	Parts   []pagePart
}

// pagePart is a plot with the tables behind it.
type pagePart struct {
	Title string
	Plot  pagePlot
	// Own is the table of the part's title; nil for none.
	Own    *pageTable
	Tables []pageTable
}

// pageDump is one witness of a step with the links to its dumps.
type pageDump struct {
	Step, Pod string
	Links     []reports.Dump
}

// HTML prints the report as one page that needs nothing else: no network, no script.
// Links lead to the files beside it.
func HTML(w io.Writer, r *reports.Report) error {
	t, err := template.New("report").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	p, err := newPage(r)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

func newPage(r *reports.Report) (*page, error) {
	p := &page{
		Report: r, Verdict: r.Verdict(), Title: title(r), Style: template.CSS(plot.PageStyle()),
		Plots: map[string]pagePlot{}, HelmValues: strings.TrimSpace(r.Environment.Mesh.Values),
		StepHeader: tableHeader,
	}
	p.Headline, p.Good = headline(r)
	sc := r.Score()
	for _, t := range []struct {
		reports.Share
		what string
		info bool
	}{
		{sc.Counts, "counts as published", false},
		{sc.Expectations, "changes as expected", false},
		{sc.Measured, "steps measured", false},
		{sc.Settled, "steps in a quiet mesh", false},
		{sc.Memory, fmt.Sprintf("medians of memory within %g %% of the published range", 100*reports.PublishedTolerance), true},
	} {
		if t.All > 0 {
			p.Tiles = append(p.Tiles, tile{Share: t.Share.String(), What: t.what, Good: t.Good == t.All, Info: t.info})
		}
	}
	for _, f := range r.Findings {
		if f.Level == observations.Info {
			p.Facts = append(p.Facts, f)
		} else {
			p.Problems = append(p.Problems, f)
		}
	}
	published := false
	for _, row := range stepRows(r) {
		published = published || row.published
		cells := make([]pageCell, len(row.cells))
		for i, c := range row.cells {
			class, meaning := markMeaning(c.mark)
			cells[i] = pageCell{c.text, c.mark, class, meaning}
		}
		p.StepRows = append(p.StepRows, pageRow{row.published || row.other, cells})
	}
	if published {
		p.Notes = append(p.Notes, strings.ReplaceAll(marksLegend, "   ", " · "))
		if r.PublishedSource != "" {
			p.Notes = append(p.Notes, "Published: "+r.PublishedSource)
		}
	}
	if note := resumedNote(r); note != "" {
		p.Notes = append(p.Notes, note)
	}
	p.Notes = append(p.Notes, strings.ReplaceAll(countsNote(r), "`", ""),
		"Memory is of real sidecars whose configuration was never dumped; a witness is one that was.")

	for _, f := range figures.Of(r) {
		wide := plotWidth
		istiod := strings.HasPrefix(f.Name, "istiod-")
		if f.Half {
			wide = halfWidth
		}
		one := pagePlot{Title: f.Title, Caption: f.Caption, Empty: f.Empty()}
		if !one.Empty {
			for _, size := range []struct {
				to    *template.HTML
				width int
			}{{&one.Wide, wide}, {&one.Narrow, narrowWidth}} {
				svg, err := f.SVG(size.width, false)
				if err != nil {
					return nil, fmt.Errorf("draw %s: %w", f.Name, err)
				}
				*size.to = template.HTML(svg)
			}
		}
		if istiod {
			p.IstiodPlots = append(p.IstiodPlots, one)
		} else {
			p.Plots[f.Name] = one
		}
	}

	config, memory, istiod, work := detailTables(r)
	for _, t := range []struct {
		to *pageTable
		of sections.Table
	}{
		{&p.Config, config}, {&p.Memory, memory}, {&p.Others, otherTable(r)}, {&p.Istiod, istiod}, {&p.Profiles, profileTable(r)}, {&p.Work, work}, {&p.Phases, phaseTable(r)},
		{&p.Expectations, expectationTable(r)}, {&p.Events, eventTable(r)},
		{&p.Environment, environmentTable(r)}, {&p.Readings, readingTable(r)},
	} {
		*t.to = newPageTable(t.of)
	}
	for _, s := range r.Sections {
		section := pageSection{Summary: newPageTable(s.Summary), Notes: s.Notes}
		for _, part := range s.Parts {
			onPage := pagePart{Title: part.Title, Plot: p.Plots[part.Plot.Name]}
			for _, table := range part.Tables {
				t := newPageTable(table)
				if part.Title != "" && table.Title == part.Title {
					onPage.Own = &t
				} else {
					onPage.Tables = append(onPage.Tables, t)
				}
			}
			section.Parts = append(section.Parts, onPage)
		}
		p.Sections = append(p.Sections, section)
	}
	for _, d := range r.Dumps() {
		if d.Kind == "config_dump" {
			p.Explanation = ExplanationFile
		}
		if n := len(p.Dumps) - 1; n < 0 || p.Dumps[n].Step != d.Step || p.Dumps[n].Pod != d.Pod {
			p.Dumps = append(p.Dumps, pageDump{Step: d.Step, Pod: d.Pod})
		}
		last := &p.Dumps[len(p.Dumps)-1]
		last.Links = append(last.Links, d)
	}
	for _, w := range filesOf(r) {
		if w.Name != "html" {
			p.Files = append(p.Files, w.File)
		}
	}
	return p, nil
}

func newPageTable(s sections.Table) pageTable {
	return pageTable{s.Title, s.Header, s.Rows, s.Numbers()}
}

// markMeaning is a mark's class in the style sheet and its meaning in words.
func markMeaning(mark string) (class, meaning string) {
	switch mark {
	case markEqual:
		return "good", "as published"
	case markNear:
		return "near", fmt.Sprintf("within %g %% of the published range", 100*reports.PublishedTolerance)
	case markDiffer:
		return "bad", "differs"
	case markResumed:
		return "near", "measured after an interruption"
	}
	return "", ""
}

// headline is the verdict for a reader in a hurry, and whether all is well.
func headline(r *reports.Report) (text string, good bool) {
	sc := r.Score()
	switch {
	case r.Verdict() == "MISS":
		n := len(r.Missed())
		return words.Plural(n, "change") + " not as expected", false
	case !r.Finished:
		return fmt.Sprintf("Incomplete: %s steps measured", sc.Measured), false
	case sc.Counts.Good < sc.Counts.All:
		return fmt.Sprintf("The changes are as expected, but %s published counts match", sc.Counts), false
	case sc.Settled.Good < sc.Settled.All:
		return fmt.Sprintf("The counts match, but only %s steps were measured in a quiet mesh", sc.Settled), false
	case sc.Counts.All+sc.Expectations.All == 0:
		return "All steps measured; nothing was expected of them", true
	default:
		return "All counts match", true
	}
}

// readingTable lists every proxy's reading.
func readingTable(r *reports.Report) sections.Table {
	millicores := func(c reports.Sidecar) string {
		if c.CPUUnknown {
			return "-"
		}
		return fmt.Sprintf("%.1f", float64(c.CPUNano)/1e6)
	}
	t := sections.Table{Title: "Every reading", Header: []string{"step", "pod", "node", "memory Mi", "CPU m", "witness"}}
	for _, s := range r.Steps {
		for _, c := range s.Sidecars {
			witness := ""
			if c.Witness {
				witness = "yes"
			}
			t.Rows = append(t.Rows, []string{s.Name, c.Pod, c.Node, words.Mib(c.MemoryBytes), millicores(c), witness})
		}
		for _, o := range s.Others {
			for _, c := range o.Proxies {
				t.Rows = append(t.Rows, []string{s.Name, c.Pod + " (" + o.Kind + ")", c.Node, words.Mib(c.MemoryBytes), millicores(c), ""})
			}
		}
	}
	return t
}
