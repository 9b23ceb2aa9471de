package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"github.com/meshbench/meshbench/internal/bounded"
)

// errShape says that a document is no List in kubectl's own shape, in which the items can
// be told apart without parsing everything.
var errShape = errors.New("not kubectl's shape")

var (
	itemsKey = regexp.MustCompile(`^items:[ \t]*(#.*)?\r?\n?$`)
	// anyItems is the key in other ways of writing.
	anyItems = regexp.MustCompile(`^(items|"items"|'items')[ \t]*:`)
)

// splitter cuts a YAML list at its items, each of which is parsed by itself. The text may
// be longer than what the document holds of it.
type splitter struct {
	*reader
	document *document
	lines    *lineReader // of what comes after the document's lines
	next     int         // of the document's lines
	err      error       // of read

	header []byte // the list's own fields
	stream *stream
	column int // of the items' dashes; -1 before the first
	item   []byte
	first  line  // of the item
	after  int64 // offset of the item's end
	inItem bool
}

// read takes in the items. It returns errShape for a document in another shape, of which
// nothing may then be relied on.
func (s *splitter) read() error {
	s.stream, s.column = s.reader.stream(), -1
	s.err = s.all()
	return s.err
}

func (s *splitter) all() error {
	const before, within, after = 0, 1, 2 // the items
	state := before
	for {
		read, ok, err := s.line()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		indent := len(read.text) - len(bytes.TrimLeft(read.text, " "))
		switch {
		case state == within && !empty(read.text) && isDash(read.text[indent:]) && (s.column < 0 || indent == s.column):
			if err := s.end(); err != nil {
				return err
			}
			s.column, s.first, s.inItem = indent, read, true
			s.item = append(s.item[:0], read.text...)
			s.item[indent] = ' '
			s.after = read.at + int64(len(read.text))
		case state == within && (empty(read.text) || indent > s.column):
			if !s.inItem {
				if !empty(read.text) {
					return errShape
				}
				continue
			}
			s.after = read.at + int64(len(read.text))
			if empty(read.text) && indent <= s.column {
				read.text = read.text[len(bytes.TrimRight(read.text, "\r\n")):] // a comment, or blank
			}
			if s.item = append(s.item, read.text...); int64(len(s.item)) > max(s.limits.whole, maxWhole) {
				s.problem(Problem{Line: s.first.number, Message: fmt.Sprintf("an item of more than %d MiB is none that a cluster takes", maxWhole>>20)})
				return errStop
			}
		case state == within && indent > 0:
			return errShape
		default:
			if state == within {
				state = after
			}
			switch {
			case state == before && itemsKey.Match(read.text):
				state = within
				continue
			case anyItems.Match(read.text):
				return errShape
			}
			if s.header = append(s.header, read.text...); int64(len(s.header)) > s.limits.rest && !s.document.whole {
				return errShape
			}
		}
	}
	if state == before {
		return errShape
	}
	if err := s.end(); err != nil {
		return err
	}
	value, err := s.parse(&locator{source: s.source, begin: s.document.begin, span: span{line: s.document.begin}}, s.header)
	if err != nil {
		return errShape // the whole document's parse says what is wrong with it
	}
	header, isMapping := value.(map[string]any)
	if value != nil && !isMapping {
		return errShape
	}
	s.finish(s.stream, header, s.document.begin)
	return nil
}

// isDash reports whether a text begins with an item's dash.
func isDash(text []byte) bool {
	return text[0] == '-' && (len(text) == 1 || bytes.IndexByte([]byte(" \t\r\n"), text[1]) >= 0)
}

// line returns the document's next line; ok is false after the last.
func (s *splitter) line() (read line, ok bool, err error) {
	if s.next < len(s.document.lines) {
		read = s.document.lines[s.next]
		if !s.document.whole {
			s.document.lines[s.next] = line{} // it is not needed again
		}
		s.next++
		return read, true, nil
	}
	if s.document.whole {
		return line{}, false, nil
	}
	read, err = s.lines.next()
	switch {
	case errors.Is(err, io.EOF):
		return line{}, false, nil
	case errors.Is(err, bounded.ErrTooLong):
		return line{}, false, s.longLine(s.lines)
	case err != nil:
		return line{}, false, err
	case begins(read.text):
		s.lines.back(read)
		return line{}, false, nil
	case ends(read.text):
		return line{}, false, nil
	case !utf8.Valid(read.text):
		s.problem(Problem{Line: read.number, Message: "invalid UTF-8; save the file as UTF-8"})
		return line{}, false, errStop
	}
	return read, true, nil
}

// end takes in the item that was read last.
func (s *splitter) end() error {
	if !s.inItem {
		return nil
	}
	at := &locator{source: s.source, text: s.item, begin: s.first.number,
		span: span{start: s.first.at, end: s.after, line: s.first.number}}
	value, err := s.parse(at, s.item)
	if err != nil {
		return err
	}
	s.streamed(s.stream, value, at)
	at.text = nil
	return nil
}
