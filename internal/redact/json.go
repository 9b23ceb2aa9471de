package redact

import (
	"bytes"
	"encoding/base64"
	"io"
	"slices"
	"strings"
)

// longest is the longest text of JSON that is looked into, in bytes: a longer one is taken out as
// a whole, so that none has to be held. The longest that Envoy has been seen to show is of some
// 100 KB.
const longest = 8 << 20

// NewJSON returns a writer that passes JSON on to w without secrets, byte for byte the same
// besides. It needs memory for one text of JSON at most. What is no JSON is passed on, with the
// texts in it looked through all the same. Close writes what is held back.
func NewJSON(w io.Writer) io.WriteCloser { return &jsonWriter{w: w} }

// JSON is a piece of JSON without secrets.
func JSON(text []byte) []byte {
	var out bytes.Buffer
	w := NewJSON(&out)
	_, _ = w.Write(text) // to memory
	_ = w.Close()
	return out.Bytes()
}

// frame is an object or an array that is open.
type frame struct {
	object bool
	// key says that a name comes next, in an object.
	key bool
	// name is that of the field under way.
	name string
	// secret says that texts below are: the field around has a telling name.
	secret bool
	// named says that the name of a header stood in the object, so that its value is a secret.
	named bool
}

type jsonWriter struct {
	w     io.Writer
	out   []byte
	stack []frame

	inText  bool
	escaped bool
	long    bool   // the text is too long to be held
	text    []byte // between its quotes, as it is written
}

// Write takes the next part of the JSON.
func (j *jsonWriter) Write(p []byte) (int, error) {
	j.out = j.out[:0]
	for i := 0; i < len(p); i++ {
		c := p[i]
		if !j.inText {
			j.outside(c)
			continue
		}
		if !j.escaped {
			// Most bytes are of texts: up to the next that matters they are taken at once.
			if n := bytes.IndexAny(p[i:], "\"\\"); n != 0 {
				if n < 0 {
					n = len(p) - i
				}
				j.hold(p[i : i+n])
				i += n - 1
				continue
			}
		}
		switch {
		case j.escaped:
			j.escaped = false
			j.hold(p[i : i+1])
		case c == '\\':
			j.escaped = true
			j.hold(p[i : i+1])
		default:
			j.end()
		}
	}
	if _, err := j.w.Write(j.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes a text without an end, as an answer that was cut off has it.
func (j *jsonWriter) Close() error {
	if !j.inText {
		return nil
	}
	text := []byte(Mark)
	if !j.long {
		text = Bytes(j.text)
	}
	_, err := j.w.Write(text)
	return err
}

// hold keeps a part of a text.
func (j *jsonWriter) hold(part []byte) {
	if j.long || len(j.text)+len(part) > longest {
		j.long = true
		return
	}
	j.text = append(j.text, part...)
}

// top is the innermost frame; nil outside of all.
func (j *jsonWriter) top() *frame {
	if len(j.stack) == 0 {
		return nil
	}
	return &j.stack[len(j.stack)-1]
}

// outside takes a byte that is not of a text.
func (j *jsonWriter) outside(c byte) {
	j.out = append(j.out, c)
	top := j.top()
	switch c {
	case '"':
		j.inText, j.escaped, j.long, j.text = true, false, false, j.text[:0]
	case '{', '[':
		next := frame{object: c == '{', key: c == '{'}
		if top != nil {
			next.secret = top.secret || top.named || top.object && tells(top.name)
			if !next.object {
				next.name = top.name // its elements' too
			}
		}
		j.stack = append(j.stack, next)
	case '}', ']':
		if top != nil {
			j.stack = j.stack[:len(j.stack)-1]
		}
	case ',':
		if top != nil {
			top.key = top.object
		}
	case ':':
		if top != nil {
			top.key = false
		}
	}
}

// end ends a text.
func (j *jsonWriter) end() {
	j.inText = false
	top := j.top()
	switch {
	case top != nil && top.object && top.key:
		top.name = string(j.text[:min(len(j.text), 256)])
		j.out = append(j.out, j.text...) // a name is none
	case j.long || j.secret(top):
		j.out = append(j.out, mark(top)...)
	default:
		if top != nil && top.object && (top.name == "key" || top.name == "name") && j.headerName(top.name) {
			top.named = true
		}
		j.out = append(j.out, Bytes(j.text)...)
	}
	j.out = append(j.out, '"')
}

// bytesMark is Mark where a message of protobuf has bytes, which JSON has in base64: without it
// istioctl could not read the dump any more. Envoy itself writes it for private keys.
const bytesMark = "W3JlZGFjdGVkXQ=="

// mark is what stands for a secret in a frame.
func mark(top *frame) string {
	if top != nil && top.object && slices.Contains([]string{"inline_bytes", "inlineBytes", "raw_value", "rawValue"}, top.name) {
		return bytesMark
	}
	return Mark
}

// certificate reports whether a text is one in base64, with no key beside it.
func certificate(text []byte) bool {
	if !bytes.HasPrefix(text, []byte("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS")) {
		return false
	}
	pem, err := base64.StdEncoding.DecodeString(string(text))
	return err == nil && !bytes.Contains(pem, []byte("PRIVATE KEY"))
}

// headerName reports whether the text is the name of a header whose value is a secret. Other
// things have names, too, and theirs may end like one.
func (j *jsonWriter) headerName(field string) bool {
	name := strings.ToLower(string(j.text[:min(len(j.text), 256)]))
	if field == "key" {
		return tells(name)
	}
	switch name {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-auth-token", "x-csrf-token":
		return true
	}
	return false
}

// secret reports whether the text is one by where it stands.
func (j *jsonWriter) secret(top *frame) bool {
	if top == nil || len(j.text) == 0 {
		return false
	}
	telling := top.object && tells(top.name)
	if !telling && !top.named && !top.secret {
		return false
	}
	text := string(j.text)
	if harmless(j.text) || text == Mark || text == bytesMark || certificate(j.text) {
		return false
	}
	if telling {
		return true
	}
	if top.named {
		return true
	}
	// Below a telling name stand references, too: names of secrets and where they are from.
	switch top.name {
	case "inline_string", "inline_bytes", "inlineString", "inlineBytes", "value", "raw_value", "rawValue", "string_value", "stringValue", "exact", "prefix", "suffix", "contains", "regex":
		return true
	}
	return !top.object && tells(top.name)
}
