package plot

import (
	"fmt"
	"html"
	"net/url"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// reach is the radius around a point that leads to where it links to, in pixels.
const reach = 9

// followed says whether there is an address, and one that a browser opens rather than runs:
// of a file beside the page, or of the web.
func (l Link) followed() bool {
	u, err := url.Parse(l.Href)
	return err == nil && l.Href != "" && (u.Scheme == "" && u.Host == "" || u.Scheme == "https" || u.Scheme == "http")
}

// links are circles that cannot be seen over the points that link somewhere, drawn on the
// area of the data of a figure that high. A canvas of gonum knows no links.
func (f *Figure) links(p *plot.Plot, area draw.Canvas, height vg.Length) string {
	x, y := p.Transforms(&area)
	var b strings.Builder
	for _, s := range f.Series {
		for i, link := range s.Links {
			if i >= len(s.Points) || !finite(s.Points[i].X) || !finite(s.Points[i].Y) {
				continue
			}
			// The canvas counts from the bottom, SVG from the top.
			circle := fmt.Sprintf(`<circle cx="%.1f" cy="%.1f" r="%d" style="fill:transparent;pointer-events:all"><title>%s</title></circle>`,
				x(s.Points[i].X).Points(), (height - y(s.Points[i].Y)).Points(), reach, html.EscapeString(link.Title))
			if link.followed() {
				circle = fmt.Sprintf(`<a href="%s">%s</a>`, html.EscapeString(link.Href), circle)
			}
			b.WriteString(circle + "\n")
		}
	}
	return b.String()
}
