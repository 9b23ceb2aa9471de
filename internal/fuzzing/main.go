// Command fuzzing gives every parser made-up input, one target after another, and keeps a
// record of each: how many inputs were run, for how long, what was new among them, and what
// failed. With -doc it makes a section of a document of all records.
//
//	go run ./internal/fuzzing -time 10m -record docs/data/fuzz.jsonl [TARGET...]
//	go run ./internal/fuzzing -record docs/data/fuzz.jsonl -doc docs/reliability.md
//
// It is run in the tree's root. Without TARGETs, words like FuzzLoad or scenarios.FuzzLoad, it
// runs all. It ends with exit code 1 when an input failed, after the others were run.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzing:", err)
		os.Exit(1)
	}
}

// memoryLimit bounds the address space of what is run, in bytes: a parser that takes more
// memory than its input warrants ends there, and counts as failed. Compiling takes less, too.
const memoryLimit = 12 << 30

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("fuzzing", flag.ContinueOnError)
	length := flags.Duration("time", 10*time.Minute, "how long each target is run")
	parallel := flags.Int("parallel", 0, "`number` of processes at a time (0: one a CPU)")
	record := flags.String("record", "", "`file` that records are appended to, one line each")
	doc := flags.String("doc", "", "write what the records say into this Markdown `file`, and run nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *doc != "" {
		return document(*doc, *record)
	}
	chosen, err := choose(parsers, flags.Args())
	if err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: memoryLimit, Max: memoryLimit}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	failed := 0
	for _, p := range chosen {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted before %s", p)
		}
		fmt.Fprintf(out, "%s: %s\n", p, p.what)
		r, err := fuzz(ctx, out, p, *length, *parallel)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if len(r.Crashes) > 0 {
			failed++
		}
		fmt.Fprintln(out, r)
		if *record != "" && (r.Executions > 0 || len(r.Crashes) > 0) {
			if err := appendRecord(*record, r); err != nil {
				return err
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("inputs failed in %d of %d targets; they are in testdata/fuzz: mend what they show, and keep them", failed, len(chosen))
	}
	return nil
}
