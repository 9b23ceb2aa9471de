package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/reports/gate"
	"github.com/meshbench/meshbench/reports/paired"
	"github.com/meshbench/meshbench/reports/store"
)

// attempts is how often a pair is measured until it is whole: finished, in a quiet mesh.
const attempts = 2

// measurement measures pairs until there is a verdict, or as many as were planned.
type measurement struct {
	*pairs
	dir      string
	settings []*setting
	to       console
	records  []store.Record // those of this folder's set
}

// read takes in what the store has of this set. Half of a record at its end is removed: its
// pair is measured again.
func (m *measurement) read() error {
	all, err := store.ReadFile(m.store)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case errors.Is(err, store.ErrCut):
		n, e := store.Mend(m.store)
		if e != nil {
			return errors.Join(err, e)
		}
		fmt.Fprintf(m.to.err, "warning: %s: removed the last %d bytes, half of a record\n", m.store, n)
	case err != nil:
		return err
	}
	for _, r := range all {
		if r.Pair != nil && r.Pair.Set == m.set {
			m.records = append(m.records, r)
		}
	}
	return nil
}

// numbers are the pairs of which the store has records of either side, and of both.
func (m *measurement) numbers() (either, both []int) {
	sides := map[int]int{}
	for _, r := range m.records {
		sides[r.Pair.Number]++
	}
	for n, runs := range sides {
		either = append(either, n)
		if runs == 2 {
			both = append(both, n)
		}
	}
	return either, both
}

func (m *measurement) count() int {
	_, both := m.numbers()
	return len(both)
}

// obtain obtains what the runs are made of, also for other programs, so that no build heats
// the machine between two runs.
func (m *measurement) obtain(cmd *cobra.Command) error {
	own := slices.DeleteFunc(slices.Clone(m.settings), func(s *setting) bool { return s.program != "" })
	if err := obtain(cmd, own); err != nil {
		return err
	}
	for _, s := range m.settings {
		if s.program == "" || m.common.cluster.name != m.common.cluster.sources.all[0].Name() {
			continue
		}
		args := []string{"components"}
		for _, text := range slices.Concat(s.arguments[1:], s.flags) {
			if name, _, _ := strings.Cut(text, "="); slices.Contains([]string{"--istio", "--envoy", "--from", "--hub"}, name) {
				args = append(args, text)
			}
		}
		if err := runProgram(cmd.Context(), m.to, s.program, args); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// run measures the missing pairs. It gives the verdict; none for pairs that are collected.
func (m *measurement) run(ctx context.Context) (*paired.Verdict, error) {
	begun := time.Now()
	for {
		v, err := m.look()
		if err != nil {
			return nil, err
		}
		if n := m.count(); n >= m.repeat || v != nil && v.Regressed() && !m.all {
			if m.collect {
				fmt.Fprintf(m.to.err, "%d pairs are in %s\n", n, m.store)
				return nil, nil
			}
			return v, nil
		}
		if m.minutes > 0 && time.Since(begun) >= time.Duration(m.minutes)*time.Minute {
			return nil, m.ended(exitTimeout, errors.New("the time given is over"))
		}
		if err := m.pair(ctx, m.next()); err != nil {
			return nil, err
		}
	}
}

// look judges what there is; nil where that is too little, or is only collected.
func (m *measurement) look() (*paired.Verdict, error) {
	if m.collect || m.count() == 0 {
		return nil, nil
	}
	v, err := paired.Judge(m.records, m.options)
	if errors.Is(err, paired.ErrTooFew) {
		return nil, nil
	}
	return v, err
}

// ended says how far the pairs are, and how to go on.
func (m *measurement) ended(code int, why error) error {
	return &exit{code, fmt.Errorf("%w: %d of %d pairs are there; the same command with --out %s goes on", why, m.count(), m.repeat, m.dir)}
}

// next is the number of the next pair. A number is not used again once anything is stored
// under it: a store is only appended to.
func (m *measurement) next() int {
	either, _ := m.numbers()
	if len(either) == 0 {
		return 1
	}
	return slices.Max(either) + 1
}

// pair measures one pair and stores its records.
func (m *measurement) pair(ctx context.Context, number int) error {
	var bad error
	for range attempts {
		if ctx.Err() != nil {
			return m.ended(exitInterrupted, context.Cause(ctx))
		}
		began := time.Now()
		records, err := m.both(ctx, number)
		if ctx.Err() != nil {
			return m.ended(exitInterrupted, context.Cause(ctx))
		}
		var coded *exit
		if err != nil && (!errors.As(err, &coded) || !slices.Contains(ranks, coded.code)) {
			return err
		}
		if bad = m.whole(records, err); bad != nil {
			fmt.Fprintf(m.to.err, "warning: pair %d is measured again: %v\n", number, bad)
			continue
		}
		if err := store.Append(m.store, records...); err != nil {
			return err
		}
		for _, r := range records {
			m.records = append(m.records, *r)
			if m.discard {
				if err := os.RemoveAll(m.folder(r.Pair.Side, number)); err != nil {
					return fmt.Errorf("cannot delete a run's folder: %w", err)
				}
			}
		}
		fmt.Fprintf(m.to.err, "pair %d is measured (%d of %d), %s first, in %s\n", number, m.count(), m.repeat, sideNames[first(m.seed, number)], time.Since(began).Round(time.Second))
		return nil
	}
	return m.ended(max(codeOf(bad), exitFailure), fmt.Errorf("pair %d failed %d times, the last time since %w", number, attempts, bad))
}

// both does both runs of a pair in the order that the seed draws. Records of runs that were
// done stand beside an error.
func (m *measurement) both(ctx context.Context, number int) (records []*store.Record, err error) {
	begin := first(m.seed, number)
	var jobs []job
	of := map[string]int{}
	for _, side := range []int{begin, 1 - begin} {
		dir := m.folder(sideNames[side], number)
		if err := setAside(dir); err != nil {
			return nil, err
		}
		jobs = append(jobs, job{scenario: m.settings[side].scenario, dir: dir, part: true})
		of[dir] = side
	}
	err = runAll(ctx, m.to, jobs, func(ctx context.Context, to console, j job) error {
		return m.settings[of[j.dir]].one(ctx, to, j)
	})
	for i, j := range jobs {
		planned := 0
		if !m.collect {
			planned = m.repeat
		}
		pair := store.Pair{Set: m.set, Number: number, Side: sideNames[of[j.dir]], Position: i + 1, Seed: m.seed, Planned: planned, Asked: m.sides[of[j.dir]]}
		text, e := json.Marshal(pair)
		if e == nil {
			e = atomicfile.Write(filepath.Join(j.dir, store.PairFile), append(text, '\n'), 0o644)
		}
		var r *store.Record
		if e == nil {
			r, e = store.FromFolder(j.dir)
		}
		if e != nil {
			return records, errors.Join(err, &exit{exitFailure, e})
		}
		records = append(records, r)
	}
	return records, err
}

// whole says why a pair cannot be judged; an expectation that was missed is for the verdict.
func (m *measurement) whole(records []*store.Record, err error) error {
	for _, r := range records {
		if !r.Finished {
			return &exit{codeOf(err), fmt.Errorf("the run of the %s was not finished: %s", r.Pair.Side, firstLine(cmp.Or(r.Error, fmt.Sprint(err))))}
		}
		for _, s := range r.Steps {
			if !s.Settled && !m.options.AllowUnsettled {
				return &exit{exitUnsettled, fmt.Errorf("step %s of the %s was measured before the mesh settled", s.Name, r.Pair.Side)}
			}
		}
	}
	if len(records) < 2 {
		return err
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// codeOf is the exit code of an error; exitFailure where it has none.
func codeOf(err error) int {
	var coded *exit
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailure
}

func (m *measurement) folder(side string, number int) string {
	return filepath.Join(m.dir, side, fmt.Sprintf("run-%02d", number))
}

// setAside moves the folder of a run that was cut off out of the way: its log may say why.
func setAside(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for n := 1; ; n++ {
		to := filepath.Join(filepath.Dir(dir), fmt.Sprintf("cut-%d-%s", n, filepath.Base(dir)))
		if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.Rename(dir, to); err != nil {
			return fmt.Errorf("cannot set the folder of a run aside: %w", err)
		}
		return nil
	}
}

// exitOf is the exit code of what a gate found.
func exitOf(kind gate.Kind) error {
	code := map[gate.Kind]int{
		gate.TimedOut: exitTimeout, gate.Unfinished: exitTimeout, gate.Missed: exitMissed, gate.Unsettled: exitUnsettled,
		gate.Regression: exitRegression, gate.CannotTell: exitCannotTell,
	}[kind]
	if code == exitOK {
		return nil
	}
	return &exit{code: code}
}
