package hostiletest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Pages is what harmless pages have: all else in a hostile one is somebody's doing.
type Pages struct {
	parts   map[string]bool // elements, and attributes of an element
	scripts map[string]bool // with style sheets
	data    map[string]bool // beginnings of addresses that hold what they stand for
}

// addresses are the attributes that lead somewhere, or load something.
func addresses(key string) bool {
	return slices.Contains([]string{"href", "src", "srcset", "action", "formaction", "poster", "data", "background", "ping", "cite", "manifest", "codebase"}, key)
}

// Learn takes in a harmless page.
func (p *Pages) Learn(text string) error {
	if p.parts == nil {
		p.parts, p.scripts, p.data = map[string]bool{}, map[string]bool{}, map[string]bool{}
	}
	return walk(text, func(n *html.Node) {
		p.parts[n.Data] = true
		for _, a := range n.Attr {
			p.parts[n.Data+" "+a.Key] = true
			if begin := dataOf(a.Val); begin != "" {
				p.data[begin] = true
			}
		}
		if n.Data == "script" || n.Data == "style" {
			p.scripts[inner(n)] = true
		}
	})
}

// Problems are what a hostile page has that no harmless one has: elements, attributes, scripts and
// style sheets; handlers of events, and addresses that are neither on the page nor of a file
// beside it. What allow begins with, if anything, is where links may lead to.
func (p *Pages) Problems(text string, allow ...string) (problems []string) {
	add := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(problems, text) {
			problems = append(problems, text)
		}
	}
	err := walk(text, func(n *html.Node) {
		if !p.parts[n.Data] {
			add("there is an element %s", n.Data)
		}
		if (n.Data == "script" || n.Data == "style") && !p.scripts[inner(n)] {
			add("there is another %s: %.200q", n.Data, inner(n))
		}
		for _, a := range n.Attr {
			switch {
			case !p.parts[n.Data+" "+a.Key]:
				add("there is an attribute %s at %s", a.Key, n.Data)
			case strings.HasPrefix(a.Key, "on"):
				add("there is %s=%q at %s", a.Key, a.Val, n.Data)
			case a.Key == "style" && strings.Contains(strings.ToLower(a.Val), "url("):
				add("there is the style %q at %s", a.Val, n.Data)
			case addresses(a.Key) && !p.near(a.Val) && !slices.ContainsFunc(allow, func(begin string) bool { return n.Data == "a" && strings.HasPrefix(a.Val, begin) }):
				add("there is %s=%q at %s", a.Key, a.Val, n.Data)
			}
		}
	})
	if err != nil {
		add("it cannot be read: %v", err)
	}
	return problems
}

// near says whether an address is on the page, in a file beside it, or holds what it stands for
// as those of harmless pages do.
func (p *Pages) near(address string) bool {
	// Browsers leave out spaces at the ends and breaks within, and take \ for /.
	address = strings.NewReplacer("\n", "", "\r", "", "\t", "", `\`, "/").Replace(strings.TrimFunc(address, func(r rune) bool { return r <= ' ' }))
	if strings.HasPrefix(address, "#") {
		return true
	}
	if begin := dataOf(address); begin != "" {
		return p.data[begin]
	}
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "" && u.Host == "" && !strings.HasPrefix(address, "//")
}

// dataOf is the begin of an address that holds what it stands for, with its type; "" for others.
func dataOf(address string) string {
	if len(address) < len("data:") || !strings.EqualFold(address[:len("data:")], "data:") {
		return ""
	}
	begin, _, _ := strings.Cut(address, ",")
	return begin
}

// Page is what is wrong with a hostile page, held against the harmless one.
func Page(harmless, hostile string) []string {
	var p Pages
	if err := p.Learn(harmless); err != nil {
		return []string{err.Error()}
	}
	return append(p.Problems(hostile), Plain(hostile)...)
}

func inner(n *html.Node) string {
	var b strings.Builder
	for c := range n.ChildNodes() {
		b.WriteString(c.Data)
	}
	return b.String()
}

// walk calls do with each element of a page.
func walk(text string, do func(*html.Node)) error {
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("read a page: %w", err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			do(n)
		}
	}
	return nil
}
