// Package manifests reads what kubectl takes, for whoever checks it and whoever applies it:
// YAML and JSON, any number of documents, kind List and the lists of one kind, files of any
// size. [Load] returns the objects in the order in which a cluster can take them, without
// what only the server that they were exported from could set, and says what it left out.
//
// An object's values are those that kubectl sees: the YAML is decoded by its own library,
// where yes, no, on and off are booleans. Unlike kubectl, Load refuses duplicate keys and
// labels that are not strings before anything is applied, with their line.
package manifests

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	kubejson "sigs.k8s.io/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Source is where a manifest's text is. It is read more than once.
type Source struct {
	// Name is the file's in messages; "" for a text that is no file.
	Name string
	// Open returns the text from its beginning.
	Open func() (io.ReadCloser, error)
}

// Text is the source of a text at hand.
func Text(text string) Source {
	return Source{Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// Options say how a manifest is meant.
type Options struct {
	// Namespace is that of objects that name none and whose kind has namespaces; "" for none.
	Namespace string
	// Raw leaves the objects as they are written, in their order.
	Raw bool
	// Keep returns what is kept of an object as it is written, nil to leave it out, so that
	// of a long export only that is in memory; nil for all of it. It may change the value. It
	// may be asked again about an object, where a text turns out to be of another form.
	Keep func(o *Object, value map[string]any) map[string]any
	// Whole refuses a list without a kind. kubectl writes it behind the items, so that a YAML
	// list that was cut has none, and would pass for a shorter one.
	Whole bool
}

// Manifest is what a manifest holds.
type Manifest struct {
	// Objects are in the order in which a cluster can take them; see [Order].
	Objects []*Object
	// Notes say what was left out, each once with its number.
	Notes []string
	// Sum is the SHA-256 of the text, in hex, and Size its length in bytes.
	Sum  string
	Size int64

	source Source
	scopes scopes
}

// Object is one object. Its fields are kept as JSON, so that a manifest takes hardly more
// memory than its text.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	// Line is where it begins, counted from 1.
	Line int
	// Place is where it stands in a list, items[3]; "" for a document of its own.
	Place string

	data []byte
	span span
	fact fact
}

// Decode decodes the object into v as encoding/json does, but case-sensitively and with
// whole numbers as int64. Fields of v for which the object has a value of another type stay
// as they are: what a kind allows is for the API server to say.
func (o *Object) Decode(v any) {
	// The data is JSON of this package's making, so that only types can be wrong.
	_ = kubejson.UnmarshalCaseSensitivePreserveInts(o.data, v)
}

// Unstructured returns the object for a client of the API.
func (o *Object) Unstructured() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(o.data, &u.Object); err != nil {
		panic(err) // this package made the JSON
	}
	return u
}

// String returns the kind and the name: Service ns1/web.
func (o *Object) String() string {
	return o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
}

// Group returns the API group; "" for the core.
func (o *Object) Group() string { return groupOf(o.APIVersion) }

func groupOf(apiVersion string) string {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		return ""
	}
	return group
}

// Load reads a manifest. The error is [Problems] for what is wrong with the text.
func Load(source Source, o Options) (*Manifest, error) {
	m, err := read(source, o, limits{whole: maxWhole, rest: maxRest})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Raw returns the objects of a text as they are written.
func Raw(text []byte) ([]*unstructured.Unstructured, error) {
	m, err := Load(Source{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}, Options{Raw: true})
	if err != nil {
		return nil, err
	}
	list := make([]*unstructured.Unstructured, len(m.Objects))
	for i, o := range m.Objects {
		list[i] = o.Unstructured()
	}
	return list, nil
}

// read loads a manifest within limits.
func read(source Source, o Options, within limits) (*Manifest, error) {
	in, err := source.Open()
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	defer in.Close()
	sum := sha256.New()
	counted := &counter{}
	r := &reader{options: o, source: source, limits: within}
	if err := r.read(io.TeeReader(in, io.MultiWriter(sum, counted))); err != nil {
		return nil, err
	}
	m := &Manifest{
		Objects: r.objects, Sum: hex.EncodeToString(sum.Sum(nil)), Size: counted.n, source: source,
		scopes: scopesOf(r.objects),
	}
	if o.Raw {
		return m, r.problems.orNil()
	}
	m.prepare(o, r)
	return m, r.problems.orNil()
}

// prepare leaves out what others make, fills in namespaces and puts the objects in order.
func (m *Manifest) prepare(o Options, r *reader) {
	m.Notes = r.notes.lines()
	m.leaveOut()
	for _, object := range m.Objects {
		scope := m.scopes.of(object)
		switch {
		case scope == cluster:
			object.setNamespace("")
		case object.Namespace == "" && o.Namespace != "":
			object.setNamespace(o.Namespace)
		case object.Namespace == "" && scope == namespaced:
			r.problem(Problem{Line: object.Line, Object: object.String(), Place: object.Place, Field: "metadata.namespace",
				Message: "is missing; name a namespace, or add namespace: to the action apply for all objects that name none"})
		}
	}
	seen := map[[4]string]int{}
	for _, object := range m.Objects {
		key := [4]string{object.Group(), object.Kind, object.Namespace, object.Name}
		if before, twice := seen[key]; twice {
			r.problem(Problem{Line: object.Line, Object: object.String(), Place: object.Place, Field: "metadata.name",
				Message: fmt.Sprintf("the same object stands at line %d; remove one of them", before)})
		}
		seen[key] = object.Line
	}
	slices.SortStableFunc(m.Objects, func(a, b *Object) int { return a.rank() - b.rank() })
}

// setNamespace gives the object a namespace; "" takes it away. Of an object whose kind is
// known to no table here, the cluster decides whether it counts.
func (o *Object) setNamespace(name string) {
	if o.Namespace == name {
		return
	}
	o.Namespace = name
	u := o.Unstructured()
	u.SetNamespace(name)
	o.data = encode(u.Object)
}

// encode is JSON of what was decoded from JSON.
func encode(value map[string]any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // it was JSON before
	}
	return data
}

// Name returns the file's name; "" for a text that is no file.
func (m *Manifest) Name() string { return m.source.Name }

// Place returns where an object stands: web.yaml:12, or line 12.
func (m *Manifest) Place(o *Object) string {
	if m.source.Name == "" {
		return fmt.Sprintf("line %d", o.Line)
	}
	return fmt.Sprintf("%s:%d", m.source.Name, o.Line)
}

// Line returns the line of a field, spec.ports[0].name, of one of the manifest's objects, or
// of the nearest field around it that is written.
func (m *Manifest) Line(o *Object, field string) int {
	return (&locator{source: m.source, span: o.span, begin: o.Line}).line(join(o.span.path, field))
}

// counter counts bytes.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
