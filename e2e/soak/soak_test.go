package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// write makes a folder as soak does, of half an hour, with values by a function of the minute.
func write(t *testing.T, value func(name string, minute float64) float64, failed ...string) string {
	t.Helper()
	dir := t.TempDir()
	began := time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)
	var samples, runs strings.Builder
	encode := func(to *strings.Builder, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		to.Write(append(text, '\n'))
	}
	for second := 0; second <= 1800; second += 5 {
		s := sampled{began.Add(time.Duration(second) * time.Second), map[string]float64{}}
		for _, q := range quantities {
			if !strings.HasSuffix(q.name, ".bytes") || strings.HasPrefix(q.name, "tmp") || strings.HasPrefix(q.name, "logs") {
				s.Values[q.name] = value(q.name, float64(second)/60)
			}
		}
		encode(&samples, s)
		for _, part := range []string{partRuns, partGuest} {
			if second%60 == 30 {
				encode(&runs, ended{Part: part, Run: fmt.Sprint("run-", second), At: s.Time, Outcome: observations.Finished, Bytes: int64(value(part+".bytes", float64(second)/60))})
			}
		}
	}
	for _, f := range failed {
		encode(&runs, ended{Part: partRuns, Run: f, At: began, Outcome: observations.Failed, Error: "because"})
	}
	for name, text := range map[string]string{samplesFile: samples.String(), endedFile: runs.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// busy is a level that goes up and down with each run of 80 seconds, with noise, and rises in
// the first minutes as heaps and caches do.
func busy(random *rand.Rand) func(string, float64) float64 {
	return func(name string, minute float64) float64 {
		level := 100.0
		if strings.HasSuffix(name, "rss") || strings.HasSuffix(name, "heap") || strings.HasSuffix(name, "bytes") {
			level *= mi
		}
		level *= 1 - math.Exp(-minute/2)
		return math.Round(level * (1 + 0.01*math.Sin(minute*60/80*2*math.Pi) + 0.002*random.NormFloat64()))
	}
}

func TestWhatIsFlatAndWhatGrows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	v, err := readVerdict(write(t, busy(random)))
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range v.Judged {
		if j.Verdict == grows {
			t.Errorf("what is flat is said to grow: %+v", j)
		}
		if j.Points < 9 {
			t.Errorf("%s has %d points", j.Name, j.Points)
		}
	}
	if err := v.err(); err != nil {
		t.Error(err)
	}
	if v.Finished[partRuns] != 30 || v.Finished[partGuest] != 30 {
		t.Errorf("finished %v", v.Finished)
	}
	for _, q := range quantities {
		leak := busy(rand.New(rand.NewPCG(3, 4)))
		v, err := readVerdict(write(t, func(name string, minute float64) float64 {
			if name != q.name {
				return leak(name, minute)
			}
			return leak(name, minute) + 10*q.bound*q.scale*minute/60
		}))
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range v.Judged {
			if got := j.Verdict == grows; got != (j.Name == q.name) {
				t.Errorf("with a leak of ten times what is allowed in %s: %s is %q (%+v)", q.name, j.Name, j.Verdict, j.Trend)
			}
		}
		if err := v.err(); err == nil || !strings.Contains(err.Error(), q.name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error of a leak in %s: %v", q.name, err)
		}
	}
}

func TestAFailedRunIsSaid(t *testing.T) {
	v, err := readVerdict(write(t, busy(rand.New(rand.NewPCG(5, 6))), "run-7"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.err(); err == nil || !strings.Contains(err.Error(), "runs/run-7: failed: because") {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsNotThereIsNotFlat(t *testing.T) {
	v, err := readVerdict(write(t, func(string, float64) float64 { return 1 }))
	if err != nil {
		t.Fatal(err)
	}
	delete(v.points, "up.rss")
	j := quantities[12].judge(nil, 30)
	if j.Name != "up.rss" || j.Verdict != unknown || j.Points != 0 {
		t.Errorf("without samples: %+v", j)
	}
}

func TestTheDocumentIsFilled(t *testing.T) {
	v, err := readVerdict(write(t, busy(rand.New(rand.NewPCG(7, 8)))))
	if err != nil {
		t.Fatal(err)
	}
	docs := t.TempDir()
	doc := filepath.Join(docs, "reliability.md")
	if err := os.WriteFile(doc, []byte("# Reliability\n<!-- begin: soak -->\n<!-- end: soak -->\nthe rest\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(docs, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := v.document(doc); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"30 runs with a cluster each", "](data/soak-memory.svg)", "| memory of the sandbox that stands |", "the rest"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
	for _, f := range v.figures() {
		svg, err := os.ReadFile(filepath.Join(docs, "data", f.name))
		if err != nil || !strings.HasPrefix(string(svg), "<?xml") && !strings.HasPrefix(string(svg), "<svg") {
			t.Errorf("%s: %.40q, %v", f.name, svg, err)
		}
		for _, s := range f.figure.Series {
			if len(s.Points) == 0 {
				t.Errorf("%s: nothing is drawn of %q", f.name, s.Name)
			}
		}
	}
}

// What is repeated is a scenario that can be run, here and on a cluster of somebody's.
func TestScenario(t *testing.T) {
	text, err := os.ReadFile("soak.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenarios.Load("soak.yaml", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Steps) < 3 {
		t.Errorf("%d steps", len(s.Steps))
	}
}
