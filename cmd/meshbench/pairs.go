package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/paired"
	"github.com/meshbench/meshbench/reports/stats/signflip"
	"github.com/meshbench/meshbench/reports/store"
)

// pairs is the command gate where it judges pairs: measured now, from folders or from a store.
type pairs struct {
	sides    [2]string // how reference and candidate are measured, or their folders
	scenario string
	repeat   int
	seed     uint64
	out      string
	store    string
	slice    string // pairs of the store, 1-6
	alarms   []string
	effect   string
	json     string
	collect  bool
	discard  bool
	all      bool
	minutes  int
	set      string // the pairs' name in a store
	common   runner // the flags that both sides have in common
	options  paired.Options
	// withResumed takes in what was measured after an interruption.
	withResumed bool
}

// flagsOfPairs are those that nothing but pairs has, beside the flags of run.
var flagsOfPairs = append(slices.Clone(flagsOfMeasuring), "pairs", "alarm", "effect", "json")

// flagsOfMeasuring are those of pairs that are measured now.
var flagsOfMeasuring = []string{"repeat", "seed", "out", "collect", "discard", "all", "max-minutes"}

// sideNames are the sides, in the order of pairs.sides.
var sideNames = [2]string{store.Reference, store.Candidate}

func (p *pairs) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	p.common.flags(f)
	f.StringVar(&p.sides[0], "reference", "", "what is judged by: `KEY=VALUE,...` (istio, envoy, set, meshbench) with --scenario, else a folder of runs")
	f.StringVar(&p.sides[1], "candidate", "", "what is judged: `KEY=VALUE,...` or a folder, as --reference")
	f.StringVar(&p.scenario, "scenario", "", "measure this `scenario` with reference and candidate in turns")
	f.IntVar(&p.repeat, "repeat", signflip.MinPairs, "`pairs` to measure at most, 6 or more; the gate may stop at 6, 8, … on a regression")
	f.Uint64Var(&p.seed, "seed", 0, "`number` that determines the order within pairs (default: random)")
	f.StringVar(&p.out, "out", "", "the `folder` for the runs (default runs/gate-SCENARIO-TIME); one of before goes on where it stopped")
	f.StringVar(&p.store, "store", "", "judge pairs from this `file` of records, as OUT/records.jsonl; with --scenario, keep the records there")
	f.StringVar(&p.slice, "pairs", "", "judge these pairs of the store alone, `FROM-TO` (1-6)")
	f.StringArrayVar(&p.alarms, "alarm", nil, "smallest change for the worse worth an alarm: `METRIC=PERCENT`, e.g. istiod_memory_bytes=10%, or METRIC=off; counts=off shows all counts only (repeatable)")
	f.StringVar(&p.effect, "effect", "", "fail unless a rise of this `PERCENT` would be found with 95 % (exit code 7)")
	f.StringVar(&p.json, "json", "", "write the verdict as JSON to `FILE`")
	f.BoolVar(&p.collect, "collect", false, "measure all pairs and judge nothing")
	f.BoolVar(&p.discard, "discard", false, "delete each run's folder once its record is stored")
	f.BoolVar(&p.all, "all", false, "measure all pairs, whatever was found before")
	f.IntVar(&p.minutes, "max-minutes", 0, "begin no pair after so many `minutes`; the same command with --out goes on (default: no limit)")
}

// wanted says whether the command line asks for pairs, not for a baseline.
func (p *pairs) wanted() bool {
	return p.sides[0] != "" || p.sides[1] != "" || p.store != "" || p.scenario != ""
}

// run measures, if it is to, and judges.
func (p *pairs) run(cmd *cobra.Command, args []string, out *documentFiles) error {
	if err := p.check(cmd, args); err != nil {
		return usage(cmd, err)
	}
	p.options.AllowUnsettled = p.common.unsettled
	var records []store.Record
	var err error
	switch {
	case p.scenario != "":
		return p.measure(cmd, out)
	case p.store != "":
		records, err = p.fromStore()
	default:
		records, err = p.fromFolders()
	}
	if err != nil {
		return err
	}
	if p.withResumed {
		for i := range records {
			records[i] = *records[i].WithResumed()
		}
	}
	v, err := paired.Judge(records, p.options)
	if err != nil {
		return err
	}
	return p.conclude(cmd, v, out)
}

// check reads what the flags say and refuses what does not go together.
func (p *pairs) check(cmd *cobra.Command, args []string) (err error) {
	f := cmd.Flags()
	if len(args) > 0 {
		return fmt.Errorf("%s: runs are given as --reference and --candidate, or held against a --baseline", args[0])
	}
	if p.options.Alarms, err = parseAlarms(p.alarms); err != nil {
		return err
	}
	if p.effect != "" {
		if p.options.Effect, err = parsePercent(p.effect); err != nil {
			return fmt.Errorf("--effect %s: %w", p.effect, err)
		}
	}
	both := p.sides[0] != "" && p.sides[1] != ""
	if p.scenario == "" {
		for _, name := range append(flagsOfRun(), flagsOfMeasuring...) {
			if f.Changed(name) && name != "allow-unsettled" {
				return fmt.Errorf("--%s is for new runs: name their scenario with --scenario", name)
			}
		}
		switch {
		case p.store != "" && (p.sides[0] != "" || p.sides[1] != ""):
			return errors.New("a store says which runs are the reference's and which the candidate's: leave --reference and --candidate out")
		case p.store == "" && !both:
			return errors.New("give both --reference and --candidate")
		case p.store == "" && p.slice != "":
			return errors.New("--pairs is of a store: give it with --store")
		}
		return nil
	}
	switch {
	case !both:
		return errors.New("give both --reference and --candidate, e.g. --reference istio=1.23.2 --candidate istio=1.27.0")
	case p.slice != "":
		return errors.New("--pairs is of a store that is judged: leave out either it or --scenario")
	case p.repeat < 1:
		return fmt.Errorf("--repeat %d: give 1 or more", p.repeat)
	case p.repeat < signflip.MinPairs && !p.collect:
		return fmt.Errorf("--repeat %d: give %d or more: fewer pairs cannot tell a change from chance", p.repeat, signflip.MinPairs)
	case p.minutes < 0:
		return fmt.Errorf("--max-minutes %d: give 1 or more", p.minutes)
	}
	return nil
}

// parsePercent reads 5% as 0.05.
func parsePercent(text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !strings.HasSuffix(text, "%") || !(v > 0 && v <= 1000) {
		return 0, errors.New("expected a percentage above 0, e.g. 5%")
	}
	return v / 100, nil
}

// parseAlarms reads METRIC=PERCENT and METRIC=off.
func parseAlarms(texts []string) (map[string]float64, error) {
	alarms := map[string]float64{}
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		if text == "counts=off" {
			for _, m := range compare.Metrics() {
				if m.Exact {
					alarms[m.Name] = 0
				}
			}
			continue
		}
		m, err := compare.MetricNamed(name)
		if err != nil {
			return nil, fmt.Errorf("--alarm %s: %w", text, err)
		}
		share := 0.0
		if value != "off" {
			if share, err = parsePercent(value); err != nil {
				return nil, fmt.Errorf("--alarm %s: %w, or off", text, err)
			}
			if m.Exact {
				return nil, fmt.Errorf("--alarm %s: counts are exact, any change is a regression; give off to show it alone", text)
			}
		}
		alarms[m.Name] = share
	}
	return alarms, nil
}

// fromStore are the records of the store, or of a slice of it.
func (p *pairs) fromStore() ([]store.Record, error) {
	records, err := store.ReadFile(p.store)
	if err != nil {
		return nil, err
	}
	if p.slice == "" {
		return records, nil
	}
	a, b, ok := strings.Cut(p.slice, "-")
	from, err1 := strconv.Atoi(a)
	to, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil {
		return nil, fmt.Errorf("--pairs %s: expected FROM-TO, e.g. 1-6", p.slice)
	}
	return paired.Slice(records, from, to)
}

// fromFolders are the records of the runs in both sides' folders.
func (p *pairs) fromFolders() ([]store.Record, error) {
	var sides [2][]store.Record
	for i, dir := range p.sides {
		dirs, err := compare.RunFolders(dir)
		if err != nil {
			return nil, err
		}
		for _, d := range dirs {
			r, err := store.FromFolder(d)
			if err != nil {
				return nil, err
			}
			sides[i] = append(sides[i], *r)
		}
	}
	return paired.PairUp(sides[0], sides[1])
}

// conclude prints the verdict, writes its files and gives its exit code.
func (p *pairs) conclude(cmd *cobra.Command, v *paired.Verdict, out *documentFiles) error {
	if err := out.write(cmd.OutOrStdout(), v.Document()); err != nil {
		return err
	}
	if p.json != "" {
		if err := writeVerdict(p.json, v); err != nil {
			return err
		}
	}
	return exitOf(v.Kind)
}

func writeVerdict(path string, v *paired.Verdict) error {
	var b bytes.Buffer
	err := v.JSON(&b)
	if err == nil {
		err = atomicfile.Write(path, b.Bytes(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot write the verdict: %w", err)
	}
	return nil
}

// pairsFile lies in the folder of pairs. It holds a [measuredPairs].
const pairsFile = "gate.json"

// measuredPairs say how pairs are measured, so that another call can go on.
type measuredPairs struct {
	Scenario  string   `json:"scenario"`
	Reference string   `json:"reference"`
	Candidate string   `json:"candidate"`
	Flags     []string `json:"flags"`
	// Planned is the number of pairs at most, Judged says that they are for one verdict.
	Planned int    `json:"planned"`
	Judged  bool   `json:"judged"`
	Seed    uint64 `json:"seed"`
	// Set is the name of the pairs in a store, which may hold those of other folders.
	Set string `json:"set"`
}

// resume reads the folder's plan, or writes it where there is none. One that was made
// otherwise is refused: what it has could not be judged with what is asked for now.
func (p *pairs) resume(cmd *cobra.Command, dir string) error {
	now := measuredPairs{
		Scenario: p.scenario, Reference: p.sides[0], Candidate: p.sides[1], Flags: given(cmd.Flags()), Planned: p.repeat, Judged: !p.collect, Seed: p.seed,
	}
	path := filepath.Join(dir, pairsFile)
	text, err := bounded.File(path, bounded.OwnFile)
	if errors.Is(err, os.ErrNotExist) {
		if !cmd.Flags().Changed("seed") {
			p.seed = rand.Uint64()
		}
		now.Seed = p.seed
		now.Set = filepath.Base(dir) + time.Now().UTC().Format("-20060102-150405")
		p.set = now.Set
		text, err := json.MarshalIndent(now, "", "  ")
		if err == nil {
			err = atomicfile.Write(path, append(text, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("cannot record how the pairs are measured: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read how the pairs were measured: %w", err)
	}
	var was measuredPairs
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("%s: expected what meshbench gate writes: %w", path, err)
	}
	if !cmd.Flags().Changed("seed") {
		now.Seed = was.Seed
	}
	now.Set = was.Set
	// Collected pairs are judged apart, so more of them do no harm.
	if !was.Judged && !now.Judged {
		now.Planned = was.Planned
	}
	a, _ := json.Marshal(was)
	b, _ := json.Marshal(now)
	if !bytes.Equal(a, b) {
		return fmt.Errorf("%s holds pairs that were measured otherwise: %s, now %s; go on with the same flags, or give another folder", dir, a, b)
	}
	p.seed, p.set = was.Seed, was.Set
	return nil
}

// first is the side that is measured first in a pair: of every two pairs the reference in one
// and the candidate in the other, as the seed draws it, so that an order's effect cancels.
func first(seed uint64, pair int) int {
	block := (pair - 1) / 2
	side := int(rand.New(rand.NewPCG(seed, uint64(block))).Uint64() & 1)
	return (side + pair - 1) % 2
}

// measure measures the pairs that are missing and judges at each look.
func (p *pairs) measure(cmd *cobra.Command, out *documentFiles) error {
	settings, err := p.settings(cmd)
	if err != nil {
		return usage(cmd, err)
	}
	dir := p.out
	if dir == "" {
		dir = filepath.Join("runs", "gate-"+settings[0].scenario.Name+"-"+time.Now().Format("20060102-150405"))
	}
	if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("cannot make the folder for the pairs: %w", err)
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	if ok, err := lock.TryLock(); err != nil || !ok {
		return errors.Join(fmt.Errorf("another gate measures into %s", dir), err)
	}
	defer lock.Unlock()
	if err := p.resume(cmd, dir); err != nil {
		return err
	}
	if p.store == "" {
		p.store = filepath.Join(dir, "records.jsonl")
	}
	m := &measurement{pairs: p, dir: dir, settings: settings, to: consoleOf(cmd)}
	if err := m.read(); err != nil {
		return err
	}
	p.foretell(cmd.ErrOrStderr(), len(settings[0].scenario.Steps))
	fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d pairs are there; order within pairs by seed %d, in %s\n", m.count(), p.repeat, p.seed, dir)
	if m.count() < p.repeat {
		if err := m.obtain(cmd); err != nil {
			return err
		}
	}
	m.to.out = io.Discard // the runs' tables are in their folders
	v, err := m.run(cmd.Context())
	if v == nil || err != nil {
		return err
	}
	files := documentFiles{html: filepath.Join(dir, "gate.html"), markdown: filepath.Join(dir, "gate.md")}
	if err := errors.Join(files.write(io.Discard, v.Document()), writeVerdict(filepath.Join(dir, "verdict.json"), v)); err != nil {
		return err
	}
	return p.conclude(cmd, v, out)
}

// foretell says what so many pairs find with noise as it was measured elsewhere.
func (p *pairs) foretell(to io.Writer, steps int) {
	if p.collect {
		return
	}
	for _, m := range compare.Metrics() {
		if m.Spread == 0 || m.Alarm == 0 {
			continue
		}
		least := p.options.Alarm(m)
		if least == 0 {
			continue
		}
		// The difference of two runs has twice the variance of one.
		spread := math.Sqrt2 * m.Spread
		finds := math.Expm1(signflip.Early(p.repeat).Planned(steps, spread, math.Log1p(least)/2, math.Log1p(least)).Finds())
		fmt.Fprintf(to, "%s: with %d pairs and the usual noise (%.1f %% a run) a rise of %.1f %% is found with 95 %%\n", m.Title, p.repeat, 100*m.Spread, 100*finds)
		if e := p.options.Effect; e > 0 && finds > e {
			fmt.Fprintf(to, "warning: --effect %s asks for less: unless this machine is quieter, it takes about %d pairs\n", p.effect, int(math.Ceil(float64(p.repeat)*math.Pow(finds/e, 2))))
		}
	}
}

// flagsOfRun are the names of the flags that say how runs are made.
func flagsOfRun() []string {
	c := &cobra.Command{}
	(&runner{}).flags(c.Flags())
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	slices.Sort(names)
	return names
}
