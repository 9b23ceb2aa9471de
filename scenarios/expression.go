package scenarios

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
)

// maxNumber bounds every number in a scenario, so that sums and products of sizes cannot
// overflow. No cluster can hold as many objects.
const maxNumber = 1_000_000_000

// functions are the functions that expressions can call.
var functions = []string{"abs", "ceil", "floor", "max", "min", "round"}

// words matches the names in an expression without its quoted parts, and identifier the
// name of a parameter.
var (
	words      = regexp.MustCompile(`\b[A-Za-z_][A-Za-z0-9_]*`)
	quoted     = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// reserved are the words that have a meaning in expressions.
var reserved = append([]string{
	"and", "contains", "else", "endsWith", "false", "if", "in", "let", "matches", "nil", "not", "or", "startsWith", "true",
}, functions...)

// names holds the variables of expressions. used collects the names that occur.
type names struct {
	values map[string]any // int, or string for a choice
	used   map[string]bool
}

// with returns the names and an additional one.
func (n *names) with(name string, value int) *names {
	values := maps.Clone(n.values)
	values[name] = value
	return &names{values: values, used: n.used}
}

// expand replaces the ${expressions} in a text by their values.
func (n *names) expand(text string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), nil
		}
		if strings.HasSuffix(before, "$") { // $${ stands for ${
			b.WriteString(before + "{")
			text = rest
			continue
		}
		b.WriteString(before)
		source, rest, found := strings.Cut(rest, "}")
		if !found {
			return "", fmt.Errorf("${%s has no closing brace; write $${ for a literal ${", source)
		}
		value, err := n.evaluate(source)
		if err != nil {
			return "", err
		}
		fmt.Fprint(&b, value)
		text = rest
	}
}

// evaluate returns the value of an expression: a whole number or a string.
func (n *names) evaluate(source string) (any, error) {
	// Most are a name and nothing else, of which a long repetition has thousands.
	if value, known := n.values[source]; known {
		n.used[source] = true
		return value, nil
	}
	for _, word := range words.FindAllString(quoted.ReplaceAllString(source, ""), -1) {
		n.used[word] = true
		if _, known := n.values[word]; !known && !slices.Contains(reserved, word) {
			return nil, fmt.Errorf("unknown parameter %q in ${%s}%s", word, source, suggest(word, slices.Collect(maps.Keys(n.values))))
		}
	}
	options := []expr.Option{expr.Env(n.values), expr.MaxNodes(1000), expr.DisableAllBuiltins()}
	for _, f := range functions {
		options = append(options, expr.EnableBuiltin(f))
	}
	program, err := expr.Compile(source, options...)
	if err != nil {
		return nil, expressionError(source, err)
	}
	result, err := expr.Run(program, n.values)
	if err != nil {
		return nil, expressionError(source, err)
	}
	var value float64
	switch r := result.(type) {
	case string:
		return r, nil
	case int:
		value = float64(r)
	case float64:
		value = r
	default:
		return nil, fmt.Errorf("${%s} is %v, not a number", source, result)
	}
	switch {
	case math.Abs(value) > maxNumber || math.IsNaN(value):
		return nil, fmt.Errorf("${%s} is %v, out of range; sizes must be below %d", source, result, maxNumber)
	case value != math.Trunc(value):
		return nil, fmt.Errorf("${%s} is %v, not a whole number; use floor, ceil or round", source, result)
	}
	return int(value), nil
}

// expressionError replaces the library's drawing of the place in an expression by the
// place's number.
func expressionError(source string, err error) error {
	var at *file.Error
	if errors.As(err, &at) {
		return fmt.Errorf("${%s}: %s at character %d", source, at.Message, at.Column+1)
	}
	return fmt.Errorf("${%s}: %w", source, err)
}
