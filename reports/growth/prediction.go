package growth

import (
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// Prediction is what the built-in cost model says of the growth of a configuration. The
// model was fitted on other meshes, most of them smaller.
type Prediction struct {
	// BytesPerRevision is the growth with its interval of 95 %; Unknown says why there is
	// none.
	BytesPerRevision float64 `json:"bytesPerRevision"`
	Lo               float64 `json:"lo"`
	Hi               float64 `json:"hi"`
	Unknown          string  `json:"unknown,omitempty"`
	// Groups split it by kinds of objects.
	Groups []Group `json:"groups"`
	// Outside says where the configuration lies outside of what the model was fitted on.
	Outside []string `json:"outside,omitempty"`
}

// Group is the share of one kind of objects.
type Group struct {
	Name               string  `json:"name"`
	ObjectsPerRevision float64 `json:"objectsPerRevision"`
	BytesPerRevision   float64 `json:"bytesPerRevision"`
	Lo                 float64 `json:"lo"`
	Hi                 float64 `json:"hi"`
	Unknown            string  `json:"unknown,omitempty"`
}

// predict asks the built-in model what a configuration's growth costs.
func predict(c *Configuration) *Prediction {
	model, err := costmodel.Default()
	if err != nil {
		return &Prediction{Unknown: err.Error(), Groups: []Group{}}
	}
	n := float64(c.To - c.From)
	e, unknown := model.Cost(c.Objects)
	p := &Prediction{BytesPerRevision: e.Bytes / n, Lo: e.Lo / n, Hi: e.Hi / n, Unknown: unknown, Outside: model.Memory(c.last).Warnings}
	o := c.Objects
	// One coefficient is no price: a listener comes with its filter chains, a route
	// configuration with its virtual hosts.
	for _, g := range []struct {
		name    string
		objects observations.ConfigObjects
	}{
		{"clusters", observations.ConfigObjects{Clusters: o.Clusters}},
		{"listeners and filter chains", observations.ConfigObjects{Listeners: o.Listeners, FilterChains: o.FilterChains}},
		{"route configurations and virtual hosts", observations.ConfigObjects{RouteConfigs: o.RouteConfigs, VirtualHosts: o.VirtualHosts}},
		{"endpoints", observations.ConfigObjects{Endpoints: o.Endpoints}},
	} {
		e, unknown := model.Cost(g.objects)
		sum := g.objects.Clusters + g.objects.Listeners + g.objects.FilterChains + g.objects.RouteConfigs + g.objects.VirtualHosts + g.objects.Endpoints
		p.Groups = append(p.Groups, Group{
			Name: g.name, ObjectsPerRevision: float64(sum) / n,
			BytesPerRevision: e.Bytes / n, Lo: e.Lo / n, Hi: e.Hi / n, Unknown: unknown,
		})
	}
	return p
}
