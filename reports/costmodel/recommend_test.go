package costmodel

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecommend(t *testing.T) {
	e := Estimate{Bytes: 100 * mi, Lo: 90 * mi, Hi: 110 * mi}
	for name, test := range map[string]struct {
		e              Estimate
		life           *History
		peaks          *Peaks
		request, limit string
		unknown        []string
	}{
		"all":        {e, &History{Median: 4 * mi, Max: 10 * mi}, &Peaks{Pushed: &Over{Max: 0.2}, Started: &Over{Max: 0.1}}, "128Mi", "144Mi", nil},
		"no growth":  {e, &History{Median: -4 * mi, Max: -1 * mi}, &Peaks{Pushed: &Over{}, Started: &Over{}}, "112Mi", "112Mi", nil},
		"exact":      {Estimate{Hi: 112 * mi}, &History{}, &Peaks{Pushed: &Over{}, Started: &Over{}}, "112Mi", "112Mi", nil},
		"no history": {e, nil, &Peaks{Pushed: &Over{Max: 0.5}, Started: &Over{}}, "112Mi", "176Mi", []string{"growth in life"}},
		"no peaks":   {e, &History{}, nil, "112Mi", "112Mi", []string{"the peak at pushes", "the peak at starts"}},
		"no starts":  {e, &History{}, &Peaks{Pushed: &Over{Max: 0.1}}, "112Mi", "128Mi", []string{"the peak at starts"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Recommend(test.e, test.life, test.peaks)
			if r.Request != test.request || r.Limit != test.limit {
				t.Errorf("request %s, limit %s, want %s and %s: %+v", r.Request, r.Limit, test.request, test.limit, r.Parts)
			}
			var unknown []string
			for _, u := range r.Unknown {
				what, _, _ := strings.Cut(u, ":")
				unknown = append(unknown, what)
			}
			if diff := cmp.Diff(test.unknown, unknown); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
			var out bytes.Buffer
			if err := r.Print(&out); err != nil {
				t.Fatal(err)
			}
			for _, want := range append([]string{
				"sidecar.istio.io/proxyMemory: " + test.request, "sidecar.istio.io/proxyMemoryLimit: " + test.limit,
				"        memory: " + test.limit + "\n",
			}, test.unknown...) {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the text does not say %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// TestRecommendWarns checks what is said of a prediction that cannot be relied on.
func TestRecommendWarns(t *testing.T) {
	var out bytes.Buffer
	r := Recommend(Estimate{Hi: 1100 * mi, Warnings: []string{"clusters: 9 is outside"}}, nil, nil)
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Istio's default limit, 1.0 Gi, is lower", "WARNING: the prediction is outside of what was measured"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, out.String())
		}
	}
}

// TestRecommendCalibrated checks that growth in life is not added where it was measured.
func TestRecommendCalibrated(t *testing.T) {
	m := &Model{SidecarHistory: &History{Median: 50 * mi, Max: 50 * mi}}
	e := Estimate{Hi: 100 * mi}
	if r := m.Recommend(e); r.Request != "160Mi" {
		t.Errorf("request %s, want 160Mi", r.Request)
	}
	r := m.Calibrated(&Calibration{Factor: 1, Lived: true}).Recommend(e)
	if r.Request != "112Mi" || len(r.Warnings) != 1 {
		t.Errorf("calibrated by a mesh with a past: request %s (%v), want 112Mi and a word about it", r.Request, r.Warnings)
	}
}
