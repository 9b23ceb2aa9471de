package advice

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// Trial names the steps of a run that has tried scopes out.
type Trial struct {
	// Before is the step of which the unscoped memory is taken, Scoped that in which the
	// resources were applied, and Restarted that in which all proxies were started anew.
	Before, Scoped, Restarted string
	// Asked are the steps in which the calls were made: unscoped, then scoped.
	Asked []string
}

// Verification is what was predicted beside what was measured.
type Verification struct {
	Rows []Verified `json:"rows"`
	// Predicted and Measured are what one sidecar saves, in bytes, as means over the rows that
	// have both.
	Predicted float64 `json:"predictedBytes"`
	Measured  float64 `json:"measuredBytes"`
	// Kept is what a proxy that went on running has given back of what one that was restarted
	// saves, as a share; nil where that is not known.
	Kept *float64 `json:"runningGaveBack,omitempty"`
	// Calls are the calls that were made, by who asks whom, and whether each step proved them.
	Calls []VerifiedCall `json:"calls,omitempty"`
	// NotAsked are calls that were not made, and why.
	NotAsked []NotAsked `json:"notAsked,omitempty"`
	// Sources are the scopes that other sources found, beside those that were applied.
	Sources []SourceScopes `json:"sources,omitempty"`
	// Unmeasured says of which namespaces memory is not known, and why.
	Unmeasured []string `json:"unmeasured,omitempty"`
}

// Verified is a workload whose sidecars were measured.
type Verified struct {
	Workload string `json:"workload"`
	// Before, Scoped and Restarted are the medians of its sidecars that were not dumped, in bytes;
	// 0 for unknown.
	Before    float64 `json:"beforeBytes"`
	Scoped    float64 `json:"scopedBytes"`
	Restarted float64 `json:"restartedBytes"`
	Sidecars  int     `json:"sidecars"`
	Saving    *Saving `json:"predicted,omitempty"`
}

// Measured is what one sidecar saves once it is restarted, in bytes.
func (v Verified) Measured() float64 { return v.Before - v.Restarted }

// VerifiedCall is a call that was made in several steps.
type VerifiedCall struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Works are the steps' answers, in the order of the trial.
	Works []bool `json:"works"`
	// Says is what the first step said in which it did not work.
	Says string `json:"says,omitempty"`
}

// NotAsked is a call that was not made.
type NotAsked struct {
	Call string `json:"call"`
	Why  string `json:"why"`
}

// SourceScopes compares the scopes that a source finds with those that were applied.
type SourceScopes struct {
	Source string `json:"source"`
	// Same are the namespaces with the same scopes, and Differ those with others, as a sentence
	// each. Calls that were not made cannot be found, so that their namespaces are compared
	// without them.
	Same   int      `json:"same"`
	Differ []string `json:"differ,omitempty"`
}

// Verify compares what was advised with what a run's log says of it.
func Verify(a *Advice, records []observations.Record, t Trial) *Verification {
	v := &Verification{}
	steps := map[int]string{}
	memory := map[string]map[string][]float64{} // by workload and step
	calls := map[[2]string]*VerifiedCall{}
	var order [][2]string
	for _, r := range records {
		if r.Step == nil {
			continue
		}
		if r.Begin != nil {
			steps[*r.Step] = r.Begin.Name
		}
		step := steps[*r.Step]
		if u := r.Usage; u != nil && u.Container == observations.SidecarContainer && u.Kind == observations.ProxySidecar && !u.Witness {
			if memory[u.Workload] == nil {
				memory[u.Workload] = map[string][]float64{}
			}
			memory[u.Workload][step] = append(memory[u.Workload][step], float64(u.MemoryBytes))
		}
		if c := r.Call; c != nil && slices.Contains(t.Asked, step) {
			key := [2]string{c.From, c.To}
			if calls[key] == nil {
				calls[key] = &VerifiedCall{From: c.From, To: c.To}
				order = append(order, key)
			}
			calls[key].add(c)
		}
	}
	for _, key := range order {
		v.Calls = append(v.Calls, *calls[key])
	}
	v.rows(a, memory, t)
	return v
}

func (c *VerifiedCall) add(call *observations.Call) {
	c.Works = append(c.Works, call.Holds())
	if c.Says != "" {
		return
	}
	for _, p := range call.Proofs {
		if p.Holds != nil && !*p.Holds {
			c.Says = p.By + ": " + p.Says
			return
		}
	}
}

// Broken are the calls that worked unscoped and did not afterwards, and those that never did.
func (v *Verification) Broken() (cut, never []VerifiedCall) {
	for _, c := range v.Calls {
		switch {
		case len(c.Works) > 0 && !c.Works[0]:
			never = append(never, c)
		case slices.Contains(c.Works, false):
			cut = append(cut, c)
		}
	}
	return cut, never
}

// rows compares memory by workload.
func (v *Verification) rows(a *Advice, memory map[string]map[string][]float64, t Trial) {
	scopes := map[string]*Scope{}
	for _, s := range a.Scopes {
		scopes[s.Namespace] = s
	}
	var gave, predicted, measured []float64
	for _, workload := range slices.Sorted(maps.Keys(memory)) {
		namespace, _, _ := strings.Cut(workload, "/")
		s, of := scopes[namespace], memory[workload]
		if s == nil {
			continue
		}
		row := Verified{Workload: workload, Sidecars: len(of[t.Restarted]), Saving: s.Saving,
			Before: median(of[t.Before]), Scoped: median(of[t.Scoped]), Restarted: median(of[t.Restarted])}
		v.Rows = append(v.Rows, row)
		if row.Before == 0 || row.Restarted == 0 {
			v.Unmeasured = append(v.Unmeasured, fmt.Sprintf("%s: no sidecar of it was read that was never dumped, before and after", workload))
			continue
		}
		if row.Saving == nil {
			continue
		}
		predicted, measured = append(predicted, row.Saving.Each.Bytes), append(measured, row.Measured())
		if row.Scoped > 0 && row.Measured() > 0 {
			gave = append(gave, (row.Before-row.Scoped)/row.Measured())
		}
	}
	if len(measured) > 0 {
		v.Predicted, v.Measured = mean(predicted), mean(measured)
	}
	if len(gave) > 0 {
		share := median(gave)
		v.Kept = &share
	}
}

// median is 0 of nothing.
func median(values []float64) float64 {
	middle, _, _ := words.Spread(slices.Clone(values))
	return middle
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Compare says whether another source of calls leads to the same scopes as those of an advice, in
// the namespaces that it has read. Only calls that were made are compared.
func Compare(a *Advice, made *callgraph.Graph, source string, found *callgraph.Graph) SourceScopes {
	c := SourceScopes{Source: source}
	want := Advise(a.mesh, made, Options{By: a.By})
	got := Advise(a.mesh, found, Options{By: a.By})
	scopes := map[string][]string{}
	for _, s := range got.Scopes {
		scopes[s.Namespace] = s.List()
	}
	for _, s := range want.Scopes {
		hosts, read := scopes[s.Namespace]
		switch {
		case !read:
		case slices.Equal(hosts, s.List()):
			c.Same++
		default:
			c.Differ = append(c.Differ, fmt.Sprintf("%s: %s", s.Namespace, difference(s.List(), hosts)))
		}
	}
	return c
}

// difference says in what two lists differ.
func difference(want, got []string) string {
	var missing, more []string
	for _, h := range want {
		if !slices.Contains(got, h) {
			missing = append(missing, h)
		}
	}
	for _, h := range got {
		if !slices.Contains(want, h) {
			more = append(more, h)
		}
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "without "+strings.Join(missing, " "))
	}
	if len(more) > 0 {
		parts = append(parts, "with "+strings.Join(more, " ")+" beside")
	}
	return cmp.Or(strings.Join(parts, ", "), "the same in another order")
}

// Print says what came out, for people.
func (v *Verification) Print(w io.Writer) error {
	p := newPrinter(w)
	v.printMemory(p)
	v.printCalls(p)
	for _, s := range v.Sources {
		text := fmt.Sprintf("Found from %s: the same scopes in %s", s.Source, words.Plural(s.Same, "namespace"))
		if len(s.Differ) > 0 {
			text += fmt.Sprintf(", others in %d", len(s.Differ))
		}
		p.line("%s.", text)
		for _, d := range s.Differ {
			p.line("  %s", d)
		}
	}
	return p.err
}

func (v *Verification) printMemory(p *printer) {
	p.line("Predicted beside measured: memory of a sidecar, medians of those that were never dumped")
	rows := [][]string{{"workload", "unscoped", "scoped, running", "restarted", "saved", "predicted", ""}}
	known := func(bytes float64) string {
		if bytes == 0 {
			return "unknown"
		}
		return size(bytes)
	}
	for _, r := range v.Rows {
		saved, predicted, within := "unknown", "unknown", ""
		if r.Before > 0 && r.Restarted > 0 {
			saved = size(r.Measured())
		}
		if r.Saving != nil {
			predicted = interval(r.Saving.Each)
			if saved != "unknown" {
				within = "inside"
				if m := r.Measured(); m < r.Saving.Each.Lo || m > r.Saving.Each.Hi {
					within = "OUTSIDE"
				}
			}
		}
		rows = append(rows, []string{r.Workload, known(r.Before), known(r.Scoped), known(r.Restarted), saved, predicted, within})
	}
	p.table(rows...)
	if v.Measured != 0 {
		p.line("  On average a sidecar saves %s; predicted were %s (%+.0f %%).", size(v.Measured), size(v.Predicted), 100*(v.Predicted/v.Measured-1))
	}
	if v.Kept != nil {
		if *v.Kept < 0.05 {
			p.line("  Proxies that went on running gave none of it back: restart them.")
		} else {
			p.line("  Proxies that went on running gave back %.0f %% of it (median).", 100**v.Kept)
		}
	}
	for _, u := range v.Unmeasured {
		p.line("  %s", u)
	}
}

func (v *Verification) printCalls(p *printer) {
	cut, never := v.Broken()
	p.line("Calls: %s made, %d with mutual TLS before and after, %d cut by the scopes, %d failed unscoped; %d not made",
		words.Plural(len(v.Calls), "call"), len(v.Calls)-len(cut)-len(never), len(cut), len(never), len(v.NotAsked))
	for _, c := range cut {
		p.line("  CUT: %s to %s: %s", c.From, c.To, c.Says)
	}
	for _, c := range never {
		p.line("  failed unscoped: %s to %s: %s", c.From, c.To, c.Says)
	}
	for i, n := range v.NotAsked {
		if i == mostListed {
			p.line("  and %d more not made", len(v.NotAsked)-i)
			break
		}
		p.line("  not made: %s: %s", n.Call, n.Why)
	}
}
