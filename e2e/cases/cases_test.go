package cases

import (
	"slices"
	"testing"
)

// TestAll also holds that beside each input that is refused stands one that runs and
// differs in one word.
func TestAll(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 40 {
		t.Errorf("%d cases, want those of the public reports and a variant of each", len(all))
	}
	byName := map[string]Case{}
	for _, c := range all {
		byName[c.Name] = c
	}
	matched := map[string]bool{}
	for _, c := range all {
		if c.Same == "" {
			continue
		}
		other, ok := byName[c.Same]
		switch {
		case !ok:
			t.Errorf("%s: there is no case %s", c.Name, c.Same)
		case other.Refused == nil || c.Refused != nil:
			t.Errorf("%s must run and %s must be refused", c.Name, c.Same)
		case differing(Words(other.Text), Words(c.Text)) != 1:
			t.Errorf("%s and %s differ in %d words, want 1 (names and titles aside)", c.Name, c.Same, differing(Words(other.Text), Words(c.Text)))
		}
		matched[c.Same] = true
	}
	for _, c := range all {
		if c.Refused != nil && !matched[c.Name] {
			t.Errorf("%s is refused, and no case that runs differs from it in one word", c.Name)
		}
	}
}

// differing is the number of words that are inserted, left out or replaced between two
// scenarios, whose names and titles do not count.
func differing(a, b []string) int {
	steps := func(words []string) []string { return words[max(0, slices.Index(words, "cluster:")):] }
	head := func(words []string) []string {
		i, j := slices.Index(words, "mesh:"), slices.Index(words, "cluster:")
		if i < 0 || j < i {
			return nil
		}
		return words[i:j]
	}
	a, b = slices.Concat(head(a), steps(a)), slices.Concat(head(b), steps(b))
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
