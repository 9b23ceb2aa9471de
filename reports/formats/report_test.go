package formats

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/reportstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	formats := map[string][]string{
		"whole":     {"markdown", "json", "csv", "junit", "openmetrics", "bench"},
		"cut":       {"csv", "junit", "openmetrics", "bench"},
		"unsettled": {"junit", "bench"},
		"resumed":   {"markdown", "json", "csv", "junit", "openmetrics", "bench"},
		"miss":      {"junit"},
	}
	for name, records := range reportstest.Logs() {
		for _, format := range append(formats[name], "console") {
			t.Run(name+"/"+format, func(t *testing.T) {
				golden(t, name, format, printed(t, build(t, records), format))
			})
		}
	}
}

func golden(t *testing.T, name, format, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+"."+format+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s (look at it, then go test -update):\n%s", path, diff)
	}
}

func TestSameLogSameBytes(t *testing.T) {
	for name, records := range reportstest.Logs() {
		for _, w := range Writers() {
			first := printed(t, build(t, records), w.Name)
			for range 2 { // map order differs from run to run
				if again := printed(t, build(t, records), w.Name); again != first {
					t.Fatalf("%s, %s: %s", name, w.Name, cmp.Diff(first, again))
				}
			}
		}
	}
}

func TestJSONShape(t *testing.T) {
	var report map[string]any
	if err := json.Unmarshal([]byte(printed(t, build(t, reportstest.Log()), "json")), &report); err != nil {
		t.Fatal(err)
	}
	memory := map[string]any{"medianBytes": 0.0, "minBytes": 0.0, "maxBytes": 0.0, "samples": 0.0}
	shape := map[string]any{
		"scenario": "", "cluster": "", "istio": "", "envoy": "", "finished": true,
		"steps": []any{map[string]any{
			"name":    "",
			"objects": map[string]any{"nodes": 0.0, "pods": 0.0, "services": 0.0},
			"rows":    map[string]any{"cluster": 0.0, "listener": 0.0, "route": 0.0, "endpoint": 0.0},
			"configObjects": map[string]any{"clusters": 0.0, "listeners": 0.0, "filterChains": 0.0, "routeConfigs": 0.0,
				"virtualHosts": 0.0, "endpoints": 0.0},
			"configDumpBytes": 0.0,
			"memory":          memory,
			"witnessMemory":   memory,
			"settled":         true,
			"expectations":    []any{map[string]any{"what": "", "want": 0.0, "got": 0.0, "ok": true}},
		}},
	}
	var check func(path string, shape, got any)
	check = func(path string, shape, got any) {
		if reflect.TypeOf(shape) != reflect.TypeOf(got) {
			t.Errorf("%s is a %T, not a %T", path, got, shape)
			return
		}
		switch shape := shape.(type) {
		case map[string]any:
			for key, value := range shape {
				check(path+"."+key, value, got.(map[string]any)[key])
			}
		case []any:
			for i, item := range got.([]any) {
				check(fmt.Sprintf("%s[%d]", path, i), shape[0], item)
			}
		}
	}
	check("report", shape, report)
	if n := len(report["steps"].([]any)); n != 9 {
		t.Errorf("%d steps", n)
	}
	if got := report["steps"].([]any)[4].(map[string]any)["rows"]; !reflect.DeepEqual(got, map[string]any{"cluster": 17.0, "listener": 224.0, "route": 10.0, "endpoint": 15.0}) {
		t.Errorf("rows of step 5 are %v: the header line must not be counted", got)
	}
}

func TestEveryCutOfALog(t *testing.T) {
	whole := logBytes(t, reportstest.Log())
	cuts := 0
	// The end of every record, and a stride through the middles: the log is long, its
	// records are alike.
	for cut := 0; cut <= len(whole); cut++ {
		atEnd := cut > 0 && whole[cut-1] == '\n' || cut == len(whole)-1
		if !atEnd && cut%4999 != 0 {
			continue
		}
		cuts++
		records, truncated, err := observations.Read(bytes.NewReader(whole[:cut]))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		r, err := reports.Build(records, truncated)
		if err != nil {
			if len(records) > 0 {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			continue
		}
		if end := cut >= len(whole)-1; r.Finished != end {
			t.Fatalf("cut at %d of %d: finished is %v", cut, len(whole), r.Finished)
		}
		for _, w := range Writers() {
			// Drawing takes a while; the page has all plots.
			every := 5
			switch {
			case strings.HasPrefix(w.File, "plots/"):
				continue
			case w.Name == "html":
				every = 50
			}
			if cuts%every == 0 {
				printed(t, r, w.Name)
			}
		}
	}
}

func FuzzBuild(f *testing.F) {
	short := reportstest.Log()[:60]
	f.Add(logBytes(f, short))
	f.Add(logBytes(f, short)[:2000])
	f.Add([]byte(`{"run":{"schema":1,"scenario":"s","steps":["a","b"],"cluster":{"baseline":"eks"}}}
{"step":0,"begin":{"name":"a","publishedFigures":{"cluster":3,"memoryMi":[1,2]},"expect":[{"what":"moon","change":1}]}}
{"step":0,"usage":{"namespace":"n","pod":"p","container":"istio-proxy","memoryBytes":9223372036854775807}}
{"step":0,"proxy":{"rows":{"cluster":2}}}
{"step":0,"measure":{}}
`))
	f.Add([]byte(`{"run":{"schema":1,"scenario":"s","steps":["a","b"],"publishedGrowth":{"growthMi":150,"perRevisions":-1,"killedBetween":[9,1],"killedAtMi":1}}}
{"step":0,"begin":{"name":"a"}}
{"step":0,"revisions":{"namespace":"l","service":"s","mode":"shape","count":3,"total":3}}
{"step":0,"settle":{"settled":true}}
{"step":0,"usage":{"namespace":"n","pod":"p","container":"istio-proxy","workload":"n/w","memoryBytes":5}}
{"step":0,"proxy":{"namespace":"n","pod":"p","workload":"n/w","rows":{"cluster":2},"stats":{"cluster":2}}}
{"step":0,"measure":{}}
{"restart":{"namespace":"n","pod":"p","container":"istio-proxy","workload":"n/w","reason":"OOMKilled","lastBytes":4,"revisions":2}}
{"step":1,"revisions":{"namespace":"l","service":"s","mode":"shape","count":9,"total":9}}
{"step":1,"settle":{"settled":true}}
{"step":1,"usage":{"namespace":"n","pod":"p","container":"istio-proxy","workload":"n/w","memoryBytes":50}}
{"step":1,"proxy":{"namespace":"n","pod":"p","workload":"n/w","rows":{"cluster":9},"stats":{"cluster":7}}}
{"event":{"level":"info","kind":"reconnect","object":"n/p"}}
{"step":1,"measure":{"controlPlaneParts":{"etcd":{"memoryBytes":1}}}}
`))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, truncated, err := observations.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		r, err := reports.Build(records, truncated)
		if err != nil {
			return
		}
		for _, w := range Writers() {
			if strings.HasPrefix(w.File, "plots/") {
				continue // the page has them
			}
			var b bytes.Buffer
			if err := w.Write(&b, r); err != nil {
				return // a number that JSON cannot hold
			}
		}
	})
}

func TestConsoleFitsATerminal(t *testing.T) {
	for name, records := range reportstest.Logs() {
		for _, line := range strings.Split(printed(t, build(t, records), "console"), "\n") {
			if n := utf8.RuneCountInString(line); n > consoleWidth {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
			if strings.HasSuffix(line, " ") {
				t.Errorf("%s: blanks at the end: %q", name, line)
			}
		}
	}
}

func TestColourSaysNothingNew(t *testing.T) {
	r := build(t, reportstest.Logs()["miss"])
	var coloured bytes.Buffer
	if err := Console(&coloured, r, true); err != nil {
		t.Fatal(err)
	}
	text := coloured.String()
	for _, code := range []string{"\x1b[32m", "\x1b[31m", "\x1b[33m"} {
		if !strings.Contains(text, code) {
			t.Errorf("no %q", code)
		}
		text = strings.ReplaceAll(text, code, "")
	}
	if diff := cmp.Diff(printed(t, r, "console"), strings.ReplaceAll(text, "\x1b[0m", "")); diff != "" {
		t.Error(diff)
	}
}

func TestWriteAll(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "report.json")
	if err := os.WriteFile(old, []byte("of an earlier version"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := build(t, reportstest.Log())
	paths, err := WriteAll(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		names = append(names, path)
		info, err := e.Info()
		want := os.FileMode(0o644)
		if path == old {
			want = 0o600 // somebody has made it their own
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, w := range filesOf(r) {
		want = append(want, filepath.Join(dir, w.File))
	}
	if !slices.Equal(paths, want) {
		t.Errorf("told %v", paths)
	}
	slices.Sort(want)
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("folder holds %v", names)
	}
	if b, _ := os.ReadFile(old); string(b) != printed(t, r, "json") {
		t.Error("report.json was not replaced")
	}
	if _, err := WriteAll(filepath.Join(dir, "missing"), r); err == nil || !strings.Contains(err.Error(), "report.html") {
		t.Errorf("a missing folder: %v", err)
	}
}

func TestMarkdownEscapes(t *testing.T) {
	records := reportstest.Log()
	records = append(records, observations.Record{Time: records[0].Time, Event: &observations.Event{Level: "warning", Kind: "note", Message: "a|b\n<script>*"}})
	text := printed(t, build(t, records), "markdown")
	if !strings.Contains(text, `a\|b &lt;script&gt;\*`) || strings.Contains(text, "<script>") {
		t.Error("not escaped")
	}
}
