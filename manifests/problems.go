package manifests

import (
	"fmt"
	"strings"
)

// maxProblems are reported of one manifest; the rest is counted.
const maxProblems = 20

// Problem is one thing wrong with a manifest.
type Problem struct {
	// Line is the place in the text, counted from 1.
	Line int
	// Object is the object's kind and name, as far as they are known; "" if they are not.
	Object string
	// Place is where the object stands in a list, items[3]; "" for a document of its own.
	Place string
	// Field is the object's field, metadata.name; "" for all of it.
	Field string
	// Message says what is wrong and what to write instead.
	Message string
}

// What returns the problem without its line: items[3] (Service web): metadata.namespace: ...
func (p Problem) What() string {
	parts := []string{p.Place, p.Object, p.Field, p.Message}
	if p.Place != "" && p.Object != "" {
		parts[0], parts[1] = fmt.Sprintf("%s (%s)", p.Place, p.Object), ""
	}
	var b strings.Builder
	for _, part := range parts {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Problems are the problems of one manifest in the order in which they were found.
type Problems struct {
	// Source is the manifest's name; "" for a text that is no file.
	Source string
	List   []Problem
	// More counts those that are not in the list.
	More int
}

// Error returns a line for each problem.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i, problem := range p.List {
		place := fmt.Sprintf("line %d", problem.Line)
		if p.Source != "" {
			place = fmt.Sprintf("%s:%d", p.Source, problem.Line)
		}
		lines[i] = place + ": " + problem.What()
	}
	if p.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", p.More))
	}
	return strings.Join(lines, "\n")
}

// orNil returns the problems as an error; nil if there are none.
func (p *Problems) orNil() error {
	if len(p.List) == 0 {
		return nil
	}
	return p
}

// add adds a problem. Only the first ones are kept.
func (p *Problems) add(problem Problem) {
	if len(p.List) >= maxProblems {
		p.More++
		return
	}
	p.List = append(p.List, problem)
}
