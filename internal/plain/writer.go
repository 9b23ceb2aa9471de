package plain

import (
	"io"
	"sync"
	"unicode/utf8"
)

// Writer writes [Text], or [Output], of what it is given. It is safe for concurrent use.
type Writer struct {
	to       io.Writer
	mu       sync.Mutex
	rest     []byte    // the begin of a rune
	commands *commands // nil lets them stand
}

// NewWriter writes [Text] to another, as for a file.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// NewOutput writes [Output] to another, as for a terminal.
func NewOutput(to io.Writer) *Writer { return &Writer{to: to, commands: &commands{}} }

// Raw is the writer below a Writer, for what this program itself tells a terminal to do; it is
// any other writer itself.
func Raw(w io.Writer) io.Writer {
	if own, ok := w.(*Writer); ok {
		return own.to
	}
	return w
}

// Write writes text, all but the begin of a rune whose end comes next.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := p
	if len(w.rest) > 0 {
		text = append(w.rest, p...)
	}
	whole := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if utf8.RuneStart(text[len(text)-i]) {
			if !utf8.FullRune(text[len(text)-i:]) {
				whole -= i
			}
			break
		}
	}
	said := Text(string(text[:whole]))
	if w.commands != nil {
		said = w.commands.escape(said)
	}
	_, err := io.WriteString(w.to, said)
	w.rest = append([]byte(nil), text[whole:]...)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}
