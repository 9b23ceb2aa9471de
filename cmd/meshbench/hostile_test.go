package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostile is what somebody might hand to the program, by mistake or not, to fill the memory of
// whoever reads it. Nothing of it lies in the tree: files have holes, and what is long is written
// into a pipe.
type hostile struct {
	// files makes what the command reads, in the folder in which it is run.
	files func(t *testing.T, dir string)
	// endless, if set, is repeated after begin into the pipe named pipe, until nobody reads it
	// any more, or 2 GiB were written.
	begin, endless string
	args           []string
	// refused is part of the one sentence on standard error; "" where it is nothing bad, and must
	// work.
	refused string
	mebi    int64 // that the command may take; 0 for usual
}

// usual is what a command may take that reads what it refuses, in MiB. The program takes 60 to
// 100 itself, most of it pages of its own file.
const usual = 320

// hole makes a file of a length that takes no room, which begins with a text.
func hole(name, begin string, length int64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(begin), 0o644)
		}
		if err == nil {
			err = os.Truncate(path, length)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func file(name, text string) func(*testing.T, string) { return hole(name, text, int64(len(text))) }

func several(all ...func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, make := range all {
			make(t, dir)
		}
	}
}

// archive makes an archive of bug-report with one entry after a good one.
func archive(head tar.Header, body string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		w := tar.NewWriter(zip)
		head.Size = int64(len(body))
		for _, err := range []error{w.WriteHeader(&tar.Header{Name: "bug-report/", Typeflag: tar.TypeDir, Mode: 0o755}), w.WriteHeader(&head)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Close(), zip.Close()); err != nil {
			t.Fatal(err)
		}
		file("bug-report.tar.gz", b.String())(t, dir)
	}
}

// bomb makes an archive of bug-report of half a megabyte that says of a file that it has 3 GiB,
// and has them: the same member of gzip again and again.
func bomb(t *testing.T, dir string) {
	t.Helper()
	zipped := func(text []byte) []byte {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "bug-report/cluster/k8s-resources", Typeflag: tar.TypeReg, Mode: 0o644, Size: 3 << 30}); err != nil {
		t.Fatal(err)
	}
	lines := zipped(bytes.Repeat([]byte(strings.Repeat("#", 1023)+"\n"), 16<<10)) // 16 MiB
	text := zipped(head.Bytes())
	for range 3 << 30 >> 24 {
		text = append(text, lines...)
	}
	file("bug-report.tar.gz", string(text))(t, dir)
}

// aliases are nine lists of nine of the list before: 9^9 values in 300 bytes. Indented for a
// field below.
func aliases(indent string) string {
	text := indent + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 9; i++ {
		text += fmt.Sprintf("%sa%d: &a%d [%s*a%d]\n", indent, i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8), i-1)
	}
	return text
}

const (
	goodScenario = "apiVersion: meshbench.dev/v1\nname: a\ntitle: A\ncluster:\n  nodes: [{type: m6i.large, count: 1}]\nsteps:\n  - name: one\n    actions:\n      - namespace: {name: ns1, injection: true}\n      - deployment: {namespace: ns1, name: web, image: nginx}\n"
	deep         = 100_000
)

// goodMesh is a mesh that is read.
var goodMesh = file("mesh.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---\n"+
	"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}}\n---\n"+
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n")

// storeLine is a record of a store.
const storeLine = `{"schema":1,"run":"r%07d","scenario":"a","meshbench":"1","date":"2026-11-29T15:45:23Z","seconds":1,"machine":{"os":"linux/amd64","kernel":"6","cpus":2,"memoryBytes":25276502016,"root":true},"environment":{"cluster":"embedded","istio":"1.23.2"},"outcome":"finished","finished":true,"steps":[{"name":"one","settled":true,"values":{"sidecar_memory_bytes":%d}}]}` + "\n"

func hostiles(repository string) map[string]hostile {
	log := filepath.Join(repository, "reports/costmodel/testdata/cost-model-check.jsonl")
	run := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			file(name+"/observations.jsonl", string(text))(t, dir)
			for _, dump := range []string{"clusters", "config_dump"} {
				hole(name+"/dumps/01-mesh/probe.probe-6d48484945-2db89."+dump+".json", `{"configs": [`, 1<<30)(t, dir)
			}
		}
	}
	cluster := `{"cluster":{"name":"outbound|80||web.shop.svc.cluster.local","type":"EDS","connect_timeout":"10s"}},`
	all := map[string]hostile{
		"explain: a dump of 1 GiB":         {files: hole("dump.json", `{"configs": [`, 1<<30), args: []string{"explain", "dump.json"}, refused: "it is longer than 512 MiB, the most that is read"},
		"explain: a dump without an end":   {begin: `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamic_active_clusters":[`, endless: cluster, args: []string{"explain", "pipe"}, refused: "more than 500000 objects", mebi: 1024},
		"explain: a text without an end":   {begin: `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamic_active_clusters":[{"cluster":{"name":"`, endless: "a", args: []string{"explain", "pipe"}, refused: "a part of it is longer than 64 MiB"},
		"explain: spaces without an end":   {begin: `{"configs":`, endless: " ", args: []string{"explain", "pipe"}, refused: "a part of it is longer than 64 MiB"},
		"explain: nothing but spaces":      {endless: " ", args: []string{"explain", "pipe"}, refused: "it is longer than 512 MiB"},
		"explain: deep lists":              {files: file("dump.json", `{"x":`+strings.Repeat("[", deep)), args: []string{"explain", "dump.json"}, refused: "exceeded max"},
		"explain: /clusters of 1 GiB":      {files: several(file("dump.json", `{"configs":[]}`), hole("clusters.json", "{", 1<<30)), args: []string{"explain", "dump.json", "--clusters", "clusters.json"}, refused: "it is longer than 512 MiB"},
		"explain: a device":                {args: []string{"explain", "/dev/zero"}, refused: "no configuration dump"},
		"compare: dumps of 1 GiB":          {files: several(run("a"), run("b")), args: []string{"compare", "a", "b"}, refused: "it is longer than 256 MiB"},
		"import: a dump of 1 GiB":          {files: several(goodMesh, hole("dump.json", "{", 1<<30)), args: []string{"import", "mesh.yaml", "--dump", "a/b=dump.json"}, refused: "it is longer than 512 MiB"},
		"import: a line of 1 GiB":          {files: hole("mesh.yaml", "kind: ", 1<<30), args: []string{"import", "mesh.yaml"}, refused: "the line has more than 16 MiB"},
		"import: a value of 1 GiB":         {files: hole("mesh.json", `{"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service", "metadata": "`, 1<<30), args: []string{"import", "mesh.json"}, refused: "invalid JSON"},
		"import: a pipe":                   {endless: "a: b\n", args: []string{"import", "pipe"}, refused: "it is no regular file"},
		"import: a device":                 {args: []string{"import", "/dev/zero"}, refused: "it is no regular file"},
		"import: deep JSON":                {files: file("mesh.json", `{"kind": "A", "spec": `+strings.Repeat("[", deep)), args: []string{"import", "mesh.json"}, refused: "exceeded max depth"},
		"import: deep YAML":                {files: file("mesh.yaml", "kind: A\nspec: "+strings.Repeat("[", deep)), args: []string{"import", "mesh.yaml"}, refused: "exceeded max depth"},
		"import: aliases of aliases":       {files: file("mesh.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n"+aliases("  ")), args: []string{"import", "mesh.yaml"}, refused: "excessive aliasing"},
		"import: an archive that grows":    {files: bomb, args: []string{"import", "bug-report.tar.gz"}, refused: "the text is too long for its archive"},
		"import: a path out of an archive": {files: archive(tar.Header{Name: "bug-report/../../../tmp/x", Typeflag: tar.TypeReg}, "text"), args: []string{"import", "bug-report.tar.gz"}, refused: "its path leads out of the archive"},
		"import: a path from the root":     {files: archive(tar.Header{Name: "/tmp/x", Typeflag: tar.TypeReg}, "text"), args: []string{"import", "bug-report.tar.gz"}, refused: "its path leads out of the archive"},
		"import: a link in an archive":     {files: archive(tar.Header{Name: "bug-report/cluster", Linkname: "/tmp", Typeflag: tar.TypeSymlink}, ""), args: []string{"import", "bug-report.tar.gz"}, refused: "it is a link or a device"},
		"import: a hard link":              {files: archive(tar.Header{Name: "bug-report/cluster/nodes", Linkname: "../../etc/passwd", Typeflag: tar.TypeLink}, ""), args: []string{"import", "bug-report.tar.gz"}, refused: "it is a link or a device"},
		"import: a device in an archive":   {files: archive(tar.Header{Name: "bug-report/cluster/nodes", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}, ""), args: []string{"import", "bug-report.tar.gz"}, refused: "it is a link or a device"},
		"import: a map of names of 1 GiB":  {files: several(goodMesh, hole("map.json", "{", 1<<30)), args: []string{"import", "mesh.yaml", "--anonymize", "--map", "map.json", "--out", "out"}, refused: "it is longer than 32 MiB"},
		"components: a bundle of nothing":  {endless: "\x00", args: []string{"components", "import", "pipe"}, refused: "cannot import components from pipe"},
		"scenario: 1 GiB":                  {files: hole("a.yaml", goodScenario, 1<<30), args: []string{"validate", "./a.yaml"}, refused: "it is longer than 32 MiB"},
		"scenario: without an end":         {begin: goodScenario, endless: "# a\n", args: []string{"validate", "./pipe"}, refused: "it is longer than 32 MiB"},
		"scenario: a million lines":        {files: file("a.yaml", goodScenario+strings.Repeat("    - a\n", 1_000_000)), args: []string{"validate", "./a.yaml"}, refused: "bytes are too many for a scenario"},
		"scenario: a million comments":     {files: file("a.yaml", goodScenario+strings.Repeat("#\n", 1_000_000)), args: []string{"validate", "./a.yaml"}},
		"scenario: a million values":       {files: file("a.yaml", goodScenario+"parameters: ["+strings.Repeat("1,", 1_000_000)+"]\n"), args: []string{"validate", "./a.yaml"}, refused: "parameters", mebi: 768},
		"scenario: half a million names":   {files: file("a.yaml", goodScenario+"a: {"+numbered("k%d: 1, ", 300_000)+"}\n"), args: []string{"validate", "./a.yaml"}, refused: "unknown field", mebi: 768},
		"scenario: aliases of aliases":     {files: file("a.yaml", goodScenario+"mesh:\n  values:\n"+aliases("    ")), args: []string{"validate", "./a.yaml"}, refused: "too large: a scenario can have at most 100000 values"},
		"scenario: deep lists":             {files: file("a.yaml", goodScenario+"mesh: "+strings.Repeat("[", deep)), args: []string{"validate", "./a.yaml"}, refused: "exceeded max depth"},
		"scenario: deep, but not too deep": {files: file("a.yaml", goodScenario+"mesh: {values: {a: "+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+"}}\n"), args: []string{"validate", "./a.yaml"}, refused: "levels"},
		"values: aliases of aliases":       {files: file("values.yaml", aliases("")), args: []string{"run", "one-pod", "--mesh-values", "values.yaml"}, refused: "excessive aliasing"},
		"values: 1 GiB":                    {files: hole("values.yaml", "a: b\n", 1<<30), args: []string{"run", "one-pod", "--mesh-values", "values.yaml"}, refused: "it is longer than 32 MiB"},
		"kubeconfig: aliases of aliases":   {files: file("config", aliases("")), args: []string{"preflight", "one-pod", "--cluster", "existing", "--kubeconfig", "config"}, refused: "excessive aliasing"},
		"log: a line of 1 GiB":             {files: hole("run/observations.jsonl", "{", 1<<30), args: []string{"report", "run"}, refused: "the line is longer than 16 MiB"},
		"log: of other lines":              {files: hole("run/observations.jsonl", "\n", 1<<30), args: []string{"report", "run"}, refused: "line 1 is not a record"},
		"store: a line of 512 MiB":         {files: hole("store.jsonl", "{", 512<<20), args: []string{"history", "store.jsonl"}, refused: "the line is longer than 16 MiB"},
		"store: 1 GiB":                     {files: hole("store.jsonl", "{", 1<<30), args: []string{"history", "store.jsonl"}, refused: "it is longer than 512 MiB"},
		"baseline: 1 GiB":                  {files: several(run("a"), hole("base.json", "{", 1<<30)), args: []string{"gate", "--baseline", "base.json", "a"}, refused: "it is longer than 32 MiB"},
		"baseline: deep lists":             {files: several(run("a"), file("base.json", `{"schema": `+strings.Repeat("[", deep))), args: []string{"gate", "--baseline", "base.json", "a"}, refused: "exceeded max depth"},
		"cost model: 1 GiB":                {files: hole("model.json", "{", 1<<30), args: []string{"predict", "--model", "model.json", "--services", "1"}, refused: "it is longer than 32 MiB"},
		"calls: aliases of aliases":        {files: several(goodMesh, file("calls.yaml", "calls:\n"+aliases("  "))), args: []string{"advise", "--mesh", "mesh.yaml", "--calls", "calls.yaml"}, refused: "calls.yaml:"},
		"calls: without an end":            {files: goodMesh, endless: "a,b\n", args: []string{"advise", "--mesh", "mesh.yaml", "--calls", "pipe"}, refused: "it has more than 64 MiB"},
		"series: without an end":           {files: goodMesh, endless: "envoy_a 1\n", args: []string{"advise", "--mesh", "mesh.yaml", "--telemetry", "pipe"}, refused: "it is longer than 256 MiB", mebi: 1024},
		"access log: a line without end":   {files: goodMesh, endless: "a", args: []string{"advise", "--mesh", "mesh.yaml", "--access-log", "pipe"}, refused: "it is longer than 1 GiB"},
		"clusters: without an end":         {files: goodMesh, begin: "outbound|80||web.shop.svc.cluster.local::", endless: "a", args: []string{"advise", "--mesh", "mesh.yaml", "--clusters", "a/b=pipe"}, refused: "token too long"},
		"history: a document of 1 GiB":     {files: several(file("store.jsonl", fmt.Sprintf(storeLine, 1, 1)), hole("doc.md", "a", 1<<30)), args: []string{"history", "store.jsonl", "--insert", "doc.md"}, refused: "it is longer than 32 MiB"},
	}
	return all
}

// numbered is a text again and again, with numbers.
func numbered(text string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, text, i)
	}
	return b.String()
}

// Whatever is handed over, the program ends with one sentence, and takes no more memory than is
// said here.
func TestHostileInput(t *testing.T) {
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	all := hostiles(repository)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			h := all[name]
			dir := t.TempDir()
			if h.files != nil {
				h.files(t, dir)
			}
			if h.endless != "" {
				feed(t, filepath.Join(dir, "pipe"), h.begin, h.endless)
			}
			code, said, mebi := measured(t, dir, h.args...)
			most := h.mebi
			if most == 0 {
				most = usual
			}
			t.Logf("%d MiB; exit code %d: %.300s", mebi, code, said)
			if mebi > most {
				t.Errorf("it took %d MiB, more than %d", mebi, most)
			}
			if h.refused == "" {
				if code != exitOK {
					t.Errorf("exit code %d: %s", code, said)
				}
				return
			}
			if code == exitOK || !strings.Contains(said, h.refused) {
				t.Errorf("exit code %d, want a refusal with %q:\n%.2000s", code, h.refused, said)
			}
			// Where the command line is at fault, a line says how to use it.
			sentence := said[max(0, strings.Index(said, "meshbench: ")):] // what came before is progress
			if lines := strings.Count(strings.TrimSpace(sentence), "\n"); lines > 1 || len(said) > 2000 {
				t.Errorf("want one sentence, got %d lines of %d bytes:\n%.2000s", lines+1, len(said), said)
			}
		})
	}
}

// feed writes into a new pipe until nobody reads it any more.
func feed(t *testing.T, path, begin, again string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		pipe, err := os.OpenFile(path, os.O_WRONLY, 0) // returns once somebody reads
		if err != nil {
			return // the test has ended
		}
		defer pipe.Close()
		piece := []byte(strings.Repeat(again, max(1, 1<<16/len(again))))
		if _, err := io.WriteString(pipe, begin); err != nil {
			return
		}
		for written := 0; written < 2<<30; written += len(piece) {
			if _, err := pipe.Write(piece); err != nil {
				return
			}
		}
	}()
}

// measured runs the program in a folder. It returns what it said on standard error, and the most
// memory that it had.
func measured(t *testing.T, dir string, args ...string) (code int, said string, mebi int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "meshbench", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MESHBENCH_CACHE="+filepath.Join(dir, "cache"))
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &errs
	cmd.WaitDelay = time.Minute
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("no usage of the program is known")
	}
	return cmd.ProcessState.ExitCode(), errs.String(), usage.Maxrss >> 10
}

// A store of twenty thousand runs, twenty a night for three years, is no attack, and is read.
func TestLargeStore(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "store.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range 20_000 {
		fmt.Fprintf(w, storeLine, i, 30_000_000+i%1000)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	code, said, mebi := measured(t, dir, "history", "store.jsonl")
	t.Logf("%d MiB; exit code %d: %.300s", mebi, code, said)
	if code != exitOK || mebi > storeMebi {
		t.Errorf("exit code %d with %d MiB: %s", code, mebi, said)
	}
}

// storeMebi is what they may take, in MiB: they are held, each with its one step, some 3 KiB.
const storeMebi = 384
