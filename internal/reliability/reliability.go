// Package reliability keeps what the fault suite (e2e/faults) has found, and makes the table of
// docs/reliability.md of it.
package reliability

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// How a run with a fault ended.
const (
	Completed = "completed" // all steps were measured, with the counts that they must have
	Failed    = "failed"    // it said why
	Refused   = "refused"   // it said why before its log had a record
	Killed    = "killed"    // it could not say anything any more
)

// Result is what came of one fault: a line of JSON.
type Result struct {
	// Name says what was done, in words: kill -9 of etcd.
	Name string `json:"name"`
	// Kind is what was hit: process, resource, network, cluster.
	Kind string `json:"kind"`
	// NotMade is why it could not be made on this machine; "" where it was. Nothing else is set
	// then.
	NotMade string `json:"notMade,omitempty"`
	// Stage of the run in which it was made, Delay the seconds after the stage's begin, and At
	// those after the run's.
	Stage string  `json:"stage,omitempty"`
	Delay float64 `json:"delay,omitempty"`
	At    float64 `json:"at,omitempty"`
	// Did is what exactly was done: to which process, with which bytes.
	Did string `json:"did,omitempty"`
	// Outcome is one of the words above, Exit the exit code, and Said what the run said of it.
	Outcome string `json:"outcome,omitempty"`
	Exit    int    `json:"exit"`
	Said    string `json:"said,omitempty"`
	// Kept are the records that were in the log when the fault was made, and Lost those of them
	// that are not there any more.
	Kept int `json:"kept"`
	Lost int `json:"lost"`
	// Left is what was left on the machine.
	Left []string `json:"left,omitempty"`
	// Resumed says how going on with the run ended; "" where there was nothing to go on with.
	Resumed string `json:"resumed,omitempty"`
	// Seed chose the moment.
	Seed int64 `json:"seed"`
	// Passed says that all of this is as it must be.
	Passed  bool      `json:"passed"`
	Time    time.Time `json:"time"`
	Version string    `json:"version,omitempty"` // of meshbench
}

// Append adds a result to a file, which is made where there is none. Several processes may do
// it at once.
func Append(file string, r Result) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a fault's result: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("keep a fault's result: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep a fault's result: %w", err)
	}
	return nil
}

// Read reads results, the last of each name, in the order of the names within their kinds.
func Read(r io.Reader) ([]Result, error) {
	last := map[string]Result{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var result Result
		if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
			return nil, fmt.Errorf("line %d is no result: %w", n, err)
		}
		if result.Name == "" {
			return nil, fmt.Errorf("line %d is no result: it has no name", n)
		}
		last[result.Name] = result
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	var all []Result
	for _, result := range last {
		all = append(all, result)
	}
	slices.SortFunc(all, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// Table is the results as Markdown: a sentence that counts them, a table of those that were
// made, and a list of those that were not, with the reasons.
func Table(results []Result) string {
	var rows, missing strings.Builder
	made, passed := 0, 0
	for _, r := range results {
		if r.NotMade != "" {
			fmt.Fprintf(&missing, "- %s: %s\n", cell(r.Name), cell(r.NotMade))
			continue
		}
		made++
		outcome := r.Outcome
		if r.Passed {
			passed++
		} else {
			outcome = "**NOT AS IT MUST BE**: " + outcome
		}
		lost := "nothing"
		if r.Lost > 0 {
			lost = fmt.Sprintf("**%d records**", r.Lost)
		}
		left := "nothing"
		if len(r.Left) > 0 {
			left = "**" + cell(strings.Join(r.Left, "; ")) + "**"
		}
		fmt.Fprintf(&rows, "| %s | %s, %.1f s into the run | %s (exit %d) | %s | %s of %d | %s | %s |\n",
			cell(r.Name), cell(r.Stage), r.At, outcome, r.Exit, cell(r.Said), lost, r.Kept, left, cmp.Or(cell(r.Resumed), "nothing to go on with"))
	}
	text := fmt.Sprintf("%d faults, %d of them as they must be.\n\n"+
		"| fault | moment | outcome | what was said of it | records lost | left | going on |\n|---|---|---|---|---|---|---|\n%s", made, passed, rows.String())
	if missing.Len() > 0 {
		text += "\nNot made on this machine, and not counted:\n\n" + missing.String()
	}
	return text
}

// cell is text that may stand in a table's cell.
func cell(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "*", "\\*", "_", "\\_").Replace(text)
}

// Between puts text between the markers <!-- begin: NAME --> and <!-- end: NAME -->, which
// stand on lines of their own.
func Between(doc, name, text string) (string, error) {
	begin, end := "<!-- begin: "+name+" -->\n", "<!-- end: "+name+" -->\n"
	before, rest, begun := strings.Cut(doc, begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		return "", fmt.Errorf("the lines %q and %q are missing", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + text + end + after, nil
}
