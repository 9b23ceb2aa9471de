package advice

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/treemap"
	"github.com/meshbench/meshbench/reports/words"
)

// Sizes of the page's treemap, in pixels.
const (
	wideWidth    = 1072
	wideHeight   = 460
	narrowWidth  = 340
	narrowHeight = 560
)

//go:embed page.html.tmpl
var pageTemplate string

// page is what the template prints.
type page struct {
	Style        template.CSS
	Headline     string
	Wide, Narrow template.HTML
	Savings      [][]string
	Lists        []pageList
	Sidecars     string
	Give         string
	Notes        []string
}

type pageList struct {
	Title string
	Items []string
}

// WriteHTML writes the advice as one page for who operates the mesh: what the proxies of each
// namespace take, what of it goes, the table of savings, what is to be looked at, and the
// resources. The page needs nothing else: no network, no script.
func (a *Advice) WriteHTML(w io.Writer) error {
	p := page{Style: template.CSS(plot.PageStyle()), Headline: a.headline(), Notes: a.Notes}
	var sidecars bytes.Buffer
	if err := a.WriteYAML(&sidecars); err != nil {
		return err
	}
	p.Sidecars = sidecars.String()
	if m := a.treemap(); m != nil {
		p.Wide, p.Narrow = template.HTML(m.SVG(wideWidth, wideHeight)), template.HTML(m.SVG(narrowWidth, narrowHeight))
	}
	for _, s := range a.Scopes {
		p.Savings = append(p.Savings, s.row())
	}
	if s := a.largest(); s != nil {
		var give bytes.Buffer
		if err := s.Saving.Recommendation.Print(&give); err != nil {
			return err
		}
		p.Give = give.String()
	}
	add := func(title string, items []string) {
		if len(items) > 0 {
			p.Lists = append(p.Lists, pageList{title, items})
		}
	}
	add("To be looked at before anything is applied", each(a.Problems, Problem.String))
	add("Calls of which a side is not known; no scope has them", each(a.Unknown, callgraph.Unknown.String))
	add("Hosts outside of the mesh that are called", each(a.Outside, func(o Outside) string { return o.Host + ", from " + strings.Join(o.From, ", ") }))
	add("Namespaces without a scope", each(a.Without, func(w Without) string { return w.Namespace + ": " + w.Why }))
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	return t.Execute(plain.NewWriter(w), p)
}

func each[T any](list []T, text func(T) string) []string {
	var all []string
	for _, x := range list {
		all = append(all, text(x))
	}
	return all
}

func (a *Advice) headline() string {
	text := "Scopes are proposed for " + words.Plural(len(a.Scopes), "namespace")
	if t := a.Total; t != nil && t.Proxies > 0 {
		text += fmt.Sprintf("; %s would take %s in place of %s, %s less", words.Plural(t.Proxies, "sidecar"), size(t.After.Bytes), size(t.Before.Bytes), interval(t.Saved))
	}
	return text + "."
}

// row is a scope's in the table of savings.
func (s *Scope) row() []string {
	proxies, hosts := "unknown", strings.Join(s.List(), " ")
	if s.Proxies >= 0 {
		proxies = fmt.Sprint(s.Proxies)
	}
	row := []string{s.Namespace, s.Name + " (" + s.Status + ")", proxies}
	v := s.Saving
	if v == nil {
		return append(row, "unknown", "unknown", "unknown", "unknown", "", hosts)
	}
	all := "unknown"
	if s.Proxies >= 0 {
		all = size(v.All.Bytes)
	}
	var why []string
	for _, g := range v.Why {
		name := g.Namespace
		if name == "" {
			name = "others"
		}
		why = append(why, fmt.Sprintf("%s (%s, %s)", name, words.Plural(g.Hosts, "host"), size(g.Bytes)))
	}
	return append(row, size(v.Before.Memory.Bytes), size(v.After.Memory.Bytes), interval(v.Each), all, strings.Join(why, ", "), hosts)
}

// treemap is the memory of all proxies by namespace: what stays, and what goes. nil where nothing
// was priced.
func (a *Advice) treemap() *treemap.Map {
	m := &treemap.Map{Title: "Memory of all sidecars by namespace, with what goes by the scopes", Text: size}
	for _, s := range a.Scopes {
		v := s.Saving
		if v == nil || s.Proxies <= 0 {
			continue
		}
		n := float64(s.Proxies)
		m.Nodes = append(m.Nodes, treemap.Node{
			Name: s.Namespace, More: words.Plural(s.Proxies, "sidecar"),
			Children: []treemap.Node{
				{Name: "stays", Value: n * v.After.Memory.Bytes, Text: size(n * v.After.Memory.Bytes), Tone: treemap.Kept},
				{Name: "goes", Value: v.All.Bytes, Text: size(v.All.Bytes), Tone: treemap.Gone, More: "95 % interval: " + interval(v.All)},
			},
		})
	}
	if len(m.Nodes) == 0 {
		return nil
	}
	return m
}
