package slopes

import (
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
)

// published is what istio-bench has, as facts.
func published() *observations.PublishedSeries {
	return &observations.PublishedSeries{
		By: "services", Per: 100, Istio: "1.6.2", Source: "somebody", At: []int{100, 200, 300, 400, 500, 600, 700, 800, 900, 1000},
		MemoryMi: map[string][]float64{
			"sidecar": {57.4, 70.1, 81.9, 92.1, 103.4, 115.0, 127.9, 141.7, 151.8, 162.3},
			"gateway": {123.3, 127.5, 132.6, 141.4, 152.7, 162.0, 175.2, 185.6, 195.8, 203.1},
		},
	}
}

func TestSection(t *testing.T) {
	g := gomega.NewWithT(t)
	var sidecars []Point
	for n := 0; n <= 400; n += 100 {
		sidecars = append(sidecars, Point{n, 30 + 0.05*float64(n)})
	}
	sidecars[0].Mi = 300 // below what was published: in no line
	s := Section(published(), "1.23.2", map[string][]Point{"sidecar": sidecars, "gateway": sidecars[:2]})
	g.Expect(s.Summary.Header[3]).To(gomega.Equal("Mi per 100 services"))
	row := map[string][]string{}
	for _, r := range s.Summary.Rows {
		row[r[0]+" "+r[1]] = r
	}
	// The least-squares lines of the published figures have 0.11721 and 0.09527 Mi for a Service.
	g.Expect(row["sidecar published"][2:4]).To(gomega.Equal([]string{"1.6.2", "11.72"}))
	g.Expect(row["gateway published"][2:4]).To(gomega.Equal([]string{"1.6.2", "9.53"}))
	g.Expect(row["sidecar here"][2:4]).To(gomega.Equal([]string{"1.23.2", "5.00"}))
	g.Expect(row["gateway here"]).To(gomega.Equal([]string{"gateway", "here", "1.23.2", "unknown", "", "", "1 settled steps, a line with its interval needs 3"}))
	g.Expect(row["gateway published"][6]).To(gomega.Equal("10, 100 to 1000"))
	g.Expect(s.Findings).To(gomega.HaveLen(1))
	g.Expect(s.Findings[0].Text).To(gomega.Equal("100 services cost a sidecar 5.00 Mi with Istio 1.23.2 here, 11.72 Mi with Istio 1.6.2 as published."))
	each := s.Parts[0].Tables[0]
	g.Expect(strings.Join(each.Header, "|")).To(gomega.Equal("services|sidecar, published|sidecar, here|gateway, published|gateway, here"))
	g.Expect(each.Rows[0]).To(gomega.Equal([]string{"0", "", "300.0", "", "300.0"}))
	g.Expect(each.Rows).To(gomega.HaveLen(11))
}
