package manifests

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// maxWhole is the largest text, in bytes, that is parsed in one piece: a YAML document
	// takes more than ten times its size in memory.
	maxWhole = 16 << 20
	// maxRest is the largest text of a list's own fields, without its items.
	maxRest = 1 << 20
	// maxLists is how deep lists may lie in lists.
	maxLists = 10
)

// limits are maxWhole and maxRest, lower ones in tests.
type limits struct{ whole, rest int64 }

// errStop ends reading after a problem that leaves the rest unreadable.
var errStop = errors.New("stop")

// reader reads a manifest once and collects its objects.
type reader struct {
	options  Options
	source   Source
	limits   limits
	objects  []*Object
	problems Problems
	notes    notes
}

// location is where a value stands.
type location struct {
	*locator
	// path leads to the value in the locator's text, and place is where it stands in the
	// document; both are "" for the document itself.
	path, place string
	depth       int // of lists
}

func (r *reader) problem(p Problem) {
	r.problems.Source = r.source.Name
	r.problems.add(p)
}

// state is what a second attempt at the same text returns to.
type state struct {
	objects  int
	problems Problems
	notes    notes
}

func (r *reader) mark() state {
	return state{len(r.objects), r.problems, r.notes.clone()}
}

func (r *reader) reset(s state) {
	clear(r.objects[s.objects:])
	r.objects, r.problems, r.notes = r.objects[:s.objects], s.problems, s.notes
}

// read reads the whole text. Errors are those of reading; what is wrong with the text is
// noted.
func (r *reader) read(in io.Reader) error {
	text := bufio.NewReaderSize(in, 1<<16)
	base, line := int64(0), 1
	if mark, _ := text.Peek(3); string(mark) == "\xef\xbb\xbf" { // a byte order mark
		_, _ = text.Discard(3)
		base = 3
	}
	var err error
	if looksLikeJSON(text) {
		begin := r.mark()
		err = r.json(text, base, line)
		if errors.Is(err, errSyntax) {
			err = r.asYAML(begin, base)
		}
	} else {
		err = r.yaml(text, base, line)
	}
	if errors.Is(err, errStop) || errors.Is(err, errSyntax) {
		return nil // whatever follows, which may never end
	}
	if err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	_, err = io.Copy(io.Discard, text) // the sum is that of all of it
	return err
}

// looksLikeJSON reports whether the text begins as JSON does and YAML hardly ever.
func looksLikeJSON(text *bufio.Reader) bool {
	head, _ := text.Peek(4096)
	head = bytes.TrimLeft(head, " \t\r\n")
	if len(head) == 0 || head[0] != '{' && head[0] != '[' {
		return false
	}
	next := bytes.TrimLeft(head[1:], " \t\r\n")
	if head[0] == '[' {
		return len(next) > 0 && next[0] == '{'
	}
	return len(next) == 0 || next[0] == '"' || next[0] == '}'
}

// asYAML reads a text again that is no JSON though it looked like it: a mapping in YAML's
// flow style, or documents in both. If it is no YAML either, the problems with it as JSON
// stay.
func (r *reader) asYAML(begin state, base int64) error {
	in, err := r.source.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := io.CopyN(io.Discard, in, base); err != nil {
		return err
	}
	again := &reader{options: r.options, source: r.source, limits: r.limits}
	err = again.yaml(bufio.NewReaderSize(in, 1<<16), base, 1)
	if errors.Is(err, errSyntax) || errors.Is(err, errStop) {
		return errStop
	}
	if err != nil {
		return err
	}
	r.reset(begin)
	r.objects, r.problems, r.notes = again.objects, again.problems, again.notes
	return nil
}

// value takes in one value: an object, a list of objects, or what is neither.
func (r *reader) value(value any, at location) {
	object, ok := value.(map[string]any)
	switch {
	case value == nil && at.place == "":
		return // an empty document
	case !ok:
		hint := ""
		if _, list := value.([]any); list {
			hint = "; write apiVersion: v1, kind: List and items: around them"
		}
		r.problem(Problem{Line: at.line(at.path), Place: at.place, Message: fmt.Sprintf("want an object with apiVersion and kind, got %s%s", describe(value), hint)})
	case len(object) == 0 && at.place == "":
		return
	case isList(object):
		r.list(object, at)
	default:
		r.object(object, at)
	}
}

// isList reports whether kubectl takes a value for a list of objects.
func isList(value map[string]any) bool {
	_, items := value["items"].([]any)
	return items || value["kind"] == "List"
}

// list takes in the items of a list that was parsed as one value.
func (r *reader) list(value map[string]any, at location) {
	if at.depth >= maxLists {
		r.problem(Problem{Line: at.line(at.path), Place: at.place, Message: fmt.Sprintf("lists lie in lists more than %d deep; write the items into one list", maxLists)})
		return
	}
	items, isItems := value["items"].([]any)
	r.cut(value, at.line(at.path), at.place)
	if value["items"] != nil && !isItems {
		r.problem(Problem{Line: at.line(join(at.path, "items")), Place: at.place, Field: "items", Message: "want a list of objects, got " + describe(value["items"])})
	}
	for i, item := range items {
		below := at
		below.path, below.place = fmt.Sprintf("%s[%d]", join(at.path, "items"), i), fmt.Sprintf("%s[%d]", join(at.place, "items"), i)
		below.depth++
		r.item(item, value, below)
	}
}

// cut notes a list without a kind if lists must be whole.
func (r *reader) cut(list map[string]any, line int, place string) {
	if kind, _ := list["kind"].(string); kind == "" && r.options.Whole {
		r.problem(Problem{Line: line, Place: place, Message: "the list has no kind, which kubectl writes behind its items: it seems to be cut; export it again"})
	}
}

// item takes in an item of a list. An item without a kind is of the kind that the list's
// names, as in what the API server itself returns: ServiceList.
func (r *reader) item(item any, list map[string]any, at location) {
	object, _ := item.(map[string]any)
	kind, _ := list["kind"].(string)
	if single := strings.TrimSuffix(kind, "List"); object != nil && object["kind"] == nil && single != kind && single != "" {
		object["kind"] = single
		if object["apiVersion"] == nil && list["apiVersion"] != nil {
			object["apiVersion"] = list["apiVersion"]
		}
	}
	if item == nil {
		r.problem(Problem{Line: at.line(at.path), Place: at.place, Message: "is empty; write an object or remove the item"})
		return
	}
	r.value(item, at)
}

// object takes in one object.
func (r *reader) object(value map[string]any, at location) {
	o := &Object{Line: at.line(at.path), Place: at.place, span: at.span}
	o.span.path = at.path
	if !r.identify(o, value, at) {
		return
	}
	if !r.options.Raw {
		o.fact = factOf(o, value)
		if err := clean(o, value, &r.notes); err != nil {
			r.problem(Problem{Line: o.Line, Object: o.String(), Place: o.Place, Message: err.Error()})
			return
		}
	}
	if r.options.Keep != nil {
		if value = r.options.Keep(o, value); value == nil {
			return
		}
	}
	o.data = encode(value)
	r.objects = append(r.objects, o)
}

// identify reads what names an object, and notes what is wrong with it.
func (r *reader) identify(o *Object, value map[string]any, at location) bool {
	metadata, _ := value["metadata"].(map[string]any)
	o.APIVersion, _ = value["apiVersion"].(string)
	o.Kind, _ = value["kind"].(string)
	o.Name, _ = metadata["name"].(string)
	o.Namespace, _ = metadata["namespace"].(string)
	ok := true
	wrong := func(field, format string, args ...any) {
		ok = false
		p := Problem{Line: at.line(join(at.path, field)), Place: o.Place, Field: field, Message: fmt.Sprintf(format, args...)}
		if p.Object = o.Kind; o.Kind != "" && o.Name != "" {
			p.Object = o.String()
		}
		r.problem(p)
	}
	text := func(field string, value any, missing string) {
		switch s, isText := value.(string); {
		case isText && s != "":
		case value == nil || isText:
			if missing != "" {
				wrong(field, "is missing; %s", missing)
			}
		default:
			wrong(field, "want a string, got %s; quote it", describe(value))
		}
	}
	text("apiVersion", value["apiVersion"], "write the kind's version, v1 or apps/v1")
	text("kind", value["kind"], "write what kind of object it is, Service or Deployment")
	if value["metadata"] != nil && metadata == nil {
		wrong("metadata", "want a mapping with a name, got %s", describe(value["metadata"]))
		return false
	}
	advice := "write the object's name"
	if metadata["generateName"] != nil {
		advice = "an object that is applied has a name, not a generateName"
	}
	text("metadata.name", metadata["name"], advice)
	text("metadata.namespace", metadata["namespace"], "")
	for _, field := range []string{"labels", "annotations"} {
		given := metadata[field]
		entries, isMapping := given.(map[string]any)
		if given != nil && !isMapping {
			wrong("metadata."+field, "want a mapping, got %s", describe(given))
		}
		for _, key := range sortedKeys(entries) {
			if v := entries[key]; v != nil {
				if _, isText := v.(string); !isText {
					wrong("metadata."+field+"."+key, "want a string, got %s; quote it", describe(v))
				}
			}
		}
	}
	return ok
}

// describe names a decoded value in a message.
func describe(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case string:
		if len(v) > 60 {
			v = v[:60] + "..."
		}
		return fmt.Sprintf("the string %q", v)
	case bool:
		return fmt.Sprintf("%t (YAML takes y, n, yes, no, on and off for true and false)", v)
	default:
		return fmt.Sprintf("the number %v", v)
	}
}

// join appends a field to a path.
func join(path, field string) string {
	if path == "" || field == "" {
		return path + field
	}
	return path + "." + field
}
