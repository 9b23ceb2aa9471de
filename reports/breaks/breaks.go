// Package breaks says what gave the memory of a run a past: a pure function of its log.
//
// Envoy and istiod give little of their memory back. What was held by configuration that is
// gone leaves holes, into which later configuration fits: a program that lived through a
// deletion holds more than one that never had what was deleted, and grows less than its
// configuration does. Memory after a deletion or a drain therefore says nothing of growth,
// and no line is fitted through it.
package breaks

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/observations"
)

// Break is something that gave memory a past: a deletion, or listeners that drained.
type Break struct {
	Step string // its name
	Why  string // in words
	// Drain says that listeners drained, which concerns proxies alone.
	Drain bool

	step int
	at   int // the record that it was over with
}

// Breaks are those of one run.
type Breaks struct {
	// All are in the log's order.
	All []Break

	seen map[string]int // the first record with each pod's memory
}

// drainSeconds is how long the wait for old listeners must have taken to call it a drain: it
// is looked at each second, and listeners that merely warm up are soon done.
const drainSeconds = 5

// Of reads a run's log.
func Of(records []observations.Record) *Breaks {
	past := &Breaks{seen: map[string]int{}}
	r := reader{Breaks: past, replicas: map[string]int{}, configs: map[string]observations.ConfigObjects{}}
	for i, rec := range records {
		r.pods(i, rec)
		if rec.Resume != nil && rec.Resume.History {
			r.resumed(rec.Resume, records[0].Run)
		}
		if rec.Step == nil {
			continue
		}
		switch {
		case rec.Begin != nil:
			r.step, r.name, r.replaced, r.restarted, r.broken = *rec.Step, rec.Begin.Name, i, i, false
		case rec.Action != nil:
			switch rec.Action.Name {
			case "apply", "nodes", "upgrade", "revisions":
				r.replaced, r.restarted = i, i
			case "restart":
				r.restarted = i
			}
			if why := r.deletes(rec.Action); why != "" {
				r.note(Break{Why: why, at: i})
			}
		case rec.Churn != nil:
			r.note(Break{Why: "churn of " + rec.Churn.What, at: i})
		case rec.Scope != nil:
			r.note(Break{Why: fmt.Sprintf("the scope of graph %s by %s", rec.Scope.Graph, rec.Scope.By), at: i})
		case rec.Revisions != nil:
			if rec.Revisions.Total < r.revisions {
				r.note(Break{Why: fmt.Sprintf("revisions fell from %d to %d", r.revisions, rec.Revisions.Total), at: i})
			}
			r.revisions = rec.Revisions.Total
		case rec.Settle != nil:
			if r.drained(rec.Settle) && !r.broken {
				r.All = append(r.All, Break{Step: r.name, Why: "listeners drained", Drain: true, step: r.step, at: r.restarted})
			}
		case rec.Objects != nil:
			r.objects(rec.Objects)
		case rec.Proxy != nil:
			r.proxy(rec.Proxy)
		}
	}
	return past
}

// reader are breaks on their way through the log.
type reader struct {
	*Breaks
	step int
	name string
	// replaced is the record of the step's last action that may have removed something without
	// saying so, restarted that of the last one after which listeners may drain; the step's
	// begin for none.
	replaced, restarted int
	broken              bool // the step has a break that is known by its action
	replicas            map[string]int
	revisions           int
	before              *observations.Objects
	configs             map[string]observations.ConfigObjects // by workload
}

// resumed notes that memory has another past from here on: what was done a second time, and in
// which order pods met it, is not in the log. So everything counts as having lived through it.
func (r *reader) resumed(resume *observations.Resume, run *observations.Run) {
	b := Break{Why: "the run was interrupted and resumed", step: resume.After + 1, at: math.MaxInt}
	if run != nil && b.step < len(run.Steps) {
		b.Step = run.Steps[b.step]
	}
	r.All = append(r.All, b)
}

// pods notes the first time that the memory of a pod is seen.
func (r *reader) pods(i int, rec observations.Record) {
	note := func(pod string) {
		if _, before := r.seen[pod]; !before {
			r.seen[pod] = i
		}
	}
	switch {
	case rec.Series != nil:
		for _, c := range rec.Series.Containers {
			note(c.Namespace + "/" + c.Pod)
		}
	case rec.Usage != nil:
		note(rec.Usage.Namespace + "/" + rec.Usage.Pod)
	case rec.Istiod != nil:
		note(rec.Istiod.Pod)
	}
}

// note adds a deletion to the step.
func (r *reader) note(b Break) {
	r.broken = true
	b.Step, b.step = r.name, r.step
	r.All = append(r.All, b)
}

// inferred adds a deletion that only its effect shows. Where an action said it already,
// nothing is added.
func (r *reader) inferred(why string) {
	if !r.broken {
		r.note(Break{Why: why, at: r.replaced})
	}
}

// created and scaled match what actions say of replicas.
var (
	created = regexp.MustCompile(`^create (Deployment|StatefulSet) (\S+) .* with (\d+) replicas$`)
	scaled  = regexp.MustCompile(`^scale (StatefulSet )?(\S+) to (\d+)$`)
)

// deletes says what an action deleted; "" for nothing. Words are those of the log, which
// actions write of themselves.
func (r *reader) deletes(a *observations.Action) string {
	switch a.Name {
	case "delete":
		return a.Detail
	case "deployment", "statefulset":
		if m := created.FindStringSubmatch(a.Detail); m != nil {
			r.replicas[m[1]+" "+m[2]], _ = strconv.Atoi(m[3])
		}
	case "scale":
		m := scaled.FindStringSubmatch(a.Detail)
		if m == nil {
			return ""
		}
		name := "Deployment " + m[2]
		if m[1] != "" {
			name = "StatefulSet " + m[2]
		}
		to, _ := strconv.Atoi(m[3])
		from, known := r.replicas[name]
		r.replicas[name] = to
		if known && to < from {
			return fmt.Sprintf("%s, from %d", a.Detail, from)
		}
	}
	return ""
}

// drained says whether the wait was for listeners that drained.
func (r *reader) drained(s *observations.Settle) bool {
	if slices.ContainsFunc(s.Unmet, func(text string) bool { return strings.HasPrefix(text, observations.ListenersGone+":") }) {
		return true
	}
	until, ok := s.Took[observations.ListenersGone]
	since, ok2 := s.Took[observations.Acknowledged]
	return ok && ok2 && until-since >= drainSeconds
}

// objects looks for pods and Services that are gone.
func (r *reader) objects(now *observations.Objects) {
	if b := r.before; b != nil {
		switch {
		case now.Services < b.Services:
			r.inferred(fmt.Sprintf("Services fell from %d to %d", b.Services, now.Services))
		case now.Pods < b.Pods:
			r.inferred(fmt.Sprintf("pods fell from %d to %d", b.Pods, now.Pods))
		}
	}
	r.before = now
}

// proxy looks for configuration that is gone.
func (r *reader) proxy(p *observations.Proxy) {
	was, known := r.configs[p.Workload]
	r.configs[p.Workload] = p.Objects
	if !known {
		return
	}
	for _, x := range []struct {
		what    string
		was, is int
	}{
		{"clusters", was.Clusters, p.Objects.Clusters}, {"listeners", was.Listeners, p.Objects.Listeners},
		{"filter chains", was.FilterChains, p.Objects.FilterChains}, {"route configurations", was.RouteConfigs, p.Objects.RouteConfigs},
		{"virtual hosts", was.VirtualHosts, p.Objects.VirtualHosts}, {"endpoints", was.Endpoints, p.Objects.Endpoints},
	} {
		if x.is < x.was {
			r.inferred(fmt.Sprintf("%s of %s fell from %d to %d", x.what, p.Workload, x.was, x.is))
			return
		}
	}
}

// Lived is the first break that a proxy's pod, namespace/name, had lived through at the end of
// a step, counted from 0; nil for none. A pod of whose memory the log has nothing lived
// through none.
func (past *Breaks) Lived(pod string, step int) *Break { return past.lived(pod, step, true) }

// IstiodLived is the same of istiod's pod, to which drains are nothing.
func (past *Breaks) IstiodLived(pod string, step int) *Break { return past.lived(pod, step, false) }

func (past *Breaks) lived(pod string, step int, proxy bool) *Break {
	seen, known := past.seen[pod]
	if !known {
		return nil
	}
	for i, b := range past.All {
		if b.step <= step && seen < b.at && (proxy || !b.Drain) {
			return &past.All[i]
		}
	}
	return nil
}

// Deletion is the first break until the end of a step, counted from 0, that is no drain; nil
// for none. It concerns what ran from before the first step.
func (past *Breaks) Deletion(until int) *Break {
	i := slices.IndexFunc(past.All, func(b Break) bool { return b.step <= until && !b.Drain })
	if i < 0 {
		return nil
	}
	return &past.All[i]
}

// Between is the first break after a step and until the end of another, counted from 0; nil
// for none.
func (past *Breaks) Between(after, until int) *Break {
	for i, b := range past.All {
		if b.step > after && b.step <= until {
			return &past.All[i]
		}
	}
	return nil
}
