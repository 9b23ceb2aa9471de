package advice

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/words"
)

const (
	mi = 1 << 20
	gi = 1 << 30
)

// size prints memory in the unit that suits it.
func size(bytes float64) string {
	if bytes >= 1000*mi || bytes <= -1000*mi {
		return fmt.Sprintf("%.2f Gi", bytes/gi)
	}
	return fmt.Sprintf("%.1f Mi", bytes/mi)
}

func interval(e costmodel.Estimate) string {
	return fmt.Sprintf("%s (%s to %s)", size(e.Bytes), size(e.Lo), size(e.Hi))
}

// mostListed is how many entries of a long list are printed.
const mostListed = 20

// printer is a writer that keeps its first error.
type printer struct {
	w   io.Writer
	err error
}

// newPrinter prints for a terminal: names of objects, hosts in access logs and answers come from
// others.
func newPrinter(w io.Writer) *printer { return &printer{w: plain.NewOutput(w)} }

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, plain.Line(fmt.Sprintf(format, args...)))
	}
}

// table prints rows whose columns stand under one another.
func (p *printer) table(rows ...[]string) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = plain.Line(c)
		}
		fmt.Fprintln(t, "  "+strings.Join(cells, "\t"))
	}
	p.err = t.Flush()
}

// list prints the first entries of a list under a title; nothing of an empty one.
func list[T any](p *printer, title string, all []T, text func(T) string) {
	if len(all) == 0 {
		return
	}
	p.line("")
	p.line("%s", title)
	for _, x := range all[:min(len(all), mostListed)] {
		p.line("  %s", text(x))
	}
	if more := len(all) - mostListed; more > 0 {
		p.line("  and %d more", more)
	}
}

// Print says what is proposed and why, for people; the resources themselves are
// [Advice.WriteYAML]'s.
func (a *Advice) Print(w io.Writer) error {
	p := newPrinter(w)
	a.printScopes(p)
	a.printSavings(p)
	list(p, "To be looked at before anything is applied", a.Problems, Problem.String)
	list(p, "Calls of which a side is not known; no scope has them", a.Unknown, func(u callgraph.Unknown) string {
		if len(u.Places) > 0 {
			return u.Places[0] + ": " + u.String()
		}
		return u.String()
	})
	list(p, "Hosts outside of the mesh that are called; a scope leaves them as they are", a.Outside, func(o Outside) string {
		return fmt.Sprintf("%s, from %s", o.Host, strings.Join(o.From, ", "))
	})
	list(p, "Namespaces without a scope", a.Without, func(w Without) string { return w.Namespace + ": " + w.Why })
	list(p, "What could not be known", a.Notes, func(text string) string { return text })
	return p.err
}

func (a *Advice) printScopes(p *printer) {
	if len(a.Scopes) == 0 {
		p.line("No scope is proposed.")
		return
	}
	p.line("Scopes for %s, by %s", words.Plural(len(a.Scopes), "namespace"), a.By)
	rows := [][]string{{"namespace", "Sidecar", "proxies", "hosts"}}
	for _, s := range a.Scopes {
		proxies := "unknown"
		if s.Proxies >= 0 {
			proxies = fmt.Sprint(s.Proxies)
		}
		hosts := strings.Join(s.List(), " ")
		if len(s.Hosts) > 8 {
			hosts = strings.Join(s.List()[:8], " ") + fmt.Sprintf(" and %d more", len(s.Hosts)-8)
		}
		rows = append(rows, []string{s.Namespace, fmt.Sprintf("%s (%s)", s.Name, s.Status), proxies, hosts})
	}
	p.table(rows...)
	for _, s := range a.Scopes {
		for _, n := range s.Notes {
			p.line("  %s: %s", s.Namespace, n)
		}
		if len(s.Own) > 0 {
			p.line("  %s: Sidecar resources for single workloads stay as they are: %s", s.Namespace, strings.Join(s.Own, ", "))
		}
	}
}

func (a *Advice) printSavings(p *printer) {
	if a.Total == nil || len(a.Scopes) == 0 {
		return
	}
	p.line("")
	if len(a.Total.Unpriced) == len(a.Scopes) {
		p.line("What the scopes save is unknown: there is no configuration to compute it from (--dump, --run).")
		return
	}
	p.line("What they save by the model, once the proxies are restarted, with 95 %% intervals")
	rows := [][]string{{"namespace", "MB of configuration", "a proxy now", "with its scope", "saved", "by all", "most goes of"}}
	for _, s := range a.Scopes {
		v := s.Saving
		if v == nil {
			continue
		}
		all := "unknown"
		if s.Proxies >= 0 {
			all = size(v.All.Bytes)
		}
		var why []string
		for _, g := range v.Why[:min(2, len(v.Why))] {
			name := g.Namespace
			if name == "" {
				name = "others"
			}
			why = append(why, fmt.Sprintf("%s (%s)", name, words.Plural(g.Hosts, "host")))
		}
		rows = append(rows, []string{s.Namespace, fmt.Sprintf("%.2f -> %.2f", float64(v.Before.DumpBytes)/1e6, float64(v.After.DumpBytes)/1e6),
			size(v.Before.Memory.Bytes), size(v.After.Memory.Bytes), interval(v.Each), all, strings.Join(why, ", ")})
	}
	p.table(rows...)
	if n := a.Total.Proxies; n > 0 {
		p.line("  Together, %s: %s now, %s with scopes, %s saved.", words.Plural(n, "sidecar"), size(a.Total.Before.Bytes), size(a.Total.After.Bytes), interval(a.Total.Saved))
	}
	if len(a.Total.Unpriced) > 0 {
		p.line("  Without a configuration to compute it from: %s.", strings.Join(a.Total.Unpriced, ", "))
	}
	a.printUnknown(p)
	p.line("  A running proxy keeps its memory until it is restarted.")
	if s := a.largest(); s != nil {
		p.line("")
		p.line("A sidecar of namespace %s, which is the largest with its scope:", s.Namespace)
		if p.err == nil {
			p.err = s.Saving.Recommendation.Print(p.w)
		}
	}
}

// printUnknown prints what is in no saving, once.
func (a *Advice) printUnknown(p *printer) {
	seen := map[string]bool{}
	for _, s := range a.Scopes {
		if s.Saving == nil {
			continue
		}
		for _, text := range append(s.Saving.Each.Warnings, s.Saving.Unknown...) {
			if !seen[text] {
				seen[text] = true
				p.line("  Not in it (%s): %s.", s.Namespace, text)
			}
		}
	}
}

// largest is the scope whose proxies take most with it; nil for none that was priced.
func (a *Advice) largest() *Scope {
	var most *Scope
	for _, s := range a.Scopes {
		if s.Saving != nil && (most == nil || s.Saving.After.Memory.Hi > most.Saving.After.Memory.Hi) {
			most = s
		}
	}
	return most
}
