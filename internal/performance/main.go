// Command performance makes a table of what `make benchmark` has measured: each goal with
// its ratio and the figures behind it. With -doc it writes the table into a Markdown file,
// between two markers, with the machine and the date.
//
//	go run ./internal/performance [-doc docs/performance.md] bin/benchmark.txt
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

func main() {
	doc := flag.String("doc", "", "write the table into this Markdown `file`, between its markers")
	version := flag.String("version", "", "the `version` of meshbench that was measured")
	flag.Parse()
	if err := run(os.Stdout, flag.Args(), *doc, *version); err != nil {
		fmt.Fprintln(os.Stderr, "performance:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string, doc, version string) error {
	if len(args) != 1 {
		return fmt.Errorf("give one file with what the benchmarks printed")
	}
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	r, err := read(file, args[0])
	if err != nil {
		return err
	}
	rows := r.rows()
	if len(rows) == 0 {
		return fmt.Errorf("%s holds no benchmark that there is a row for", args[0])
	}
	if doc == "" {
		return printTable(out, rows)
	}
	machine, err := machine()
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	measured := fmt.Sprintf("Measured on %s with meshbench %s: %s.", info.ModTime().UTC().Format(time.DateOnly), version, machine)
	filled, err := between(string(text), measured+"\n\n"+markdown(rows))
	if err != nil {
		return fmt.Errorf("%s: %w", doc, err)
	}
	if err := os.WriteFile(doc, []byte(filled), 0o644); err != nil {
		return err
	}
	return printTable(out, rows)
}

// The markers in the document.
const (
	beginMarker = "<!-- begin: make performance-doc -->\n"
	endMarker   = "<!-- end: make performance-doc -->\n"
)

// between puts text between the markers.
func between(doc, text string) (string, error) {
	before, rest, begun := strings.Cut(doc, beginMarker)
	_, after, ended := strings.Cut(rest, endMarker)
	if !begun || !ended {
		return "", fmt.Errorf("want the lines %q and %q", strings.TrimSpace(beginMarker), strings.TrimSpace(endMarker))
	}
	return before + beginMarker + text + endMarker + after, nil
}
