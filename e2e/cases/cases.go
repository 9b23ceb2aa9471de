// Package cases holds meshes as people have them, after public bug reports, and what must
// come out of each: testdata/NAME.yaml is a scenario, and NAME.want.yaml says what running
// it gives, or how it is refused. The command line's tests validate all of them; the
// end-to-end suite runs them.
package cases

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed testdata
var files embed.FS

// Case is one input and what must come out of it.
type Case struct {
	// Name is the file's, without .yaml.
	Name string
	// Text is the scenario.
	Text []byte
	Want
}

// Want is what must come out.
type Want struct {
	// After names the reports that the input is made after, for people.
	After string `yaml:"after"`
	// Refused is how the scenario is refused before anything starts; nil where it runs.
	Refused *Refused `yaml:"refused"`
	// Warns are words of a warning of validate; none allows no warning.
	Warns []string `yaml:"warns"`
	// Args are further arguments of meshbench run.
	Args []string `yaml:"args"`
	// Drains is set if it is about how long listeners drain. Other runs are told 1 s: what
	// is gone is waited out in any case.
	Drains bool `yaml:"drains"`
	// Quick runs are part of make test; the others are for the night.
	Quick bool `yaml:"quick"`
	// Exit is the exit code of meshbench run.
	Exit int `yaml:"exit"`
	// Says are words that the run's standard output or error holds, and SaysNot those that
	// it must not.
	Says    []string `yaml:"says"`
	SaysNot []string `yaml:"saysNot"`
	// Within bounds the run in minutes; 0 for 6. Waiting in vain is a wrong answer too.
	Within int `yaml:"within"`
	// Steps are what must be measured in each step, by the step's name.
	Steps map[string]Step `yaml:"steps"`
	// Same names a case of which this one differs in one word, and which is refused.
	Same string `yaml:"same"`
}

// Refused is a refusal.
type Refused struct {
	// Line is where in the file.
	Line int `yaml:"line"`
	// Field is the field's path, as it is printed.
	Field string `yaml:"field"`
	// Says are words of the message: what is wrong, and what to write instead.
	Says []string `yaml:"says"`
}

// Step is what must be measured in one step. What is nil is not looked at.
type Step struct {
	// Settled is whether the mesh was quiet before the limit; true unless it is given.
	Settled *bool `yaml:"settled"`
	// Cluster to Endpoint are changes of the witness's rows against the first step.
	Cluster, Listener, Route, Endpoint *int
	// Sidecars and Gateways are the proxies that run as processes.
	Sidecars, Gateways *int
	// Witness is the workload whose proxy was dumped, namespace/name.
	Witness string `yaml:"witness"`
}

// All reads all cases, sorted by name. An input without what must come out is an error, and
// so is a field that nobody reads.
func All() ([]Case, error) {
	entries, err := files.ReadDir("testdata")
	if err != nil {
		return nil, err
	}
	var all []Case
	var problems []error
	for _, e := range entries {
		name, isInput := strings.CutSuffix(e.Name(), ".yaml")
		if !isInput || strings.HasSuffix(name, ".want") {
			continue
		}
		c := Case{Name: name}
		if c.Text, err = files.ReadFile(path.Join("testdata", e.Name())); err != nil {
			return nil, err
		}
		want, err := files.ReadFile(path.Join("testdata", name+".want.yaml"))
		if err != nil {
			problems = append(problems, fmt.Errorf("case %s: nobody says what must come out of it: %w", name, err))
			continue
		}
		decoder := yaml.NewDecoder(bytes.NewReader(want))
		decoder.KnownFields(true)
		if err := decoder.Decode(&c.Want); err != nil {
			problems = append(problems, fmt.Errorf("case %s: %w", name, err))
		}
		if c.Refused == nil && len(c.Steps) == 0 && c.Exit == 0 {
			problems = append(problems, fmt.Errorf("case %s: it is neither refused nor measured", name))
		}
		all = append(all, c)
	}
	return all, errors.Join(problems...)
}

// Words are a scenario's keys, each with its scalar value where it has one, for comparing
// inputs that differ in one.
func Words(text []byte) []string {
	words := strings.FieldsFunc(strings.NewReplacer(`"`, "", "'", "", "- ", "").Replace(string(text)), func(r rune) bool {
		return strings.ContainsRune("\n{}[],", r)
	})
	for i, w := range words {
		words[i] = strings.TrimSpace(w)
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}
