package snapshot

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Diff says in what two snapshots differ, a line each, by namespace, kind and name: "+ KIND
// NAMESPACE/NAME" for an object that only after has, "- ..." for one that only before had,
// "~ KIND NAMESPACE/NAME: FIELD: OLD -> NEW" for one field of an object of both. An object that
// was made anew is a change of its metadata.uid. Values of Secrets are not shown. It is nil for
// none.
func Diff(before, after Snapshot) []string {
	var lines []string
	for _, key := range keys(before, after) {
		old, had := before[key]
		now, has := after[key]
		switch {
		case !had:
			lines = append(lines, "+ "+key.String())
		case !has:
			lines = append(lines, "- "+key.String())
		default:
			for _, change := range changes("", old.content, now.content, key.Group == "" && key.Kind == "Secret") {
				lines = append(lines, fmt.Sprintf("~ %s: %s", key, change))
			}
		}
	}
	return lines
}

// ChangedVersions says which of the chosen objects of before were written at all: a line as
// those of [Diff] for each whose resourceVersion differs after, or that is gone or new. It
// sees writes that changed nothing, and those of the status.
func ChangedVersions(before, after Snapshot, chosen func(Object) bool) []string {
	var lines []string
	for _, key := range keys(before, after) {
		old, had := before[key]
		now, has := after[key]
		switch {
		case !(had && chosen(old)) && !(has && chosen(now)):
		case !had:
			lines = append(lines, "+ "+key.String())
		case !has:
			lines = append(lines, "- "+key.String())
		case old.Version != now.Version:
			lines = append(lines, fmt.Sprintf("~ %s: metadata.resourceVersion: %s -> %s", key, old.Version, now.Version))
		}
	}
	return lines
}

// keys are the objects of both, in order.
func keys(before, after Snapshot) []Key {
	all := map[Key]bool{}
	for _, s := range []Snapshot{before, after} {
		for key := range s {
			all[key] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), compare)
}

// changes are the fields below path in which two values differ.
func changes(path string, old, now any, secret bool) []string {
	tableOld, isOld := old.(map[string]any)
	tableNow, isNow := now.(map[string]any)
	if isOld && isNow {
		var lines []string
		names := map[string]bool{}
		for name := range tableOld {
			names[name] = true
		}
		for name := range tableNow {
			names[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			lines = append(lines, changes(strings.TrimPrefix(path+"."+name, "."), tableOld[name], tableNow[name], secret)...)
		}
		return lines
	}
	listOld, isOld := old.([]any)
	listNow, isNow := now.([]any)
	if isOld && isNow && len(listOld) == len(listNow) {
		var lines []string
		for i := range listOld {
			lines = append(lines, changes(fmt.Sprintf("%s[%d]", path, i), listOld[i], listNow[i], secret)...)
		}
		return lines
	}
	if reflect.DeepEqual(old, now) {
		return nil
	}
	if secret && !strings.HasPrefix(path, "metadata.") {
		return []string{path}
	}
	return []string{fmt.Sprintf("%s: %s -> %s", path, short(old), short(now))}
}

// longest is how much of a value a line shows.
const longest = 60

func short(value any) string {
	if value == nil {
		return "nothing"
	}
	text := strings.ReplaceAll(fmt.Sprint(value), "\n", " ")
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}
