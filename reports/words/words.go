// Package words is how reports write numbers and a few words, so that formats, figures and
// findings write the same thing alike.
package words

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sizes of memory.
const (
	Ki = 1 << 10
	Mi = 1 << 20
)

// Number prints a value without an exponent and without needless digits.
func Number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Flag is 1 for yes and 0 for no.
func Flag(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Mib is bytes in Mi with one decimal.
func Mib(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/Mi) }

// Limit is a memory limit in whole Mi; "-" for none.
func Limit(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(bytes)/Mi)
}

// Plural is a number and a noun.
func Plural(n int, noun string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Workload is a workload's name for people. A Knative Service's workload is the Deployment
// of its first revision, whose ending says nothing.
func Workload(name string) string { return strings.TrimSuffix(name, "-00001-deployment") }

// Wrap is text in lines of that many columns. The first begins with the bullet, under which
// the others are indented.
func Wrap(columns int, bullet, text string) []string {
	indent := strings.Repeat(" ", utf8.RuneCountInString(bullet))
	var lines []string
	line := bullet
	for i, word := range strings.Fields(text) {
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			lines = append(lines, line)
			line = indent + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// Spread sorts values and returns their median, lowest and highest. The median of an even
// number of values is the midpoint of the two in the middle. All are 0 for no values.
func Spread[N int64 | float64](values []N) (median, low, high N) {
	n := len(values)
	if n == 0 {
		return 0, 0, 0
	}
	slices.Sort(values)
	a, b := values[(n-1)/2], values[n/2]
	return a + (b-a)/2, values[0], values[n-1]
}
