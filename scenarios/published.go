package scenarios

import (
	"embed"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed published/*.yaml
var publishedFiles embed.FS

// Published is a table of figures that somebody else published; facts only.
type Published struct {
	// Name is the table's: eks-nginx.
	Name string `yaml:"name"`
	// Source says who published it and when.
	Source string `yaml:"source"`
	// Environment describes where the figures were measured, in the publisher's words.
	Environment map[string]string `yaml:"environment"`
	// CountsIncludeHeader is set if the counts are line counts of istioctl's output, one
	// header line more than rows.
	CountsIncludeHeader bool `yaml:"countsIncludeHeader"`
	// Relative is set if the publisher's cluster held objects that are not known. Then counts
	// are compared as changes against the step of the table that a scenario's first step
	// reproduces.
	Relative bool `yaml:"relative,omitempty"`
	// Note says, in a sentence or two, why figures may differ today; "" for no reason known.
	Note string `yaml:"note,omitempty"`
	// Steps are in the order in which they were done.
	Steps []PublishedStep `yaml:"steps"`
	// Growth is the growth with revisions of Knative Services; nil if none was published.
	Growth *PublishedGrowth `yaml:"growth,omitempty"`
	// Series is memory by the size of the mesh; nil if none was published.
	Series *PublishedSeries `yaml:"series,omitempty"`
	// Traffic is what a sidecar needs that carries requests; nil if none was published.
	Traffic *PublishedTraffic `yaml:"traffic,omitempty"`
	// Scoping is what Sidecar resources saved; nil if none was published.
	Scoping *PublishedScoping `yaml:"scoping,omitempty"`
}

// PublishedScoping is what a mesh needed before and after its proxies were scoped. MB and GB
// are 10^6 and 10^9 bytes.
type PublishedScoping struct {
	Services int `yaml:"services"`
	Proxies  int `yaml:"proxies"`
	// Unscoped is a mesh in which each proxy holds all Services, Scoped one in which it holds
	// what it needs.
	Unscoped PublishedScope `yaml:"unscoped"`
	Scoped   PublishedScope `yaml:"scoped"`
	// BoundSeconds is what istiod's times of pushes, convergence and queueing stayed below.
	BoundSeconds float64 `yaml:"boundSeconds"`
}

// PublishedScope is what a mesh needed; 0 for what was not published.
type PublishedScope struct {
	ConfigMB    float64 `yaml:"configMB"` // of one proxy, as its config_dump
	AllConfigGB float64 `yaml:"allConfigGB"`
	MemoryMB    float64 `yaml:"memoryMB"` // of one proxy
	AllMemoryGB float64 `yaml:"allMemoryGB"`
	// IstiodMemoryGB and IstiodCores are the control plane's.
	IstiodMemoryGB float64 `yaml:"istiodMemoryGB"`
	IstiodCores    float64 `yaml:"istiodCores"`
}

// PublishedSeries is the memory of proxies by the number of some objects.
type PublishedSeries struct {
	// By is what was counted, services; Per is the number of them that slopes are given for.
	By  string `yaml:"by"`
	Per int    `yaml:"per"`
	// Istio is the version.
	Istio string `yaml:"istio"`
	// At are the numbers of objects, and MemoryMi the memory in Mi at each of them, by the kind
	// of proxy: sidecar, gateway.
	At       []int                `yaml:"at"`
	MemoryMi map[string][]float64 `yaml:"memoryMi"`
}

// PublishedTraffic is what a sidecar needs that carries requests.
type PublishedTraffic struct {
	RequestsPerSecond int     `yaml:"requestsPerSecond"`
	PayloadBytes      int     `yaml:"payloadBytes"` // of each request
	Workers           int     `yaml:"workers"`      // threads of the sidecar
	Cores             float64 `yaml:"cores"`        // CPU
	MemoryMB          float64 `yaml:"memoryMB"`     // in MB, 10^6 bytes
}

// PublishedGrowth is the growth of a sidecar's memory with revisions of Knative Services.
type PublishedGrowth struct {
	GrowthMi     float64 `yaml:"growthMi"`     // in Mi for PerRevisions revisions
	PerRevisions int     `yaml:"perRevisions"` // revisions
	// KilledBetween are the revisions between which the sidecar was killed at its limit,
	// KilledAtMi.
	KilledBetween [2]int  `yaml:"killedBetween"`
	KilledAtMi    float64 `yaml:"killedAtMi"`
	// SurvivesAtMi is the limit at which it survived, and SurvivesMi its memory then.
	SurvivesAtMi float64 `yaml:"survivesAtMi"`
	SurvivesMi   float64 `yaml:"survivesMi"`
}

// PublishedStep is one step of a published table. Fields are nil if not published.
type PublishedStep struct {
	// Step is the number that scenario steps refer to.
	Step int `yaml:"step"`
	// Do describes what was done.
	Do string `yaml:"do"`
	// Counts are those of the witness's configuration ([Published.CountsIncludeHeader]).
	Counts *PublishedCounts `yaml:"counts,omitempty"`
	// Memory is the range of istio-proxy's memory.
	Memory *Range `yaml:"memory,omitempty"`
	// WitnessMemory is the memory of the one proxy that had been dumped, in Mi; 0 for none.
	WitnessMemory int `yaml:"witnessMemory,omitempty"`
	// Objects are counts in all namespaces.
	Objects *PublishedObjects `yaml:"objects,omitempty"`
}

// PublishedCounts are published counts of a proxy's configuration; nil if not published.
type PublishedCounts struct {
	Cluster  *int `yaml:"cluster"`
	Listener *int `yaml:"listener"`
	Route    *int `yaml:"route"`
	Endpoint *int `yaml:"endpoint"`
}

// PublishedObjects are published counts of objects in all namespaces.
type PublishedObjects struct {
	Nodes    int `yaml:"nodes"`
	Pods     int `yaml:"pods"`
	Services int `yaml:"services"`
}

// Range is the lowest and the highest value, in Mi (2^20 bytes).
type Range struct {
	Low  float64 `yaml:"low"`
	High float64 `yaml:"high"`
}

// PublishedTable returns the published table with a name, eks-nginx.
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

// publishedNames returns the names of all published tables.
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

// Step returns the step with a number, or nil.
func (p *Published) Step(number int) *PublishedStep {
	for i := range p.Steps {
		if p.Steps[i].Step == number {
			return &p.Steps[i]
		}
	}
	return nil
}
