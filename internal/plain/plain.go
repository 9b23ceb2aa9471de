// Package plain makes text that others chose harmless where it is shown: names of objects,
// labels, lines of logs and answers of servers may hold what a terminal, a spreadsheet or a
// renderer of Markdown takes for an order. HTML is html/template's affair.
package plain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// bad reports whether a rune moves the cursor, changes colours or titles, or turns the direction
// of what follows.
func bad(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case unicode.IsControl(r): // C0, DEL and C1
		return true
	case r == '\u061c', r == '\u200e', r == '\u200f', r == '\u2028', r == '\u2029', r == '\ufeff':
		return true
	case '\u202a' <= r && r <= '\u202e', '\u2066' <= r && r <= '\u2069', 0xe0000 <= r && r <= 0xe007f:
		return true
	}
	return false
}

// Is reports whether [Text] would leave text as it is.
func Is(text string) bool {
	return strings.IndexFunc(text, bad) < 0 && utf8.ValidString(text)
}

// Text is text without control characters and without those that turn its direction, which stand
// as \x1b and \u202e in it. Ends of lines and tabs stay. JSON stays JSON: what its encoder leaves
// as it is, from DEL on, stands as an escape that JSON has.
func Text(text string) string {
	if Is(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case bad(r) && r < ' ':
			fmt.Fprintf(&b, `\x%02x`, r)
		case bad(r) && r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		case bad(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += max(size, 1)
	}
	return b.String()
}

// Line is [Text] in one line.
func Line(text string) string {
	return Text(strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ").Replace(text))
}

// Cell is a text as a cell of a table that a spreadsheet may open: what it would take for a
// formula has an apostrophe before it, which spreadsheets show as the text that follows (OWASP,
// "CSV Injection"). Numbers are not for it.
func Cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(text)[0]) {
		return "'" + text
	}
	return text
}

// Markdown is a text in one line that Markdown shows as it is, GitHub's with its tables and its
// mentions of people too.
func Markdown(text string) string {
	text = Line(text)
	var b strings.Builder
	before := ' '
	for i, r := range text {
		next, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
		switch {
		case strings.ContainsRune("\\`*_|[]", r), r == '~' && (before != ' ' || i+1 < len(text) && next != ' '):
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&' && entity(text[i:]):
			b.WriteString("&amp;")
		case i == 0 && (strings.ContainsRune("#+-", r) && strings.HasPrefix(strings.TrimLeft(text, "#"+string(r)), " ") ||
			strings.ContainsRune("-=", r) && len(text) > 1 && strings.Trim(text, string(r)) == ""):
			b.WriteRune('\\')
			b.WriteRune(r)
		case (r == '.' || r == ')') && i > 0 && strings.Trim(text[:i], "0123456789") == "" && (i+1 == len(text) || text[i+1] == ' '):
			b.WriteRune('\\') // no numbered list
			b.WriteRune(r)
		case r == '@' && !unicode.IsLetter(before) && !unicode.IsDigit(before):
			b.WriteString("@<!-- -->") // nobody is called
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

// entity reports whether text, which begins with &, begins with a character's name.
func entity(text string) bool {
	end := strings.IndexByte(text, ';')
	return end > 1 && end < 40 && strings.IndexFunc(text[1:end], func(r rune) bool {
		return r != '#' && !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	}) < 0
}

// Fence is what a block of code in Markdown begins and ends with that holds text: more backticks
// than stand side by side in it.
func Fence(text string) string {
	longest, run := 2, 0
	for _, r := range text {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return strings.Repeat("`", longest+1)
}
