// Package version names the version of the running program, from what the go command
// noted in it.
package version

import (
	"runtime/debug"
)

// Unknown stands in place of a version where neither the linker nor the go command was
// told one: in a build from a copy without history, or with -buildvcs=false.
const Unknown = "unknown (built without version control information)"

// Of returns the version of this program. The first of these that is there is taken:
//
//  1. linked, which the linker set (-X main.version=...); empty means that it did not,
//  2. the main module's version: the one asked for by go install MODULE/cmd/X@VERSION, or
//     the tag or pseudo-version of the checkout that was built,
//  3. the commit of that checkout, with -dirty where files differ from it,
//  4. [Unknown].
func Of(linked string) string {
	info, _ := debug.ReadBuildInfo()
	return from(linked, info)
}

// from is Of with what was read from the program; info may be nil.
func from(linked string, info *debug.BuildInfo) string {
	if linked != "" {
		return linked
	}
	if info == nil {
		return Unknown
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var revision, dirty string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if revision == "" {
		return Unknown
	}
	return revision + dirty
}
