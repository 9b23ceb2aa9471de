package yamlerror

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestOf(t *testing.T) {
	for text, want := range map[string]int{"a: b\n": 0, "a: b\nc: [\n": 3, "a:\n\tb: c\n": 2, "a: b\n  c: d\n": 2} {
		if line, message := Of([]byte(text)); line != want || (message == "") != (want == 0) {
			t.Errorf("%q: line %d, %q; want line %d", text, line, message, want)
		}
	}
}

// FuzzOf looks for the place of a syntax error: there is a message exactly where the library has
// an error, and the line is one of the text.
func FuzzOf(f *testing.F) {
	f.Add("a: b\nc: [\n")
	f.Add("a:\n\tb: c\n")
	f.Add("%TAG ! tag:x\n--- !<x\n")
	f.Add("a: *b\n")
	f.Fuzz(func(t *testing.T, text string) {
		var n yaml.Node
		err := yaml.Unmarshal([]byte(text), &n)
		line, message := Of([]byte(text))
		if (err == nil) != (message == "") {
			t.Errorf("error %v, message %q", err, message)
		}
		// Some lines are ended by more than a line feed.
		if most := 2 + strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029"); line < 0 || line > most {
			t.Errorf("line %d of at most %d: %s", line, most, message)
		}
	})
}
