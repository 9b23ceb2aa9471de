package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/internal/reliability"
	"github.com/meshbench/meshbench/internal/skip"
	"github.com/meshbench/meshbench/observations"
)

// each makes a spec of each fault.
func each(faults ...Fault) {
	GinkgoHelper()
	for _, f := range faults {
		decorations := []any{Label(f.Kind)}
		if !f.Quick {
			decorations = append(decorations, Label(nightly))
		}
		if f.Alone {
			decorations = append(decorations, Serial)
		}
		It(f.Name, decorations, func() { f.try() })
	}
}

// resultsFile is where results go, a line each.
func resultsFile() string {
	if file := os.Getenv("MESHBENCH_FAULTS"); file != "" {
		return file
	}
	return filepath.Join("..", "..", "bin", "faults.jsonl")
}

// try makes the fault in a run, and looks what becomes of it.
func (f Fault) try() {
	result := reliability.Result{Name: f.Name, Kind: f.Kind, Seed: GinkgoRandomSeed(), Time: time.Now().UTC(), Version: made.Version}
	defer func() {
		Expect(os.MkdirAll(filepath.Dir(resultsFile()), 0o755)).To(Succeed())
		Expect(reliability.Append(resultsFile(), result)).To(Succeed())
	}()
	if f.NotHere != nil {
		if result.NotMade = f.NotHere(); result.NotMade != "" {
			skip.NotHere(GinkgoT(), "not made on this machine: %s", result.NotMade)
		}
	}
	r := f.start()
	kept := f.make(r, &result)
	f.end(r, &result)
	f.checkLog(r, kept, &result)
	if f.After != nil {
		f.After(r)
	}
	f.checkLeft(r, &result)
	if f.Undo != nil {
		f.Undo(r)
	}
	f.resume(r, kept, &result)
	result.Passed = true
}

// start starts a run.
func (f Fault) start() *Run {
	GinkgoHelper()
	who, scenario := lab.Invoker, f.Scenario
	if f.Who != nil {
		who = f.Who()
	}
	if scenario == "" {
		scenario = "testdata/quick.yaml"
	}
	scenario, err := filepath.Abs(scenario)
	Expect(err).NotTo(HaveOccurred())
	r := &Run{Fault: f, Random: chance(f.Name)}
	if f.Before != nil {
		f.Before(r)
	}
	args := slices.Concat(f.Args, r.More)
	if !slices.Contains(args, "--cluster") && !slices.Contains(args, "--real") {
		args = append(args, "--real", "2")
	}
	switch {
	case f.Terminal:
		r.Command, r.Terminal = who.StartRunOnTerminal(scenario, args...)
	case f.Nohup:
		r.Command, r.Terminal = who.StartRunByNohup(scenario, args...)
	default:
		r.Command = who.StartRun(scenario, args...)
	}
	if f.Started != nil {
		f.Started(r)
	}
	return r
}

// make waits for the moment and makes the fault. It returns the lines that were in the log then.
func (f Fault) make(r *Run, result *reliability.Result) (kept []string) {
	GinkgoHelper()
	if f.Standing != "" {
		result.Stage, result.Did = "from the start", f.Standing
		return nil
	}
	at := anywhere
	if f.At != nil {
		at = f.At
	}
	stage := at(r)
	delay := time.Duration(r.Random.Float64() * float64(stage.Length))
	result.Stage, result.Delay = stage.Name, delay.Seconds()
	for limit := time.After(max(f.Limit, 3*time.Minute)); !stage.Begun(r); {
		select {
		case <-r.Ended():
			Fail(fmt.Sprintf("the run was over before its stage %s", stage.Name))
		case <-limit:
			Fail(fmt.Sprintf("the run did not come to its stage %s", stage.Name))
		case <-time.After(20 * time.Millisecond):
		}
	}
	time.Sleep(delay)
	r.Trace.Look()
	select {
	case <-r.Ended():
		Fail(fmt.Sprintf("the run was over %s after the begin of its stage %s", delay, stage.Name))
	default:
	}
	result.At = time.Since(r.Begun).Seconds()
	kept = r.lines()
	result.Did = f.Make(r)
	AddReportEntry("fault", fmt.Sprintf("%s, %s after the begin of its stage %s, %.1f s into the run", result.Did, delay.Round(time.Millisecond), stage.Name, result.At))
	return kept
}

// end waits for the end, and checks what the run said.
func (f Fault) end(r *Run, result *reliability.Result) {
	GinkgoHelper()
	limit := f.Limit
	if limit == 0 {
		limit = 3 * time.Minute
	}
	result.Exit = r.Wait(limit)
	result.Outcome = map[bool]string{true: reliability.Completed, false: reliability.Failed}[slices.Contains(marked, result.Exit)]
	switch {
	case result.Exit > 0 && len(r.lines()) == 0:
		result.Outcome, result.Said = reliability.Refused, lastWords(r.Both.String())
	case result.Exit == -1:
		result.Outcome = reliability.Killed
	case result.Outcome == reliability.Completed:
		result.Said = strings.Join(r.lived(), "; ")
	default:
		// Where nobody could be told any more, the log says it.
		if result.Said = lastWords(r.Both.String()); result.Said == "" {
			result.Said = strings.Join(r.lived(), "; ")
		}
	}
	Expect(result.Exit).To(BeElementOf(f.Ends), "exit code")
	told := r.told()
	for _, words := range f.Says {
		Expect(told).To(ContainSubstring(words), "what the run says of the fault")
	}
	if f.Program != "" {
		Expect(r.Both.String()).To(And(ContainSubstring(f.Program), ContainSubstring(lastLine(filepath.Join(r.Cluster(), f.Program+".log")))),
			"the run names %s and the end of its log", f.Program)
		if records := r.log(); len(records) > 0 { // none before there is a mesh
			end := records[len(records)-1].End
			Expect(end).NotTo(BeNil(), "the log has no end")
			Expect(end.Outcome).To(Equal(observations.Failed))
			Expect(end.Error).To(ContainSubstring(f.Program))
		}
	}
	if result.Outcome == reliability.Completed {
		r.complete()
	}
}

// lastWords is the error that a command ended with, without what it quotes of logs.
func lastWords(output string) string {
	_, message, _ := cutLast(output, "meshbench: ")
	line, more, _ := strings.Cut(message, "\n")
	line, _, _ = strings.Cut(line, "; the last lines of its log")
	if strings.HasSuffix(line, ":") { // of several, each in a line of its own
		first, _, _ := strings.Cut(strings.TrimSpace(more), "\n")
		line += " " + first
	}
	return line
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

// lastLine is that of a log; "" of one that is empty.
func lastLine(file string) string {
	GinkgoHelper()
	text, err := os.ReadFile(file)
	Expect(err).NotTo(HaveOccurred())
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// complete checks that all steps were measured. That their counts are right is what the
// scenario expects, which the exit code tells.
func (r *Run) complete() {
	GinkgoHelper()
	records := r.log()
	Expect(records).NotTo(BeEmpty())
	Expect(records[0].Run).NotTo(BeNil())
	measured := map[int]bool{}
	for _, rec := range records {
		if rec.Measure != nil {
			measured[*rec.Step] = true
		}
	}
	Expect(measured).To(HaveLen(len(records[0].Run.Steps)), "steps that were measured")
	last := records[len(records)-1]
	Expect(last.End).NotTo(BeNil(), "the log has no end")
	Expect(last.End.Outcome).To(Equal(observations.Finished))
}

// checkLog checks that the log can be read, and still has all that it had.
func (f Fault) checkLog(r *Run, kept []string, result *reliability.Result) {
	GinkgoHelper()
	now := r.lines()
	result.Kept, result.Lost = len(kept), 0
	for i, line := range kept {
		if i >= len(now) || now[i] != line {
			result.Lost++
		}
	}
	Expect(result.Lost).To(BeZero(), "records that are lost")
	if _, err := os.Stat(filepath.Join(r.Out, observations.LogName)); err == nil {
		_, _, err := observations.ReadFile(r.Out)
		Expect(err).NotTo(HaveOccurred(), "reading the log")
	}
}

// checkLeft checks that nothing is left on the machine.
func (f Fault) checkLeft(r *Run, result *reliability.Result) {
	GinkgoHelper()
	Eventually(func() []string {
		result.Left = r.Left()
		return result.Left
	}, 20*time.Second, 200*time.Millisecond).Should(BeEmpty(), "left on the machine")
}

// resume goes on with a run that did not complete.
func (f Fault) resume(r *Run, kept []string, result *reliability.Result) {
	GinkgoHelper()
	if f.Final || result.Outcome == reliability.Completed || result.Outcome == reliability.Refused {
		return
	}
	result.Resumed = "failed"
	again := r.Who.Start("run", "--resume", r.Out)
	again.Out = r.Out
	again.Wait(max(f.Limit, 5*time.Minute))
	again.Exits(0)
	(&Run{Command: again, Fault: f}).complete()
	f.checkLog(r, kept, result)
	again.LeavesNothing(program.Soon)
	result.Resumed = "completed"
}
