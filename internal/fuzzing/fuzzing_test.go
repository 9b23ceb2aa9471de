package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// elsewhere are packages that decode something and need no target of their own, with why.
var elsewhere = map[string]string{
	"e2e/cases":                         "a test's own files",
	"e2e/soak":                          "its own samples, and /proc",
	"harness/cluster/eks/ekstest":       "an emulated AWS for tests",
	"harness/cluster/embedded/baseline": "objects that package manifests has read and written",
	"harness/images":                    "images that package components has verified",
	"harness/mesh/generate":             "sources of pinned versions, by hand",
	"harness/render":                    "the fields of a kustomization.yaml, for messages; Kustomize reads it",
	"harness/survey":                    "lists of the API server, whose items go through package manifests",
	"harness/trial":                     "a scenario that was rendered here",
	"internal/fuzzing":                  "what the go command prints",
	"internal/reliability":              "what the fault suite wrote",
	"internal/performance":              "what benchmarks print",
	"proxyconfig/proxyconfigtest":       "a test's own files",
	"reports/hostiletest":               "what the reports under test have written",
}

var (
	targetLine = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	decodes    = regexp.MustCompile(`json\.(?:Unmarshal|NewDecoder)\(|\.Unmarshal(?:Strict)?\(|yaml\.NewDecoder\(|bufio\.NewScanner\(|NewTextParser\(|(?:tar|gzip|csv)\.NewReader\(|zip\.OpenReader\(|parser\.Parse`)
)

// sources calls each with every Go file of the tree.
func sources(t *testing.T, each func(folder, name, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "bin", "runs", "tools"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		each(filepath.ToSlash(folder), d.Name(), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every target is in the list once, and every package that decodes something has one.
func TestEveryParserIsFuzzed(t *testing.T) {
	listed := map[string]int{}
	fuzzed := map[string]bool{}
	for _, p := range parsers {
		listed[p.String()]++
		fuzzed[p.folder] = true
		if p.what == "" {
			t.Errorf("%s: say what it reads", p)
		}
	}
	decoding := map[string]string{}
	found := 0
	sources(t, func(folder, name, text string) {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range targetLine.FindAllStringSubmatch(text, -1) {
				found++
				if key := folder + "." + m[1]; listed[key] != 1 {
					t.Errorf("%s is in the list of parsers %d times: add it there once, with what it reads", key, listed[key])
				}
				delete(listed, folder+"."+m[1])
			}
			return
		}
		if decodes.MatchString(text) {
			decoding[folder] = name
		}
	})
	for key := range listed {
		t.Errorf("%s is in the list of parsers and not in the tree", key)
	}
	if found < 60 {
		t.Errorf("%d targets: this test looks in the wrong place", found)
	}
	for folder, name := range decoding {
		if why := elsewhere[folder]; !fuzzed[folder] && why == "" {
			t.Errorf("%s decodes something in %s and has no fuzz target: write one, or say here why it needs none", folder, name)
		}
	}
	for folder := range elsewhere {
		if fuzzed[folder] || decoding[folder] == "" {
			t.Errorf("%s is said to need no target, and has one or decodes nothing", folder)
		}
	}
}

func TestRead(t *testing.T) {
	const ok = `fuzz: elapsed: 0s, gathering baseline coverage: 0/192 completed
fuzz: elapsed: 1s, gathering baseline coverage: 192/192 completed, now fuzzing with 1 workers
fuzz: elapsed: 3s, execs: 325017 (108336/sec), new interesting: 11 (total: 202)
fuzz: elapsed: 1m1s, execs: 6325017 (108336/sec), new interesting: 12 (total: 204)
PASS
ok  	example.com/x	61.2s
`
	for name, test := range map[string]struct {
		said string
		want record
	}{
		"ends well": {ok, record{Seconds: 61, Executions: 6325017, New: 12, Interesting: 204}},
		"an input fails": {ok[:strings.Index(ok, "PASS")] + `fuzz: minimizing 34-byte failing input file
fuzz: elapsed: 1m2s, minimizing
--- FAIL: FuzzX (62.02s)
    --- FAIL: FuzzX (0.00s)
        x_test.go:20: no

    Failing input written to testdata/fuzz/FuzzX/af69258a12129d6c
    To re-run:
    go test -run=FuzzX/af69258a12129d6c
FAIL
`, record{Seconds: 61, Executions: 6325017, New: 12, Interesting: 204, Crashes: []string{"testdata/fuzz/FuzzX/af69258a12129d6c"}}},
		"a seed fails": {"fuzz: elapsed: 0s, gathering baseline coverage: 0/2 completed\nfailure while testing seed corpus entry: FuzzX/seed#0\n", record{Crashes: []string{"FuzzX/seed#0"}}},
		"the deadline": {"fuzz: elapsed: 40s, execs: 30 (1/sec), new interesting: 1 (total: 2)\n--- FAIL: FuzzX (40.05s)\n    context deadline exceeded\nFAIL\n", record{Seconds: 40, Executions: 30, New: 1, Interesting: 2, late: true}},
		"nothing":      {"", record{}},
	} {
		t.Run(name, func(t *testing.T) {
			var got record
			if err := got.read(strings.NewReader(test.said)); err != nil {
				t.Fatal(err)
			}
			if got.String() != test.want.String() || got.Seconds != test.want.Seconds || got.Interesting != test.want.Interesting || got.late != test.want.late || !slices.Equal(got.Crashes, test.want.Crashes) {
				t.Errorf("read %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestTableSumsSessions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fuzz.jsonl")
	all := []parser{{"a thing", "a/b", "FuzzX"}, {"another", "a", "FuzzY"}}
	for _, r := range []record{
		{Date: "2026-11-30", Package: "a/b", Target: "FuzzX", Seconds: 60, Executions: 1_000_000, New: 3},
		{Date: "2026-12-01", Package: "a/b", Target: "FuzzX", Seconds: 30, Executions: 234_567, New: 1, Crashes: []string{"testdata/fuzz/FuzzX/1"}},
	} {
		if err := appendRecord(path, r); err != nil {
			t.Fatal(err)
		}
	}
	records, err := readRecords(path)
	if err != nil {
		t.Fatal(err)
	}
	got := table(all, records)
	for _, want := range []string{
		"From 2026-11-30 to 2026-12-01: 1,234,567 executions in 2 minutes, 4 new inputs that reached further code, one input failed; what it showed is mended, and it is a seed now. 1 of 2 targets were not run",
		"| a thing | `a/b.FuzzX` | 1,234,567 | 1.5 | 4 | 1 |\n",
		"| another | `a.FuzzY` | not yet | | | |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, got)
		}
	}
	if err := os.WriteFile(path, []byte("{}\n{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecords(path); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
}

func TestChoose(t *testing.T) {
	for word, want := range map[string]int{"scenarios": 2, "scenarios.FuzzLoad": 1, "FuzzLoad": 2, "sample.FuzzStats": 1} {
		if got, err := choose(parsers, []string{word}); err != nil || len(got) != want {
			t.Errorf("%s: %v, %v; want %d", word, got, err, want)
		}
	}
	if _, err := choose(parsers, []string{"FuzzNone"}); err == nil {
		t.Error("no error of a target that is not there")
	}
	if got, _ := choose(parsers, nil); len(got) != len(parsers) {
		t.Errorf("%d of all", len(got))
	}
}
