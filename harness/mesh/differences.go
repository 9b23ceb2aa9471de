package mesh

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/meshfacts"
)

// value is one Helm value that is no table.
type value struct {
	path  []string
	value any
}

// flat are the values below a path, sorted. A list is one value, and so is an empty table.
func flat(path []string, values map[string]any) []value {
	var all []value
	for _, key := range slices.Sorted(maps.Keys(values)) {
		below := append(slices.Clone(path), key)
		if table, ok := values[key].(map[string]any); ok && len(table) > 0 {
			all = append(all, flat(below, table)...)
			continue
		}
		all = append(all, value{below, values[key]})
	}
	return all
}

// running is what the control plane has for a Helm value: by its mesh configuration and its
// Deployment, which are what runs, else by its Helm release with the chart's defaults. It is
// not known where nothing of these can be read.
func (c ControlPlane) running(path []string) (running any, known bool) {
	switch {
	case path[0] == "meshConfig" && c.MeshConfig != "":
		config := map[string]any{"meshConfig": c.meshFields()}
		if running = meshfacts.Lookup(config, path...); running == nil {
			running = meshfacts.Lookup(config, inJSON(path)...) // it may be written in either way
		}
		return running, true
	case len(path) == 3 && path[0] == "pilot" && path[1] == "env", len(path) == 2 && path[0] == "env":
		for _, container := range c.deployment.Spec.Template.Spec.Containers {
			for _, e := range container.Env {
				if e.Name == path[len(path)-1] {
					return e.Value, e.ValueFrom == nil
				}
			}
		}
		return nil, true
	case path[0] == "revision" && len(path) == 1:
		return strings.TrimPrefix(c.Revision, "default"), true
	case path[0] == "revisionTags" && len(path) == 1:
		var tags []any
		for _, tag := range c.Tags {
			tags = append(tags, tag)
		}
		return tags, true
	case c.Release == nil || c.Release.chart == nil:
		return nil, false
	}
	all := c.Release.all()
	if running = meshfacts.Lookup(all, path...); running != nil {
		return running, true
	}
	// Charts from 1.24 on read a value both at the top and below pilot.
	if path[0] == "pilot" && len(path) > 1 {
		return meshfacts.Lookup(all, path[1:]...), true
	}
	return meshfacts.Lookup(all, append([]string{"pilot"}, path...)...), true
}

// inJSON are the names of fields as JSON has them, in place of the protocol's: drainDuration
// for drain_duration. Other names, as those of environment variables, stay.
func inJSON(path []string) []string {
	names := slices.Clone(path)
	for i, name := range names {
		if name != strings.ToLower(name) {
			continue
		}
		words := strings.Split(name, "_")
		for j := 1; j < len(words); j++ {
			if words[j] != "" {
				words[j] = strings.ToUpper(words[j][:1]) + words[j][1:]
			}
		}
		names[i] = strings.Join(words, "")
	}
	return names
}

// all are the values that the release has, those of the chart below those that were set.
func (r *HelmRelease) all() map[string]any {
	all := map[string]any{}
	overlay(all, valuesOf(r.chart))
	overlay(all, r.Values)
	return all
}

// same reports whether two values are the same to Istio's charts, which write them as text.
// No value, and one that is empty, are the same.
func same(a, b any) bool {
	if reflect.DeepEqual(a, b) || text(a) == text(b) {
		return true
	}
	return empty(a) && empty(b)
}

func empty(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Map, reflect.Slice, reflect.String:
		return r.Len() == 0
	}
	return false
}

// text is a value in a sentence.
func text(v any) string {
	if empty(v) {
		return "none"
	}
	return fmt.Sprint(v)
}
