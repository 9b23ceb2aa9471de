package words

import (
	"slices"
	"testing"
)

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1e9: "1000000000", 0.25: "0.25", -3: "-3", 30303846: "30303846"} {
		if got := Number(v); got != want {
			t.Errorf("%g is %q, want %q", v, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		values            []int64
		median, low, high int64
	}{
		{nil, 0, 0, 0},
		{[]int64{7}, 7, 7, 7},
		{[]int64{9, 1, 5}, 5, 1, 9},
		{[]int64{4, 1}, 2, 1, 4}, // bytes are whole
		{[]int64{1<<62 + 2, 1 << 62}, 1<<62 + 1, 1 << 62, 1<<62 + 2},
	} {
		if m, l, h := Spread(tt.values); m != tt.median || l != tt.low || h != tt.high {
			t.Errorf("%v: %d, %d, %d", tt.values, m, l, h)
		}
	}
	if m, _, _ := Spread([]float64{4, 1}); m != 2.5 {
		t.Errorf("the median of 1 and 4 is %g", m)
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		bullet, text string
		want         []string
	}{
		{"- ", "one two three", []string{"- one two", "  three"}},
		{"", "", []string{""}},
		{"- ", "averyveryverylongword x", []string{"- averyveryverylongword", "  x"}},
		{"– ", "ä ö ü ß", []string{"– ä ö ü ß"}},
	} {
		if got := Wrap(9, tt.bullet, tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestText(t *testing.T) {
	for got, want := range map[string]string{
		Limit(0): "-", Limit(1 << 30): "1024", Mib(3 << 19): "1.5", Plural(1, "row"): "1 row", Plural(0, "row"): "0 rows",
		Workload("measure/pod-00001-deployment"): "measure/pod", Workload("ns1/test"): "ns1/test",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
