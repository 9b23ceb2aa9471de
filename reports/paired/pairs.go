package paired

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/store"
)

// pair is two runs that were measured in turns.
type pair struct{ reference, candidate *store.Record }

func (p pair) runs() []*store.Record { return []*store.Record{p.reference, p.candidate} }

func (p pair) number() int { return p.reference.Pair.Number }

// key tells pairs apart.
type key struct {
	set    string
	number int
}

// pairsOf are the pairs of records, in the order in which they were measured. Half pairs are
// left out, with a note.
func pairsOf(records []store.Record) (pairs []pair, notes []string, err error) {
	found := map[key]*pair{}
	var order []key
	for i := range records {
		r := &records[i]
		if r.Pair == nil {
			return nil, nil, fmt.Errorf("run %s of %s was not measured in turns with another: it has no pair", r.Run, r.Date.Format(time.RFC3339))
		}
		k := key{r.Pair.Set, r.Pair.Number}
		if found[k] == nil {
			found[k] = &pair{}
			order = append(order, k)
		}
		at := &found[k].reference
		if r.Pair.Side == store.Candidate {
			at = &found[k].candidate
		}
		if *at != nil {
			return nil, nil, fmt.Errorf("pair %d of %s has two runs of the %s", k.number, k.set, r.Pair.Side)
		}
		*at = r
	}
	notes = []string{}
	for _, k := range order {
		p := *found[k]
		if p.reference == nil || p.candidate == nil {
			notes = append(notes, fmt.Sprintf("pair %d of %s was left out: one of its runs is missing", k.number, k.set))
			continue
		}
		pairs = append(pairs, p)
	}
	if len(pairs) == 0 {
		return nil, nil, fmt.Errorf("%w: there is none", ErrTooFew)
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return begin(a).Compare(begin(b)) })
	return pairs, notes, nil
}

func begin(p pair) time.Time {
	if p.candidate.Date.Before(p.reference.Date) {
		return p.candidate.Date
	}
	return p.reference.Date
}

// PairUp joins runs of two folders to pairs: by what they say of their pairs, and, where they
// say nothing, by the order in which they were measured, which must have been in turns.
func PairUp(reference, candidate []store.Record) ([]store.Record, error) {
	said := 0
	for _, side := range []struct {
		name string
		runs []store.Record
	}{{store.Reference, reference}, {store.Candidate, candidate}} {
		for _, r := range side.runs {
			if r.Pair == nil {
				continue
			}
			said++
			if r.Pair.Side != side.name {
				return nil, fmt.Errorf("run %s was measured as the %s and is given as the %s", r.Run, r.Pair.Side, side.name)
			}
		}
	}
	all := slices.Concat(reference, candidate)
	switch {
	case said == len(all):
		return all, nil
	case said > 0:
		return nil, fmt.Errorf("%d of %d runs say which pair they belong to: judge them apart from the others", said, len(all))
	case len(reference) != len(candidate):
		return nil, fmt.Errorf("there are %d runs of the reference and %d of the candidate, which do not say what pairs they are", len(reference), len(candidate))
	}
	byDate := func(a, b store.Record) int { return a.Date.Compare(b.Date) }
	reference, candidate = slices.Clone(reference), slices.Clone(candidate)
	slices.SortFunc(reference, byDate)
	slices.SortFunc(candidate, byDate)
	var paired []store.Record
	referenceFirst := 0
	var before time.Time
	for i := range reference {
		a, b := &reference[i], &candidate[i]
		first, second := a, b
		if b.Date.Before(a.Date) {
			first, second = b, a
		} else {
			referenceFirst++
		}
		if first.Date.Before(before) || second.Date.Before(end(first)) {
			return nil, fmt.Errorf("runs %s and %s were not measured in turns with the others: between the reference's and the candidate's lies more than one's own; measure them with meshbench gate --scenario", a.Run, b.Run)
		}
		before = end(second)
		a.Pair = &store.Pair{Set: "folders", Number: i + 1, Side: store.Reference, Position: 1}
		b.Pair = &store.Pair{Set: "folders", Number: i + 1, Side: store.Candidate, Position: 2}
		if first == b {
			a.Pair.Position, b.Pair.Position = 2, 1
		}
		paired = append(paired, *a, *b)
	}
	if n := len(reference); n > 0 && (referenceFirst == 0 || referenceFirst == n) {
		which := store.Reference
		if referenceFirst == 0 {
			which = store.Candidate
		}
		return nil, fmt.Errorf("the %s was measured first in all pairs: what comes of the order cannot be told from the candidate's change; measure them with meshbench gate --scenario, which draws the order", which)
	}
	return paired, nil
}

func end(r *store.Record) time.Time {
	return r.Date.Add(time.Duration(r.Seconds * float64(time.Second)))
}

// alike refuses pairs that differ in what was not asked for, and lists what they differ
// in as was asked for.
func alike(pairs []pair) (asked []string, err error) {
	first := pairs[0]
	for _, p := range pairs {
		for i, r := range p.runs() {
			if r.Scenario != first.reference.Scenario {
				return nil, fmt.Errorf("run %s is of scenario %s, run %s of %s: pairs are of one scenario", r.Run, r.Scenario, first.reference.Run, first.reference.Scenario)
			}
			if a, b := first.reference.ScenarioHash, r.ScenarioHash; a != b {
				for _, of := range []*store.Record{first.reference, r} {
					if of.ScenarioHash == "" {
						return nil, fmt.Errorf("the rendered scenario of run %s is not known, so it may be another one of the name %s", of.Run, r.Scenario)
					}
				}
				return nil, fmt.Errorf("runs %s and %s are of different scenarios of the name %s: the rendered scenarios differ (%.8s and %.8s)", first.reference.Run, r.Run, r.Scenario, a, b)
			}
			if d := machines(first.reference.Machine, r.Machine); d != "" {
				return nil, fmt.Errorf("runs %s and %s were measured on different machines: %s", first.reference.Run, r.Run, d)
			}
			own := first.runs()[i]
			if d := own.Environment.Differences(r.Environment); len(d) > 0 {
				return nil, fmt.Errorf("runs %s and %s are both of the %s and differ: %s", own.Run, r.Run, own.Pair.Side, d[0].In("one", "the other"))
			}
			if own.Meshbench != r.Meshbench {
				return nil, fmt.Errorf("runs %s and %s are both of the %s and were made by different versions of meshbench, %s and %s", own.Run, r.Run, own.Pair.Side, own.Meshbench, r.Meshbench)
			}
			if own.Pair.Asked != r.Pair.Asked {
				return nil, fmt.Errorf("runs %s and %s are both of the %s and were asked for differently: %s and %s", own.Run, r.Run, own.Pair.Side, own.Pair.Asked, r.Pair.Asked)
			}
		}
	}
	may := subject(first)
	asked = []string{}
	var odd []string
	for _, d := range first.reference.Environment.Differences(first.candidate.Environment) {
		text := d.In("the reference", "the candidate")
		if may(d) {
			asked = append(asked, text)
		} else {
			odd = append(odd, text)
		}
	}
	a, b := first.reference.Meshbench, first.candidate.Meshbench
	if text := fmt.Sprintf("version of meshbench: %s in the reference, %s in the candidate", a, b); a != b {
		if may(compare.Difference{What: "meshbench"}) {
			asked = append(asked, text)
		} else {
			odd = append(odd, text)
		}
	}
	if len(odd) > 0 {
		return nil, fmt.Errorf("reference and candidate differ in what was not asked for: %s", strings.Join(odd, "; "))
	}
	return asked, nil
}

// subject says what the sides of pairs may differ in: what was asked for, and what follows
// from that. Runs that do not say what was asked for may differ in Istio's version and values.
func subject(p pair) func(compare.Difference) bool {
	a, b := askedFor(p.reference.Pair.Asked), askedFor(p.candidate.Pair.Asked)
	differs := func(keyword string) bool { return !slices.Equal(a[keyword], b[keyword]) }
	istio, envoy, set, program := differs("istio"), differs("envoy"), differs("set"), differs("meshbench")
	if p.reference.Pair.Asked == "" && p.candidate.Pair.Asked == "" {
		istio, set = p.reference.Environment.Istio != p.candidate.Environment.Istio, true
	}
	return func(d compare.Difference) bool {
		if d.Collected {
			return program // another version of it may not collect
		}
		switch d.What {
		case "Istio version":
			return istio
		case "Envoy version", "Envoy build":
			return istio || envoy
		case "Helm values":
			return istio || set
		case "Envoy worker threads", "xDS", "age of a proxy's connection to istiod (s)":
			return set
		case "simulated", "meshbench":
			return program
		}
		return false
	}
}

// askedFor are the words of a side of a gate, istio=1.27.0,set=a.b=c, by their keys.
func askedFor(text string) map[string][]string {
	asked := map[string][]string{}
	for _, word := range strings.Split(text, ",") {
		if name, value, ok := strings.Cut(word, "="); ok {
			asked[name] = append(asked[name], value)
		}
	}
	return asked
}

// machines says what two machines differ in; "" for nothing.
func machines(a, b observations.Host) string {
	var d []string
	add := func(what string, a, b any) {
		if a != b {
			d = append(d, fmt.Sprintf("%s: %v and %v", what, a, b))
		}
	}
	add("system", a.OS, b.OS)
	add("kernel", a.Kernel, b.Kernel)
	add("CPUs", a.CPUs, b.CPUs)
	add("memory in bytes", a.Memory, b.Memory)
	add("root", a.Root, b.Root)
	return strings.Join(d, "; ")
}

// side is one side of pairs in words.
func side(r *store.Record) string {
	text := fmt.Sprintf("Istio %s, Envoy %s, meshbench %s", r.Environment.Istio, r.Environment.Envoy, r.Meshbench)
	if r.Pair.Asked != "" {
		text = r.Pair.Asked + " (" + text + ")"
	}
	return text
}

// Slice are the records of pairs from one to another, counted from 1 in the store's order. A
// store that does not have them all is refused.
func Slice(records []store.Record, from, to int) ([]store.Record, error) {
	if from < 1 || to < from {
		return nil, fmt.Errorf("pairs %d to %d: expected a range such as 1-6", from, to)
	}
	order := map[key]int{}
	var slice []store.Record
	for _, r := range records {
		if r.Pair == nil {
			continue
		}
		k := key{r.Pair.Set, r.Pair.Number}
		if _, known := order[k]; !known {
			order[k] = len(order) + 1
		}
		if n := order[k]; n >= from && n <= to {
			slice = append(slice, r)
		}
	}
	if len(order) < to {
		return nil, fmt.Errorf("%w: the store has %d pairs, and none of the number %d", ErrTooFew, len(order), to)
	}
	return slice, nil
}
