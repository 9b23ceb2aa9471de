// Package hostiletest puts texts that mean harm into all that a report may be made of, and looks
// whether they are more than text in what is written: a page, Markdown, a table for a spreadsheet,
// a terminal, JSON.
package hostiletest

import (
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/internal/plain"
)

// Text is what a name, a label or a line of a log may hold that means harm: to a browser, to a
// renderer of Markdown, to a spreadsheet, to a terminal, to GitHub's runner and to what reads a
// format by lines.
const Text = "</td></title></style></textarea></pre></script><script>alert(1)</script><img src=x onerror=alert(1)>" +
	`" onmouseover="alert(1)" x='` + "|`*_~~[link](javascript:alert(1))![i](http://127.0.0.1:1/x)\n" +
	"## injected\n" + folded + "\n##[error]injected\n```\n---\nBenchmarkInjected 1 5 ns/op\ninjected{a=\"b\"} 1\n# EOF\n" +
	"\r- injected\u2028- injected\u0085- injected\n" +
	"\x1b[2J\x1b]0;title\a\u009b31m\x7f\u202e\u2066\r\x00\xff"

// folded begins a line with a command wherever long lines are folded.
const folded = "::error::injected ::error::injected ::error::injected ::error::injected ::error::injected ::error::injected"

// Formula is what a spreadsheet would calculate.
const Formula = "=HYPERLINK(\"http://127.0.0.1/\"&A1)"

// mark is in every hostile text, and in no other.
const mark = "injected"

// All stands for every field at once.
const All = "all"

// Each calls do with each text below a pointer that can be set, and where it stands: a path by
// fields' names, the same for all elements of a list or a map. What do returns takes the text's
// place.
func Each(v any, do func(at, text string) string) { each(reflect.ValueOf(v).Elem(), "", do) }

func each(v reflect.Value, at string, do func(at, text string) string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(do(at, v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			each(v.Elem(), at, do)
		}
	case reflect.Interface:
		if !v.IsNil() {
			e := reflect.New(v.Elem().Type()).Elem()
			e.Set(v.Elem())
			each(e, at, do)
			v.Set(e)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				each(v.Field(i), at+"."+v.Type().Field(i).Name, do)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			each(v.Index(i), at+"[]", do)
		}
	case reflect.Map:
		made := reflect.MakeMap(v.Type())
		for _, key := range v.MapKeys() {
			k, e := reflect.New(key.Type()).Elem(), reflect.New(v.Type().Elem()).Elem()
			k.Set(key)
			e.Set(v.MapIndex(key))
			each(k, at+"{}", do)
			each(e, at+"{}", do)
			made.SetMapIndex(k, e)
		}
		if !v.IsNil() {
			v.Set(made)
		}
	}
}

// Put returns what [Each] does to make one field hostile, or [All]. What holds no text keeps
// none.
func Put(field string) func(at, text string) string {
	return func(at, text string) string {
		if text == "" || at != field && field != All {
			return text
		}
		return Formula + text + Text
	}
}

// Output is a form in which a value is written.
type Output[T any] struct {
	Name  string
	Write func(w io.Writer, v T) error
	// Problems are what is wrong with the text of a hostile value. Harmless is that of the value
	// as it was.
	Problems func(harmless, hostile string) []string
	// Encoded says that texts need not be found in it as they are.
	Encoded bool
	// Slow is written for all fields at once alone.
	Slow bool
}

// Run makes the texts of a value hostile, each by itself and all at once, and reads every output
// back. T is a pointer; build makes the value anew. What keep names stays as it is: what the
// program itself chooses, as words that a switch knows.
func Run[T any](t *testing.T, build func() T, keep func(at string) bool, outputs ...Output[T]) {
	t.Helper()
	var fields []string
	Each(build(), func(at, text string) string {
		if text != "" && !keep(at) && !slices.Contains(fields, at) {
			fields = append(fields, at)
		}
		return text
	})
	if len(fields) == 0 {
		t.Error("the value has no texts")
	}
	write := func(o Output[T], v T, field string) string {
		var b strings.Builder
		if err := o.Write(&b, v); err != nil {
			t.Errorf("%s, %s: %v", field, o.Name, err)
		}
		return b.String()
	}
	harmless, untouched := map[string]string{}, build()
	for _, o := range outputs {
		harmless[o.Name] = write(o, untouched, "harmless")
		for _, problem := range o.Problems(harmless[o.Name], harmless[o.Name]) {
			t.Errorf("harmless, %s: %s", o.Name, problem)
		}
	}
	for _, field := range append(fields, All) {
		outputs := slices.DeleteFunc(slices.Clone(outputs), func(o Output[T]) bool { return o.Slow && field != All })
		if len(outputs) == 0 {
			continue
		}
		put, v := Put(field), build()
		Each(v, func(at, text string) string {
			if keep(at) {
				return text
			}
			return put(at, text)
		})
		for _, o := range outputs {
			text := write(o, v, field)
			for _, problem := range o.Problems(harmless[o.Name], text) {
				t.Errorf("%s, %s: %s", field, o.Name, problem)
			}
			if field == All && !o.Encoded && !strings.Contains(text, mark) {
				t.Errorf("%s shows no hostile text:\n%s", o.Name, text)
			}
		}
	}
}

// Document is what is printed in three forms (reports/compare).
type Document interface {
	Console(w io.Writer) error
	Markdown(w io.Writer) error
	HTML(w io.Writer) error
}

// Documents are the forms of the document that a value is made into.
func Documents[T any, D Document](document func(T) (D, error)) []Output[T] {
	write := func(print func(D, io.Writer) error) func(io.Writer, T) error {
		return func(w io.Writer, v T) error {
			d, err := document(v)
			if err != nil {
				return err
			}
			return print(d, w)
		}
	}
	return []Output[T]{
		{Name: "console", Write: write(D.Console), Problems: Folded},
		{Name: "markdown", Write: write(D.Markdown), Problems: MarkdownLike},
		{Name: "html", Write: write(D.HTML), Problems: Page},
	}
}

// Encoded is a value as encoding/json writes it for programs.
func Encoded[T any]() Output[T] {
	return Output[T]{
		Name: "json",
		Write: func(w io.Writer, v T) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			return encoder.Encode(v)
		},
		Problems: func(_, hostile string) []string { return JSON(hostile) },
	}
}

// Nothing keeps nothing.
func Nothing(string) bool { return false }

// Below keeps what is at one of these paths or below it.
func Below(paths ...string) func(at string) bool {
	return func(at string) bool {
		return slices.ContainsFunc(paths, func(p string) bool {
			rest, ok := strings.CutPrefix(at, p)
			return ok && (rest == "" || strings.ContainsAny(rest[:1], ".[{"))
		})
	}
}

// around is where two texts begin to differ.
func around(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[max(0, i-40):min(len(a), i+40)]
		}
	}
	return ""
}

// Plain is what a terminal would obey in a text.
func Plain(text string) []string {
	if plain.Is(text) {
		return nil
	}
	return []string{"there are characters that a terminal obeys: " + quoted(around(text, plain.Text(text)))}
}
