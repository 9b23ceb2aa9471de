package harness

import (
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
)

func TestRejections(t *testing.T) {
	istiods := func(counts ...float64) []observations.Istiod {
		var all []observations.Istiod
		for i, n := range counts {
			all = append(all, observations.Istiod{Pod: string(rune('a' + i)), Rejected: n})
		}
		return all
	}
	const standing = "ns1/test-0: Cluster: broken"
	var r rejections
	for i, look := range []struct {
		control  []observations.Istiod
		standing []string
		want     string // in the only text; "" for none
	}{
		{control: istiods(0)},
		{control: istiods(0)},
		{control: istiods(2), want: "2 times"},
		{control: istiods(2)}, // once told
		{control: istiods(3), standing: []string{standing}, want: standing},
		{control: istiods(3), standing: []string{standing}, want: standing}, // as long as it stands
		{control: istiods(3, 1), want: "1 times"},                           // another istiod
		{control: istiods(0)}, // started anew
	} {
		got := r.since(look.control, look.standing)
		if (len(got) > 0) != (look.want != "") || look.want != "" && !strings.Contains(got[0], look.want) {
			t.Errorf("look %d: %q, want %q", i, got, look.want)
		}
	}
	err := refusedError([]string{"Envoy refused configuration: " + standing, "more"}).Error()
	for _, want := range []string{standing, "--allow-rejected", "1 more"} {
		if !strings.Contains(err, want) {
			t.Errorf("no %q in %q", want, err)
		}
	}
	if texts := (&rejections{}).since(nil, []string{"a", "b"}); !slices.Equal(texts, []string{"Envoy refused configuration: a", "Envoy refused configuration: b"}) {
		t.Errorf("%q", texts)
	}
}
