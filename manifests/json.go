package manifests

import (
	"bufio"
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
	in      io.Reader
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
	rest := bufio.NewReader(io.MultiReader(j.decoder.Buffered(), j.in))
	at := j.offset()
	for {
		head, err := rest.Peek(1)
		if err != nil {
			return err
		}
		if bytes.ContainsAny(head, " \t\r\n") {
			_, _ = rest.Discard(1)
			at++
			continue
		}
		if dashes, _ := rest.Peek(3); string(dashes) == "---" {
			_, _ = rest.Discard(3)
			at += 3
			continue
		}
		j.in, j.base = rest, at
		j.decoder = json.NewDecoder(rest)
		return nil
	}
}

// json reads JSON documents.
func (r *reader) json(in io.Reader, base int64, line int) error {
	lines := &lineIndex{in: in, at: base, line: line}
	j := &jsonText{in: lines, decoder: json.NewDecoder(bytes.NewReader(nil)), lines: lines, base: base}
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
	err error // that ended reading, if it was not the end

	line   int     // of what lies before the first of the breaks
	breaks []int64 // offsets of line breaks
}

func (l *lineIndex) Read(p []byte) (int, error) {
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

// of returns the line of an offset, which must not be below one that was asked for before.
func (l *lineIndex) of(offset int64) int {
	passed, _ := slices.BinarySearch(l.breaks, offset)
	l.line += passed
	l.breaks = slices.Delete(l.breaks, 0, passed)
	return l.line
}
