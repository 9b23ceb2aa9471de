package explanation

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/plot"
	"github.com/meshbench/meshbench/reports/treemap"
	"github.com/meshbench/meshbench/reports/words"
)

// Sizes of the page, in pixels, and the rows that its tables have at most.
const (
	wideWidth    = 1072
	narrowWidth  = 340
	wideHeight   = 520
	narrowHeight = 620
	rowHeight    = 44
	pageRows     = 200
)

//go:embed page.html.tmpl
var pageTemplate string

// page is what the template prints.
type page struct {
	Title string
	Style template.CSS
	Parts []pagePart
}

// pagePart is an explanation on a page.
type pagePart struct {
	*document
	Tiles  []tile
	Maps   []pageMap
	Legend bool
}

type tile struct{ Value, What string }

type pageMap struct {
	Title, Caption string
	Wide, Narrow   template.HTML
}

// HTML prints explanations, of the proxies of a mesh, as one page for who operates it: what
// takes the memory, by namespace and Service as a treemap, unscoped and, where there is a
// scope, scoped in the same scale; and what is saved by what. The page needs nothing else: no
// network, no script.
func HTML(w io.Writer, title string, list ...*Explanation) error {
	p := page{Title: title}
	for _, e := range list {
		d, err := e.document(pageRows)
		if err != nil {
			return err
		}
		part := pagePart{document: d, Legend: true, Tiles: e.tiles(), Maps: e.maps()}
		p.Parts = append(p.Parts, part)
	}
	return p.write(w)
}

// pageWitnesses is how many witnesses a run's page has at most: those with the largest
// configuration.
const pageWitnesses = 6

// RunPage prints the page of a run: what the configuration of its witnesses takes in the last
// step that has dumps. It is an error of the kind [ErrNoDumps] where the run has none.
func RunPage(w io.Writer, dir string, r *reports.Report, m *costmodel.Model, scope proxyconfig.Egress) error {
	subjects, err := Of(dir, r, "", "")
	if err != nil {
		return err
	}
	slices.SortStableFunc(subjects, func(a, b Subject) int { return cmp.Compare(b.Attribution.Bytes, a.Attribution.Bytes) })
	var list []*Explanation
	for _, s := range subjects[:min(len(subjects), pageWitnesses)] {
		list = append(list, s.Explain(m, scope))
	}
	if n := len(subjects) - pageWitnesses; n > 0 {
		list[0].Unknown = append(list[0].Unknown, words.Plural(n, "workload")+" of the run, with smaller configurations, which are not on this page: see meshbench explain")
	}
	return HTML(w, "What sidecars' configuration costs in run "+r.Run, list...)
}

// HTML prints the difference as one page.
func (d *Diff) HTML(w io.Writer) error {
	doc, err := d.document(pageRows)
	if err != nil {
		return err
	}
	return (&page{Title: doc.Title, Parts: []pagePart{{document: doc}}}).write(w)
}

func (p *page) write(w io.Writer) error {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	p.Style = template.CSS(plot.PageStyle())
	return t.Execute(plain.NewWriter(w), p)
}

// tiles are the figures to see at once.
func (e *Explanation) tiles() []tile {
	m := e.Total.Memory
	list := []tile{{e.atLeast() + mib(m.Bytes) + " Mi", fmt.Sprintf("a sidecar, by the model (%s)", interval(m))}}
	if e.Measured != nil {
		list = append(list, tile{words.Mib(e.Measured.Median) + " Mi", "measured, " + words.Plural(e.Measured.Sidecars, "sidecar")})
	}
	if s := e.Scoped; s != nil {
		list = append(list,
			tile{e.atLeast() + mib(s.Total.Memory.Bytes) + " Mi", fmt.Sprintf("with a scope of %s (%s)", s.Hosts, interval(s.Total.Memory))},
			tile{mib(s.Saves.Bytes) + " Mi", fmt.Sprintf("saved by the scope, each sidecar (%s)", interval(s.Saves))})
	}
	return append(list, tile{fmt.Sprint(len(e.Services)), fmt.Sprintf("Services in %s", words.Plural(len(e.Namespaces), "namespace"))})
}

// maps are the whole as a row, and the treemaps: of all that the sidecar sees and, in the same
// scale, of what a scope leaves. The proxy itself is in the row alone: beside it a small mesh
// would not be seen.
func (e *Explanation) maps() []pageMap {
	all := e.Treemap(false)
	whole := e.rowNodes()
	title := fmt.Sprintf("A sidecar: %s%s", e.atLeast(), miText(e.Total.Memory.Bytes))
	list := []pageMap{
		{
			Title: title, Caption: fmt.Sprintf("The proxy itself is %s before any Service: Envoy, pilot-agent, and what comes in.", miText(e.Own.Memory.Bytes)),
			Wide: template.HTML(treemap.Row(title, whole, wideWidth, rowHeight)), Narrow: template.HTML(treemap.Row(title, whole, narrowWidth, rowHeight)),
		},
		drawn(all, 1, "Of that, what the sidecar sees of others: "+miText(all.Sum()), "By namespace and Service; the area is memory by the model. Point at a rectangle for its figures."),
	}
	if e.Scoped != nil && all.Sum() > 0 {
		scoped := e.Treemap(true)
		list = append(list, drawn(scoped, scoped.Sum()/all.Sum(), fmt.Sprintf("With a scope of %s: %s", e.Scoped.Hosts, miText(scoped.Sum())),
			"In the same scale."))
	}
	return list
}

// rowNodes are the parts of the whole.
func (e *Explanation) rowNodes() []treemap.Node {
	var stay, gone float64
	for _, s := range e.Services {
		if s.Goes {
			gone += s.Memory.Bytes
		} else {
			stay += s.Memory.Bytes
		}
	}
	node := func(name string, bytes float64, tone treemap.Tone) treemap.Node {
		return treemap.Node{Name: name, Value: bytes, Text: miText(bytes), Tone: tone}
	}
	return []treemap.Node{
		node("the proxy itself", e.Own.Memory.Bytes, treemap.Own),
		node("shared by several", e.SharedTotal.Memory.Bytes, treemap.Shared),
		node("Services", stay, treemap.Kept),
		node("outside of the scope", gone, treemap.Gone),
	}
}

// drawn draws a map at a share of the whole area.
func drawn(m *treemap.Map, share float64, title, caption string) pageMap {
	side := math.Sqrt(share)
	size := func(n int) int { return max(1, int(math.Round(float64(n)*side))) }
	return pageMap{
		Title: title, Caption: caption,
		Wide:   template.HTML(m.SVG(size(wideWidth), size(wideHeight))),
		Narrow: template.HTML(m.SVG(size(narrowWidth), size(narrowHeight))),
	}
}

// Treemap is the explanation as a map of MiB by namespace and Service, without the proxy itself.
// scoped has what the scope
// leaves alone; otherwise what it would take away has a colour of its own.
func (e *Explanation) Treemap(scoped bool) *treemap.Map {
	m := &treemap.Map{Title: "Memory by namespace and Service", Text: miText}
	groups := map[string]int{}
	for _, s := range e.Services {
		if scoped && s.Goes {
			continue
		}
		name := s.Namespace
		if name == "" {
			name = NoNamespace
		}
		i, known := groups[name]
		if !known {
			i = len(m.Nodes)
			groups[name] = i
			m.Nodes = append(m.Nodes, treemap.Node{Name: name})
		}
		tone := treemap.Kept
		if s.Goes {
			tone = treemap.Gone
		}
		m.Nodes[i].Children = append(m.Nodes[i].Children, treemap.Node{
			Name: s.Service, Value: s.Memory.Bytes, Text: miText(s.Memory.Bytes), Tone: tone,
			More: fmt.Sprintf("%s\n95 %% interval %s Mi\ncluster %d, listener %d, route %d, endpoint %s", s.Host, interval(s.Memory), s.Rows.Cluster, s.Rows.Listener, s.Rows.Route, number(s.Rows.Endpoint)),
		})
	}
	sharedBytes := e.SharedTotal.Memory.Bytes
	if scoped && e.Scoped != nil {
		// The rest of what is left: the proxy's own stays as it is.
		sharedBytes = e.Scoped.Total.Memory.Bytes - e.Own.Memory.Bytes
		for _, n := range m.Nodes {
			for _, c := range n.Children {
				sharedBytes -= c.Value
			}
		}
	}
	m.Nodes = append(m.Nodes, treemap.Node{
		Name: "shared by several", Value: sharedBytes, Text: miText(sharedBytes), Tone: treemap.Shared, More: "listeners and route configurations of a port number",
	})
	return m
}

func miText(bytes float64) string { return mib(bytes) + " Mi" }
