package explanation

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// Words for what a part is in the second of two configurations.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Change is what a part differs in: the second less the first.
type Change struct {
	Name string `json:"name"`
	What string `json:"what"` // Added, Removed or Changed
	// Bytes are those of the dumps.
	Bytes   int64                       `json:"bytes"`
	Rows    Rows                        `json:"rows"`
	Objects Objects                     `json:"objects"`
	Routing observations.RoutingObjects `json:"routing"`
	Memory  costmodel.Estimate          `json:"memory"`
}

// Diff is what two configurations differ in. Parts that are equal are left out.
type Diff struct {
	Of          [2]string                `json:"of"`
	Model       string                   `json:"model"`
	Calibration *costmodel.Calibration   `json:"calibration,omitempty"`
	Memory      [2]costmodel.Estimate    `json:"memory"` // of the whole sidecars
	Measured    [2]*Measured             `json:"measured"`
	Total       Change                   `json:"total"`
	Own         *Change                  `json:"own,omitempty"` // of the proxy itself
	Shared      *Change                  `json:"shared,omitempty"`
	Namespaces  []Change                 `json:"namespaces"` // the largest change of memory first
	Services    []Change                 `json:"services"`
	Kinds       []Change                 `json:"kinds"`
	Recommend   costmodel.Recommendation `json:"recommendation"` // for the second
	Unknown     []string                 `json:"unknown,omitempty"`
}

// Compare compares two configurations by a model.
func Compare(a, b *proxyconfig.Attribution, m *costmodel.Model, of [2]Options) *Diff {
	x := &explaining{a: &proxyconfig.Attribution{Hosts: a.Hosts && b.Hosts, Endpoints: a.Endpoints && b.Endpoints}, m: m}
	d := &Diff{Of: [2]string{of[0].Of, of[1].Of}, Model: m.Provenance(), Calibration: m.Calibration, Measured: [2]*Measured{of[0].Measured, of[1].Measured}}
	was, is := a.Sum(), b.Sum()
	d.Memory = [2]costmodel.Estimate{m.MemoryWith(was.Objects, was.Routing), m.MemoryWith(is.Objects, is.Routing)}
	if c := x.change("together", &was, &is); c != nil {
		d.Total = *c
	} else {
		d.Total = Change{Name: "together"}
	}
	owners := x.changes(a, b, func(i *proxyconfig.Item) string { return string(i.Owner) })
	for i := range owners {
		switch proxyconfig.Owner(owners[i].Name) {
		case proxyconfig.OwnerProxy:
			owners[i].Name = "the proxy itself"
			d.Own = &owners[i]
		case proxyconfig.OwnerShared:
			owners[i].Name = "shared by several"
			d.Shared = &owners[i]
		}
	}
	d.Namespaces = x.changes(a, b, func(i *proxyconfig.Item) string {
		if i.Owner != proxyconfig.OwnerService {
			return ""
		}
		return cmp.Or(i.Namespace, NoNamespace)
	})
	d.Services = x.changes(a, b, func(i *proxyconfig.Item) string {
		if i.Owner != proxyconfig.OwnerService {
			return ""
		}
		return cmp.Or(i.Namespace, NoNamespace) + "/" + i.Service
	})
	d.Kinds = x.changes(a, b, func(i *proxyconfig.Item) string { return i.Kind })
	d.Recommend = m.Recommend(d.Memory[1])
	if !x.a.Endpoints {
		d.Unknown = append(d.Unknown, "endpoints: not both dumps have a section of them, so neither counts nor estimates of the changes have them")
	}
	if !x.a.Hosts {
		d.Unknown = append(d.Unknown, "rows of endpoints: the answers to /clusters are not at hand for both")
	}
	return d
}

// changes compares the sums of two configurations by a key; "" is left out.
func (x *explaining) changes(a, b *proxyconfig.Attribution, key func(*proxyconfig.Item) string) []Change {
	was, is := map[string]*proxyconfig.Sum{}, map[string]*proxyconfig.Sum{}
	var names []string
	for _, side := range []struct {
		of   *proxyconfig.Attribution
		sums map[string]*proxyconfig.Sum
	}{{a, was}, {b, is}} {
		for _, g := range proxyconfig.GroupBy(side.of, key) {
			side.sums[g.Key] = &g.Sum
			names = append(names, g.Key)
		}
	}
	slices.Sort(names)
	list := []Change{}
	for _, name := range slices.Compact(names) {
		if name == "" {
			continue
		}
		if c := x.change(name, was[name], is[name]); c != nil {
			list = append(list, *c)
		}
	}
	slices.SortStableFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Memory.Bytes), math.Abs(a.Memory.Bytes)), cmp.Compare(abs(b.Bytes), abs(a.Bytes)))
	})
	return list
}

// change is what two sums differ in; nil for nothing.
func (x *explaining) change(name string, was, is *proxyconfig.Sum) *Change {
	c := &Change{Name: name, What: Changed}
	switch {
	case was == nil:
		c.What, was = Added, &proxyconfig.Sum{}
	case is == nil:
		c.What, is = Removed, &proxyconfig.Sum{}
	}
	// The number of endpoints of one side is no change where the other's is unknown.
	if !x.a.Endpoints {
		was.Objects.Endpoints, is.Objects.Endpoints = 0, 0
	}
	if !x.a.Hosts {
		was.Rows.Endpoint, is.Rows.Endpoint = 0, 0
	}
	if c.What == Changed && *was == *is {
		return nil
	}
	p := x.part(name, proxyconfig.Sum{
		Bytes: is.Bytes - was.Bytes, Objects: less(is.Objects, was.Objects), Routing: lessRouting(is.Routing, was.Routing),
		Rows: observations.Counts{
			Cluster: is.Rows.Cluster - was.Rows.Cluster, Listener: is.Rows.Listener - was.Rows.Listener,
			Route: is.Rows.Route - was.Rows.Route, Endpoint: is.Rows.Endpoint - was.Rows.Endpoint,
		},
	})
	c.Bytes, c.Rows, c.Objects, c.Routing, c.Memory = p.Bytes, p.Rows, p.Objects, p.Routing, p.Memory
	return c
}

// same says whether the parts differ in bytes alone.
func (c *Change) same() bool {
	return c.What == Changed && c.Routing == (observations.RoutingObjects{}) && c.Rows.empty() && c.Objects.empty()
}

func (r Rows) empty() bool {
	return r.Cluster == 0 && r.Listener == 0 && r.Route == 0 && (r.Endpoint == nil || *r.Endpoint == 0)
}

func (o Objects) empty() bool {
	return o.Clusters == 0 && o.Listeners == 0 && o.FilterChains == 0 && o.RouteConfigs == 0 && o.VirtualHosts == 0 && (o.Endpoints == nil || *o.Endpoints == 0)
}

func abs(n int64) int64 { return max(n, -n) }

// Text prints the difference for a terminal, with at most top rows in a table; 0 is for all.
func (d *Diff) Text(w io.Writer, top int) error {
	doc, err := d.document(top)
	if err != nil {
		return err
	}
	return doc.text(w)
}

// Markdown prints the difference in GitHub's Markdown.
func (d *Diff) Markdown(w io.Writer, top int) error {
	doc, err := d.document(top)
	if err != nil {
		return err
	}
	return doc.markdown(w)
}

func (d *Diff) document(top int) (*document, error) {
	doc := &document{Title: fmt.Sprintf("What %s has against %s", d.Of[1], d.Of[0])}
	t := d.Total
	doc.Headline = fmt.Sprintf("A sidecar takes %s Mi (%s) with the first and %s Mi (%s) with the second: %s (%s).",
		mib(d.Memory[0].Bytes), interval(d.Memory[0]), mib(d.Memory[1].Bytes), interval(d.Memory[1]), signed(t.Memory.Bytes), interval(t.Memory))
	if !slices.ContainsFunc(d.Kinds, func(c Change) bool { return !c.same() }) {
		doc.Headline = fmt.Sprintf("Nothing that is counted differs: a sidecar takes %s Mi (%s) with either.", mib(d.Memory[0].Bytes), interval(d.Memory[0]))
	}
	doc.Lines = append(doc.Lines,
		fmt.Sprintf("Rows of istioctl proxy-config: cluster %+d, listener %+d, route %+d, endpoint %s.", t.Rows.Cluster, t.Rows.Listener, t.Rows.Route, plusMinus(t.Rows.Endpoint)),
		fmt.Sprintf("Objects: clusters %+d, listeners %+d, filter chains %+d, route configurations %+d, virtual hosts %+d, endpoints %s; %+.1f KB of dump.",
			t.Objects.Clusters, t.Objects.Listeners, t.Objects.FilterChains, t.Objects.RouteConfigs, t.Objects.VirtualHosts, plusMinus(t.Objects.Endpoints), float64(t.Bytes)/1000))
	for i, m := range d.Measured {
		if m != nil {
			doc.Lines = append(doc.Lines, fmt.Sprintf("Measured with %s: %s.", d.Of[i], m))
		}
	}
	lines, err := modelLines(d.Model, d.Calibration)
	if err != nil {
		return nil, err
	}
	doc.Lines = append(doc.Lines, lines...)
	kinds, namespaces := d.Kinds, d.Namespaces
	for _, c := range []*Change{d.Shared, d.Own} {
		if c != nil {
			namespaces = append(slices.Clip(namespaces), *c)
		}
	}
	for _, t := range []struct {
		title string
		list  []Change
	}{{"By kind", kinds}, {"By namespace", namespaces}, {"By Service", d.Services}} {
		table := docTable{Table: sections.Table{
			Title: t.title, Header: []string{"", "", "cluster", "listener", "route", "endpoint", "dump KB", "Mi", "95 % interval"},
		}}
		left, same, bytes := 0, 0, int64(0)
		for _, c := range t.list {
			if c.same() {
				same, bytes = same+1, bytes+c.Bytes
				continue
			}
			if top > 0 && len(table.Rows) == top {
				left++
				continue
			}
			table.Rows = append(table.Rows, []string{
				c.Name, c.What, fmt.Sprintf("%+d", c.Rows.Cluster), fmt.Sprintf("%+d", c.Rows.Listener), fmt.Sprintf("%+d", c.Rows.Route), plusMinus(c.Rows.Endpoint),
				fmt.Sprintf("%+.1f", float64(c.Bytes)/1000), signed(c.Memory.Bytes), interval(c.Memory),
			})
		}
		if left > 0 {
			table.Notes = append(table.Notes, fmt.Sprintf("%d more.", left))
		}
		if same > 0 {
			table.Notes = append(table.Notes, fmt.Sprintf("In bytes alone, as by times of updates: %s, %+d bytes.", words.Plural(same, "part"), bytes))
		}
		doc.Tables = append(doc.Tables, table)
	}
	for _, u := range d.Unknown {
		doc.Notes = append(doc.Notes, "Unknown: "+u+".")
	}
	for _, w := range d.Memory[1].Warnings {
		doc.Notes = append(doc.Notes, "Beyond what was measured: "+w+".")
	}
	var b strings.Builder
	if err := d.Recommend.Print(&b); err != nil {
		return nil, err
	}
	doc.Give = "For the second.\n" + b.String()
	return doc, nil
}

func plusMinus(n *int) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprintf("%+d", *n)
}

// signed is mib with a sign.
func signed(bytes float64) string {
	text := mib(bytes)
	if v, err := strconv.ParseFloat(text, 64); err == nil && v > 0 {
		return "+" + text
	}
	return text
}
