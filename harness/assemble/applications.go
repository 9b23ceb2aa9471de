package assemble

import (
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/scenarios"
)

// checkApplications refuses a scenario that sends requests on clusters on which nothing would
// answer.
func (o Options) checkApplications(s *scenarios.Scenario) error {
	if !s.Plan().Applications || o.Source.RunsApplications() {
		return nil
	}
	return &cluster.OptionError{Err: fmt.Errorf("scenario %s sends requests, for which applications must run, and on the %s cluster that is asked for none does: choose another cluster, or leave out what keeps them from it (--data-plane off)", s.Name, o.Source.Name())}
}

// Applications says, in one sentence for each workload that the scenario's requests are sent
// from or to, what runs there.
func (o Options) Applications(s *scenarios.Scenario) []string {
	var all []string
	for _, a := range s.Plan().Running {
		does := "answers"
		switch {
		case a.Sends && a.Answers:
			does = "sends and answers"
		case a.Sends:
			does = "sends"
		}
		var runs []string
		for _, c := range a.Containers {
			runs = append(runs, fmt.Sprintf("%s runs %s", c.Name, o.program(c.Image)))
		}
		all = append(all, fmt.Sprintf("%s %s requests: container %s", a, does, strings.Join(runs, ", container ")))
	}
	return all
}

// program is what runs in an application's container of an image.
func (o Options) program(image string) string {
	if o.Source.RunsImages() {
		return "its image, " + image
	}
	if s, is := o.Source.(cluster.Substitutes); is {
		if text := s.Substitute(image); text != "" {
			return text
		}
	}
	return "a stand-in for " + image
}
