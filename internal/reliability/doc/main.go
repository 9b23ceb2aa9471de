// Command doc writes the table of what the fault suite has found into a Markdown file, between
// its markers.
//
//	go run ./internal/reliability/doc docs/reliability.md bin/faults.jsonl
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/internal/reliability"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "reliability:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("give the document and the file with the results")
	}
	doc, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	file, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer file.Close()
	results, err := reliability.Read(file)
	if err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	text := reliability.Table(results)
	if len(results) > 0 {
		text = source(results) + text
	}
	filled, err := reliability.Between(string(doc), "faults", text)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[0], []byte(filled), 0o644)
}

// source says what the results were made with: programs and seeds in the order of their use.
func source(results []reliability.Result) string {
	results = slices.SortedFunc(slices.Values(results), func(a, b reliability.Result) int { return a.Time.Compare(b.Time) })
	var versions, seeds []string
	for _, r := range results {
		if !slices.Contains(versions, r.Version) {
			versions = append(versions, r.Version)
		}
		if seed := fmt.Sprint(r.Seed); !slices.Contains(seeds, seed) {
			seeds = append(seeds, seed)
		}
	}
	return fmt.Sprintf("Made with meshbench %s from %s to %s UTC, the moments chosen by seed %s (`make faults SEED=%s`): ",
		strings.Join(versions, ", "), results[0].Time.UTC().Format(minute), results[len(results)-1].Time.UTC().Format(minute), strings.Join(seeds, " and "), seeds[0])
}

// minute is how a time is written.
const minute = "2006-01-02 15:04"
