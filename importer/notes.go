package importer

import (
	"fmt"
	"strings"
)

// notes are what the reader should know, each once by its form, with what it is about.
type notes struct {
	order []string
	of    map[string][]noted
}

// noted is what a note is about: a name, which is the source's, after its kind if it has one,
// and what else is said of it.
type noted struct{ kind, name, detail string }

func (n noted) String() string {
	text := strings.TrimSpace(n.kind + " " + n.name)
	if n.detail != "" {
		text = strings.TrimSpace(text + " " + n.detail)
	}
	return text
}

// mostNamed are named in one note.
const mostNamed = 3

// add notes something. The form has %s in place of what it is about.
func (n *notes) add(form string, about noted) {
	if n.of == nil {
		n.of = map[string][]noted{}
	}
	if n.of[form] == nil {
		n.order = append(n.order, form)
	}
	n.of[form] = append(n.of[form], about)
}

// join adds the notes of another list.
func (n *notes) join(others notes) {
	for _, form := range others.order {
		for _, about := range others.of[form] {
			n.add(form, about)
		}
	}
}

// rename gives the names others.
func (n *notes) rename(name func(string) string) {
	for _, all := range n.of {
		for i := range all {
			all[i].name = name(all[i].name)
		}
	}
}

// lines are the notes as they are printed.
func (n *notes) lines() []string {
	var lines []string
	for _, form := range n.order {
		about := n.of[form]
		var words []string
		for _, a := range about[:min(mostNamed, len(about))] {
			words = append(words, a.String())
		}
		text := strings.Join(words, ", ")
		if more := len(about) - mostNamed; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		lines = append(lines, strings.Replace(form, "%s", text, 1))
	}
	return lines
}
