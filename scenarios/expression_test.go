package scenarios

import (
	"strings"
	"testing"
)

// FuzzExpand checks that no expression makes the library panic or yields a number out of
// bounds.
func FuzzExpand(f *testing.F) {
	for _, text := range []string{
		"${n}", "${2*(n-1)+5}", "${n / 0}", "${n % 0}", "${1..n}", "${n ** 9999}", "${max()}", "${let x = n; x}", "${if n > 1 {1} else {2}}",
		"${n ?? 1}", "${[1,2][5]}", "${'a' matches '('}", "${n.a.b}", "${{}}", "a${n}b$${c", "${", "${-n % -2}", "${n | max(1)}", "${#}", "${9223372036854775807 + n}",
		`${mode == "shape" ? n : 2}`, "${mode}", `${mode + "x"}`, `${mode * 99999}`, `${'`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n := &names{values: map[string]any{"n": 3, "mode": "shape"}, used: map[string]bool{}}
		if out, err := n.expand(text); err == nil && !strings.Contains(text, "${") && out != text {
			t.Errorf("%q became %q", text, out)
		}
		if source, ok := strings.CutPrefix(text, "${"); ok {
			source, _, _ = strings.Cut(source, "}")
			value, err := n.evaluate(source)
			if number, ok := value.(int); err == nil && ok && (number > maxNumber || number < -maxNumber) {
				t.Errorf("%d is out of bounds", number)
			}
		}
	})
}
