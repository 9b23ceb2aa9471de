package meshfacts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/golang/protobuf/jsonpb" //nolint:staticcheck // Istio decodes with it: durations like 5m
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// Problem is something wrong with a value.
type Problem struct {
	// Path are the keys that lead to the value; the items of a list are [0], [1], …
	Path []string
	// Message says what is wrong and what to write instead.
	Message string
}

// String returns the path and the message.
func (p Problem) String() string { return PathText(p.Path) + ": " + p.Message }

// PathText writes a path as scenarios do: meshConfig.extensionProviders[0].name.
func PathText(path []string) string {
	return strings.ReplaceAll(strings.Join(path, "."), ".[", "[")
}

// messages are those that are known: what can be reached from MeshConfig.
func messages() map[string]protoreflect.MessageDescriptor {
	known := map[string]protoreflect.MessageDescriptor{}
	var reach func(protoreflect.MessageDescriptor)
	reach = func(m protoreflect.MessageDescriptor) {
		if _, seen := known[string(m.FullName())]; seen || isScalar(m) {
			return
		}
		known[string(m.FullName())] = m
		for i := range m.Fields().Len() {
			if below := m.Fields().Get(i).Message(); below != nil {
				reach(below)
			}
		}
	}
	reach((&meshconfig.MeshConfig{}).ProtoReflect().Descriptor())
	return known
}

// isScalar reports whether a message is written as one value: a duration, a wrapper.
func isScalar(m protoreflect.MessageDescriptor) bool {
	return m.FullName().Parent() == "google.protobuf"
}

// short is a message's or an enumeration's name without its package.
func short(name string) string {
	for _, p := range []string{"istio.mesh.v1alpha1.", "istio.networking.v1alpha3.", "istio.networking.v1beta1."} {
		name = strings.TrimPrefix(name, p)
	}
	return name
}

// Compare says in what the messages of a version, which are in files, differ from those that
// this program is linked with.
func Compare(files []*descriptorpb.FileDescriptorProto) *MeshConfig {
	theirs, names := map[string]map[string]bool{}, map[string]bool{}
	var enter func(prefix string, list []*descriptorpb.DescriptorProto)
	enum := func(prefix string, list []*descriptorpb.EnumDescriptorProto) {
		for _, e := range list {
			for _, v := range e.GetValue() {
				names[short(prefix+e.GetName())+"."+v.GetName()] = true
			}
		}
	}
	enter = func(prefix string, list []*descriptorpb.DescriptorProto) {
		for _, m := range list {
			name := prefix + m.GetName()
			theirs[name] = map[string]bool{}
			for _, f := range m.GetField() {
				theirs[name][f.GetJsonName()] = true
			}
			enter(name+".", m.GetNestedType())
			enum(name+".", m.GetEnumType())
		}
	}
	for _, f := range files {
		enter(f.GetPackage()+".", f.GetMessageType())
		enum(f.GetPackage()+".", f.GetEnumType())
	}
	differences := &MeshConfig{}
	ours := messages()
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		m := ours[name]
		if m.IsMapEntry() || theirs[name] == nil {
			continue // one that it does not have is named by the fields that lead to it
		}
		mine := map[string]bool{}
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			mine[f.JSONName()] = true
			if !theirs[name][f.JSONName()] {
				differences.Lacks = append(differences.Lacks, short(name)+"."+f.JSONName())
				continue
			}
			if e := f.Enum(); e != nil {
				for j := range e.Values().Len() {
					value := short(string(e.FullName())) + "." + string(e.Values().Get(j).Name())
					if !names[value] && !slices.Contains(differences.Lacks, value) {
						differences.Lacks = append(differences.Lacks, value)
					}
				}
			}
		}
		for _, field := range slices.Sorted(maps.Keys(theirs[name])) {
			if !mine[field] {
				differences.Has = append(differences.Has, short(name)+"."+field)
			}
		}
	}
	return differences
}

// ProxyConfig checks the configuration of one proxy, as meshConfig.defaultConfig and the
// annotation proxy.istio.io/config hold it. It is decoded with Istio's own types and by the
// library that Istio uses, but strictly: Istio ignores fields that it does not know.
func (f *Facts) ProxyConfig(value any) []Problem {
	return f.message((&meshconfig.ProxyConfig{}).ProtoReflect().Descriptor(), value, nil)
}

// meshConfig checks the value meshConfig of the chart istiod.
func (f *Facts) meshConfig(value any, path []string) []Problem {
	return f.message((&meshconfig.MeshConfig{}).ProtoReflect().Descriptor(), value, path)
}

// lacks reports whether the version does not have a field or a value of an enumeration.
func (f *Facts) lacks(name string) bool {
	return f.MeshConfig != nil && slices.Contains(f.MeshConfig.Lacks, name)
}

// message checks a value that is to be a message.
func (f *Facts) message(m protoreflect.MessageDescriptor, value any, path []string) []Problem {
	table, ok := value.(map[string]any)
	if !ok {
		return []Problem{{path, "want a mapping, got " + Got(value)}}
	}
	var problems []Problem
	for _, key := range slices.Sorted(maps.Keys(table)) {
		at := append(slices.Clone(path), key)
		field := fieldOf(m, key)
		switch name := short(string(m.FullName())); {
		case field != nil && !f.lacks(name+"."+field.JSONName()):
			problems = append(problems, f.field(field, table[key], at)...)
		case f.MeshConfig != nil && slices.Contains(f.MeshConfig.Has, name+"."+key):
		case field != nil:
			problems = append(problems, Problem{at, fmt.Sprintf("Istio %s does not have this field of %s, which is newer", f.Istio, name)})
		case f.MeshConfig == nil: // it may be the version's own
		default:
			problems = append(problems, Problem{at, fmt.Sprintf("unknown field of %s in Istio %s, which ignores it%s", name, f.Istio, Suggest(key, f.fields(m)))})
		}
	}
	return problems
}

// fieldOf finds a field by the name in JSON or in protobuf, as decoders do.
func fieldOf(m protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	if field := m.Fields().ByJSONName(key); field != nil {
		return field
	}
	return m.Fields().ByName(protoreflect.Name(key))
}

// fields are the names of a message's fields in this version.
func (f *Facts) fields(m protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range m.Fields().Len() {
		name := m.Fields().Get(i).JSONName()
		if !f.lacks(short(string(m.FullName())) + "." + name) {
			names = append(names, name)
		}
	}
	return names
}

// field checks the value of a field.
func (f *Facts) field(field protoreflect.FieldDescriptor, value any, path []string) []Problem {
	if value == nil {
		return nil // as if it were not there
	}
	below := field.Message()
	switch {
	case field.IsMap():
		table, ok := value.(map[string]any)
		if !ok {
			return []Problem{{path, "want a mapping, got " + Got(value)}}
		}
		if below = field.MapValue().Message(); below == nil || isScalar(below) {
			break
		}
		var problems []Problem
		for _, key := range slices.Sorted(maps.Keys(table)) {
			problems = append(problems, f.message(below, table[key], append(slices.Clone(path), key))...)
		}
		return problems
	case field.IsList():
		list, ok := value.([]any)
		if !ok {
			return []Problem{{path, "want a list, got " + Got(value)}}
		}
		if below == nil || isScalar(below) {
			break
		}
		var problems []Problem
		for i, item := range list {
			problems = append(problems, f.message(below, item, append(slices.Clone(path), "["+strconv.Itoa(i)+"]"))...)
		}
		return problems
	case below != nil && !isScalar(below):
		return f.message(below, value, path)
	}
	if field.JSONName() == "proxyMetadata" && len(path) > 1 && path[0] == "meshConfig" {
		return nil // meshbench makes texts of its numbers and truth values
	}
	return f.leaf(field, value, path)
}

// leaf decodes the value of one field that holds no further messages.
func (f *Facts) leaf(field protoreflect.FieldDescriptor, value any, path []string) []Problem {
	text, err := json.Marshal(map[string]any{field.JSONName(): value})
	if err == nil {
		m := dynamicpb.NewMessage(field.ContainingMessage())
		err = jsonpb.UnmarshalString(string(text), protoadapt.MessageV1Of(m))
	}
	want := wanted(field)
	if e := field.Enum(); e != nil {
		var names []string
		for i := range e.Values().Len() {
			name := string(e.Values().Get(i).Name())
			if !f.lacks(short(string(e.FullName())) + "." + name) {
				names = append(names, name)
			}
		}
		if given, ok := value.(string); ok && !slices.Contains(names, given) {
			return []Problem{{path, fmt.Sprintf("unknown value %q%s", given, Suggest(given, names))}}
		}
		want = "one of " + strings.Join(names, ", ")
	}
	if err != nil {
		return []Problem{{path, fmt.Sprintf("want %s, got %s", want, Got(value))}}
	}
	return nil
}

// wanted describes the values of a field.
func wanted(field protoreflect.FieldDescriptor) string {
	kind := field
	prefix := ""
	if field.IsMap() {
		prefix, kind = "a mapping of ", field.MapValue()
	} else if field.IsList() {
		prefix = "a list of "
	}
	name := map[protoreflect.Kind]string{
		protoreflect.StringKind: "a string", protoreflect.BoolKind: "true or false", protoreflect.BytesKind: "a string in base64",
		protoreflect.DoubleKind: "a number", protoreflect.FloatKind: "a number",
	}[kind.Kind()]
	if name == "" {
		name = "a whole number"
	}
	if m := kind.Message(); m != nil {
		switch m.Name() {
		case "Duration":
			name = "a duration like 45s"
		case "BoolValue":
			name = "true or false"
		case "StringValue":
			name = "a string"
		case "DoubleValue", "FloatValue":
			name = "a number"
		case "Struct":
			name = "a mapping"
		}
	}
	if prefix != "" {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "a "), "whole ") + "s"
	}
	return prefix + name
}

// Got describes a value.
func Got(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("the string %q", v)
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprintf("the number %v", value)
}
