package proxyconfig

import (
	"slices"
	"strings"
)

// attributedHost is a virtual host.
type attributedHost struct {
	Name    string   `json:"name"`
	Domains []string `json:"domains"`
	Routes  []struct {
		Routing routingRoute `json:",inline"`
		Route   struct {
			Cluster  word            `json:"cluster"`
			Weighted weightedCluster `json:"weighted_clusters"`
		} `json:"route"`
	} `json:"routes"`
}

type weightedCluster struct {
	Clusters []struct {
		Name word `json:"name"`
	} `json:"clusters"`
}

// routeConfig reads a route configuration; its virtual hosts of Services follow it as parts.
func (r *attributing) routeConfig(at int) error {
	return r.within(`"route_config"`, func() error {
		if r.PeekKind() != 'n' {
			r.section[at].Objects.RouteConfigs++
		}
		return r.fields(func(name []byte) error {
			switch string(name) {
			case `"name"`:
				s, err := decodeNext[string](r.stream)
				r.section[at].Name = r.word(s)
				return err
			case `"virtual_hosts"`:
				return r.each(func() error { return r.virtualHost(at) })
			}
			return r.pass()
		})
	})
}

func (r *attributing) virtualHost(at int) error {
	var part parsed
	n, err := r.span(func() error {
		h, _, err := decode[attributedHost](r.stream)
		part = parsed{list: r.section[at].list, Item: Item{Kind: KindRoute, Name: h.Name, Host: r.word(hostOf(h.Name))}}
		part.Objects.VirtualHosts++
		plain := routingHost{Domains: h.Domains}
		namespace := ""
		for _, route := range h.Routes {
			plain.Routes = append(plain.Routes, route.Routing)
			if route.Route.Cluster != passthroughCluster {
				part.Rows.Route++
			}
			for _, c := range append(route.Route.Weighted.Clusters, struct {
				Name word `json:"name"`
			}{route.Route.Cluster}) {
				if host := clusterHost(string(c.Name)); host != "" && host != part.Host && !slices.Contains(part.targets, host) {
					part.targets = append(part.targets, r.word(host))
				}
			}
			if _, rest, ok := strings.Cut(route.Routing.Metadata.Filter.Istio.Config, "/namespaces/"); ok && namespace == "" {
				namespace, _, _ = strings.Cut(rest, "/")
			}
		}
		if len(h.Routes) == 0 {
			part.Rows.Route++
		}
		plain.count(&part.Routing)
		// A host that no cluster has is of the VirtualService.
		part.Namespace = r.word(namespace)
		return err
	})
	if part.Host == "" { // of everybody
		item := &r.section[at]
		item.Objects, item.Routing, item.Rows = item.Objects.Add(part.Objects), item.Routing.Add(part.Routing), item.Rows.Add(part.Rows)
		return err
	}
	part.Bytes = n
	r.section = append(r.section, part)
	return err
}

// hostOf is the host in a name such as HOST:PORT, by which Istio names the virtual hosts and
// the route configurations of a Service. "" is for all other names.
func hostOf(name string) string {
	at := strings.LastIndexByte(name, ':')
	if at < 1 || at+1 == len(name) || strings.Trim(name[at+1:], "0123456789") != "" {
		return ""
	}
	switch host := name[:at]; host {
	case "blackhole", "allow_any", "block_all":
		return ""
	default:
		return host
	}
}
