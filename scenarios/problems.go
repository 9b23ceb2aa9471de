package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/internal/spelling"
)

// Problem is one thing wrong with a scenario.
type Problem struct {
	// File is the path as given to [Load], or the --set flag at fault.
	File string
	// Line and Column count from 1; 0 if the problem has no place in a file.
	Line, Column int
	// Path is the field, steps[2].actions[0].scale.deployment; "" for the whole file.
	Path string
	// Message says what is wrong and, where that is not plain, how to correct it.
	Message string
}

// String returns file:line:column: path: message on one line, without empty parts.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.Message)
	return strings.ReplaceAll(b.String(), "\n", " ")
}

// Problems are all problems of a scenario, sorted by line.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the problems in the order of the file.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.File, b.File))
	})
	return p
}

// suggest returns the end of a message about an unknown name: the nearest known name if one
// is near, otherwise all known names.
func suggest(name string, known []string) string {
	known = slices.Sorted(slices.Values(known))
	if len(known) == 0 {
		return ""
	}
	nearest := slices.MinFunc(known, func(a, b string) int {
		return cmp.Compare(spelling.Distance(name, a), spelling.Distance(name, b))
	})
	if isNear(name, nearest) {
		return fmt.Sprintf("; did you mean %q?", nearest)
	}
	return "; known: " + strings.Join(known, ", ")
}

// isNear reports whether a name may be a misspelling of a known one.
func isNear(name, known string) bool {
	return spelling.Distance(name, known) <= 1+len(name)/4
}
