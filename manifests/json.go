package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	kubejson "sigs.k8s.io/json"
)

// errSyntax ends reading a text that is not written as it should be, which is noted.
var errSyntax = errors.New("syntax error")

// jsonText reads JSON documents token by token, and knows the line of every offset.
type jsonText struct {
	in      *returned
	decoder *json.Decoder
	lines   *lineIndex
	// base is the offset of the decoder's first byte.
	base int64
}

// offset is where the decoder stands.
func (j *jsonText) offset() int64 { return j.base + j.decoder.InputOffset() }

// next goes on to the next document, which may be set apart by lines with three dashes. It
// returns io.EOF after the last one.
func (j *jsonText) next() error {
	j.lines.room()
	at := j.offset()
	held, err := io.ReadAll(j.decoder.Buffered())
	if err != nil {
		return err
	}
	j.in.unread(held)
	for {
		head, err := j.in.take(1)
		if err != nil {
			return err
		}
		if bytes.ContainsAny(head, " \t\r\n") {
			at++
			continue
		}
		if head[0] == '-' {
			more, err := j.in.take(2)
			if string(more) == "--" {
				at += 3
				continue
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			head = append(head, more...)
		}
		j.in.unread(head)
		j.base = at
		j.decoder = json.NewDecoder(j.in)
		return nil
	}
}

// returned is a reader that takes back what was read too much. What it was given last comes
// first.
type returned struct {
	in    io.Reader
	stack [][]byte
}

func (r *returned) Read(p []byte) (int, error) {
	top := len(r.stack) - 1
	if top < 0 {
		return r.in.Read(p)
	}
	n := copy(p, r.stack[top])
	if r.stack[top] = r.stack[top][n:]; len(r.stack[top]) == 0 {
		r.stack = r.stack[:top]
	}
	return n, nil
}

func (r *returned) unread(text []byte) {
	if len(text) > 0 {
		r.stack = append(r.stack, text)
	}
}

// take reads n bytes; fewer at the end, with an error.
func (r *returned) take(n int) ([]byte, error) {
	text := make([]byte, n)
	n, err := io.ReadFull(r, text)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return text[:n], err
}

// json reads JSON documents.
func (r *reader) json(in io.Reader, base int64, line int) error {
	lines := &lineIndex{in: in, at: base, line: line}
	j := &jsonText{in: &returned{in: lines}, decoder: json.NewDecoder(bytes.NewReader(nil)), lines: lines, base: base}
	for {
		if err := j.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := r.jsonDocument(j); err != nil {
			return r.jsonError(j, err)
		}
	}
}

// jsonError notes an error of the JSON library.
func (r *reader) jsonError(j *jsonText, err error) error {
	if errors.Is(err, errSyntax) || errors.Is(err, errStop) {
		return err
	}
	at, message := j.offset(), err.Error()
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, errLong):
		message = fmt.Sprintf("a value of more than %d MiB is none that a cluster takes", maxWhole>>20)
		r.problem(Problem{Line: j.lines.of(at), Message: message})
		return errStop
	case errors.As(err, &syntax):
		// A decoder's errors count only some of the bytes that it has read.
		rest, _ := io.ReadAll(j.decoder.Buffered())
		if again := json.Unmarshal(rest, new(json.RawMessage)); errors.As(again, &syntax) && syntax.Offset <= int64(len(rest)) {
			at += max(syntax.Offset-1, 0)
		}
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		at, message = j.lines.at, "the text ends in the middle of a value; is the file whole?"
	case j.lines.err != nil:
		return j.lines.err // it cannot be read
	}
	r.problem(Problem{Line: j.lines.of(at), Message: "invalid JSON: " + message})
	return errSyntax
}

// jsonDocument reads one document. The items of a list are taken in one by one.
func (r *reader) jsonDocument(j *jsonText) error {
	token, err := j.decoder.Token()
	if err != nil {
		return err
	}
	start := j.offset() - 1
	doc := &locator{source: r.source, span: span{start: start, line: j.lines.of(start)}}
	doc.begin = doc.span.line
	switch token {
	case json.Delim('{'):
	case json.Delim('['):
		r.value([]any{}, location{locator: doc})
		return errStop
	default:
		r.value(token, location{locator: doc})
		return nil
	}
	own := map[string]json.RawMessage{}
	size, listed := int64(0), false
	stream := r.stream()
	for j.decoder.More() {
		j.lines.room()
		token, err := j.decoder.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if _, twice := own[key]; twice || key == "items" && listed {
			r.problem(Problem{Line: j.lines.of(j.offset() - 1), Field: key, Message: "duplicate field"})
			return errStop
		}
		if key == "items" {
			if listed, err = r.jsonItems(j, stream); err != nil {
				return err
			}
			continue
		}
		var raw json.RawMessage
		if err := j.decoder.Decode(&raw); err != nil {
			return err
		}
		own[key] = raw
		if size += int64(len(raw)); size > r.limits.whole {
			r.problem(Problem{Line: doc.begin, Message: fmt.Sprintf("an object of more than %d bytes is none that a cluster takes", r.limits.whole)})
			return errStop
		}
	}
	if _, err := j.decoder.Token(); err != nil { // the closing brace
		return err
	}
	doc.span.end = j.offset()
	at := location{locator: doc}
	value, err := r.unmarshal(mustJSON(own), at)
	if err != nil {
		return err
	}
	if !listed {
		r.value(value, at)
		return nil
	}
	header, _ := value.(map[string]any)
	r.finish(stream, header, doc.begin)
	return nil
}

func mustJSON(fields map[string]json.RawMessage) []byte {
	data, err := json.Marshal(fields)
	if err != nil {
		panic(err) // they were decoded from JSON
	}
	return data
}

// jsonItems reads the value of the field items. It is no list of objects if it is null.
func (r *reader) jsonItems(j *jsonText, s *stream) (listed bool, err error) {
	token, err := j.decoder.Token()
	if err != nil || token == nil {
		return err == nil, err
	}
	if token != json.Delim('[') {
		r.problem(Problem{Line: j.lines.of(j.offset() - 1), Field: "items", Message: "want a list of objects"})
		return false, errStop
	}
	for j.decoder.More() {
		j.lines.room()
		var raw json.RawMessage
		if err := j.decoder.Decode(&raw); err != nil {
			return false, err
		}
		end := j.offset()
		start := end - int64(len(raw))
		at := &locator{source: r.source, span: span{start: start, end: end, line: j.lines.of(start)}}
		at.begin = at.span.line
		value, err := r.unmarshal(raw, location{locator: at})
		if err != nil {
			return false, err
		}
		r.streamed(s, value, at)
	}
	_, err = j.decoder.Token() // the closing bracket
	return true, err
}

// unmarshal decodes a JSON value strictly.
func (r *reader) unmarshal(raw []byte, at location) (any, error) {
	if !utf8.Valid(raw) {
		r.problem(Problem{Line: at.begin, Message: "invalid UTF-8; save the file as UTF-8"})
		return nil, errStop
	}
	var value any
	strict, err := kubejson.UnmarshalStrict(raw, &value, kubejson.DisallowDuplicateFields)
	if err != nil {
		return nil, err
	}
	if len(strict) > 0 {
		r.problem(Problem{Line: at.begin, Message: strict[0].Error() + "; write the field once"})
		return nil, errStop
	}
	return value, nil
}

// lineIndex remembers where the lines begin that were read last.
type lineIndex struct {
	in  io.Reader
	at  int64 // what was read so far
	end int64 // where a value that was begun must have ended; see room
	err error // that ended reading, if it was not the end

	line   int     // of what lies before the first of the breaks
	breaks []int64 // offsets of line breaks
}

func (l *lineIndex) Read(p []byte) (int, error) {
	if l.at > l.end {
		return 0, errLong
	}
	n, err := l.in.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.breaks = append(l.breaks, l.at+int64(i))
		}
	}
	l.at += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// errLong ends reading a value that is too long.
var errLong = errors.New("too long a value")

// room lets one more value be read: a decoder holds all of a value, and up to as much again of
// what follows.
func (l *lineIndex) room() { l.end = l.at + 2*maxWhole }

// of returns the line of an offset, which must not be below one that was asked for before.
func (l *lineIndex) of(offset int64) int {
	passed, _ := slices.BinarySearch(l.breaks, offset)
	l.line += passed
	l.breaks = slices.Delete(l.breaks, 0, passed)
	return l.line
}
