// Command doc writes the table of what the fault suite has found into a Markdown file, between
// its markers.
//
//	go run ./internal/reliability/doc docs/reliability.md bin/faults.jsonl
package main

import (
	"fmt"
	"os"

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
		first, last := results[0], results[0]
		for _, r := range results {
			if r.Time.Before(first.Time) {
				first = r
			}
			if r.Time.After(last.Time) {
				last = r
			}
		}
		text = fmt.Sprintf("Made with meshbench %s until %s, the moments chosen by seed %d (`make faults SEED=%d`): %s",
			last.Version, last.Time.UTC().Format("2006-01-02 15:04"), last.Seed, last.Seed, text)
	}
	filled, err := reliability.Between(string(doc), "faults", text)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[0], []byte(filled), 0o644)
}
