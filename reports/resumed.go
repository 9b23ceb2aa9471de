package reports

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// ResumedSteps names the steps that were measured after an interruption and whose memory has
// another past, in the run's order.
func (r *Report) ResumedSteps() []string {
	var names []string
	for _, s := range r.Steps {
		if s.Measured && s.Resumed {
			names = append(names, s.Name)
		}
	}
	return names
}

// resumeEvent is an interruption in words.
func resumeEvent(r *observations.Resume, steps []string) observations.Event {
	return observations.Event{Level: observations.Info, Kind: observations.Resumed, Message: resumeText(r, steps)}
}

// resumeText says when a run was interrupted, why, and how it went on.
func resumeText(r *observations.Resume, steps []string) string {
	after := "before its first step was measured"
	if r.After >= 0 && r.After < len(steps) {
		after = "after step " + steps[r.After]
	}
	why, _, _ := strings.Cut(r.Error, "\n")
	why = cmp.Or(why, r.Outcome, "its log was cut off")
	text := fmt.Sprintf("The run was interrupted %s (%s) and went on at %s", after, why, r.Began.UTC().Format(time.DateTime))
	switch r.Cluster {
	case observations.NewCluster:
		text += " on a new cluster"
		if len(r.Replayed) > 0 {
			text += ", where the actions of " + words.Plural(len(r.Replayed), "step") + " were done again"
		}
	case observations.SameCluster:
		text += " on the same cluster, which still stood"
		if r.Again != "" {
			text += ", where the actions of step " + r.Again + " were done again"
		}
	default:
		text += ", when all was measured"
	}
	if r.LostRecords > 0 {
		text += fmt.Sprintf("; %s of %.0f s before that count for nothing", words.Plural(r.LostRecords, "record"), r.LostSeconds)
	}
	return text + "."
}

// resumeFindings are what a reader must know of a run that was interrupted.
func (r *Report) resumeFindings() []sections.Finding {
	var found []sections.Finding
	add := func(level, text string) {
		found = append(found, sections.Finding{Level: level, Kind: observations.Resumed, Text: text})
	}
	if names := r.ResumedSteps(); len(names) > 0 {
		add(observations.Warning, fmt.Sprintf("Measured after an interruption: %s. Memory and CPU there have another past than in a run without one, and are left out of comparisons; counts are as ever.", strings.Join(names, ", ")))
	}
	for i := range r.Resumes {
		resume := &r.Resumes[i]
		add(observations.Info, resumeText(resume, r.Environment.Steps))
		for _, text := range resume.Differences {
			add(observations.Warning, "The machine was not as it was when the run began: "+text+".")
		}
		if resume.Meshbench != r.Environment.Meshbench {
			add(observations.Warning, fmt.Sprintf("Another version of meshbench went on: %s, after %s began. It may settle and read otherwise.", resume.Meshbench, r.Environment.Meshbench))
		}
	}
	return found
}

// restartEvent is a restart in words.
func restartEvent(r *observations.Restart) observations.Event {
	e := observations.Event{
		Level: observations.Warning, Kind: observations.Restarted, Object: r.Namespace + "/" + r.Pod + "/" + r.Container,
		Message: r.Sentence(),
	}
	if r.Reason == observations.ReasonOOMKilled {
		e.Kind = observations.OOMKill
	}
	return e
}
