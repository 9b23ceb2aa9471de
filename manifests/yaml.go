package manifests

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/internal/yamlerror"
)

// line is one line of a text, with its line break.
type line struct {
	text   []byte
	number int
	at     int64 // offset
}

// lineReader reads a text by its lines, and can take one back.
type lineReader struct {
	in     *bufio.Reader
	number int
	at     int64
	again  *line
}

// next returns the next line; io.EOF after the last.
func (l *lineReader) next() (line, error) {
	if l.again != nil {
		again := *l.again
		l.again = nil
		return again, nil
	}
	text, err := bounded.Line(l.in, maxWhole)
	if len(text) == 0 {
		return line{}, err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return line{}, err
	}
	read := line{text, l.number, l.at}
	l.number++
	l.at += int64(len(text))
	return read, nil
}

// back takes a line back, which next returns again.
func (l *lineReader) back(read line) { l.again = &read }

// yaml reads YAML documents.
func (r *reader) yaml(in *bufio.Reader, base int64, number int) error {
	lines := &lineReader{in: in, number: number, at: base}
	for {
		more, err := r.yamlDocument(lines)
		if err != nil || !more {
			return err
		}
	}
}

// begins reports whether a line begins a document, and ends whether it ends one.
func begins(text []byte) bool { return marks(text, "---") }
func ends(text []byte) bool   { return marks(text, "...") }

func marks(text []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(text, []byte(mark))
	return ok && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

// empty reports whether a line holds nothing but space or a comment.
func empty(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) == 0 || text[0] == '#'
}

// document is the beginning of a document: all of it if it is not long.
type document struct {
	lines []line
	size  int64
	// begin is the line of its first content; 0 if it has none.
	begin int
	// whole is set if lines are all of it.
	whole bool
}

// yamlDocument reads one document; more is false after the last.
func (r *reader) yamlDocument(lines *lineReader) (more bool, err error) {
	var d document
	started := false // by content or by dashes with content behind them
	marked := false  // by dashes
	for !d.whole && d.size <= r.limits.whole {
		read, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			d.whole = true
			return false, r.buffered(lines, &d)
		case errors.Is(err, bounded.ErrTooLong):
			return false, r.longLine(lines)
		case err != nil:
			return false, err
		case !utf8.Valid(read.text):
			r.problem(Problem{Line: read.number, Message: "invalid UTF-8; save the file as UTF-8"})
			return false, errStop
		case ends(read.text) || begins(read.text) && started:
			if begins(read.text) {
				lines.back(read)
			}
			d.whole = true
			return true, r.buffered(lines, &d)
		}
		if begins(read.text) {
			if marked { // an empty document came before
				d.lines, d.size = nil, 0
			}
			marked = true
		}
		directive := read.text[0] == '%' && !started
		if content := begins(read.text) && !empty(read.text[3:]); !empty(read.text) && !begins(read.text) && !directive || content {
			started = true
			if d.begin == 0 {
				d.begin = read.number
			}
		}
		d.lines = append(d.lines, read)
		d.size += int64(len(read.text))
	}
	return true, r.buffered(lines, &d)
}

// longLine notes a line that is too long to be read.
func (r *reader) longLine(lines *lineReader) error {
	r.problem(Problem{Line: lines.number, Message: fmt.Sprintf("the line has more than %d MiB, more than a cluster takes; is it a manifest?", maxWhole>>20)})
	return errStop
}

// buffered takes in a document of which the beginning was read.
func (r *reader) buffered(lines *lineReader, d *document) error {
	if d.begin == 0 {
		return nil
	}
	before := r.mark()
	split := &splitter{reader: r, document: d, lines: lines}
	err := split.read()
	if err == nil || !errors.Is(err, errSyntax) && !errors.Is(err, errShape) {
		return err
	}
	if !d.whole {
		if errors.Is(err, errShape) {
			r.problem(Problem{Line: d.begin, Message: fmt.Sprintf(
				"a YAML document of more than %d MiB is read only as kubectl writes a List: apiVersion: v1, items: at the beginning of a line and every item with its dash in the same column; export it with -o json",
				r.limits.whole>>20)})
		}
		return errStop
	}
	problems := r.problems
	r.reset(before)
	if err := r.whole(d); !errors.Is(err, errSyntax) || errors.Is(split.err, errShape) {
		return err
	}
	r.reset(before)
	r.problems = problems // it is no YAML either way; the item's own place is better
	return errSyntax
}

// whole parses a document in one piece.
func (r *reader) whole(d *document) error {
	first := d.lines[0]
	var all []byte
	for _, l := range d.lines {
		all = append(all, l.text...)
	}
	text := &locator{source: r.source, text: all, begin: d.begin,
		span: span{start: first.at, end: first.at + d.size, line: first.number}}
	value, err := r.parse(text, all)
	if err != nil {
		return err
	}
	r.value(value, location{locator: text})
	text.text = nil
	return nil
}

// duplicate matches the error of the YAML library about keys that stand there twice.
var duplicate = regexp.MustCompile(`line (\d+): key (".*"|\S+) already set in map`)

// parse decodes YAML.
func (r *reader) parse(at *locator, text []byte) (any, error) {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err == nil {
		return r.unmarshal(asJSON, location{locator: at})
	}
	message, number := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), at.begin
	if twice := duplicate.FindStringSubmatch(message); twice != nil {
		if n, err := strconv.Atoi(twice[1]); err == nil {
			number = at.span.line + n - 1
		}
		r.problem(Problem{Line: number, Message: fmt.Sprintf("duplicate field %s; write it once", twice[2])})
		return nil, errStop
	}
	// Another library has the better places.
	if place, better := yamlerror.Of(text); better != "" {
		message = better
		if place > 0 {
			last := bytes.Count(bytes.TrimRight(text, "\n"), []byte("\n")) + 1
			number = at.span.line + min(place, last) - 1
		}
	}
	r.problem(Problem{Line: number, Message: "invalid YAML: " + strings.TrimPrefix(message, "yaml: ")})
	return nil, errSyntax
}
