package plain

import (
	"strings"
	"unicode"
)

// Output is [Text] for a terminal, which may be the log of a job: what runners of CI take for a
// command there has an escape in it. GitHub's takes ::name:: at the begin of a line, after any
// spaces, and ##[name] anywhere (src/Runner.Common/ActionCommand.cs of actions/runner); that of
// Azure ##vso[name], too. The escapes are those of JSON, which stays the same.
func Output(text string) string { return (&commands{}).escape(Text(text)) }

// commands finds them in a text that comes in pieces. It knows what of the line was seen.
type commands struct {
	seen  place
	marks int  // how many # stand before this place
	word  bool // after two of them, letters do
}

// place is where in a line one is, as far as it matters.
type place int

const (
	atBegin    place = iota // nothing but spaces was seen
	afterColon              // and one colon
	within
)

func (c *commands) escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == ':' && c.seen == afterColon:
			b.WriteString(`\u003a`)
		case r == '[' && c.marks >= 2:
			b.WriteString(`\u005b`)
		default:
			b.WriteRune(r)
		}
		c.next(r)
	}
	return b.String()
}

func (c *commands) next(r rune) {
	switch {
	case r == '#' && !c.word:
		c.marks++
	case c.marks >= 2 && 'a' <= r && r <= 'z':
		c.word = true
	default:
		c.marks, c.word = 0, false
		if r == '#' {
			c.marks = 1
		}
	}
	switch {
	case r == '\n':
		c.seen = atBegin
	case c.seen == atBegin && unicode.IsSpace(r):
	case c.seen == atBegin && r == ':':
		c.seen = afterColon
	default:
		c.seen = within
	}
}
