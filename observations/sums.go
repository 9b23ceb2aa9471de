package observations

// Add is the sum of two proxies' or two parts' rows.
func (c Counts) Add(o Counts) Counts {
	return Counts{c.Cluster + o.Cluster, c.Listener + o.Listener, c.Route + o.Route, c.Endpoint + o.Endpoint}
}

// Add is the sum of the objects of two parts of a configuration.
func (c ConfigObjects) Add(o ConfigObjects) ConfigObjects {
	return ConfigObjects{
		Clusters: c.Clusters + o.Clusters, Listeners: c.Listeners + o.Listeners, FilterChains: c.FilterChains + o.FilterChains,
		RouteConfigs: c.RouteConfigs + o.RouteConfigs, VirtualHosts: c.VirtualHosts + o.VirtualHosts, Endpoints: c.Endpoints + o.Endpoints,
	}
}

// Add is the sum of what routing puts into two parts of a configuration.
func (r RoutingObjects) Add(o RoutingObjects) RoutingObjects {
	return RoutingObjects{
		Routes: r.Routes + o.Routes, Domains: r.Domains + o.Domains, VirtualServiceRoutes: r.VirtualServiceRoutes + o.VirtualServiceRoutes,
		Subsets: r.Subsets + o.Subsets, HashRings: r.HashRings + o.HashRings,
		DNSClusters: r.DNSClusters + o.DNSClusters, PlainClusters: r.PlainClusters + o.PlainClusters,
		AddedFilters: r.AddedFilters + o.AddedFilters, Policies: r.Policies + o.Policies,
		JWTProviders: r.JWTProviders + o.JWTProviders, AccessLogs: r.AccessLogs + o.AccessLogs,
	}
}
