package simulate

import (
	"strings"
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	for _, test := range []struct {
		name        string
		annotations map[string]string
		job         bool
		want        Life
		err         string // what it must say
	}{
		{name: "for ever"},
		{name: "a Job's", job: true, want: Life{Lasts: time.Second}},
		{name: "told", annotations: map[string]string{Lasts: "5s", ExitCode: "3"}, want: Life{5 * time.Second, 3}},
		{name: "a Job's, told", job: true, annotations: map[string]string{Lasts: "10m"}, want: Life{Lasts: 10 * time.Minute}},
		{name: "a Job's that fails", job: true, annotations: map[string]string{ExitCode: "1"}, want: Life{time.Second, 1}},
		{name: "by name before all", annotations: map[string]string{Lasts: "5s", Lasts + ".c": "7s", ExitCode + ".other": "9"}, want: Life{Lasts: 7 * time.Second}},
		{name: "another's", annotations: map[string]string{Lasts + ".other": "7s"}},
		{name: "no time", annotations: map[string]string{Lasts: "5"}, err: `annotation simulate.meshbench.dev/lasts: "5"`},
		{name: "no time, by name", annotations: map[string]string{Lasts + ".c": "soon"}, err: `annotation simulate.meshbench.dev/lasts.c: "soon"`},
		{name: "nothing", annotations: map[string]string{Lasts: "0s"}, err: "leave it out"},
		{name: "backwards", annotations: map[string]string{Lasts: "-1s"}, err: "above 0"},
		{name: "no code", annotations: map[string]string{ExitCode: "256"}, err: "from 0 to 255"},
		{name: "negative code", annotations: map[string]string{ExitCode: "-1"}, err: "from 0 to 255"},
	} {
		got, err := Of(test.annotations, "c", test.job)
		switch {
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: error is %v, want one with %q", test.name, err, test.err)
		case test.err == "" && (err != nil || got != test.want):
			t.Errorf("%s: got %+v and %v, want %+v", test.name, got, err, test.want)
		}
	}
}

func TestOfInit(t *testing.T) {
	annotations := map[string]string{Lasts: "5s", ExitCode: "1", Lasts + ".slow": "3s"}
	for name, want := range map[string]Life{"init": {Lasts: 1}, "slow": {Lasts: 3 * time.Second}, "side": {}} {
		if got, err := OfInit(annotations, name, name == "side"); err != nil || got != want {
			t.Errorf("%s: got %+v and %v, want %+v", name, got, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	found := Check(map[string]string{
		Lasts: "5s", ExitCode: "x", Lasts + ".c": "3", Lasts + ".d": "3s", "simulate.meshbench.dev/last": "3s", "sidecar.istio.io/inject": "true",
	}, []string{"c"})
	var got []string
	for _, p := range found {
		got = append(got, p.Text)
	}
	want := []string{
		`annotation simulate.meshbench.dev/exit-code: "x" is no exit code`,
		`unknown annotation simulate.meshbench.dev/last: use`,
		`annotation simulate.meshbench.dev/lasts.c: "3" is no time`,
		`annotation simulate.meshbench.dev/lasts.d: the pod has no container "d": it has c`,
	}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
	if found := Check(map[string]string{Lasts: "5s", ExitCode + ".c": "1"}, []string{"c"}); len(found) > 0 {
		t.Errorf("right ones: %v", found)
	}
}

func FuzzOf(f *testing.F) {
	f.Add("5s", "0")
	f.Add("", "999")
	f.Fuzz(func(t *testing.T, lasts, code string) {
		life, err := Of(map[string]string{Lasts: lasts, ExitCode: code}, "c", true)
		if err == nil && (life.Lasts <= 0 || life.ExitCode < 0 || life.ExitCode > 255) {
			t.Errorf("%q and %q: %+v", lasts, code, life)
		}
	})
}
