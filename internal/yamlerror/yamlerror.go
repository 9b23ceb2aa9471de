// Package yamlerror finds the places of syntax errors in YAML.
package yamlerror

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The errors of the YAML library's parser, unlike those of its scanner, name the line
// before.
var (
	pattern   = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)
	parser    = regexp.MustCompile(`^did not find expected (<document start>|node content|key|'-' indicator|',' or)|^found undefined tag handle`)
	indentTab = regexp.MustCompile(`^ *\t`)
)

// Split splits an error of the YAML library, yaml/v3, about a text into the line, counted
// from 1, and the message. The line is 0 if the library does not name it.
func Split(err error, text []byte) (line int, message string) {
	match := pattern.FindStringSubmatch(err.Error())
	if match == nil {
		return 0, err.Error()
	}
	line, message = 0, match[2]
	if n, err := strconv.Atoi(match[1]); err == nil {
		line = n
	}
	switch {
	case parser.MatchString(message):
		line++
	case strings.Contains(message, "tab character"):
		// The library names a line before the tab's.
		lines := bytes.Split(text, []byte("\n"))
		for i := max(line-1, 0); i < len(lines); i++ {
			if indentTab.Match(lines[i]) {
				return i + 1, message + "; indent with spaces"
			}
		}
	}
	return line, message
}

// Of returns the first syntax error of a text with one document as [Split] does; the
// message is "" if there is none.
func Of(text []byte) (line int, message string) {
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		return Split(err, text)
	}
	return 0, ""
}
