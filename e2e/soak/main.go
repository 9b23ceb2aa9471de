// Command soak keeps meshbench busy for hours and looks whether it grows: memory, heap,
// goroutines, file descriptors, threads, cgroups, processes and disk, of what lives long.
//
//	go run ./e2e/soak -for 8h -meshbench bin/meshbench -out runs/soak
//	go run ./e2e/soak -judge runs/soak -doc docs/reliability.md
//
// Three things live long, and all are there at the same time. One process makes a cluster,
// runs a scenario and ends the cluster, again and again (run --repeat): what the harness does
// not give back of a run adds up in it. One cluster is left up (up), and another process runs
// the scenario on it as on somebody's cluster, again and again: what a sandbox does not give
// back of a pod, and the harness of a visit, adds up there. It is measured from outside
// meanwhile (measure).
//
// Each few seconds a line of samples is written, and what the second half of them says is
// judged: see judge. It ends with exit code 1 where something grows or a run failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	length, every         time.Duration
	binary, scenario, out string
	judge, doc            string
}

func run(ctx context.Context, out io.Writer, args []string) error {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.DurationVar(&o.length, "for", 8*time.Hour, "how long everything is kept busy")
	flags.DurationVar(&o.every, "every", 5*time.Second, "time between two samples")
	flags.StringVar(&o.binary, "meshbench", "bin/meshbench", "the program, a `file`")
	flags.StringVar(&o.scenario, "scenario", "e2e/soak/soak.yaml", "what is run, a `file`")
	flags.StringVar(&o.out, "out", filepath.Join("runs", "soak-"+time.Now().Format("20060102-150405")), "`folder` for samples and logs; it must not exist")
	flags.StringVar(&o.judge, "judge", "", "judge what was sampled in this `folder`, and run nothing")
	flags.StringVar(&o.doc, "doc", "", "write the verdict and its plots into this Markdown `file`, and beside it into data/")
	if err := flags.Parse(args); err != nil {
		return err
	}
	folder := o.judge
	if folder == "" {
		folder = o.out
		if err := soak(ctx, out, o); err != nil {
			return err
		}
	}
	v, err := readVerdict(folder)
	if err != nil {
		return err
	}
	if err := v.print(out); err != nil {
		return err
	}
	if o.doc != "" {
		if err := v.document(o.doc); err != nil {
			return err
		}
	}
	return v.err()
}

// soak keeps everything busy and samples it.
func soak(ctx context.Context, out io.Writer, o options) (err error) {
	w, err := newWork(o)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "keeping meshbench busy for %s; samples and logs are in %s\n", o.length, w.dir)
	defer func() { err = errors.Join(err, w.end()) }()
	if err := w.begin(ctx); err != nil {
		return err
	}
	return w.sample(ctx, out, o)
}
