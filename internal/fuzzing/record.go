package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/internal/reliability"
)

// record is what came of one target that was run for a time.
type record struct {
	Date    string `json:"date"`             // 2026-11-30
	Commit  string `json:"commit,omitempty"` // of the tree
	Package string `json:"package"`          // its folder
	Target  string `json:"target"`
	// Seconds is how long inputs were made up, without building.
	Seconds float64 `json:"seconds"`
	// Executions are the inputs that were run.
	Executions int64 `json:"executions"`
	// New are the inputs that reached code that none before had; Interesting are all that
	// the go command keeps for the target, seeds included.
	New         int64 `json:"new"`
	Interesting int64 `json:"interesting"`
	// Crashes are the inputs that failed, by their file in the package's folder.
	Crashes []string `json:"crashes,omitempty"`

	late bool // the go command was stopped by its deadline
}

// String is the record as a line for people.
func (r record) String() string {
	text := fmt.Sprintf("%s.%s: %d executions in %.1f min, %d new inputs", r.Package, r.Target, r.Executions, r.Seconds/60, r.New)
	if len(r.Crashes) > 0 {
		text += ", FAILED: " + strings.Join(r.Crashes, ", ")
	}
	return text
}

// appendRecord appends a record to a file, which it makes where there is none.
func appendRecord(path string, r record) (err error) {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a record: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("keep a record: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("keep a record: %w", err)
	}
	return nil
}

// readRecords reads a file of records.
func readRecords(path string) ([]record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the records: %w", err)
	}
	var all []record
	number := 0
	for line := range bytes.Lines(text) {
		number++
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%s: line %d is not a record: %w", path, number, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// document writes what the records say into a document.
func document(doc, records string) error {
	all, err := readRecords(records)
	if err != nil {
		return err
	}
	return reliability.Fill(doc, "fuzzing", table(parsers, all))
}

// table is the sums over all records of each parser, as Markdown.
func table(parsers []parser, all []record) string {
	sum := func(of func(record) bool) (total record, found int) {
		for _, r := range all {
			if of(r) {
				found++
				total.Seconds += r.Seconds
				total.Executions += r.Executions
				total.New += r.New
				total.Crashes = append(total.Crashes, r.Crashes...)
			}
		}
		return total, found
	}
	var rows strings.Builder
	never := 0
	for _, p := range parsers {
		total, found := sum(func(r record) bool { return r.Package == p.folder && r.Target == p.target })
		if found == 0 {
			never++
			fmt.Fprintf(&rows, "| %s | `%s` | not yet | | | |\n", p.what, p)
			continue
		}
		fmt.Fprintf(&rows, "| %s | `%s` | %s | %.1f | %d | %d |\n", p.what, p, thousands(total.Executions), total.Seconds/60, total.New, len(total.Crashes))
	}
	total, _ := sum(func(record) bool { return true })
	var text strings.Builder
	var dates []string
	for _, r := range all {
		dates = append(dates, r.Date)
	}
	switch len(dates) {
	case 0:
		text.WriteString("Nothing was fuzzed yet.\n\n")
	default:
		fmt.Fprintf(&text, "From %s to %s: %s executions in %.0f minutes, %d new inputs that reached further code, %s.",
			slices.Min(dates), slices.Max(dates), thousands(total.Executions), math.Round(total.Seconds/60), total.New, crashes(len(total.Crashes)))
		if never > 0 {
			fmt.Fprintf(&text, " %d of %d targets were not run for longer than their seeds.", never, len(parsers))
		}
		text.WriteString("\n\n")
	}
	text.WriteString("| what is read | target | executions | minutes | new inputs | failed |\n|---|---|---:|---:|---:|---:|\n")
	return text.String() + rows.String()
}

// crashes says how many inputs failed.
func crashes(n int) string {
	switch n {
	case 0:
		return "no input failed"
	case 1:
		return "one input failed; what it showed is mended, and it is a seed now"
	}
	return fmt.Sprintf("%d inputs failed; what they showed is mended, and they are seeds now", n)
}

// thousands writes a number with commas.
func thousands(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
