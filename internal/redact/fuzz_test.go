package redact

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzJSON: of JSON comes JSON with the same fields and numbers, once is enough, and it makes no
// difference in what pieces it comes.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, 2.50, "x\\\"y\u0041", null, {"password": "12345678", "b": {"key": "cookie", "value": "secret-value"}}]}`,
		`{"t": "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.abc", "p": "-----BEGIN PRIVATE KEY-----\nAAAA\" x"}`,
		`"Bearer 0123456789abcdef\\"`, `{"secret": {"inline_string": "token=\"abcdefgh\""}}`, `[{"name":"authorization","x":["abcdefghi"]}]`, `{"a":"unfinished`,
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		got := JSON(text)
		var pieces bytes.Buffer
		w := NewJSON(&pieces)
		for rest := text; len(rest) > 0; {
			n := min(len(rest), max(1, piece))
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil || !bytes.Equal(pieces.Bytes(), got) {
			t.Fatalf("%q in pieces of %d (%v): %q", got, piece, err, pieces.Bytes())
		}
		if !json.Valid(text) {
			return
		}
		var before, after any
		if err := json.Unmarshal(text, &before); err != nil {
			return // too deep
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q is no JSON any more: %v", got, err)
		}
		if !sameShape(before, after) {
			t.Fatalf("%q has become %q", text, got)
		}
		if again := JSON(got); !bytes.Equal(again, got) {
			t.Fatalf("%q, once more %q", got, again)
		}
	})
}

// sameShape reports whether two values differ in texts only.
func sameShape(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, value := range a {
			if other, ok := b[key]; !ok || !sameShape(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameShape(a[i], b[i]) {
				return false
			}
		}
		return true
	case string:
		_, ok := b.(string)
		return ok
	}
	return a == b
}
