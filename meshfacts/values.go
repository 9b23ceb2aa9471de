package meshfacts

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/internal/spelling"
)

// without are profiles that cannot be measured, with the reason.
var without = map[string]string{
	"ambient":           "ambient needs the charts cni and ztunnel, which meshbench does not install yet",
	"openshift-ambient": "ambient needs the charts cni and ztunnel, which meshbench does not install yet",
	"remote":            "it installs no istiod on this cluster",
}

// notPilots are values that flat charts read below pilot too, where nobody looks for them:
// they belong to the top.
var notPilots = []string{
	"base", "compatibilityVersion", "defaultRevision", "experimental", "gateways", "global", "istio_cni", "istiodRemote", "meshConfig",
	"ownerName", "platform", "profile", "revision", "revisionTags", "sidecarInjectorWebhook", "telemetry",
}

// chartNames are names under which charts are put together in an umbrella chart.
var chartNames = []string{"istiod", "istio-discovery", "base", "istio-base"}

// CheckValues checks the values for the charts base and istiod: that the charts read them,
// that they are of the kind that templates want, and that the mesh configuration is
// Istio's. Helm and Istio ignore what they do not know, and a misspelt option would be
// measured as if it had no effect.
func (f *Facts) CheckValues(values map[string]any) []Problem {
	var problems []Problem
	known := f.Istiod
	if f.Flat {
		pilot := known.Below["pilot"]
		below := maps.Clone(known.Below)
		delete(below, "pilot")
		if pilot.Type != "" {
			pilot = Keys{}
		}
		known = known.with(Keys{Below: map[string]Keys{"pilot": pilot.with(Keys{Below: below})}})
	}
	known = f.Base.with(known)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		path := []string{key}
		if _, ok := known.Below[key]; !ok {
			problems = append(problems, Problem{path, f.unknown(known, key, values[key])})
			continue
		}
		problems = append(problems, f.value(known, path, values[key])...)
	}
	return problems
}

// unknown says what to write in place of a value at the top that no chart reads.
func (f *Facts) unknown(known Keys, key string, value any) string {
	pilot := known.Below["pilot"]
	table, isTable := value.(map[string]any)
	switch {
	case slices.Contains(chartNames, key) && isTable:
		return fmt.Sprintf("values are those of Istio's charts themselves, not of a chart around them: leave out %s and write what is below it at the top", key)
	case pilot.Below[key].known():
		return fmt.Sprintf("Istio's charts of %s read this value below pilot only: write pilot.%s", f.Istio, key)
	}
	if f.Gateway.Below[key].known() && !near(key, known) || key == "gateway" && isTable {
		return "a value of Istio's chart gateway, which the charts base and istiod do not read: write it in the values of an action gateway"
	}
	for _, chart := range slices.Sorted(maps.Keys(f.Others)) {
		if chart == key && isTable || slices.Contains(f.Others[chart], key) && !near(key, known) {
			return fmt.Sprintf("a value of Istio's chart %s, which meshbench does not install: the charts base and istiod do not read it; leave it out", chart)
		}
	}
	if isTable {
		for below := range table {
			if _, ok := known.Below[below]; ok && !near(key, known) {
				return fmt.Sprintf("no chart of Istio %s reads this value; if %s stands for a chart, leave it out and write %s at the top", f.Istio, key, below)
			}
		}
	}
	names := slices.Sorted(maps.Keys(known.Below))
	for name := range pilot.Below {
		if spelling.Distance(key, name) <= 1 && !near(key, known) {
			return fmt.Sprintf("no chart of Istio %s reads this value; did you mean pilot.%s?", f.Istio, name)
		}
	}
	return fmt.Sprintf("no chart of Istio %s reads this value%s", f.Istio, Suggest(key, names))
}

func (k Keys) known() bool { return k.Type != "" || k.Below != nil }

// near reports whether a name may be a misspelling of a key.
func near(name string, known Keys) bool {
	for key := range known.Below {
		if isNear(name, key) {
			return true
		}
	}
	return false
}

// value checks a value that a chart reads.
func (f *Facts) value(known Keys, path []string, value any) []Problem {
	if value == nil {
		return nil // Helm takes the chart's own value away
	}
	if len(path) == 2 && path[0] == "pilot" && slices.Contains(notPilots, path[1]) && known.Below[path[1]].known() {
		return []Problem{{path, fmt.Sprintf("write %s at the top, without pilot", path[1])}}
	}
	if check := f.special(path); check != nil {
		return check(value, path)
	}
	keys, ok := known.at(path...)
	if !ok {
		parent, _ := known.at(path[:len(path)-1]...)
		if len(path) == 2 && path[0] == "base" && known.Below[path[1]].known() {
			return []Problem{{path, fmt.Sprintf("values are those of the chart base itself: write %s at the top, without base", path[1])}}
		}
		return []Problem{{path, fmt.Sprintf("no chart of Istio %s reads this value%s", f.Istio, Suggest(path[len(path)-1], slices.Sorted(maps.Keys(parent.Below))))}}
	}
	wrong := func(want string) []Problem { return []Problem{{path, "want " + want + ", got " + Got(value)}} }
	table, isTable := value.(map[string]any)
	_, isList := value.([]any)
	text, isText := value.(string)
	_, isTruth := value.(bool)
	switch keys.Type {
	case "":
		if !isTable {
			return wrong("a mapping with " + strings.Join(slices.Sorted(maps.Keys(keys.Below)), ", "))
		}
		var problems []Problem
		for _, key := range slices.Sorted(maps.Keys(table)) {
			problems = append(problems, f.value(known, append(slices.Clone(path), key), table[key])...)
		}
		return problems
	case Table:
		if !isTable {
			return wrong("a mapping")
		}
	case List:
		if !isList {
			return wrong("a list")
		}
	case Text:
		if isTable || isList {
			return wrong("a string")
		}
	case Number:
		if _, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64); isTable || isList || isTruth || isText && err != nil {
			return wrong("a number")
		}
	case Truth:
		if !isTruth {
			hint := ""
			if isText {
				hint = "; Istio's charts take every string for true: write it without quotes"
			}
			return []Problem{{path, "want true or false, got " + Got(value) + hint}}
		}
	}
	return nil
}

// special is the check of a value that means more than its type; nil for others.
func (f *Facts) special(path []string) func(value any, path []string) []Problem {
	switch PathText(path) {
	case "meshConfig":
		return f.meshConfig
	case "profile", "global.profile":
		if len(path) == 2 && !f.knows(path...) {
			return nil
		}
		return f.profile
	case "compatibilityVersion":
		return oneOf(f.Compatibility)
	case "global.platform", "platform":
		if len(f.Platforms) == 0 || !f.knows(path...) {
			return nil
		}
		return oneOf(f.Platforms)
	case "revision":
		return func(value any, path []string) []Problem { return revisionName(value, path) }
	case "revisionTags":
		return func(value any, path []string) (problems []Problem) {
			tags, ok := value.([]any)
			if !ok {
				return []Problem{{path, "want a list of names, got " + Got(value)}}
			}
			for i, tag := range tags {
				problems = append(problems, revisionName(tag, append(slices.Clone(path), "["+strconv.Itoa(i)+"]"))...)
			}
			return problems
		}
	}
	return nil
}

func (f *Facts) profile(value any, path []string) []Problem {
	name, ok := value.(string)
	if ok && name == "" {
		return nil
	}
	var known []string
	for _, profile := range f.Profiles {
		if without[profile] == "" {
			known = append(known, profile)
		}
	}
	switch {
	case !ok:
		return []Problem{{path, "want the name of a profile, got " + Got(value)}}
	case without[name] != "":
		return []Problem{{path, fmt.Sprintf("profile %s cannot be measured: %s; profiles that can are %s", name, without[name], strings.Join(known, ", "))}}
	case !slices.Contains(known, name):
		return []Problem{{path, fmt.Sprintf("the charts of Istio %s bring no profile %q; they bring %s", f.Istio, name, strings.Join(known, ", "))}}
	}
	return nil
}

func oneOf(known []string) func(value any, path []string) []Problem {
	return func(value any, path []string) []Problem {
		name, ok := value.(string)
		if ok && (name == "" || slices.Contains(known, name)) {
			return nil
		}
		hint := ""
		if !ok && value != nil && slices.Contains(known, fmt.Sprint(value)) {
			hint = "; quote it"
		}
		return []Problem{{path, fmt.Sprintf("want one of %s, got %s%s", strings.Join(known, ", "), Got(value), hint)}}
	}
}

// revisionName checks a name that becomes a part of objects' names and a label.
func revisionName(value any, path []string) []Problem {
	name, ok := value.(string)
	if !ok {
		return []Problem{{path, "want a string, got " + Got(value) + "; quote it"}}
	}
	if name == "" {
		return nil
	}
	for _, message := range validation.IsDNS1123Label(name) {
		return []Problem{{path, fmt.Sprintf("Kubernetes rejects %q as a part of istiod's name: %s", name, message)}}
	}
	return nil
}

// Suggest returns the end of a message about an unknown name: the nearest known name if one
// is near, otherwise all known names unless they are many.
func Suggest(name string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	nearest := slices.MinFunc(known, func(a, b string) int {
		return cmp.Or(cmp.Compare(spelling.Distance(name, a), spelling.Distance(name, b)), strings.Compare(a, b))
	})
	switch {
	case isNear(name, nearest):
		return fmt.Sprintf("; did you mean %q?", nearest)
	case len(known) > 25:
		return ""
	}
	return "; known: " + strings.Join(known, ", ")
}

// isNear reports whether a name may be a misspelling of a known one: few letters are others,
// or all are there in another order.
func isNear(name, known string) bool {
	letters := func(s string) string { return string(slices.Sorted(slices.Values([]rune(strings.ToLower(s))))) }
	return spelling.Distance(name, known) <= 1+len(name)/4 || letters(name) == letters(known)
}
