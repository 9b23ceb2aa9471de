package plot

import "testing"

func TestWithoutFonts(t *testing.T) {
	const font = `style="font-family:Liberation Sans;font-variant:none;font-weight:normal;font-style:normal;`
	for svg, want := range map[string]string{
		"":                                    "",
		"<path d=\"M0\"\nstyle=\"fill:#1\"/>": "<path d=\"M0\"\nstyle=\"fill:#1\"/>",
		"<text y=\"2\"\n\t" + font + "font-size:12px\">a</text> <text " + font + "\">b</text>": `<text y="2" style="font-size:12px">a</text> <text style="">b</text>`,
		// Not what vgsvg says of a text.
		`<text style="font-family:x">` + `<text ` + font + `fill:#2">`: `<text style="font-family:x"><text style="fill:#2">`,
		`<text style="font-family:x`:                                   `<text style="font-family:x`,
	} {
		if got := withoutFonts(svg); got != want {
			t.Errorf("of   %q\ngot  %q\nwant %q", svg, got, want)
		}
	}
}
