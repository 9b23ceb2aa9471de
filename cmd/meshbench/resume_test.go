package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	. "github.com/onsi/gomega"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness"
	buildversion "github.com/meshbench/meshbench/internal/version"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/scenarios"
)

// interrupted DIR SCENARIO STEPS [FLAG...] writes the folder of a run that was killed once so many
// of its steps were measured, in the middle of a record of the next one; flags are those that it
// was made with.
func interrupted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: interrupted DIR SCENARIO STEPS [FLAG...]")
	}
	steps := slices.Index([]string{"0", "1", "2", "3"}, args[2])
	ts.Check(writeInterrupted(ts.MkAbs(args[0]), args[1], steps, args[3:], ts.MkAbs(".")))
}

func writeInterrupted(dir, scenario string, steps int, flags []string, directory string) error {
	s, err := scenarios.Open(scenario, nil)
	if err != nil {
		return err
	}
	text, err := s.Render()
	if err != nil {
		return err
	}
	log, err := observations.Create(dir)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	run := &observations.Run{
		Schema: observations.Schema, ID: filepath.Base(dir), Scenario: s.Name, Parameters: s.Sizes(), Choices: s.Choices(), Meshbench: buildversion.Of(""),
		Cluster:    observations.Cluster{Provider: "embedded", Baseline: observations.BaselineEKS},
		Components: map[string]string{"etcd": "0.0.1"},
		Resuming:   &observations.Resuming{Flags: flags, Directory: directory, Scenario: hex.EncodeToString(sum[:])},
	}
	for _, flag := range flags {
		_, path, _ := strings.Cut(flag, "=")
		if content, err := os.ReadFile(filepath.Join(directory, path)); err == nil {
			sum := sha256.Sum256(content)
			run.Resuming.Files = map[string]string{path: hex.EncodeToString(sum[:])}
		}
	}
	for _, step := range s.Steps {
		run.Steps = append(run.Steps, step.Name)
	}
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	records := []observations.Record{{Run: run}, {Provision: &observations.Provision{Began: at, Seconds: 1}}}
	for i := range min(steps+1, len(run.Steps)) {
		step := &i
		records = append(records, observations.Record{Step: step, Begin: &observations.Begin{Name: run.Steps[i]}})
		if i < steps {
			records = append(records,
				observations.Record{Step: step, Settle: &observations.Settle{Settled: true, Seconds: 1}},
				observations.Record{Step: step, Measure: &observations.Measure{Seconds: 2}})
		}
	}
	for _, r := range records {
		at = at.Add(time.Second)
		r.Time = at
		err = errors.Join(err, log.Append(r))
	}
	err = errors.Join(err, log.Close(), os.WriteFile(filepath.Join(dir, harness.ScenarioName), text, 0o644))
	file, e := os.OpenFile(filepath.Join(dir, observations.LogName), os.O_APPEND|os.O_WRONLY, 0)
	if e == nil {
		_, e = file.WriteString(`{"time":"2026-11-24T06:`)
		e = errors.Join(e, file.Close())
	}
	return errors.Join(err, e)
}

// repeated DIR SCENARIO REPEAT FINISHED writes the folder of a repeated run of which so many are
// finished; the next one was interrupted.
func repeated(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: repeated DIR SCENARIO REPEAT FINISHED")
	}
	version = buildversion.Of("") // as main does
	s, err := scenarios.Open(args[1], nil)
	ts.Check(err)
	repeat, err := strconv.Atoi(args[2])
	ts.Check(err)
	done, err := strconv.Atoi(args[3])
	ts.Check(err)
	r := &series{repeat: repeat, seed: 7, out: ts.MkAbs(args[0]), runner: runner{resuming: &observations.Resuming{Flags: []string{"--real=2"}, Directory: ts.MkAbs(".")}}}
	jobs, err := r.plan([]*scenarios.Scenario{s}, time.Now())
	ts.Check(err)
	ts.Check(r.keepSeries(jobs))
	for i, j := range jobs[:min(done+1, len(jobs))] {
		ts.Check(writeInterrupted(j.dir, args[1], len(s.Steps), nil, ts.MkAbs(".")))
		if i == done {
			break
		}
		log, contents, err := observations.Continue(j.dir)
		ts.Check(err)
		_, err = log.Mend(contents)
		ts.Check(err)
		ts.Check(log.Append(observations.Record{End: &observations.End{Outcome: observations.Finished}}))
		ts.Check(log.Close())
	}
}

// locked FILE COMMAND... runs a command while somebody else has locked a file.
func locked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: locked FILE COMMAND...")
	}
	lock := flock.New(ts.MkAbs(args[0]))
	if ok, err := lock.TryLock(); err != nil || !ok {
		ts.Fatalf("cannot lock %s: %v", args[0], err)
	}
	defer lock.Unlock()
	exits(ts, false, args[1:])
}

// What the log says of flags makes the same flags again.
func TestFlagsAreRecorded(t *testing.T) {
	g := NewWithT(t)
	t.Chdir(t.TempDir())
	g.Expect(os.WriteFile("values.yaml", []byte("a: 1\n"), 0o600)).To(Succeed())
	g.Expect(os.WriteFile("program", []byte("#!"), 0o600)).To(Succeed())
	g.Expect(os.WriteFile("token", []byte("secret"), 0o600)).To(Succeed())
	made := func() (*series, *pflag.FlagSet) {
		cmd := runCommand()
		return &series{}, cmd.Flags()
	}
	_, f := made()
	g.Expect(f.Parse([]string{
		"--real", "5", "--mesh-values", "values.yaml", "--mesh-set", "a.b=c,d", "--mesh-set", "e=f", "--program", "x/y=program", "--counts-only",
		"--memory-source", "prometheus", "--prometheus-url", "http://x", "--prometheus-match", "a=b", "--prometheus-match", "c=d", "--prometheus-token-file", "token",
		"--out", "elsewhere", "--repeat", "3", "--seed", "7", "--set", "replicas=30", "--trace", "x", "--timeout", "1h",
	})).To(Succeed())
	r, err := resumingOf(f, func(string) bool { return true })
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Flags).To(HaveLen(11))
	g.Expect(slices.Sorted(maps.Keys(r.Files))).To(Equal([]string{"program", "values.yaml"}))
	_, again := made()
	g.Expect(setAsRecorded(again, r.Flags)).To(Succeed())
	for _, name := range []string{"real", "mesh-values", "mesh-set", "program", "counts-only", "memory-source", "prometheus-url", "prometheus-match", "prometheus-token-file", "timeout"} {
		if name == "prometheus-match" { // printed in any order
			g.Expect(again.Lookup(name).Value.String()).To(HaveLen(len("[a=b,c=d]")))
			continue
		}
		g.Expect(again.Lookup(name).Value.String()).To(Equal(f.Lookup(name).Value.String()), name)
	}
	for _, name := range []string{"out", "repeat", "seed", "set", "trace"} {
		g.Expect(again.Changed(name)).To(BeFalse(), name)
	}
}

func TestContradictions(t *testing.T) {
	run := &observations.Run{
		Parameters: map[string]int{"replicas": 30}, Choices: map[string]string{"kind": "headless"},
		Resuming: &observations.Resuming{Flags: []string{"--real=5", "--mesh-set=a=b", "--mesh-set=c=d"}},
	}
	for _, tt := range []struct{ flags, want string }{
		{"", ""},
		{"--real 5", ""},
		{"--mesh-set c=d --mesh-set a=b", ""},
		{"--settle-limit 0s", ""},
		{"--timeout 5m --trace x --allow-unsettled --allow-other-version", ""},
		{"--set replicas=30 --set kind=headless", ""},
		{"--real 6", "--real 6: the run was made with 5"},
		{"--mesh-set a=b", "--mesh-set a=b: the run was made with a=b, c=d"},
		{"--light 3", "--light 3: the run was made without"},
		{"--counts-only", "--counts-only true: the run was made without"},
		{"--set replicas=31", "--set replicas=31: the run was made with other parameters"},
		{"--set other=31", "--set other=31: the run was made with other parameters"},
		{"--out x", "--out is for runs that begin"},
		{"--repeat 3", "--repeat is for runs that begin"},
	} {
		t.Run(tt.flags, func(t *testing.T) {
			f := runCommand().Flags()
			if err := f.Parse(strings.Fields(tt.flags)); err != nil {
				t.Fatal(err)
			}
			err := contradicts(f, run)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestHowToGoOn(t *testing.T) {
	step := func(n int, measured bool) reports.Step { return reports.Step{Number: n, Measured: measured} }
	resuming := observations.Run{Steps: []string{"a", "b", "c"}, Resuming: &observations.Resuming{}}
	for _, tt := range []struct {
		name string
		run  *reports.Report
		dir  string
		want string
	}{
		{"two of three", &reports.Report{Environment: resuming, Steps: []reports.Step{step(1, true), step(2, true), step(3, false)}}, "/runs/x", "\n2 of 3 steps are measured and kept. Go on with: meshbench run --resume /runs/x"},
		{"a folder with blanks", &reports.Report{Environment: resuming, Steps: []reports.Step{step(1, true)}}, "/my runs/it's", `
1 of 3 steps are measured and kept. Go on with: meshbench run --resume '/my runs/it'\''s'`},
		{"none", &reports.Report{Environment: resuming, Steps: []reports.Step{step(1, false)}}, "/runs/x", "\nNo step was measured. Go on with: meshbench run --resume /runs/x"},
		{"not after a gap", &reports.Report{Environment: resuming, Steps: []reports.Step{step(2, true)}}, "/runs/x", "\nNo step was measured. Go on with: meshbench run --resume /runs/x"},
		{"one that cannot", &reports.Report{Steps: []reports.Step{step(1, true)}}, "/runs/x", ""},
		{"without a report", nil, "/runs/x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := howToGoOn(tt.dir, tt.run); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// What is planned of a series is enough to go on with it.
func TestSeriesIsKept(t *testing.T) {
	g := NewWithT(t)
	s, err := scenarios.Open("one-pod", map[string]string{})
	g.Expect(err).NotTo(HaveOccurred())
	r := &series{repeat: 3, seed: 7, out: t.TempDir(), runner: runner{resuming: &observations.Resuming{Flags: []string{"--real=2"}}}}
	jobs, err := r.plan([]*scenarios.Scenario{s}, time.Now())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.keepSeries(jobs)).To(Succeed())
	p, err := readSeries(r.out)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(p.Repeat).To(Equal(3))
	g.Expect(p.Seed).To(Equal(uint64(7)))
	g.Expect(p.Resuming.Flags).To(Equal([]string{"--real=2"}))
	for i, j := range jobs {
		g.Expect(filepath.Join(r.out, p.Runs[i].Folder)).To(Equal(j.dir))
	}
	// Another series is not written over it.
	_, err = r.plan([]*scenarios.Scenario{s}, time.Now())
	g.Expect(err).To(MatchError(ContainSubstring("go on with them by --resume")))
	// What leads out of the folder is refused.
	p.Runs[0].Folder = "../elsewhere"
	text, err := json.Marshal(p)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(r.out, seriesFile), text, 0o600)).To(Succeed())
	_, err = readSeries(r.out)
	g.Expect(err).To(MatchError(ContainSubstring("is none of this folder")))
}
