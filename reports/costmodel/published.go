package costmodel

import "math"

// mega and giga are what the publishers' MB and GB are taken for, in bytes.
const (
	mega = 1e6
	giga = 1e9
)

// PublishedIstiod is what somebody else measured of istiod. Facts only.
type PublishedIstiod struct {
	Source string `json:"source"`
	Istio  string `json:"istio"`
	// State is the one of [States] that it is nearest to.
	State string `json:"state"`
	// Services and Proxies are the mesh's; Proxies 0 is unknown.
	Services int     `json:"services"`
	Proxies  int     `json:"proxies,omitempty"`
	Bytes    float64 `json:"bytes"`
	// CPUs is how many it used, of 16 at AKS; 0 for unknown.
	CPUs float64 `json:"cpus,omitempty"`
}

// Sources of published figures of istiod.
const (
	sourceAKS   = "AKS, https://learn.microsoft.com/en-us/azure/aks/istio-scale (2024-03-19), one istiod on 16 vCPU"
	sourceIstio = "Istio's load tests, https://istio.io/v1.16/docs/ops/deployment/performance-and-scalability"
	sourceBench = "Hitachi/istio-bench, output_sample/controlplane-1000svc.csv (2020)"
)

// Published are the figures of istiod that predictions are shown beside. AKS has two network
// plugins, Azure CNI overlay and the same with Cilium; its sidecars are the most that one istiod
// could manage.
func Published() []PublishedIstiod {
	const aks = "asm-1-19"
	return []PublishedIstiod{
		{sourceBench, "1.6.2", Rest, 1000, 0, 1040.12 * mi, 0.97},
		{sourceIstio, "1.13 to 1.16", Rest, 1000, 2000, 1.5 * giga, 1},
		{sourceAKS, aks, Rest, 1, 25000, 32.1 * giga, 15},
		{sourceAKS, aks, Churn25, 1, 15000, 22.2 * giga, 15},
		{sourceAKS, aks, Churn50, 1, 15000, 25.4 * giga, 15},
		{sourceAKS, aks, Rest, 1, 30000, 41.2 * giga, 15},
		{sourceAKS, aks, Churn25, 1, 25000, 36.1 * giga, 16},
		{sourceAKS, aks, Churn50, 1, 25000, 42.7 * giga, 16},
		{sourceAKS, aks, Rest, 1000, 20000, 40.4 * giga, 15},
		{sourceAKS, aks, Rest, 1000, 20000, 42.6 * giga, 16},
	}
}

// nearTo is how many times larger or smaller a mesh may be that published figures are shown
// beside.
const nearTo = 3

// near are the published figures of meshes of about that size: of so many Services, and of so
// many proxies where that is known.
func near(services, proxies int) (list []PublishedIstiod) {
	is := func(a, b int) bool {
		return math.Abs(math.Log(float64(max(a, 1))/float64(max(b, 1)))) <= math.Log(nearTo)
	}
	for _, p := range Published() {
		if is(p.Services, services) && (p.Proxies == 0 || is(p.Proxies, proxies)) {
			list = append(list, p)
		}
	}
	return list
}

// aProxy are the least and the most that the publishers' istiod takes for each proxy in a state,
// in bytes, in the meshes whose number of Services is nearest to the one asked for; ok is false
// where none tells.
func aProxy(state string, services int) (least, most float64, of int, ok bool) {
	distance := func(n int) float64 { return math.Abs(math.Log(float64(max(n, 1)) / float64(max(services, 1)))) }
	for _, p := range Published() {
		if p.State != state || p.Proxies == 0 {
			continue
		}
		each := p.Bytes / float64(p.Proxies)
		if !ok || distance(p.Services) < distance(of) {
			least, most, of, ok = each, each, p.Services, true
		} else if p.Services == of {
			least, most = min(least, each), max(most, each)
		}
	}
	return least, most, of, ok
}
