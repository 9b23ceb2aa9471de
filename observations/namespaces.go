package observations

import (
	"reflect"
	"strings"
)

// ScenarioNames puts the scenario's names of namespaces in the place of those that they have
// on the cluster ([Run].Namespaces), wherever one stands as a word in a text. Raw dumps have
// the cluster's; the records of [Read] have the scenario's already.
func (r *Run) ScenarioNames(text string) string {
	for name, real := range r.Namespaces {
		if real != name {
			text = replaceWord(text, real, name)
		}
	}
	return text
}

// replaceWord replaces a DNS label, but no part of a longer one.
func replaceWord(text, from, to string) string {
	inner := func(c byte) bool {
		return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	var b strings.Builder
	for rest, before := text, byte(0); ; {
		i := strings.Index(rest, from)
		if i < 0 {
			if b.Len() == 0 {
				return text
			}
			b.WriteString(rest)
			return b.String()
		}
		if i > 0 {
			before = rest[i-1]
		}
		end := i + len(from)
		if (before == 0 || !inner(before)) && (end == len(rest) || !inner(rest[end])) {
			b.WriteString(rest[:i] + to)
		} else {
			b.WriteString(rest[:end])
		}
		before, rest = from[len(from)-1], rest[end:]
	}
}

// elsewhere are fields that name what is no namespace, or a file of the run's.
var elsewhere = map[string]bool{
	"Pod": true, "Container": true, "Node": true, "Service": true, "Kind": true, "Name": true, "Dumps": true, "Path": true, "Function": true,
}

// inScenarioNames gives a record of a run the scenario's names of namespaces.
func (r *Run) inScenarioNames(record *Record) {
	if len(r.Namespaces) == 0 || record.Run != nil {
		return
	}
	r.restore("", reflect.ValueOf(record).Elem())
}

// restore puts the scenario's names into a value, which is that of a field.
func (r *Run) restore(field string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			r.restore(field, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !elsewhere[f.Name] {
				r.restore(f.Name, v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			r.restore(field, v.Index(i))
		}
	case reflect.String:
		text := v.String()
		// Behind the namespace stands the name of a workload or a pod.
		if namespace, name, split := strings.Cut(text, "/"); split && (field == "Workload" || field == "Object") {
			v.SetString(r.ScenarioNames(namespace) + "/" + name)
		} else {
			v.SetString(r.ScenarioNames(text))
		}
	}
}
