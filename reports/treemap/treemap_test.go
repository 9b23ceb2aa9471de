package treemap

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

// TestSquarify: areas are as the values, within the whole, and no two overlap.
func TestSquarify(t *testing.T) {
	for _, values := range [][]float64{{6, 6, 4, 3, 2, 2, 1}, {1}, {1000, 1, 1, 1}, {5, 5}, {1e-9, 1e-12}, make([]float64, 3)} {
		whole := rect{10, 20, 600, 400}
		var sum float64
		for _, v := range values {
			sum += v
		}
		all := squarify(values, whole)
		if len(all) != len(values) {
			t.Fatalf("%v: %d rectangles", values, len(all))
		}
		for i, r := range all {
			if sum > 0 && math.Abs(r.w*r.h-values[i]/sum*whole.w*whole.h) > 1e-6*whole.w*whole.h {
				t.Errorf("%v: %d has the area %g", values, i, r.w*r.h)
			}
			if r.x < whole.x-1e-6 || r.y < whole.y-1e-6 || r.x+r.w > whole.x+whole.w+1e-6 || r.y+r.h > whole.y+whole.h+1e-6 {
				if sum > 0 {
					t.Errorf("%v: %d lies outside: %+v", values, i, r)
				}
			}
			for _, o := range all[:i] {
				if w, h := min(r.x+r.w, o.x+o.w)-max(r.x, o.x), min(r.y+r.h, o.y+o.h)-max(r.y, o.y); w > 1e-6 && h > 1e-6 {
					t.Errorf("%v: %+v and %+v overlap", values, r, o)
				}
			}
		}
	}
	// The article's example: the first two stand above one another, nearly square.
	all := squarify([]float64{6, 6, 4, 3, 2, 2, 1}, rect{0, 0, 6, 4})
	if first := all[0]; first.w != 3 || first.h != 2 || all[1].y != 2 {
		t.Errorf("%+v", all[:2])
	}
}

// TestSVG: whatever the names are, the map is well-formed, and names are text.
func TestSVG(t *testing.T) {
	m := &Map{Title: `<&">`, Text: func(v float64) string { return fmt.Sprintf("%.0f Mi", v) }}
	for g := range 30 {
		n := Node{Name: fmt.Sprintf(`<script>alert("%d")</script>&`, g)}
		for s := range 200 {
			n.Children = append(n.Children, Node{Name: fmt.Sprintf("'><b>svc-%d", s), Value: float64(g*s%97) - 3, Text: "1 Mi", More: "a < b & c", Tone: Tone(s % 4)})
		}
		m.Nodes = append(m.Nodes, n)
	}
	m.Nodes = append(m.Nodes, Node{Name: "nothing"}, Node{Name: "less", Value: -4})
	for _, size := range [][2]int{{1072, 520}, {340, 600}, {1, 1}, {40, 2000}} {
		svg := string(m.SVG(size[0], size[1]))
		if strings.Contains(svg, "<script") || strings.Contains(svg, "<b>") {
			t.Error("a name is taken for markup")
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v: %v", size, err)
			}
		}
		if string(m.SVG(size[0], size[1])) != svg {
			t.Error("the same map gives other bytes")
		}
		if size[0] > 1000 && (!strings.Contains(svg, "more") || strings.Count(svg, "<rect") > 6000) {
			t.Error("what is too small is not drawn together")
		}
	}
	if svg := string((&Map{}).SVG(100, 100)); !strings.HasSuffix(svg, "</svg>") || strings.Contains(svg, "rect") {
		t.Error(svg)
	}
}

// TestCut: texts fit, or are left out.
func TestCut(t *testing.T) {
	for _, text := range []string{"web", "a-service-of-a-very-long-name-as-people-have-them.namespace", "WWWWWWWW", "日本語の名前"} {
		for width := 0.0; width < 300; width += 7 {
			short := cut(text, width)
			if short != "" && measured(short) > width {
				t.Errorf("%q in %g: %q", text, width, short)
			}
			if short != text && short != "" && !strings.Contains(short, "…") {
				t.Errorf("%q was cut to %q", text, short)
			}
		}
	}
}
