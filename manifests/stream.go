package manifests

import (
	"fmt"

	kubejson "sigs.k8s.io/json"
)

// stream is a list whose items are taken in one by one, so that only one at a time is
// decoded.
type stream struct {
	items   int
	pending []pending
}

// pending is an item without a kind: that of the list may stand below the items. at is the
// index among the reader's objects before which it belongs.
type pending struct {
	index int
	item  []byte
	at    location
}

func (r *reader) stream() *stream { return &stream{} }

// streamed takes in an item.
func (r *reader) streamed(s *stream, value any, text *locator) {
	at := location{locator: text, place: fmt.Sprintf("items[%d]", s.items), depth: 1}
	s.items++
	object, _ := value.(map[string]any)
	if object == nil || object["kind"] != nil {
		r.item(value, nil, at)
		return
	}
	s.pending = append(s.pending, pending{len(r.objects), encode(object), at})
}

// finish takes in the items that wait for the fields of their list, which begins at a line.
func (r *reader) finish(s *stream, header map[string]any, line int) {
	r.cut(header, line, "")
	if len(s.pending) == 0 {
		return
	}
	before := r.objects
	r.objects = make([]*Object, 0, len(before)+len(s.pending))
	taken := 0
	for _, p := range s.pending {
		r.objects = append(r.objects, before[taken:p.index]...)
		taken = p.index
		var value map[string]any
		if err := kubejson.UnmarshalCaseSensitivePreserveInts(p.item, &value); err != nil {
			panic(err) // this package made the JSON
		}
		r.item(value, header, p.at)
	}
	r.objects = append(r.objects, before[taken:]...)
}
