package reliability

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "faults.jsonl")
	for _, r := range []Result{
		{Name: "kill -9 of etcd", Kind: "process", Stage: "step 2, settling", At: 20, Outcome: Failed, Exit: 1, Said: "etcd ended", Kept: 10, Passed: false},
		{Name: "kill -9 of etcd", Kind: "process", Stage: "step 3, settling", At: 21.26, Outcome: Failed, Exit: 1, Said: "a | b\nc", Kept: 12, Passed: true, Resumed: "completed"},
		{Name: "a VM's clock", Kind: "machine", NotMade: "it needs a VM"},
		{Name: "kill -9 of istiod", Kind: "process", Outcome: Completed, Lost: 3, Kept: 12, Left: []string{"process 12", "a file"}},
	} {
		if err := Append(file, r); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	results, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	got := Table(results)
	want := `2 faults, 1 of them as they must be.

| fault | moment | outcome | what was said of it | records lost | left | going on |
|---|---|---|---|---|---|---|
| kill -9 of etcd | step 3, settling, 21.3 s into the run | failed (exit 1) | a \| b c | nothing of 12 | nothing | completed |
| kill -9 of istiod | , 0.0 s into the run | **NOT AS IT MUST BE**: completed (exit 0) |  | **3 records** of 12 | **process 12; a file** | nothing to go on with |

Not made on this machine, and not counted:

- a VM's clock: it needs a VM
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRead(t *testing.T) {
	for text, want := range map[string]string{
		"{": "line 1 is no result", "{}\n": "line 1 is no result: it has no name",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestBetween(t *testing.T) {
	doc := "a\n<!-- begin: faults -->\nold\n<!-- end: faults -->\nb\n"
	got, err := Between(doc, "faults", "new\n")
	if want := strings.Replace(doc, "old", "new", 1); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := Between(doc, "soak", "new\n"); err == nil {
		t.Error("markers that are missing are no error")
	}
}
