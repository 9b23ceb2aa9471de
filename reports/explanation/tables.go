package explanation

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// document is what every format prints.
type document struct {
	Title    string
	Headline string
	Lines    []string // facts, before the tables
	Tables   []docTable
	Notes    []string // what to mind
	// Give is the text about requests and limits.
	Give string
}

// docTable is a table with what is to be said of it.
type docTable struct {
	sections.Table
	Notes []string
}

// document makes the explanation a document with at most top rows in a table; 0 is for all.
func (e *Explanation) document(top int) (*document, error) {
	d := &document{Title: e.title(), Headline: e.headline()}
	model, err := modelLines(e.Model, e.Calibration)
	if err != nil {
		return nil, err
	}
	d.Lines = append(e.facts(), model...)
	d.Tables = append(d.Tables, e.kindTable(), e.namespaceTable(top), e.serviceTable(top))
	if len(e.Shared) > 0 {
		d.Tables = append(d.Tables, e.sharedTable(top))
	}
	for _, u := range e.Unknown {
		d.Notes = append(d.Notes, "Unknown: "+u+".")
	}
	for _, w := range e.Warnings {
		d.Notes = append(d.Notes, "Beyond what was measured: "+w+".")
	}
	if n := len(e.Idle); n > 0 {
		var parts []string
		for _, p := range e.Idle {
			parts = append(parts, fmt.Sprintf("%s %s", size(p.Bytes), p.Name))
		}
		d.Notes = append(d.Notes, "Envoy also holds what is not active: "+strings.Join(parts, ", ")+" of the dump. It is in the bytes, and in no count and no estimate.")
	}
	r := e.Recommendation
	if r == nil {
		return d, nil
	}
	var b strings.Builder
	if e.Scoped != nil {
		b.WriteString("Unscoped.\n")
	}
	if err := r.Print(&b); err != nil {
		return nil, err
	}
	if s := e.Scoped; s != nil {
		fmt.Fprintf(&b, "\n%s\n", plain.Line(fmt.Sprintf("With a scope of %s: request %s, limit %s.", s.Hosts, s.Recommendation.Request, s.Recommendation.Limit)))
	}
	d.Give = b.String()
	return d, nil
}

// title names what is explained.
func (e *Explanation) title() string {
	who := ""
	if p := e.Proxy; p.Pod != "" {
		who = fmt.Sprintf(" (%s of %s in %s, Istio %s)", p.Pod, p.Workload, p.Namespace, p.Istio)
	}
	return "What the configuration of " + e.Of + who + " costs"
}

// headline is the answer in a sentence.
func (e *Explanation) headline() string {
	m := e.Total.Memory
	memory := fmt.Sprintf("%s%s Mi (%s to %s)", e.atLeast(), mib(m.Bytes), mib(m.Lo), mib(m.Hi))
	if !e.Proxy.Sidecar() {
		return "It is not a sidecar's, and the model is of sidecars: one with it would take " + memory + "."
	}
	text := "A sidecar with it takes " + memory
	if s := e.Scoped; s != nil {
		text += fmt.Sprintf("; with a scope of %s it would take %s%s Mi and save %s Mi (%s)", s.Hosts, e.atLeast(), mib(s.Total.Memory.Bytes), mib(s.Saves.Bytes), interval(s.Saves))
	}
	return text + "."
}

// atLeast is for estimates that lack something.
func (e *Explanation) atLeast() string {
	if e.Total.Objects.Endpoints == nil {
		return "at least "
	}
	return ""
}

func (e *Explanation) facts() []string {
	t := e.Total
	lines := []string{
		fmt.Sprintf("Rows of istioctl proxy-config: cluster %d, listener %d, route %d, endpoint %s.", t.Rows.Cluster, t.Rows.Listener, t.Rows.Route, number(t.Rows.Endpoint)),
		fmt.Sprintf("Objects: %d clusters, %d listeners, %d filter chains, %d route configurations, %d virtual hosts, endpoints %s; %s of dump.",
			t.Objects.Clusters, t.Objects.Listeners, t.Objects.FilterChains, t.Objects.RouteConfigs, t.Objects.VirtualHosts, number(t.Objects.Endpoints), size(t.Bytes)),
		fmt.Sprintf("%s in %s.", words.Plural(len(e.Services), "Service"), words.Plural(len(e.Namespaces), "namespace")),
	}
	if m := e.Measured; m != nil {
		lines = append(lines, fmt.Sprintf("Measured: %s.", m))
	}
	if s := e.Scoped; s != nil {
		r := s.Total.Rows
		lines = append(lines, fmt.Sprintf("With a scope of %s: cluster %d, listener %d, route %d, endpoint %s; %s, %s of dump. A sidecar that runs gives little back: restart it.",
			s.Hosts, r.Cluster, r.Listener, r.Route, number(r.Endpoint), words.Plural(s.Services, "Service"), size(s.Total.Bytes)))
	}
	return lines
}

// modelLines say which model answers.
func modelLines(model string, c *costmodel.Calibration) ([]string, error) {
	lines := []string{"Model: " + model + "."}
	if c == nil {
		return lines, nil
	}
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		return nil, err
	}
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines, nil
}

func (e *Explanation) kindTable() docTable {
	t := docTable{Table: sections.Table{
		Title:  "By kind",
		Header: []string{"kind", "rows", "objects", "dump KB", "Mi", "95 % interval"},
	}}
	t.Rows = append(t.Rows, []string{"before any configuration", "", "", "", mib(e.Empty.Bytes), interval(e.Empty)})
	for _, p := range e.Kinds {
		row := []string{p.Name, rowsOf(p), objectsOf(p), kb(p.Bytes), mib(p.Memory.Bytes), interval(p.Memory)}
		if p.Memory.Bytes == 0 {
			row[4], row[5] = "-", ""
		}
		t.Rows = append(t.Rows, row)
	}
	t.Rows = append(t.Rows, []string{"together", "", "", kb(e.Total.Bytes), mib(e.Total.Memory.Bytes), interval(e.Total.Memory)})
	t.Notes = []string{"Kinds come together: what a listener costs is told by listeners with filter chains, and by no kind alone. Compare Services rather than kinds."}
	return t
}

func (e *Explanation) namespaceTable(top int) docTable {
	t := docTable{Table: sections.Table{
		Title:  "By namespace",
		Header: []string{"namespace", "Services", "cluster", "listener", "route", "endpoint", "dump KB", "Mi", "95 % interval", "saved if unseen, Mi", "95 % interval"},
	}}
	if e.Scoped != nil {
		t.Header = append(t.Header, "left by the scope, Mi")
	}
	add := func(p Part) {
		services := ""
		if p.Services > 0 {
			services = strconv.Itoa(p.Services)
		}
		row := append([]string{p.Name, services}, p.cells()...)
		row = append(row, unseen(p)...)
		if e.Scoped != nil {
			row = append(row, left(p))
		}
		t.Rows = append(t.Rows, row)
	}
	shown, rest := cutTo(e.Namespaces, top)
	for _, p := range shown {
		add(p)
	}
	if n := len(e.Namespaces) - len(shown); n > 0 {
		rest.Name = fmt.Sprintf("%d more", n)
		add(rest)
	}
	if len(e.Shared) > 0 {
		add(e.SharedTotal)
	}
	add(e.Own)
	t.Notes = []string{"Shared listeners and route configurations go with the last of their users, so what is saved may be more than what a namespace has of its own; what routes of other namespaces lead to stays."}
	return t
}

func (e *Explanation) serviceTable(top int) docTable {
	t := docTable{Table: sections.Table{
		Title:  "By Service",
		Header: []string{"Service", "cluster", "listener", "route", "endpoint", "dump KB", "Mi", "95 % interval", "saved if unseen, Mi", "95 % interval"},
	}}
	if e.Scoped != nil {
		t.Header = append(t.Header, "in the scope")
	}
	shown, rest := cutTo(e.Services, top)
	for _, p := range shown {
		row := append(append([]string{p.Name}, p.cells()...), unseen(p)...)
		if e.Scoped != nil {
			row = append(row, yes(!p.Goes))
		}
		t.Rows = append(t.Rows, row)
	}
	if n := len(e.Services) - len(shown); n > 0 {
		row := append(append([]string{fmt.Sprintf("%d more", n)}, rest.cells()...), unseen(rest)...)
		if e.Scoped != nil {
			row = append(row, "")
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (e *Explanation) sharedTable(top int) docTable {
	t := docTable{Table: sections.Table{
		Title:  "Shared by Services",
		Header: []string{"listeners and route configurations", "users", "dump KB", "Mi", "95 % interval"},
	}}
	for i, s := range e.Shared {
		if i == top && top > 0 {
			t.Notes = append(t.Notes, fmt.Sprintf("%d more.", len(e.Shared)-top))
			break
		}
		t.Rows = append(t.Rows, []string{s.Name, users(s.Users), kb(s.Bytes), mib(s.Memory.Bytes), interval(s.Memory)})
	}
	return t
}

// fewUsers is how many users are named.
const fewUsers = 3

func users(hosts []string) string {
	if len(hosts) <= fewUsers {
		return strings.Join(hosts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:fewUsers-1], ", "), len(hosts)-fewUsers+1)
}

// cutTo is the first parts, and the sum of the others; their intervals add up, since the model is
// off for all of them in the same way.
func cutTo(parts []Part, top int) (shown []Part, rest Part) {
	if top <= 0 || len(parts) <= top+1 {
		return parts, rest
	}
	for i, p := range parts[top:] {
		if i == 0 {
			rest = p
			rest.Rows.Endpoint, rest.Objects.Endpoints, rest.Left = clone(p.Rows.Endpoint), clone(p.Objects.Endpoints), cloneEstimate(p.Left)
			rest.Unseen, rest.Goes = nil, false
			continue
		}
		rest.Services += p.Services
		rest.Bytes += p.Bytes
		rest.Rows.Cluster += p.Rows.Cluster
		rest.Rows.Listener += p.Rows.Listener
		rest.Rows.Route += p.Rows.Route
		if rest.Rows.Endpoint != nil && p.Rows.Endpoint != nil {
			*rest.Rows.Endpoint += *p.Rows.Endpoint
		}
		rest.Memory = plus(rest.Memory, p.Memory)
		if rest.Left != nil && p.Left != nil {
			*rest.Left = plus(*rest.Left, *p.Left)
		}
	}
	return parts[:top], rest
}

func clone(n *int) *int {
	if n == nil {
		return nil
	}
	c := *n
	return &c
}

func cloneEstimate(e *costmodel.Estimate) *costmodel.Estimate {
	if e == nil {
		return nil
	}
	c := *e
	return &c
}

func plus(a, b costmodel.Estimate) costmodel.Estimate {
	return costmodel.Estimate{Bytes: a.Bytes + b.Bytes, Lo: a.Lo + b.Lo, Hi: a.Hi + b.Hi}
}

// cells are the counts, bytes and memory of a part.
func (p Part) cells() []string {
	return []string{
		strconv.Itoa(p.Rows.Cluster), strconv.Itoa(p.Rows.Listener), strconv.Itoa(p.Rows.Route), number(p.Rows.Endpoint),
		kb(p.Bytes), mib(p.Memory.Bytes), interval(p.Memory),
	}
}

func unseen(p Part) []string {
	if p.Unseen == nil {
		return []string{"", ""}
	}
	return []string{mib(p.Unseen.Bytes), interval(*p.Unseen)}
}

func left(p Part) string {
	switch {
	case p.Left == nil:
		return ""
	case p.Goes:
		return "0"
	}
	return mib(p.Left.Bytes)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// rowsOf are the rows of a kind, in its one column.
func rowsOf(p Part) string {
	switch p.Name {
	case "cluster":
		return strconv.Itoa(p.Rows.Cluster)
	case "listener":
		return strconv.Itoa(p.Rows.Listener)
	case "route":
		return strconv.Itoa(p.Rows.Route)
	case "endpoint":
		return number(p.Rows.Endpoint)
	}
	return ""
}

// objectsOf are the objects of a kind, in words.
func objectsOf(p Part) string {
	switch o := p.Objects; p.Name {
	case "cluster":
		if p.Rows.Endpoint != nil && *p.Rows.Endpoint > 0 { // of a dump without endpoints
			return fmt.Sprintf("%d clusters, %s endpoints", o.Clusters, number(o.Endpoints))
		}
		return fmt.Sprintf("%d clusters", o.Clusters)
	case "listener":
		return fmt.Sprintf("%d listeners, %d filter chains", o.Listeners, o.FilterChains)
	case "route":
		return fmt.Sprintf("%d route configurations, %d virtual hosts", o.RouteConfigs, o.VirtualHosts)
	case "endpoint":
		return number(o.Endpoints) + " endpoints"
	}
	return ""
}

// number is a count; one that is not known is said to be so.
func number(n *int) string {
	if n == nil {
		return "unknown"
	}
	return strconv.Itoa(*n)
}

func interval(e costmodel.Estimate) string { return mib(e.Lo) + " to " + mib(e.Hi) }

// kb is bytes in KB (1,000 bytes), as sizes of dumps are told.
func kb(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1000) }

// size is bytes of a dump in the unit that suits it.
func size(bytes int64) string {
	if bytes >= 1e6 {
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return kb(bytes) + " KB"
}
