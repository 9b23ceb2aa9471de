package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/scenarios"
)

func TestPlanOfRuns(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dirs := func(g *WithT, r *series, names ...string) (order []string, base string) {
		base = t.TempDir()
		if r.out != "" {
			r.out = filepath.Join(base, r.out)
		}
		var chosen []*scenarios.Scenario
		for _, n := range names {
			s, err := scenarios.Open(n, nil)
			g.Expect(err).NotTo(HaveOccurred())
			chosen = append(chosen, s)
		}
		jobs, err := r.plan(chosen, now)
		g.Expect(err).NotTo(HaveOccurred())
		for _, j := range jobs {
			order = append(order, j.dir)
		}
		return order, base
	}

	t.Run("one run", func(t *testing.T) {
		g := NewWithT(t)
		order, _ := dirs(g, &series{repeat: 1}, "one-pod")
		here, err := os.Getwd()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(order).To(Equal([]string{filepath.Join(here, "runs/one-pod-20260102-030405")}))
	})
	t.Run("repeated", func(t *testing.T) {
		g := NewWithT(t)
		order, base := dirs(g, &series{repeat: 3, seed: 7, out: "x"}, "one-pod")
		g.Expect(order).To(ConsistOf(filepath.Join(base, "x/run-01"), filepath.Join(base, "x/run-02"), filepath.Join(base, "x/run-03")))
		var kept struct {
			Scenario string
			Seed     uint64
			Order    []string
		}
		text, err := os.ReadFile(filepath.Join(base, "x", compare.RepeatFile))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(json.Unmarshal(text, &kept)).To(Succeed())
		g.Expect(kept.Scenario).To(Equal("one-pod"))
		g.Expect(kept.Seed).To(Equal(uint64(7)))
		for i, name := range kept.Order {
			g.Expect(filepath.Join(base, name)).To(Equal(order[i]))
		}
	})
	t.Run("the order follows from the seed", func(t *testing.T) {
		g := NewWithT(t)
		relative := func(seed uint64) (names []string) {
			order, base := dirs(g, &series{repeat: 5, seed: seed, out: "x"}, "one-pod", "headless")
			g.Expect(order).To(HaveLen(10))
			for _, dir := range order {
				name, err := filepath.Rel(base, dir)
				g.Expect(err).NotTo(HaveOccurred())
				names = append(names, name)
			}
			return names
		}
		g.Expect(relative(1)).To(Equal(relative(1)))
		g.Expect(relative(1)).NotTo(Equal(relative(2)))
	})
	t.Run("named twice", func(t *testing.T) {
		g := NewWithT(t)
		s, err := scenarios.Open("one-pod", nil)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = (&series{repeat: 1, out: t.TempDir()}).plan([]*scenarios.Scenario{s, s}, now)
		g.Expect(err).To(MatchError(ContainSubstring("named twice")))
	})
}

// Unsettled is not ok, unless it is accepted; a missed expectation decides the code.
func TestJudge(t *testing.T) {
	moving := reports.Step{Name: "moving", Measured: true}
	quiet := reports.Step{Name: "quiet", Measured: true, Settled: true}
	missed := reports.Step{Name: "missed", Measured: true, Settled: true, Expectations: []reports.Expectation{{What: "cluster", Want: 1}}}
	for _, tt := range []struct {
		name  string
		steps []reports.Step
		allow bool
		code  int
		texts []string
	}{
		{"all well", []reports.Step{quiet}, false, exitOK, nil},
		{"unsettled", []reports.Step{quiet, moving}, false, exitUnsettled, []string{"moving", "--allow-unsettled", "--settle-limit"}},
		{"unsettled, accepted", []reports.Step{moving}, true, exitOK, nil},
		{"both", []reports.Step{moving, missed}, false, exitMissed, []string{"moving", "missed: cluster"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := NewWithT(t)
			err := judge(&reports.Report{Steps: tt.steps}, tt.allow)
			if tt.code == exitOK {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			var coded *exit
			g.Expect(errors.As(err, &coded)).To(BeTrue())
			g.Expect(coded.code).To(Equal(tt.code))
			for _, text := range tt.texts {
				g.Expect(err).To(MatchError(ContainSubstring(text)))
			}
		})
	}
}

// The worst end of several runs is the command's, in whatever order they ended.
func TestWorstOfSeveralRuns(t *testing.T) {
	for _, tt := range []struct{ first, second, want int }{
		{exitOK, exitUnsettled, exitUnsettled},
		{exitUnsettled, exitMissed, exitMissed},
		{exitMissed, exitTimeout, exitTimeout},
		{exitTimeout, exitFailure, exitFailure},
		{exitUnsettled, exitFailure, exitFailure},
		{exitMissed, exitMissed, exitMissed},
	} {
		for _, codes := range [][]int{{tt.first, tt.second}, {tt.second, tt.first}} {
			g := NewWithT(t)
			done := 0
			err := runAll(t.Context(), console{err: io.Discard}, []job{{dir: "a"}, {dir: "b"}}, func(context.Context, console, job) error {
				done++
				if code := codes[done-1]; code != exitOK {
					return &exit{code, errors.New("not good")}
				}
				return nil
			})
			var coded *exit
			g.Expect(errors.As(err, &coded)).To(BeTrue())
			g.Expect(coded.code).To(Equal(tt.want), "%v", codes)
			g.Expect(done).To(Equal(2))
		}
	}
	t.Run("an interruption ends all", func(t *testing.T) {
		g := NewWithT(t)
		done := 0
		err := runAll(t.Context(), console{err: io.Discard}, make([]job, 3), func(context.Context, console, job) error {
			done++
			return &exit{exitInterrupted, errors.New("stop")}
		})
		var coded *exit
		g.Expect(errors.As(err, &coded)).To(BeTrue())
		g.Expect(coded.code).To(Equal(exitInterrupted))
		g.Expect(done).To(Equal(1))
	})
}

// A limit on the command line that is shorter than a wait of the mesh is warned of.
func TestWarnOfShortLimits(t *testing.T) {
	s, err := scenarios.Load("long.yaml", []byte(`name: long
title: a long debounce
mesh: {values: {pilot: {env: {PILOT_DEBOUNCE_AFTER: 2m}}}}
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: test, image: nginx}
    settle: {limit: 1m}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[time.Duration][]string{
		0:                {"warning: long.yaml:10:"},
		30 * time.Second: {"warning: long.yaml:10:", "warning: long: --settle-limit: draining listeners takes 45s", "warning: long: --settle-limit: istiod's debounce takes 2m0s"},
		3 * time.Minute:  {"warning: long.yaml:10:"},
	} {
		var said strings.Builder
		(&runner{settleLimit: limit}).warn(&said, []*scenarios.Scenario{s})
		for _, text := range want {
			if !strings.Contains(said.String(), text) {
				t.Errorf("%s: %q, want %q", limit, said.String(), text)
			}
		}
		if n := strings.Count(said.String(), "\n"); n != len(want) {
			t.Errorf("%s: %d warnings, want %d: %s", limit, n, len(want), said.String())
		}
	}
}
