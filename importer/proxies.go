package importer

import (
	"io"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/proxyconfig"
)

// Proxy is a live proxy of the source of which a dump was given.
type Proxy struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	// Kind and Name are its workload's as it is replayed; "" if the pod was not read.
	Kind string `json:"kind,omitempty"`
	Name string `json:"name,omitempty"`
	// Counts are by the words of a scenario's expectations. What was not in the dump is not
	// known, and left out.
	Counts map[string]int `json:"counts"`
}

// String names the proxy.
func (p Proxy) String() string { return p.Namespace + "/" + p.Pod }

// AddDump counts the configuration dump of a pod's proxy. Nothing else of it is kept.
func (c *Collection) AddDump(namespace, pod string, dump io.Reader) error {
	rows, objects, err := proxyconfig.CountDump(dump)
	if err != nil {
		return err
	}
	counts := c.proxy(namespace, pod).Counts
	for word, n := range map[string]int{
		"cluster": rows.Cluster, "listener": rows.Listener, "route": rows.Route,
		"clusterObjects": objects.Clusters, "listenerObjects": objects.Listeners, "filterChainObjects": objects.FilterChains,
		"routeObjects": objects.RouteConfigs, "virtualHostObjects": objects.VirtualHosts,
	} {
		counts[word] = n
	}
	if objects.Endpoints > 0 { // else it was taken without include_eds
		counts["endpointObjects"] = objects.Endpoints
	}
	return nil
}

// AddClusters counts the endpoints in a proxy's answer to /clusters, as text or JSON.
func (c *Collection) AddClusters(namespace, pod string, clusters io.Reader) error {
	n := 0
	err := proxyconfig.Hosts(clusters, nil, func(proxyconfig.Host) error {
		n++
		return nil
	})
	if err != nil {
		return err
	}
	c.proxy(namespace, pod).Counts["endpoint"] = n
	return nil
}

// proxy returns what is known of a pod's proxy.
func (c *Collection) proxy(namespace, pod string) *Proxy {
	for i := range c.proxies {
		if p := &c.proxies[i]; p.Namespace == namespace && p.Pod == pod {
			return p
		}
	}
	c.proxies = append(c.proxies, Proxy{Namespace: namespace, Pod: pod, Counts: map[string]int{}})
	return &c.proxies[len(c.proxies)-1]
}

// resolve finds the workloads of the proxies, in their order. Those of no workload are noted.
func resolve(proxies []Proxy, workloads []Workload, notes *notes) []Proxy {
	var found []Proxy
	for _, p := range proxies {
		if _, dumped := p.Counts["cluster"]; !dumped {
			continue // its dump could not be read, which was said
		}
		i := slices.IndexFunc(workloads, func(w Workload) bool { return w.Namespace == p.Namespace && slices.Contains(w.pods, p.Pod) })
		if i < 0 {
			notes.add("dumps of pods that were not read are not compared: %s", noted{kind: "Pod", name: p.String()})
			continue
		}
		if workloads[i].Ready == 0 || !workloads[i].injected {
			notes.add("dumps of pods that are not replayed with a proxy are not compared: %s", noted{kind: "Pod", name: p.String()})
			continue
		}
		p.Kind, p.Name = workloads[i].Kind, workloads[i].Name
		found = append(found, p)
	}
	slices.SortStableFunc(found, func(a, b Proxy) int { return strings.Compare(a.String(), b.String()) })
	return found
}

// words are the counts that are known, in the order of a scenario's expectations.
func words() []string {
	return []string{"cluster", "listener", "route", "endpoint", "clusterObjects", "listenerObjects", "filterChainObjects", "routeObjects", "virtualHostObjects", "endpointObjects"}
}
