package scenarios

import (
	"embed"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed published/*.yaml
var publishedFiles embed.FS

// Published holds figures that somebody else published; facts only.
type Published struct {
	// Name of the table: eks-nginx.
	Name string `yaml:"name"`
	// Source says who published it and when.
	Source string `yaml:"source"`
	// Environment is what the figures were measured on, in the publisher's words.
	Environment map[string]string `yaml:"environment"`
	// CountsIncludeHeader says that the counts are line counts of what istioctl prints,
	// so that they hold one header line more than rows.
	CountsIncludeHeader bool `yaml:"countsIncludeHeader"`
	// Steps in the order in which they were done.
	Steps []PublishedStep `yaml:"steps"`
	// Growth with revisions of Knative Services; nil where nothing was published on it.
	Growth *PublishedGrowth `yaml:"growth,omitempty"`
}

// PublishedGrowth tells how a sidecar's memory grew with revisions of Knative Services.
type PublishedGrowth struct {
	GrowthMi     float64 `yaml:"growthMi"`     // in Mi for PerRevisions revisions
	PerRevisions int     `yaml:"perRevisions"` // revisions
	// KilledBetween are the revisions between which the sidecar was killed at its limit,
	// KilledAtMi.
	KilledBetween [2]int  `yaml:"killedBetween"`
	KilledAtMi    float64 `yaml:"killedAtMi"`
	// SurvivesAtMi is the limit with which it lived on, SurvivesMi what it then took.
	SurvivesAtMi float64 `yaml:"survivesAtMi"`
	SurvivesMi   float64 `yaml:"survivesMi"`
}

// PublishedStep is one step of a published table; nil where nothing was published.
type PublishedStep struct {
	// Step is the number that scenario steps refer to.
	Step int `yaml:"step"`
	// Do says what was done, in words.
	Do string `yaml:"do"`
	// Counts of the witness's configuration as published ([Published.CountsIncludeHeader]).
	Counts *PublishedCounts `yaml:"counts,omitempty"`
	// Memory is the range of istio-proxy's memory that was printed.
	Memory *Range `yaml:"memory,omitempty"`
	// WitnessMemory is the value of the one proxy that had been dumped, in Mi; 0 for none.
	WitnessMemory int `yaml:"witnessMemory,omitempty"`
	// Objects in all namespaces.
	Objects *PublishedObjects `yaml:"objects,omitempty"`
}

// PublishedCounts are published counts of a proxy's configuration.
type PublishedCounts struct {
	Cluster  int `yaml:"cluster"`
	Listener int `yaml:"listener"`
	Route    int `yaml:"route"`
	Endpoint int `yaml:"endpoint"`
}

// PublishedObjects are published counts of objects in all namespaces.
type PublishedObjects struct {
	Nodes    int `yaml:"nodes"`
	Pods     int `yaml:"pods"`
	Services int `yaml:"services"`
}

// Range is the lowest and the highest value printed, in Mi (2^20 bytes).
type Range struct {
	Low  int `yaml:"low"`
	High int `yaml:"high"`
}

// PublishedTable returns the published table of that name, eks-nginx.
func PublishedTable(name string) (*Published, error) {
	data, err := publishedFiles.ReadFile("published/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no published table %q", name)
	}
	var t Published
	if err := yaml.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("cannot read published table %s: %w", name, err)
	}
	return &t, nil
}

// publishedNames are the names of all published tables.
func publishedNames() []string {
	files, err := publishedFiles.ReadDir("published")
	if err != nil {
		panic(err) // it is part of the program
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// Step returns the step with that number, or nil.
func (p *Published) Step(number int) *PublishedStep {
	for i := range p.Steps {
		if p.Steps[i].Step == number {
			return &p.Steps[i]
		}
	}
	return nil
}
