package scenarios

import (
	"fmt"
	"maps"
	"slices"
)

// unknownField is a field that an object does not have.
type unknownField struct {
	// place is where it stands, spec.ports[0].nama.
	place string
	// hint ends a message: what was meant or what is known.
	hint string
}

// unknownFields returns the fields of a decoded value that rules do not know, in order.
// What is below an unknown field is not looked at. The value stands at the place.
func unknownFields(rules Fields, value any, place string, path ...string) []unknownField {
	var list []unknownField
	switch v := value.(type) {
	case map[string]any:
		names, known := rules(path...)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := join(place, key)
			if known && !slices.Contains(names, key) {
				list = append(list, unknownField{at, suggest(key, names)})
				continue
			}
			list = append(list, unknownFields(rules, v[key], at, append(slices.Clone(path), key)...)...)
		}
	case []any:
		for i, item := range v {
			at := fmt.Sprintf("%s[%d]", place, i)
			list = append(list, unknownFields(rules, item, at, append(slices.Clone(path), "[]")...)...)
		}
	}
	return list
}

// resourceFields checks that an object of a manifest has only fields of its kind.
func (c *checker) resourceFields(m *manifestObject, wrong func(place, format string, args ...any)) {
	if c.rules.ResourceFields == nil {
		return
	}
	rules := c.rules.ResourceFields(m.APIVersion, m.Kind)
	if rules == nil {
		return
	}
	for _, unknown := range unknownFields(rules, m.of.Unstructured().Object, "") {
		wrong(unknown.place, "unknown field%s", unknown.hint)
	}
}
