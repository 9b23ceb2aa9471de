package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// output is what the benchmarks print, with what their programs say in between.
const output = `goos: linux
goarch: amd64
pkg: github.com/meshbench/meshbench/proxyconfig
cpu: AMD EPYC
BenchmarkDump/size=2MB/by=meshbench-2         	       3	   4000000 ns/op	 500.00 MB/s	    120000 peak-held-B	   37226 B/op	      53 allocs/op
BenchmarkDump/size=2MB/by=encoding-json-2     	       3	  40000000 ns/op	  50.00 MB/s	   4300000 peak-held-B	 2196064 B/op	    1568 allocs/op
BenchmarkDump/size=30MB/by=meshbench-2        	       3	  27015005 ns/op	 903.85 MB/s	    109160 peak-held-B
PASS
pkg: github.com/meshbench/meshbench/e2e
   0.3s  cluster
   5.2s  cluster: done in 4.9 s
BenchmarkStep-2   	       1	60000000000 ns/op	 80.0 cpu-s	 20.0 control-plane-cpu-s	 10.0 harness-cpu-s	 5.0 istiod-cpu-s	 60.0 s	 45.0 sidecars-cpu-s	 1.500 x-limit
BenchmarkHundredRuns/gate-2  	       1	1 ns/op	2.5 s	3.5 cpu-s	100.0 runs	20000000 log-B
BenchmarkRun/headless-2   1   1 ns/op   58.2 s/run
BenchmarkOther-2   1   1 ns/op
`

const table = `| what | ratio | goal | figures |
|---|---:|---|---|
| counting a dump of 2 MB, against encoding/json | 10.0 x |  | 500 MB/s, 0.12 MB held; encoding/json 50 MB/s, 4.3 MB held |
| a step of 100 pods, wall time against its programs' CPU time spread over the cores | 1.50 x | at most 2 x | 60.0 s; 80.0 s CPU (sidecars 45.0, control plane 20.0, istiod 5.0, meshbench and its nodes 10.0) |
| meshbench gate of 100 runs |  |  | 2.5 s (3.5 s CPU), logs of 20.0 MB |
| a run of headless |  | at most 60 s | 58 s |
`

// TestRows has no row for what was not measured, or in part alone.
func TestRows(t *testing.T) {
	r, err := read(strings.NewReader(output), "benchmark.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table, markdown(r.rows())); diff != "" {
		t.Error(diff)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	results := write("benchmark.txt", output)
	doc := write("doc.md", "# Speed\n"+beginMarker+"old\n"+endMarker+"after\n")
	var out bytes.Buffer
	for range 2 { // again gives the same
		if err := run(&out, []string{results}, doc, "v1"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		got := string(text)
		if !strings.HasPrefix(got, "# Speed\n"+beginMarker+"Measured on ") || !strings.HasSuffix(got, "\n\n"+table+endMarker+"after\n") || strings.Contains(got, "old") {
			t.Errorf("the document is now\n%s", got)
		}
	}
	if !strings.Contains(out.String(), "10.0 x") {
		t.Errorf("printed %s", &out)
	}
	for name, test := range map[string]struct{ results, doc, want string }{
		"no results":     {filepath.Join(dir, "none"), doc, "no such file"},
		"no benchmarks":  {write("empty.txt", "PASS\n"), doc, "no benchmark"},
		"no markers":     {results, write("bare.md", "# Speed\n"), "want the lines"},
		"markers turned": {results, write("turned.md", endMarker+beginMarker), "want the lines"},
	} {
		if err := run(&out, []string{test.results}, test.doc, "v1"); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}
