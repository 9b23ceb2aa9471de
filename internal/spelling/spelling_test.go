package spelling

import "testing"

func TestDistance(t *testing.T) {
	for _, want := range []struct {
		a, b string
		n    int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"m6i.large", "m6i.large", 0}, {"flaw", "lawn", 2}, {"Nginx", "nginx", 0}} {
		if got := Distance(want.a, want.b); got != want.n {
			t.Errorf("Distance(%q, %q) = %d, want %d", want.a, want.b, got, want.n)
		}
	}
}
