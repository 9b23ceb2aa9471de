package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// every is a figure with every shape.
func every(rows bool) *Figure {
	f := &Figure{Title: "every <shape> & more", XName: "x, Mi", YName: "y", Note: "a note that is long enough to need a second line on a narrow screen"}
	if rows {
		f.Rows = []string{"first", "second & last", "a name that is too long for a telephone"}
	} else {
		f.Bands = []Band{{0, 4, "1"}, {4, 4.01, "a label that does not fit"}, {4.01, 9, "2"}}
	}
	for shape := Circle; shape <= Zone; shape++ {
		f.Series = append(f.Series, Series{Name: fmt.Sprintf("shape %d", shape), Colour: Blue, Shape: shape, Glyph: Cross,
			Points: []Point{{1, 0, 2}, {math.NaN(), 1, 1}, {3, 1, 4}, {5, math.Inf(1), 2}, {7, 2, 8}}})
	}
	return f
}

// texts are the texts of an SVG; it must be well-formed.
func texts(t *testing.T, svg []byte) []string {
	t.Helper()
	var found []string
	in := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "text" {
			var text string
			if err := in.DecodeElement(&text, &start); err != nil {
				t.Fatal(err)
			}
			found = append(found, text)
		}
	}
}

func drawn(t *testing.T, f *Figure, width int, file bool) []byte {
	t.Helper()
	svg, err := f.SVG(width, file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.SVG(width, file)
	if err != nil || !bytes.Equal(svg, again) {
		t.Errorf("the same figure gives other bytes: %v", err)
	}
	return svg
}

func TestSVG(t *testing.T) {
	for _, rows := range []bool{false, true} {
		for _, width := range []int{340, 1040} {
			for _, file := range []bool{false, true} {
				svg := drawn(t, every(rows), width, file)
				found := texts(t, svg)
				want := []string{"x, Mi", "shape 0", "shape 14"}
				if file {
					want = append(want, "every <shape> & more")
				}
				switch {
				case rows && width == 340:
					want = append(want, "first", "second & last", "a name that i…")
				case rows:
					want = append(want, "first", "second & last", "a name that is too long for a telephone")
				default:
					want = append(want, "1", "2", "y")
				}
				for _, text := range want {
					if !slices.Contains(found, text) {
						t.Errorf("rows %v, width %d, file %v: no text %q among %q", rows, width, file, text, found)
					}
				}
				if slices.Contains(found, "a label that does not fit") || !file && slices.Contains(found, "every <shape> & more") {
					t.Errorf("too much text: %q", found)
				}
				if isFile := bytes.HasPrefix(svg, []byte("<?xml")) && bytes.Contains(svg, []byte("prefers-color-scheme")); isFile != file {
					t.Errorf("a file is %v, want %v", isFile, file)
				}
				if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
					t.Error("a coordinate is no number")
				}
			}
		}
	}
}

// TestColours: every colour of a drawing is one that the reader's scheme decides.
func TestColours(t *testing.T) {
	svg := drawn(t, every(true), 700, false)
	bare := regexp.MustCompile(`var\(--[a-z]+,#[0-9A-F]{6}\)`).ReplaceAll(svg, nil)
	if found := regexp.MustCompile(`#[0-9A-Fa-f]{3,}`).FindAll(bare, -1); len(found) > 0 {
		t.Errorf("colours that no scheme decides: %s", found)
	}
	seen := map[string]bool{}
	for c, p := range palette {
		if p.light == "" || p.dark == "" || seen[p.light] {
			t.Errorf("colour %d (%s) is missing, or its light value is another's", c, p.name)
		}
		seen[p.light] = true
		for _, scheme := range []string{p.light, p.dark} {
			if !strings.Contains(Style(), "--"+p.name+":"+scheme+";") {
				t.Errorf("the style sheet lacks %s of %s", scheme, p.name)
			}
		}
	}
}

// TestContrast holds text to WCAG's 4.5 against the page and what is drawn to 3, in both
// schemes (Web Content Accessibility Guidelines 2.2, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	luminance := func(hex string) float64 {
		var r, g, b int
		if _, err := fmt.Sscanf(hex, "#%02X%02X%02X", &r, &g, &b); err != nil {
			t.Fatal(err)
		}
		linear := func(v int) float64 {
			if c := float64(v) / 255; c > 0.04045 {
				return math.Pow((c+0.055)/1.055, 2.4)
			}
			return float64(v) / 255 / 12.92
		}
		return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
	}
	for _, c := range []Colour{Ink, Faint, Blue, Vermillion, Green, Purple} {
		least := 3.0
		if c == Ink || c == Faint {
			least = 4.5
		}
		for _, pair := range [][2]string{{palette[c].light, palette[Page].light}, {palette[c].dark, palette[Page].dark}} {
			a, b := luminance(pair[0]), luminance(pair[1])
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
				t.Errorf("%s on %s has a contrast of %.2f, less than %g", pair[0], pair[1], ratio, least)
			}
		}
	}
}

func TestOddFigures(t *testing.T) {
	for name, f := range map[string]*Figure{
		"nothing":            {},
		"rows without data":  {Rows: []string{"a"}},
		"one point":          {Series: []Series{{Points: []Point{{5, 5, 5}}}}},
		"no numbers":         {Series: []Series{{Points: []Point{{math.NaN(), 1, 1}}}, {Shape: Line, Points: []Point{{1, math.Inf(-1), 0}}}}},
		"zero on a log axis": {Log: true, Rows: []string{"a"}, Series: []Series{{Points: []Point{{0, 0, 0}}}}},
		"huge":               {Log: true, Series: []Series{{Points: []Point{{1e300, -1e300, 0}, {1, 1e300, 0}}}}},
		"tiny":               {Series: []Series{{Points: []Point{{1e-300, 1e-300, 0}, {0, 0, 0}}}}},
		"below zero":         {Series: []Series{{Shape: Bar, Points: []Point{{0, -1, -5}}}}},
		"band without width": {Bands: []Band{{3, 3, "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, width := range []int{200, 1040} {
				if svg := drawn(t, f, width, true); bytes.Contains(svg, []byte("NaN")) {
					t.Errorf("a coordinate is no number:\n%s", svg)
				}
			}
		})
	}
	if !(&Figure{Series: []Series{{Points: []Point{{math.NaN(), 0, 0}}}}}).Empty() || every(true).Empty() {
		t.Error("Empty is wrong")
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		low, high float64
		want      string
	}{
		{0, 10, "0 2 4 6 8 10"},
		{27.9, 61.2, "30 40 50 60"},
		{-0.4, 1.3, "0 0.5 1"},
		{1e6, 5e6, "1e+06 2e+06 3e+06 4e+06 5e+06"},
		{3, 3, ""},
		{5, 1, ""},
	} {
		var labels []string
		for _, m := range ticks(tt.low, tt.high) {
			labels = append(labels, m.Label)
		}
		if got := strings.Join(labels, " "); got != tt.want {
			t.Errorf("%g to %g: %s, want %s", tt.low, tt.high, got, tt.want)
		}
	}
}

// TestLinks: a point leads to its page, and a point that is not drawn to none.
func TestLinks(t *testing.T) {
	f := &Figure{Series: []Series{{Points: []Point{{1, 2, 0}, {2, math.NaN(), 0}, {3, 4, 0}, {4, 5, 0}},
		Links: []Link{{"a/report.html?x=1&y=2", `run "a"`}, {"b/report.html", "b"}, {"", "no page"}}}}}
	svg := string(drawn(t, f, 340, false))
	for text, n := range map[string]int{
		`<a href="a/report.html?x=1&amp;y=2"><circle `: 1, "<title>run &#34;a&#34;</title>": 1, "<a ": 1, "<title>no page</title>": 1, "<circle ": 2, "NaN": 0,
	} {
		if got := strings.Count(svg, text); got != n {
			t.Errorf("%s is there %d times, want %d, in\n%s", text, got, n, svg)
		}
	}
	texts(t, []byte(svg)) // it is still well-formed
	// The circles lie where the points do.
	var x, y float64
	at := strings.Index(svg, "<circle ")
	if _, err := fmt.Sscanf(svg[at:], `<circle cx="%f" cy="%f"`, &x, &y); err != nil || x < 10 || x > 100 || y < 200 || y > 270 {
		t.Errorf("the first point's circle is at %g, %g (%v)", x, y, err)
	}
	for href, n := range map[string]int{
		"": 0, "javascript:x": 0, " JavaScript:x": 0, "java\nscript:x": 0, "data:text/html,x": 0, "//elsewhere/x": 0, "x.html": 1, "../a b/x.html": 1, "https://elsewhere/x": 1,
	} {
		f.Series[0].Links = []Link{{href, "title"}}
		if got := strings.Count(string(drawn(t, f, 340, false)), "<a "); got != n {
			t.Errorf("%q: %d links, want %d", href, got, n)
		}
	}
}
