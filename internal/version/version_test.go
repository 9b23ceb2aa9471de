package version

import (
	"runtime/debug"
	"testing"
)

func TestFrom(t *testing.T) {
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{
			{Key: "GOOS", Value: "linux"},
			{Key: "vcs.modified", Value: modified},
			{Key: "vcs.revision", Value: "31a1cc1f00"},
		}
	}
	of := func(main string, settings []debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: main}, Settings: settings}
	}
	for _, test := range []struct {
		name   string
		linked string
		info   *debug.BuildInfo
		want   string
	}{
		{"the linker's goes first", "v1.0.0-3-gabc", of("v1.2.3", vcs("true")), "v1.0.0-3-gabc"},
		{"go install of a version", "", of("v1.2.3", nil), "v1.2.3"},
		{"a checkout's pseudo-version", "", of("v0.0.0-20261124061500-31a1cc1f0000+dirty", vcs("true")), "v0.0.0-20261124061500-31a1cc1f0000+dirty"},
		{"a commit alone", "", of("(devel)", vcs("false")), "31a1cc1f00"},
		{"a commit with changes", "", of("(devel)", vcs("true")), "31a1cc1f00-dirty"},
		{"no history", "", of("(devel)", nil), Unknown},
		{"an empty version", "", of("", nil), Unknown},
		{"no build information", "", nil, Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := from(test.linked, test.info); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
