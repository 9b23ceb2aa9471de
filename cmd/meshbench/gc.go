package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
)

func gcCommand() *cobra.Command {
	var run string
	var yes bool
	var where places
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Find and delete what killed runs left in a cloud",
		Long: `Find what runs have left in a cloud account, by its tags: all whose time to live is over,
or with --run all of one run. It is listed, and deleted if you agree. What runs leave on
this machine is removed by 'meshbench down'.`,
		Example: `  meshbench gc --cluster eks
  meshbench gc --cluster eks --region eu-west-1 --run eks-nginx-4711`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			collectors, err := where.collectors()
			if err != nil {
				return usage(cmd, err)
			}
			var problems []error
			for _, c := range collectors {
				_, err := collect(cmd, c, run, !yes)
				problems = append(problems, err)
			}
			return errors.Join(problems...)
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "delete what the run of this `ID` left, whatever its time to live")
	cmd.Flags().BoolVar(&yes, "yes", false, "delete without being asked")
	where.flags(cmd.Flags(), "where to look (default: all clouds)")
	return cmd
}

// places are the sources of clusters that a command looks at, with the flags that say where.
type places struct {
	sources
	name string
}

func (p *places) flags(f *pflag.FlagSet, use string) {
	p.sources = bindSources(f, func(s cluster.Source, own *pflag.FlagSet) {
		if c, ok := s.(cluster.Collector); ok {
			c.Where(own)
		}
	})
	f.StringVar(&p.name, "cluster", "", use+": "+p.names())
}

// chosen is the source that --cluster names; nil where it names none.
func (p *places) chosen() (cluster.Source, error) {
	if p.name == "" {
		return nil, nil
	}
	return p.named(p.name)
}

// here are the sources whose clusters are on this machine.
func (p *places) here() []cluster.Source {
	var here []cluster.Source
	for _, s := range p.all {
		if _, elsewhere := s.(cluster.Collector); !elsewhere {
			here = append(here, s)
		}
	}
	return here
}

// collectors are the clouds that were asked for.
func (p *places) collectors() ([]cluster.Collector, error) {
	chosen, err := p.chosen()
	if err != nil {
		return nil, err
	}
	var found []cluster.Collector
	for _, s := range p.all {
		if c, ok := s.(cluster.Collector); ok && (chosen == nil || chosen == s) {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("--cluster %s: runs leave nothing there but on this machine: use meshbench down", p.name)
	}
	return found, nil
}

// collect lists what a collector finds and deletes it, if ask says so only after a yes. It
// returns the number of things that were found.
func collect(cmd *cobra.Command, c cluster.Collector, run string, ask bool) (int, error) {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	found, err := c.Leftovers(ctx, run)
	if err != nil {
		return 0, optionError(cmd.CommandPath(), fmt.Errorf("cannot look for what runs left (%s): %w", c.Name(), err))
	}
	if len(found) == 0 {
		what := "nothing whose time to live is over"
		if run != "" {
			what = "nothing of run " + run
		}
		fmt.Fprintf(out, "%s: %s\n", c.Name(), what)
		return 0, nil
	}
	listLeftovers(out, found, time.Now())
	if ask {
		yes, err := confirm(ctx, cmd.ErrOrStderr(), fmt.Sprintf("Delete these %d?", len(found)))
		if err != nil {
			return 0, err
		}
		if !yes {
			fmt.Fprintln(out, "nothing was deleted")
			return len(found), nil
		}
	}
	return len(found), remove(ctx, cmd, c, found)
}

// remove deletes leftovers and says so.
func remove(ctx context.Context, cmd *cobra.Command, c cluster.Collector, found []cluster.Leftover) error {
	p := newProgress(cmd.ErrOrStderr())
	defer p.Close()
	p.Phase("clean-up")
	if err := c.Remove(ctx, found, func(line string) { p.Status("%s", line) }); err != nil {
		return fmt.Errorf("cannot delete what runs left (%s): %w", c.Name(), err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d deleted\n", c.Name(), len(found))
	return nil
}

// listLeftovers prints a table of what was found.
func listLeftovers(out io.Writer, found []cluster.Leftover, now time.Time) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tname\tin\trun\towner\texpires\tcosts money")
	for _, l := range found {
		expires := "unknown"
		if !l.Expires.IsZero() {
			expires = l.Expires.UTC().Format(time.RFC3339)
			if l.Expires.Before(now) {
				expires += " (over)"
			}
		}
		costs := "no"
		if l.Costs {
			costs = "yes"
		}
		fmt.Fprintln(w, strings.Join([]string{l.Kind, l.Name, cmp.Or(l.In, "-"), l.Run, cmp.Or(l.Owner, "-"), expires, costs}, "\t"))
	}
	_ = w.Flush() // whether the list can be printed changes nothing
}
