package formats

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
)

// JUnit's elements, as the tools that show it agree on them: the schema of Apache Ant's
// junit task with the testsuites around it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     float64      `xml:"time,attr"` // seconds
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Package    string          `xml:"package,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       float64         `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr,omitempty"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string       `xml:"name,attr"`
		Class   string       `xml:"classname,attr"`
		Time    float64      `xml:"time,attr"`
		Failure *junitResult `xml:"failure,omitempty"`
		Error   *junitResult `xml:"error,omitempty"`
		Skipped *junitResult `xml:"skipped,omitempty"`
	}
	junitResult struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
	}
)

// JUnit prints a test suite for each step of the scenario, with these cases:
//   - each expectation, which fails when it does not hold;
//   - "settled", which fails when the mesh was not quiet: such figures are not to be
//     trusted, and a gate must not pass them over (rules of measurement, 7);
//   - "measured", which is an error when the run did not get so far. The step's other
//     cases are skipped then: what they would have given is not known.
//
// Expectations that the cluster makes void, since it cannot do an action, are skipped.
//
// Sections are in the suites' properties, and no cases: a sidecar that is killed at its limit
// is what a run with revisions is for, and no failure.
//
// Published figures are no cases: they are information, a run that differs from them is ok.
func JUnit(w io.Writer, r *reports.Report) error {
	all := junitSuites{Name: r.Scenario, Time: r.Seconds}
	env := r.Environment
	properties := []junitProperty{
		{"run", r.Run}, {"cluster", r.Cluster}, {"istio", r.Istio}, {"envoy", r.Envoy},
		{"memory is read from", env.WayOfReading()}, {"worker threads", fmt.Sprint(env.Mesh.Workers)},
	}
	for _, s := range r.Sections {
		for _, p := range s.Properties {
			properties = append(properties, junitProperty{p[0], p[1]})
		}
	}
	begun := map[int]*reports.Step{}
	for i := range r.Steps {
		begun[r.Steps[i].Number] = &r.Steps[i]
	}
	for i, name := range env.Steps {
		suite := junitSuite{Name: name, Package: r.Scenario, Properties: properties}
		step := begun[i+1]
		if step == nil {
			step = &reports.Step{}
		} else {
			suite.Time = step.Seconds
			suite.Timestamp = step.Time.UTC().Format("2006-01-02T15:04:05")
			if step.Resumed {
				suite.Properties = append(slices.Clone(properties), junitProperty{"measured after an interruption", "memory has another past, and is not compared"})
			}
		}
		suite.Cases = junitCases(step, r.Scenario+"."+name, r.Incomplete)
		for _, c := range suite.Cases {
			suite.Tests++
			switch {
			case c.Error != nil:
				suite.Errors++
			case c.Failure != nil:
				suite.Failures++
			case c.Skipped != nil:
				suite.Skipped++
			}
		}
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Errors += suite.Errors
		all.Skipped += suite.Skipped
		all.Suites = append(all.Suites, suite)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// junitCases are the step's cases; incomplete says why a step is not there.
func junitCases(s *reports.Step, class string, incomplete func() string) []junitCase {
	unknown := &junitResult{Message: "the step was not measured"}
	measured := junitCase{Name: "measured", Class: class, Time: s.Seconds}
	settled := junitCase{Name: "settled", Class: class}
	if s.Settle != nil {
		settled.Time = s.Settle.Seconds
	}
	switch {
	case !s.Measured:
		measured.Error = &junitResult{Message: incomplete(), Type: "incomplete"}
		settled.Skipped = unknown
	case !s.Settled:
		settled.Failure = &junitResult{Message: s.UnsettledText(), Type: observations.Unsettled}
	}
	cases := []junitCase{measured, settled}
	for _, e := range s.Expectations {
		c := junitCase{Name: fmt.Sprintf("%s changes by %+d", e.Subject(), e.Want), Class: class}
		if e.Text != "" {
			c.Name = e.What
		}
		switch {
		case e.OK:
		case !s.Measured && e.Got == nil:
			c.Skipped = unknown
		default:
			c.Failure = &junitResult{Message: e.String(), Type: "missed"}
		}
		cases = append(cases, c)
	}
	for _, e := range s.Unjudged {
		cases = append(cases, junitCase{
			Name: fmt.Sprintf("%s changes by %+d", strings.TrimSpace(e.Kind+" "+e.What), e.Change), Class: class, Skipped: &junitResult{Message: s.WhyUnjudged},
		})
	}
	return cases
}
